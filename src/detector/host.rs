//! What a fit has in the host's memory, a stage at a time.

use super::Stage;
use crate::settings::{COPIES, PATCH_ON_HOST, Parts};

/// Copies of the bank's rows on the host while the bank goes to the device: the model's, those in the order of
/// its tree, and the queue's.
const BANK: u64 = 3;

/// Bytes of pixels that are packed for the queue at a time, at most (`backbone/feed.rs`).
const PACKED: u64 = 16 << 20;

/// Sizes that the host's memory follows from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HostNeeds {
    /// Pixels of the largest picture.
    pub pixels: u64,
    /// Training pictures.
    pub images: u64,
    /// Pictures that are decoded at a time, in a fit and to be scored.
    pub pictures: [u64; 2],
    /// Pictures of a batch.
    pub batch: u64,
    /// Embeddings that are made at a time.
    pub made: u64,
    /// Pixels of the frame.
    pub frame: u64,
    /// Training patches.
    pub patches: u64,
    /// Values of a projected vector, and of an embedding.
    pub projected: u64,
    /// Values of an embedding.
    pub dim: u64,
    /// Rows of the bank.
    pub rows: u64,
    /// Sizes of what is read from disk at a time.
    pub parts: Parts,
    /// Whether projected vectors and embeddings wait on disk.
    pub on_disk: [bool; 2],
}

impl HostNeeds {
    /// Bytes of a stage at most.
    pub fn of(&self, stage: Stage) -> u64 {
        let [z, e] = self.on_disk.map(u64::from);
        let lists = PATCH_ON_HOST * self.patches;
        let bank = 4 * self.dim * self.rows;
        let loaded = 4 * self.dim * self.made * e;
        let packed = PACKED.min(4 * self.pixels);
        match stage {
            Stage::Features => {
                let read = 4 * self.made * (z * self.projected + e * self.dim);
                pictures(self.pixels, self.pictures[0], self.images) + packed + read
            }
            Stage::Denoise | Stage::Distances => lists + z * (COPIES - 1) * self.parts.block,
            // Copies of the bank come when what chose it is gone, and count with the calibration.
            Stage::Coreset => lists + z * (COPIES - 1) * self.parts.piece,
            Stage::Floors => lists + BANK * bank + loaded + z * (COPIES - 1) * self.parts.block,
            Stage::Calibrate => lists + BANK * bank + loaded,
            Stage::Score => {
                // The queue has the pixels of two batches, of which one is read back.
                let [_, decoded] = self.pictures;
                let queued = 4 * self.pixels * decoded.min(self.images.saturating_sub(decoded));
                let maps = 4 * self.batch * self.frame;
                bank + pictures(self.pixels, decoded, self.images) + packed + queued + maps
            }
        }
    }
}

/// Bytes of `batch` pictures of `pixels` pixels on their way to the device, of `of` that there are: RGB of those
/// at hand and of as many that are decoded meanwhile, the words that the queue has of those at hand, and what
/// threads decode from.
pub(crate) fn pictures(pixels: u64, batch: u64, of: u64) -> u64 {
    let decoding = (rayon::current_num_threads() as u64).min(batch);
    pixels * (3 * of.min(2 * batch) + 4 * batch + 3 * decoding)
}
