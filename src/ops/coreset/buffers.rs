//! State, lists and result of a selection.

use super::{Chunk, CoresetShape, MAX_SAMPLES};
use crate::gpu::{Device, Tensor};
use crate::ops::check;
use crate::{Error, Result};

/// Everything that a selection reads and writes besides the vectors.
#[derive(Debug)]
pub struct CoresetBuffers {
    /// Chosen rows in the order chosen, indices over all chunks, `[picks]`.
    pub picks: Tensor,
    /// Their vectors, `[picks][dims]`.
    pub bank: Tensor,
    /// Counters, see [`super::Progress::read`].
    pub state: Tensor,
    pub(super) shape: CoresetShape,
    pub(super) kept: Tensor,
    /// Kept positions of each chunk.
    pub(super) spans: Vec<(u32, u32)>,
    pub(super) samples: Tensor,
    pub(super) sample_count: u32,
    pub(super) distance: Tensor,
    pub(super) centre: Tensor,
    pub(super) bins: Tensor,
    /// Positions of the candidates, [`CoresetBuffers::candidate_count`] of them.
    pub(crate) candidates: Tensor,
    pub(super) chosen: Tensor,
    /// Rows of the samples, of the first pick, or of the candidates, `[listed][dims]`.
    pub(crate) rows: Tensor,
    pub(super) mutual: Tensor,
    pub(super) clusters: Tensor,
    pub(super) active: Tensor,
    pub(super) table: Tensor,
    pub(super) sorted: Tensor,
    pub(super) official: Option<Official>,
}

/// What the published program's start needs besides.
#[derive(Debug)]
pub(super) struct Official {
    /// 1 for rows that may be chosen first only.
    pub(super) dropped: Tensor,
    /// Squared mean distance to the start samples.
    pub(super) cap: Tensor,
    /// The smaller of that and the distance to the nearest pick: what the next pick is chosen by.
    pub(super) capped: Tensor,
}

impl CoresetBuffers {
    /// Allocates for one selection. `kept` are the rows that may be chosen, ascending; `samples` the positions in it
    /// against which the first pick is measured (at most 16).
    ///
    /// # Errors
    /// [`Error::Limit`] where a buffer passes one binding or a size is out of its range, [`Error::InvalidOption`] where
    /// `kept` does not ascend or leaves the chunks.
    pub fn new(
        device: &Device,
        shape: CoresetShape,
        chunks: &[Chunk<'_>],
        kept: &[u32],
        samples: &[u32],
    ) -> Result<Self> {
        let CoresetShape { dims, picks, batch, .. } = shape;
        if dims % 4 != 0 || dims == 0 || dims > 4096 || picks == 0 || picks > shape.kept || batch == 0 {
            return Err(Error::Limit(format!(
                "coreset {shape:?}: dims must be a multiple of 4 up to 4096, picks 1..=kept, batch not 0"
            )));
        }
        if shape.kept.div_ceil(batch) > 65_536 {
            return Err(Error::Limit(format!("coreset {shape:?}: more than 65536 patches a candidate")));
        }
        if kept.len() != shape.kept as usize || !kept.windows(2).all(|w| w[0] < w[1]) {
            return Err(Error::InvalidOption(format!(
                "coreset: {} kept rows that do not ascend",
                kept.len()
            )));
        }
        if samples.is_empty() || samples.len() > MAX_SAMPLES || samples.iter().any(|&s| s >= shape.kept) {
            return Err(Error::InvalidOption("coreset: 1 to 16 start samples among the kept rows".into()));
        }
        let mut spans = Vec::with_capacity(chunks.len());
        let mut next = 0;
        for chunk in chunks {
            check("coreset chunk", u64::from(chunk.len) * u64::from(dims), chunk.rows)?;
            let at = |row: u32| kept.partition_point(|&k| k < row) as u32;
            spans.push((at(chunk.first_row), at(chunk.first_row + chunk.len)));
            if spans.last().is_some_and(|s| s.0 != next) {
                return Err(Error::InvalidOption("coreset: kept rows between the chunks".into()));
            }
            next = spans.last().map_or(0, |s| s.1);
        }
        if next != shape.kept {
            return Err(Error::InvalidOption("coreset: kept rows past the chunks".into()));
        }
        let longest = spans.iter().map(|s| s.1 - s.0).max().unwrap_or_default();
        let slots = longest as usize + 7 * longest.min(picks) as usize;
        let (m, b, r) = (picks as usize, batch as usize, dims as usize);
        let listed = b.max(MAX_SAMPLES);
        let mut padded = samples.to_vec();
        padded.resize(MAX_SAMPLES, 0);
        Ok(Self {
            picks: device.alloc(m, "coreset picks")?,
            bank: device.alloc(m * r, "coreset bank")?,
            state: device.alloc(16, "coreset state")?,
            shape,
            kept: device.upload(kept, "coreset kept")?,
            spans,
            samples: device.upload(&padded, "coreset samples")?,
            sample_count: samples.len() as u32,
            distance: device.alloc(kept.len(), "coreset distance")?,
            centre: device.alloc(kept.len(), "coreset centre")?,
            bins: device.alloc(65_536, "coreset bins")?,
            candidates: device.alloc(listed, "coreset candidates")?,
            chosen: device.alloc(b, "coreset chosen")?,
            rows: device.alloc(listed * r, "coreset rows")?,
            mutual: device.alloc(b * b, "coreset mutual")?,
            clusters: device.alloc(4 * m, "coreset clusters")?,
            active: device.alloc(m, "coreset active")?,
            table: device.alloc(m * b, "coreset table")?,
            sorted: device.alloc(slots.next_multiple_of(8), "coreset sorted")?,
            official: None,
        })
    }

    /// [`CoresetBuffers::new`] for a start as in the published program (METHOD, last table): `samples` are any rows, the
    /// first pick is the row of all with the largest mean distance to them, those mean distances go on as an upper bound
    /// of every row's distance, and `kept` rows are chosen from the second pick on. `shape.kept` counts all rows.
    ///
    /// # Errors
    /// As [`CoresetBuffers::new`]; also where there are more picks than kept rows.
    pub fn official(
        device: &Device,
        shape: CoresetShape,
        chunks: &[Chunk<'_>],
        kept: &[u32],
        samples: &[u32],
    ) -> Result<Self> {
        let ascending = kept.windows(2).all(|w| w[0] < w[1]);
        if !ascending || kept.last().is_some_and(|&k| k >= shape.kept) || shape.picks as usize > kept.len() {
            return Err(Error::InvalidOption(format!(
                "coreset: {} kept rows of {} for {} picks do not ascend or are too few",
                kept.len(),
                shape.kept,
                shape.picks
            )));
        }
        let all: Vec<u32> = (0..shape.kept).collect();
        let mut dropped = vec![1_u32; all.len()];
        for &k in kept {
            dropped[k as usize] = 0;
        }
        let official = Official {
            dropped: device.upload(&dropped, "coreset dropped")?,
            cap: device.alloc(all.len(), "coreset cap")?,
            capped: device.alloc(all.len(), "coreset capped")?,
        };
        Ok(Self { official: Some(official), ..Self::new(device, shape, chunks, &all, samples)? })
    }

    /// Candidates of the batch at hand, from the words of `state`.
    pub(crate) fn candidate_count(&self, state: &[u32]) -> usize {
        state.get(7).copied().unwrap_or_default().min(self.shape.batch) as usize
    }

    /// Whether chunk `c` has rows that may be chosen.
    pub(crate) fn holds(&self, c: usize) -> bool {
        self.spans[c].0 < self.spans[c].1
    }
}
