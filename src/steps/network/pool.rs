//! Maximum pooling.

use crate::Result;
use crate::gpu::{Recorder, Shader, Tensor, shader};
use crate::shapes::ConvShape;
use crate::steps::checks::{check, check_vec4, flag_f16, grid_64, stored_f16, words};

pub(super) static POOL: Shader = shader!(
    "network/pool",
    shared: ["stored"],
    variants: [[], ["F16"]]
);

/// `C` = maximum over `kernel x kernel` windows of X `[batch][in_h][in_w][c]`; padding never wins. Both may
/// be stored as f16.
#[derive(Debug)]
pub struct MaxPool<'a> {
    /// Input.
    pub x: &'a Tensor,
    /// Output `[batch][out_h][out_w][c]`.
    pub c: &'a Tensor,
    /// Sizes; `kernel_h` holds in both directions.
    pub shape: ConvShape,
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
    kernel: u32,
    stride: u32,
    pad_top: u32,
    pad_left: u32,
}

impl MaxPool<'_> {
    /// Records the pooling.
    ///
    /// # Errors
    /// [`crate::Error::Limit`] where a tensor is too small or channels are no multiple of 4.
    pub fn record(&self, recorder: &mut Recorder) -> Result<()> {
        let s = self.shape;
        check_vec4("pooling channels", s.in_c)?;
        check("pooling x", s.input_len() as u64, self.x)?;
        check("pooling c", s.output_len() as u64, self.c)?;
        let f16 = stored_f16("pooling", &[self.x, self.c])?;
        let params = Params {
            batch: s.batch,
            c4: s.in_c / 4,
            in_h: s.in_h,
            in_w: s.in_w,
            out_h: s.out_h,
            out_w: s.out_w,
            kernel: s.kernel_h,
            stride: s.stride,
            pad_top: s.pad_top as u32,
            pad_left: s.pad_left,
        };
        let kernel = recorder.device().kernel(&POOL, &[], flag_f16(f16))?;
        let items = words(&[s.batch, s.out_h, s.out_w, s.in_c / 4]);
        let grid = grid_64("pooling", items, recorder.device().caps())?;
        let shape = format!("{}x{}x{}->{}x{} b{}", s.in_h, s.in_w, s.in_c, s.out_h, s.out_w, s.batch);
        recorder.dispatch(&kernel, &shape, &[self.x, self.c], &params, grid)
    }
}
