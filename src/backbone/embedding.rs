//! Stages to embeddings: what becomes of the tapped values of a band.

use super::Network;
use super::bands::{Band, patch_rows};
use super::network::Size;
use crate::Result;
use crate::gpu::{Recorder, Tensor};
use crate::steps::patches::means::PatchMean;
use crate::steps::patches::pooling::{Pooled, STAGE_VALUES};
use crate::steps::patches::upsampling::Upsample;
use std::ops::Range;

/// How the patches of the stages become one vector (docs/method.md, section 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patches {
    /// 3x3 mean of each stage, upsampled to the first stage's grid, side by side.
    Concat,
    /// 3x3 neighbourhood of each stage, averaged adaptively to 1024 values, upsampled, side by side, averaged
    /// adaptively.
    Pooled {
        /// Values of an embedding, a multiple of 4.
        dim: u32,
    },
}

/// Values of a stage's patch with [`Patches::Pooled`].
const STAGE: u32 = STAGE_VALUES as u32;

/// Values of an embedding.
pub(crate) fn embedding_dim(network: &Network, sizes: &[Size], patches: Patches) -> u32 {
    match patches {
        Patches::Concat => network.taps.iter().map(|t| sizes[t.value][2]).sum(),
        Patches::Pooled { dim } => dim,
    }
}

/// Words that the embeddings of a band need.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Words {
    /// Embeddings.
    pub embedding: usize,
    /// Patches of a coarse stage before upsampling.
    pub coarse: usize,
    /// Pooled patches of all stages, side by side; none with one stage or `concat`, where they are the
    /// embedding.
    pub stages: usize,
}

/// Rows of its own grid that the patches of stage `tap` need for rows `rows` of the first stage's grid.
fn stage_rows(network: &Network, sizes: &[Size], tap: usize, rows: &Range<u32>) -> Range<u32> {
    if tap == 0 {
        return rows.clone();
    }
    let [coarse, fine] = [tap, 0].map(|t| sizes[network.taps[t].value][0]);
    let touched = |row: u32| Upsample::touched(row, coarse, fine);
    touched(rows.start).start..touched(rows.end - 1).end
}

impl Words {
    /// Of an image whose grid has rows `rows`.
    pub fn new(network: &Network, sizes: &[Size], patches: Patches, rows: &Range<u32>) -> Self {
        if rows.is_empty() {
            return Self::default();
        }
        let [_, w, _] = sizes[network.taps[0].value];
        let words = |values: u32| rows.len() * w as usize * values as usize;
        let coarse = (1..network.taps.len()).map(|tap| {
            let [_, w, c] = sizes[network.taps[tap].value];
            let values = if patches == Patches::Concat { c } else { STAGE };
            stage_rows(network, sizes, tap, rows).len() * w as usize * values as usize
        });
        let joined = network.taps.len() as u32 * STAGE;
        Self {
            embedding: words(embedding_dim(network, sizes, patches)),
            coarse: coarse.max().unwrap_or(0),
            stages: match patches {
                Patches::Pooled { dim } if dim != joined => words(joined),
                _ => 0,
            },
        }
    }

    /// Enough for either.
    pub fn max(self, other: Self) -> Self {
        Self {
            embedding: self.embedding.max(other.embedding),
            coarse: self.coarse.max(other.coarse),
            stages: self.stages.max(other.stages),
        }
    }
}

/// Where the embeddings of a band are made.
pub(super) struct Joint<'a> {
    /// Whose stages they are of.
    pub network: &'a Network,
    /// Sizes of its values.
    pub sizes: &'a [Size],
    /// How.
    pub patches: Patches,
    /// As in [`Words`].
    pub coarse: Option<&'a Tensor>,
    /// As in [`Words`].
    pub stages: Option<&'a Tensor>,
    /// `[images][rows][columns][dim]`.
    pub embedding: &'a Tensor,
}

impl Joint<'_> {
    /// Records the way from the tapped values to the embeddings of the band's rows of the grid. `from` gives a
    /// value's rows from a row on, or from a few rows above it: what they start with, and how many they are.
    pub fn record(
        &self,
        recorder: &mut Recorder,
        images: u32,
        band: &Band,
        from: impl Fn(usize, u32) -> (Tensor, i64, u32),
    ) -> Result<()> {
        let Self { network, sizes, patches, .. } = *self;
        if band.grid.is_empty() {
            return Ok(());
        }
        let [grid_h, grid_w, _] = sizes[network.taps[0].value];
        let grid_rows = band.grid.end - band.grid.start;
        let dim = embedding_dim(network, sizes, patches);
        let (c, row) = match patches {
            Patches::Concat => (self.embedding, dim),
            Patches::Pooled { .. } => {
                (self.stages.unwrap_or(self.embedding), network.taps.len() as u32 * STAGE)
            }
        };
        let mut to = 0;
        for (i, tap) in network.taps.iter().enumerate() {
            let [h, w, channels] = sizes[tap.value];
            let (x, first, height) = from(tap.value, patch_rows(network, sizes, i, band.grid.start).start);
            let has = stage_rows(network, sizes, i, &band.grid);
            let local = |row: u32| (i64::from(row) - first) as u32;
            let rows = local(has.start)..local(has.end);
            let (x, shape) = (&x, [images, height, w, channels]);
            let values = if patches == Patches::Concat { channels } else { STAGE };
            // The first stage goes to its columns, later ones take the way over their own grid.
            let (c_of, row_of, to_of) = match self.coarse {
                Some(coarse) if i > 0 => (coarse, values, 0),
                _ => (c, row, to),
            };
            match patches {
                Patches::Concat => {
                    PatchMean { x, c: c_of, shape, rows, row: row_of, to: to_of }.record(recorder)?;
                }
                Patches::Pooled { .. } => {
                    Pooled { x, c: c_of, shape, rows, side: 3, m: STAGE, row: row_of, to: to_of }
                        .record(recorder)?;
                }
            }
            if i > 0 {
                let (shape, out, rows) = ([images, h, w, values], [grid_h, grid_w], band.grid.clone());
                Upsample { x: c_of, c, shape, out, has, rows, row, to }.record(recorder)?;
            }
            to += values;
        }
        match (patches, self.stages) {
            (Patches::Pooled { dim }, Some(x)) => {
                let (shape, rows) = ([images, grid_rows, grid_w, row], 0..grid_rows);
                Pooled { x, c: self.embedding, shape, rows, side: 1, m: dim, row: dim, to: 0 }
                    .record(recorder)
            }
            _ => Ok(()),
        }
    }
}
