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
mod shape;
mod state;
mod steps;

pub use buffers::CoresetBuffers;
pub(crate) use buffers::Official;
pub(crate) use shape::{BATCHES, HELD, MAX_SAMPLES, STREAMED};
pub use shape::{Chunk, CoresetShape};
pub use state::{Progress, State};
pub use steps::Coreset;

use crate::gpu::Shader;

/// The kernels of these steps.
pub(super) fn shaders() -> Vec<&'static Shader> {
    [steps::shaders(), vec![&bank_rows::BANK_ROWS]].concat()
}
