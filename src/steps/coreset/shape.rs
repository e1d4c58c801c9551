//! What is chosen from, and how much of it.

use crate::gpu::Tensor;

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

/// Candidates a batch at most, where the vectors are on the device.
pub(crate) const HELD: u64 = 1024;
/// The same where they are not.
pub(crate) const STREAMED: u64 = 2048;

impl CoresetShape {
    /// The shape with the batch that suits these sizes: large batches mean fewer passes over the patches, but
    /// the mutual distances of the candidates grow with the square, and the table of picks x batch has to fit
    /// one binding. `streamed` vectors are read anew for every pass, which costs more than many candidates do.
    pub fn new(kept: u32, dims: u32, picks: u32, max_binding: u64, streamed: bool) -> Self {
        let picks = picks.min(kept);
        let fitting =
            (max_binding / 4 / u64::from(picks.max(1))).min(if streamed { STREAMED } else { HELD }) as u32;
        // Few picks need few candidates.
        let batch = (fitting / 64 * 64).max(64).min(picks.clamp(1, STREAMED as u32).next_multiple_of(64));
        Self { kept, dims, picks, batch }
    }

    /// Candidates that an invocation of the greedy choice holds: of few values, so that each is tried before it is used,
    /// whatever number of patches is left to choose from.
    pub(crate) fn per_invocation(&self) -> u32 {
        BATCHES.into_iter().find(|most| self.batch <= *most).unwrap_or(self.batch).div_ceil(64)
    }

    /// Values of a row of the tables of distances from candidates or picks of a batch: whole vec4s.
    pub(crate) fn across(&self) -> u32 {
        self.batch.next_multiple_of(4)
    }
}

/// Batches up to which kernels are the same.
pub(crate) const BATCHES: [u32; 3] = [256, HELD as u32, STREAMED as u32];

/// Most rows that the first pick is measured against.
pub(crate) const MAX_SAMPLES: usize = 16;
