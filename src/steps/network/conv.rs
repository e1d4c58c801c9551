//! Convolution as implicit GEMM.

use crate::Result;
use crate::gpu::{Recorder, Tensor};
use crate::shapes::{Activation, ConvShape};
use crate::steps::checks::{bound, check, check_vec4, reads_texels, stored_f16, words};
use crate::steps::network::gemm::{Params, grid, residual_binding, variant};

/// `C = activation(conv(X, W) + bias + residual)`; X `[batch][in_h][in_w][in_c]`, W
/// `[out_c][kernel_h][kernel_w][in_c]`. All but the bias may be stored as f16; sums are f32.
#[derive(Debug)]
pub struct Conv<'a> {
    /// Input.
    pub x: &'a Tensor,
    /// Weights.
    pub w: &'a Tensor,
    /// `out_c` words.
    pub bias: &'a Tensor,
    /// Of the output's shape, added before the activation. It may begin anywhere in its buffer.
    pub residual: Option<&'a Tensor>,
    /// Output `[batch][out_h][out_w][out_c]`.
    pub c: &'a Tensor,
    /// Sizes.
    pub shape: ConvShape,
    /// What the sum goes through.
    pub activation: Activation,
}

impl Conv<'_> {
    /// Records the convolution.
    ///
    /// # Errors
    /// [`crate::Error::Limit`] where a tensor is too small or a channel count is not a multiple of 4.
    pub fn record(&self, recorder: &mut Recorder) -> Result<()> {
        let s = self.shape;
        check_vec4("convolution input channels", s.in_c)?;
        check_vec4("convolution output channels", s.out_c)?;
        let taps = s.kernel_h * s.kernel_w;
        check("convolution x", s.input_len() as u64, self.x)?;
        check("convolution w", words(&[s.out_c, taps, s.in_c]), self.w)?;
        check("convolution bias", words(&[s.out_c]), self.bias)?;
        check("convolution c", s.output_len() as u64, self.c)?;
        if let Some(residual) = self.residual {
            check("convolution residual", s.output_len() as u64, residual)?;
        }
        let m = s.batch * s.out_h * s.out_w;
        if m == 0 {
            return Ok(());
        }
        let mut stored = vec![self.x, self.w, self.c];
        stored.extend(self.residual);
        let f16 = stored_f16("convolution", &stored)?;
        let (lo, hi) = self.activation.bounds(f16);
        let (added, residual) = residual_binding(self.residual, self.bias);
        let params = Params {
            m,
            n: s.out_c,
            k4: s.in_c / 4,
            w_row4: taps * s.in_c / 4,
            lo,
            hi,
            residual,
            stride: s.stride,
            in_h: s.in_h,
            in_w: s.in_w,
            out_h: s.out_h,
            out_w: s.out_w,
            kernel_h: s.kernel_h,
            kernel_w: s.kernel_w,
            // Below 0 it wraps, and wraps back where the kernels subtract it.
            pad_top: s.pad_top as u32,
            pad_left: s.pad_left,
        };
        let texels = reads_texels(recorder.device(), self.w);
        let (kernel, rows, columns) = variant(recorder.device(), texels, !s.pointwise(), f16, [m, s.out_c])?;
        let w = bound(recorder, texels, self.w)?;
        let limit = recorder.device().caps().max_groups;
        recorder.dispatch(
            &kernel,
            &format!(
                "{}x{} s{} {}x{}x{}->{}x{}x{} b{}",
                s.kernel_h, s.kernel_w, s.stride, s.in_h, s.in_w, s.in_c, s.out_h, s.out_w, s.out_c, s.batch
            ),
            &[self.x, &w, self.bias, &added, self.c],
            &params,
            grid(s.out_c.div_ceil(columns), m.div_ceil(rows), limit),
        )
    }
}
