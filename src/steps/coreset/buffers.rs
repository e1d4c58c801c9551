//! State, lists and result of a selection; the bank allocates them.

use super::shape::CoresetShape;
use super::state::State;
use crate::gpu::Tensor;

/// Everything that a selection reads and writes besides the vectors.
#[derive(Debug)]
pub struct CoresetBuffers {
    /// Chosen rows in the order chosen, indices over all chunks, `[picks]`.
    pub picks: Tensor,
    /// Their vectors, `[picks][dims]`.
    pub bank: Tensor,
    /// One [`State`].
    pub state: Tensor,
    pub(crate) shape: CoresetShape,
    pub(crate) kept: Tensor,
    /// Kept positions of each chunk.
    pub(crate) spans: Vec<(u32, u32)>,
    pub(crate) samples: Tensor,
    pub(crate) sample_count: u32,
    pub(crate) distance: Tensor,
    pub(crate) centre: Tensor,
    pub(crate) bins: Tensor,
    /// Positions of the candidates, [`CoresetBuffers::candidate_count`] of them.
    pub(crate) candidates: Tensor,
    pub(crate) chosen: Tensor,
    /// Rows of the samples, of the first pick, or of the candidates, `[listed][dims]`.
    pub(crate) rows: Tensor,
    pub(crate) mutual: Tensor,
    pub(crate) clusters: Tensor,
    pub(crate) open: Tensor,
    pub(crate) table: Tensor,
    pub(crate) sorted: Tensor,
    pub(crate) official: Option<Official>,
}

/// What the published program's start needs besides.
#[derive(Debug)]
pub(crate) struct Official {
    /// 1 for rows that may be chosen first only.
    pub(crate) dropped: Tensor,
    /// Squared mean distance to the start samples.
    pub(crate) cap: Tensor,
    /// The smaller of that and the distance to the nearest pick: what the next pick is chosen by.
    pub(crate) capped: Tensor,
}

impl CoresetBuffers {
    /// Candidates of the batch at hand, from what was read of `state`.
    pub(crate) fn candidate_count(&self, state: &[State]) -> usize {
        state.first().map_or(0, |state| state.candidates.min(self.shape.batch) as usize)
    }

    /// Whether chunk `c` has rows that may be chosen.
    pub(crate) fn holds(&self, c: usize) -> bool {
        self.spans[c].0 < self.spans[c].1
    }
}
