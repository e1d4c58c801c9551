//! Patches as PatchCore publishes them: neighbourhoods, adaptively averaged to a fixed number of values.

use crate::gpu::{Recorder, Shader, Tensor, shader};
use crate::steps::checks::{check, check_vec4, flag_f16, grid_64, rows_of, words};
use crate::{Error, Result};
use std::ops::Range;

pub(super) static POOLING: Shader = shader!(
    "patches/pooling",
    variants: [[], ["F16"]]
);

/// Values that `pooled` reduces each stage's patch to (PatchCore's `pretrain_embed_dimension`).
pub const STAGE_VALUES: usize = 1024;

/// Adaptive average pooling of the patch of every position in rows `rows`. The patch is the `side * side`
/// neighbourhood in X `[batch][h][w][c]` (zeros outside), ordered by channel, then row, then column; its `c *
/// side^2` values become `m`, in columns `to .. to + m` of C `[batch][rows][w][row]`. A `side` of 1 pools the
/// rows of X themselves. X may be stored as f16. docs/method.md, section 3; PatchCore, section 3.1.
#[derive(Clone, Debug)]
pub struct Pooled<'a> {
    /// Input.
    pub x: &'a Tensor,
    /// Output.
    pub c: &'a Tensor,
    /// `[batch, h, w, c]`.
    pub shape: [u32; 4],
    /// Rows of X that are wanted; the others are neighbours alone.
    pub rows: Range<u32>,
    /// Side of the neighbourhood, odd.
    pub side: u32,
    /// Values of a pooled patch, a multiple of 4.
    pub m: u32,
    /// Values of an output row.
    pub row: u32,
    /// First column to write.
    pub to: u32,
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    batch: u32,
    h: u32,
    w: u32,
    c: u32,
    side: u32,
    m4: u32,
    row4: u32,
    to4: u32,
    first: u32,
    rows: u32,
}

impl Pooled<'_> {
    /// Records the pooling.
    ///
    /// # Errors
    /// [`Error::Limit`] where a tensor is too small or a size is out of its range.
    pub fn record(&self, recorder: &mut Recorder) -> Result<()> {
        let &Self { shape: [batch, h, w, c], side, m, row, to, .. } = self;
        check_vec4("pooled values", m)?;
        check_vec4("pooled row", row)?;
        let n = words(&[c, side, side]);
        if side % 2 == 0 || !to.is_multiple_of(4) || words(&[m]) + u64::from(to) > u64::from(row) {
            return Err(Error::Limit(format!("pooled: side {side}, columns {to} to {to} + {m} of {row}")));
        }
        if n == 0 || n.saturating_mul(u64::from(m) + 1) > u64::from(u32::MAX) {
            return Err(Error::Limit(format!("pooled: {n} values to {m} are not 1 to 2^32 in product")));
        }
        check("pooled x", words(&[batch, h, w, c]), self.x)?;
        let (first, rows) = rows_of("pooled", &self.rows, h)?;
        check("pooled c", words(&[batch, rows, w, row]), self.c)?;
        let params = Params { batch, h, w, c, side, m4: m / 4, row4: row / 4, to4: to / 4, first, rows };
        let kernel = recorder.device().kernel(&POOLING, &[], flag_f16(self.x.is_f16()))?;
        let grid = grid_64("pooled", words(&[batch, rows, w, m / 4]), recorder.device().caps())?;
        let label = format!("{rows}x{w}x{c} {side}x{side}->{m} b{batch}");
        recorder.dispatch(&kernel, &label, &[self.x, self.c], &params, grid)
    }
}
