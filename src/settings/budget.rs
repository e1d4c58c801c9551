//! What of a fit fits the memory budget, and what has to wait on disk.

use super::choice::{Compat, Group};
use super::options::FitOptions;
use crate::backbone::Extraction;
use crate::gpu::Device;
use crate::steps::coreset::{CoresetShape, HELD, STREAMED};
use crate::steps::texels;
use crate::{Error, Result};

/// Bytes of a block or a piece at most: large enough to fill a device, small beside the features.
const PART: u64 = 16 << 20;
/// Copies of a part while it goes from disk to the device: two in the hands of reader and writer, one of the
/// queue's, and the one on the device.
pub(crate) const COPIES: u64 = 4;
/// Of those of [`PATCH`], bytes on the host: score, and number of a kept patch.
pub(crate) const PATCH_ON_HOST: u64 = 8;
/// Bytes a patch while outlier scores are ranked or the bank is chosen, on host and device together: scores,
/// the list of kept patches, distance, centre, slot, and the copies in flight.
const PATCH: u64 = 28;
/// The same where the published program's start keeps its distances, too.
const PATCH_OFFICIAL: u64 = 48;
/// Candidates a batch of the coreset at least.
const BATCH: u64 = 64;
/// Candidates a batch whose mutual distances take no more than a MiB.
const FEW: u64 = 512;
/// Patches of the largest tile by which neighbours in other images are searched, and bytes that a patch's
/// share of its box and its number are at most.
const TILE: (u64, u64) = (64, 20);
/// Bytes of a patch's leading values, and of its place in their order.
const HEAD: u64 = 136;
/// Bytes of working buffers that may come on top of the budget, whatever it is: those of the backbone, pixels on
/// their way to the device (20 MiB, `backbone/feed.rs`), and pictures that are decoded.
pub(crate) const ON_TOP: u64 = BACKBONE + (20 << 20) + PICTURES;
/// Of these, the backbone's.
const BACKBONE: u64 = 32 << 20;
/// Of these, those of pictures.
pub(crate) const PICTURES: u64 = 16 << 20;
/// One in so many of the bank's rows is looked at for bounds of training images' scores (`detector/top_scores.rs`).
pub(crate) const BOUND_ROWS: u64 = 8;
/// Images whose bounds are found at a time.
pub(crate) const BOUND_IMAGES: u64 = 8;
/// Fewest rows of a piece.
const PIECE_ROWS: u64 = 64;

/// Sizes of what is collected.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FeatureShape {
    /// Images.
    pub images: usize,
    /// Grid positions an image.
    pub positions: usize,
    /// Columns of the grid.
    pub columns: usize,
    /// Values of an embedding.
    pub dim: usize,
}

/// Sizes of what work needs besides the features, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Parts {
    /// Rows of a block of groups with what is computed of them.
    pub block: u64,
    /// Projected vectors that the coreset has on the device at a time where they wait on disk.
    pub piece: u64,
    /// The coreset's table of picks and candidates.
    pub table: u64,
}

/// Where features wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    /// Projected vectors wait on disk.
    pub z_on_disk: bool,
    /// Embeddings wait on disk.
    pub embeddings_on_disk: bool,
    /// Sizes of the rest.
    pub parts: Parts,
}

impl Layout {
    /// Places projected vectors of `r` values, and embeddings of `shape.dim` values where they are kept
    /// beside them, within `options.memory`. Everything that grows with the number of images counts, on host
    /// and device together, and while they are collected the `beside` bytes of what makes them and pictures, but
    /// for what comes [on top](ON_TOP). With `texels` kernels read the bank's rows from textures, which have them a
    /// second time.
    ///
    /// # Errors
    /// [`Error::Limit`] where the lists and tables do not fit with all features on disk.
    pub fn new(
        shape: FeatureShape,
        r: usize,
        options: &FitOptions,
        (keep_embeddings, texels): (bool, bool),
        beside: u64,
    ) -> Result<Self> {
        let (n, memory) = (shape.images as u64, options.memory);
        let beside = beside.saturating_sub(BACKBONE);
        let patches = n * shape.positions as u64;
        let picks = ((options.coreset_ratio * patches as f64) as u64).max(1);
        let (row, k) = (4 * r as u64, u64::from(options.lof_k));
        let group = n * (row + 8 * k + 4) + row * r as u64;
        let patch = if options.compat == Compat::Official { PATCH_OFFICIAL } else { PATCH };
        let within = |wanted: u64, (least, most): (u64, u64)| wanted.clamp(least, most.max(least));
        let parts = |share: u64, batch: u64| Parts {
            block: within(memory / 32 * share, (group, PART)),
            piece: within(memory / 32 * share, (PIECE_ROWS * row, PART)),
            table: within(memory / 4 * share, (4 * BATCH * picks, 4 * batch * picks)),
        };
        let twice = if texels { 2 } else { 1 };
        // While the bank is chosen.
        let chosen = |p: &Parts| {
            // Candidates among each other; few of them are no matter.
            let mutual = 4 * (p.table / 4 / picks).pow(2).saturating_sub(FEW * FEW);
            picks * (twice * row + 24) + p.table + mutual
        };
        // While training images are scored against it: three times on the host (in the model, on the way, in order), and
        // on the device with what is lifted and boxes, all of it and the first rows that bounds are found with.
        let (dim, positions) = (shape.dim as u64, shape.positions as u64);
        let scored = |held: u64| {
            let rows = picks * 4 * (dim + (dim / 2).min(128) + 16);
            // What is searched for at a time has an eighth of what features leave.
            let share = |rows: u64, images: u64| {
                let query = 4 * (rows / 16 + 2 * dim);
                (images * positions * query).min(memory.saturating_sub(held).max(memory / 8) / 8)
            };
            let searches = share(picks, 1) + share(picks / BOUND_ROWS, BOUND_IMAGES);
            // The backbone rests, and there are no pictures.
            let searches = searches.saturating_sub(BACKBONE + PICTURES);
            3 * picks * 4 * dim + twice * (rows + rows / BOUND_ROWS) + searches
        };
        let (wanted, least) = (parts(1, HELD), parts(0, HELD));
        let (z, e) = (patches * row, if keep_embeddings { patches * 4 * shape.dim as u64 } else { 0 });
        let others = others(&shape, row, options);
        let rest = |p: &Parts, copies: u64| {
            let denoise = others + if others > 0 { COPIES } else { copies } * p.block;
            let held = if copies > 1 { 0 } else { z };
            patches * patch + denoise.max(chosen(p) + (copies - 1) * p.piece).max(scored(held))
        };
        let in_memory = z.saturating_add(rest(&wanted, 1).max(beside));
        if in_memory <= memory {
            let embeddings_on_disk = keep_embeddings && in_memory + e > memory;
            tracing::debug!(?wanted, embeddings_on_disk, "features in memory");
            return Ok(Self { z_on_disk: false, embeddings_on_disk, parts: wanted });
        }
        for parts in [parts(1, STREAMED), wanted, least] {
            if rest(&parts, COPIES).max(beside) <= memory {
                tracing::debug!(?parts, "features on disk");
                return Ok(Self { z_on_disk: true, embeddings_on_disk: keep_embeddings, parts });
            }
        }
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        Err(Error::Limit(format!(
            "{n} images of {} patches, {picks} of them for the bank, need {:.1} MiB with all features on \
             disk, the memory \
             budget is {:.1} MiB; raise --memory, or use fewer or smaller images, a smaller frame{} or a smaller coreset \
             ratio",
            shape.positions,
            mib(rest(&least, COPIES).max(beside)),
            mib(memory),
            match options.group {
                Group::Position => "",
                Group::Window => ", a smaller window, group position",
                Group::Global => ", group window or position",
            }
        )))
    }
}

/// Bytes that the search of neighbours in other images needs where they are not those of a position: lists,
/// and the patches in tiles that are compared at a time (`detector/others.rs`).
fn others(shape: &FeatureShape, row: u64, options: &FitOptions) -> u64 {
    let (n, positions, columns) = (shape.images as u64, shape.positions as u64, shape.columns as u64);
    let lists = n * positions * (8 * u64::from(options.lof_k) + 4);
    let tiled = |patches: u64| patches.next_multiple_of(TILE.0) * (row + TILE.1);
    match options.group {
        Group::Position => 0,
        // Grid rows of a window and, of the next one, what is read, sorted and on its way.
        Group::Window => lists + (u64::from(options.window) + 3) * columns * tiled(n),
        Group::Global => lists + tiled(n * positions) + n * positions * HEAD,
    }
}

impl FitOptions {
    /// What the extractor is asked for where the backbone is `arch` and the frame has `frame` rows and
    /// columns.
    pub(crate) fn extraction(&self, arch: &str, frame: [u32; 2]) -> Extraction {
        Extraction {
            size: frame,
            batch: self.batch,
            patches: self.patches(arch),
            precision: self.precision,
            memory: (self.memory / 2).max(BACKBONE),
        }
    }
}

/// Candidates a batch of the coreset for `[images, positions, dim]`, before it is known how many patches are
/// kept.
pub(crate) fn coreset_batch(
    device: &Device,
    options: &FitOptions,
    [images, positions, dim]: [usize; 3],
    // Bytes of what makes the features, and features made at a time.
    (beside, most): (u64, usize),
) -> u32 {
    let projected = dim > options.projection as usize;
    let r = dim.min(options.projection as usize);
    let patches = images * positions;
    let tau = if options.discriminator.drops() { options.tau } else { 0.0 };
    let kept = ((1.0 - tau) * patches as f64) as usize;
    let picks = picks(options, patches).min(kept.max(1));
    // The grid's columns change nothing here but with windows, and there the share of the table is the same.
    let shape = FeatureShape { images, positions, columns: positions.isqrt(), dim };
    let kinds = (projected, texels(device.caps()));
    let layout = Layout::new(shape, r, options, kinds, beside + 4 * (most * r) as u64);
    // Where nothing fits, the fit says so.
    let (table, on_disk) = layout.map_or((u64::MAX, false), |l| (l.parts.table, l.z_on_disk));
    let table = table.min(device.caps().max_binding);
    CoresetShape::new(picks as u32, r as u32, picks as u32, table, on_disk).batch
}

/// Rows that the bank is to have.
pub(crate) fn picks(options: &FitOptions, patches: usize) -> usize {
    // A ratio such as 0.29 of 100 patches means 29 though 0.29 * 100 is a little less in floating point.
    ((options.coreset_ratio * patches as f64 + 1e-9) as usize).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_not_a_row_short() {
        let of = |ratio: f64, patches: usize| picks(&FitOptions::default().coreset_ratio(ratio), patches);
        // 0.29 * 100 is 28.999999999999996.
        assert_eq!([of(0.29, 100), of(0.07, 100), of(1.0, 77), of(0.001, 10)], [29, 7, 77, 1]);
    }

    fn layout(images: usize, memory: u64) -> Result<Layout> {
        let shape = FeatureShape { images, positions: 784, columns: 28, dim: 152 };
        let options = FitOptions { memory, coreset_ratio: 0.01, ..FitOptions::default() };
        Layout::new(shape, 128, &options, (true, false), 0)
    }

    #[test]
    fn features_wait_on_disk_past_the_budget() {
        let places =
            |images, memory| layout(images, memory).map(|l| (l.z_on_disk, l.embeddings_on_disk)).unwrap();
        assert_eq!(places(200, 1 << 30), (false, false));
        assert_eq!(places(500, 256 << 20), (false, true));
        assert_eq!(places(2000, 256 << 20), (true, true));
        assert_eq!(places(2000, 96 << 20), (true, true));
        let error = layout(2000, 32 << 20).unwrap_err().to_string();
        assert!(error.contains("the memory budget is 32.0 MiB; raise --memory"), "{error}");
    }

    #[test]
    fn neighbours_in_other_images_count() {
        let places = |group, images, memory| {
            let shape = FeatureShape { images, positions: 784, columns: 28, dim: 152 };
            let options = FitOptions { memory, coreset_ratio: 0.01, group, ..FitOptions::default() };
            Layout::new(shape, 128, &options, (true, false), 0).map(|l| l.z_on_disk)
        };
        // The vectors in tiles are 86 MiB beside as many in the order of the images.
        assert!(!places(Group::Position, 200, 256 << 20).unwrap());
        assert!(!places(Group::Window, 200, 256 << 20).unwrap());
        assert!(places(Group::Global, 200, 192 << 20).unwrap());
        assert!(places(Group::Window, 2000, 512 << 20).unwrap());
        let error = places(Group::Global, 2000, 512 << 20).unwrap_err().to_string();
        assert!(error.contains("group window or position or a smaller coreset ratio"), "{error}");
        let error = places(Group::Window, 2000, 128 << 20).unwrap_err().to_string();
        assert!(error.contains("a smaller window, group position"), "{error}");
    }

    #[test]
    fn parts_shrink_before_anything_is_refused() {
        let parts = |memory| layout(2000, memory).unwrap().parts;
        assert_eq!(parts(1 << 30).block, PART);
        assert_eq!(parts(1 << 30).table, 4 * HELD * 15_680);
        assert_eq!(parts(512 << 20).table, 4 * STREAMED * 15_680);
        assert!(parts(96 << 20).table < parts(256 << 20).table);
    }
}
