//! Bilinear resampling between grids.

use crate::Result;
use crate::gpu::{Recorder, Shader, Tensor, shader};
use crate::steps::checks::{check, check_vec4, grid_64, words};

pub(super) static UPSAMPLING: Shader = shader!("patches/upsampling");

/// Bilinear, half-pixel centres, no corner alignment: X `[batch][in_h][in_w][c]` into channels `to .. to + c`
/// of C `[batch][out_h][out_w][row]`. It equals PyTorch's `interpolate(mode="bilinear",
/// align_corners=False)`.
#[derive(Debug)]
pub struct Upsample<'a> {
    /// Input.
    pub x: &'a Tensor,
    /// Output.
    pub c: &'a Tensor,
    /// `[batch, in_h, in_w, c]`.
    pub shape: [u32; 4],
    /// `[out_h, out_w]`.
    pub out: [u32; 2],
    /// Channels of an output row.
    pub row: u32,
    /// First channel to write.
    pub to: u32,
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    batch: u32,
    c4: u32,
    in_h: u32,
    in_w: u32,
    out_h: u32,
    out_w: u32,
    row4: u32,
    to4: u32,
}

impl Upsample<'_> {
    /// Records the resampling.
    ///
    /// # Errors
    /// [`crate::Error::Limit`] where a tensor is too small or a channel count is no multiple of 4.
    pub fn record(&self, recorder: &mut Recorder) -> Result<()> {
        let ([batch, in_h, in_w, c], [out_h, out_w]) = (self.shape, self.out);
        check_vec4("upsampling channels", c)?;
        check_vec4("upsampling row", self.row)?;
        check("upsampling x", words(&[batch, in_h, in_w, c]), self.x)?;
        check("upsampling c", words(&[batch, out_h, out_w, self.row]), self.c)?;
        let params =
            Params { batch, c4: c / 4, in_h, in_w, out_h, out_w, row4: self.row / 4, to4: self.to / 4 };
        let kernel = recorder.device().kernel(&UPSAMPLING, &[], &[])?;
        let grid = grid_64("upsampling", words(&[batch, out_h, out_w, c / 4]), recorder.device().caps())?;
        let shape = format!("{in_h}x{in_w}x{c}->{out_h}x{out_w} b{batch}");
        recorder.dispatch(&kernel, &shape, &[self.x, self.c], &params, grid)
    }
}
