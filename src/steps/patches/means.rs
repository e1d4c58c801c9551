//! Patches: the 3x3 mean of every position.

use crate::Result;
use crate::gpu::{Recorder, Shader, Tensor, shader};
use crate::steps::checks::{check, check_vec4, flag_f16, grid_64, rows_of, words};
use std::ops::Range;

pub(super) static MEANS: Shader = shader!(
    "patches/means",
    shared: ["stored"],
    variants: [[], ["F16"]]
);

/// 3x3 mean (stride 1, zero padding 1, zeros counted) of rows `rows` of X `[batch][h][w][c]` into channels
/// `to .. to + c` of C `[batch][rows][w][row]`. docs/method.md, section 3; PatchCore, section 3.1. X may be
/// stored as f16.
#[derive(Debug)]
pub struct PatchMean<'a> {
    /// Input.
    pub x: &'a Tensor,
    /// Output.
    pub c: &'a Tensor,
    /// `[batch, h, w, c]`.
    pub shape: [u32; 4],
    /// Rows of X that are wanted; the others are neighbours alone.
    pub rows: Range<u32>,
    /// Channels of an output row, and the first one to write.
    pub row: u32,
    /// First channel to write.
    pub to: u32,
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    batch: u32,
    h: u32,
    w: u32,
    c4: u32,
    row4: u32,
    to4: u32,
    first: u32,
    rows: u32,
}

impl PatchMean<'_> {
    /// Records the mean.
    ///
    /// # Errors
    /// [`crate::Error::Limit`] where a tensor is too small or a channel count is no multiple of 4.
    pub fn record(&self, recorder: &mut Recorder) -> Result<()> {
        let [batch, h, w, c] = self.shape;
        check_vec4("patch channels", c)?;
        check_vec4("patch row", self.row)?;
        check("patch x", words(&[batch, h, w, c]), self.x)?;
        let (first, rows) = rows_of("patches", &self.rows, h)?;
        check("patch c", words(&[batch, rows, w, self.row]), self.c)?;
        let params = Params { batch, h, w, c4: c / 4, row4: self.row / 4, to4: self.to / 4, first, rows };
        let kernel = recorder.device().kernel(&MEANS, &[], flag_f16(self.x.is_f16()))?;
        let grid = grid_64("patch", words(&[batch, rows, w, c / 4]), recorder.device().caps())?;
        recorder.dispatch(&kernel, &format!("{rows}x{w}x{c} b{batch}"), &[self.x, self.c], &params, grid)
    }
}
