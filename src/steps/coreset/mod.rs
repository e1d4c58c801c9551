//! Exact greedy k-centre selection, many picks per pass, without computing most of the distances.
//!
//! Source: PatchCore, section 3.2. One batch: list the patches that are farthest from the picks so far, run
//! plain greedy among them for as long as the best of them comes before every other patch, then update the
//! other patches against the batch's picks. Patches are sorted by nearest pick for that, and the triangle
//! inequality passes over most picks of a cluster. The picks are those of plain greedy, index by index, in
//! the arithmetic of `add_squares` (`shared/coreset.wgsl`).

pub mod bank_rows;
mod buffers;
pub mod samples;
mod state;
mod steps;

pub use buffers::CoresetBuffers;
pub(crate) use buffers::Official;
pub use state::{Progress, State};
pub use steps::Coreset;

use crate::gpu::{Shader, Tensor};

/// A run of the vectors to choose from, `[rows][dims]`.
#[derive(Clone, Copy, Debug)]
pub struct Chunk<'a> {
    /// The vectors.
    pub rows: &'a Tensor,
    /// Index of the first of them over all chunks.
    pub first_row: u32,
    /// How many there are.
    pub len: u32,
}

/// Sizes of a selection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CoresetShape {
    /// Patches that may be chosen.
    pub kept: u32,
    /// Length of a vector, a multiple of 4 and at most 4096.
    pub dims: u32,
    /// Patches to choose, `1..=kept`.
    pub picks: u32,
    /// Candidates per batch at most. It decides the time, not the result.
    pub batch: u32,
}

impl CoresetShape {
    /// The shape with the batch that suits these sizes: large batches mean fewer passes over the patches, but
    /// the mutual distances of the candidates grow with the square, and the table of picks x batch has to fit
    /// one binding.
    pub fn new(kept: u32, dims: u32, picks: u32, max_binding: u64) -> Self {
        let picks = picks.min(kept);
        let fitting = (max_binding / 4 / u64::from(picks.max(1))).min(512) as u32;
        Self { kept, dims, picks, batch: (fitting / 64 * 64).max(64) }
    }
}

/// Most rows that the first pick is measured against.
pub(crate) const MAX_SAMPLES: usize = 16;

/// The kernels of these steps.
pub(super) fn shaders() -> Vec<&'static Shader> {
    [steps::shaders(), vec![&bank_rows::BANK_ROWS]].concat()
}
