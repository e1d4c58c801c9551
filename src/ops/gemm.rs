//! Matrix product with a fused epilogue.

use super::{Activation, broadcast8, check, check_vec4, words};
use crate::Result;
use crate::gpu::{Archetype, Device, Kernel, Recorder, Tensor};
use std::sync::Arc;

/// `C[m][n] = activation(X[m][k] * W[n][k]^T + bias[n] + residual[m][n])`, row-major; `k` and `n` multiples of 4.
#[derive(Debug)]
pub struct Gemm<'a> {
    /// Left operand, `m * k` words.
    pub x: &'a Tensor,
    /// Right operand, transposed: `n * k` words.
    pub w: &'a Tensor,
    /// `n` words.
    pub bias: &'a Tensor,
    /// `m * n` words, added before the activation.
    pub residual: Option<&'a Tensor>,
    /// Output, `m * n` words.
    pub c: &'a Tensor,
    /// Rows.
    pub m: u32,
    /// Depth.
    pub k: u32,
    /// Columns.
    pub n: u32,
    /// What the sum goes through.
    pub activation: Activation,
}

/// The uniform of `gemm_*.wgsl`.
#[repr(C)]
#[derive(Clone, Copy, Default, bytemuck::Pod, bytemuck::Zeroable)]
pub(super) struct Params {
    pub m: u32,
    pub n: u32,
    pub k4: u32,
    pub w_row4: u32,
    pub lo: f32,
    pub hi: f32,
    pub residual: u32,
    pub stride: u32,
    pub in_h: u32,
    pub in_w: u32,
    pub out_h: u32,
    pub out_w: u32,
    pub kernel_h: u32,
    pub kernel_w: u32,
    pub pad_top: u32,
    pub pad_left: u32,
}

/// The kernel for this device, and the rows and columns that one of its workgroups owns.
pub(super) fn variant(device: &Device, conv: bool) -> Result<(Arc<Kernel>, u32, u32)> {
    let mut flags = Vec::new();
    let caps = device.caps();
    Ok(match caps.archetype {
        Archetype::Direct => {
            if broadcast8(caps) {
                flags.push("SUBGROUP");
            }
            if conv {
                flags.push("CONV");
            }
            (device.kernel("gemm_direct", &[], &flags)?, 32, 16)
        }
        Archetype::Tiled => {
            if conv {
                flags.push("CONV");
            }
            (device.kernel("gemm_tiled", &[], &flags)?, 64, 64)
        }
    })
}

/// `[columns, rows, ..]` of workgroups, rows split over y and z.
pub(super) fn grid(columns: u32, rows: u32, limit: u32) -> [u32; 3] {
    let z = rows.div_ceil(limit).max(1);
    [columns, rows.div_ceil(z), z]
}

impl Gemm<'_> {
    /// Records the product.
    ///
    /// # Errors
    /// [`crate::Error::Limit`] where a tensor is too small or `k` or `n` is not a multiple of 4.
    pub fn record(&self, recorder: &mut Recorder) -> Result<()> {
        let Self { m, k, n, .. } = *self;
        check_vec4("gemm k", k)?;
        check_vec4("gemm n", n)?;
        check("gemm x", words(&[m, k]), self.x)?;
        check("gemm w", words(&[n, k]), self.w)?;
        check("gemm bias", words(&[n]), self.bias)?;
        check("gemm c", words(&[m, n]), self.c)?;
        if let Some(residual) = self.residual {
            check("gemm residual", words(&[m, n]), residual)?;
        }
        if m == 0 {
            return Ok(());
        }
        let (lo, hi) = self.activation.bounds();
        let params = Params {
            m,
            n,
            k4: k / 4,
            w_row4: k / 4,
            lo,
            hi,
            residual: self.residual.is_some().into(),
            ..Default::default()
        };
        let (kernel, rows, columns) = variant(recorder.device(), false)?;
        let limit = recorder.device().caps().max_groups;
        recorder.dispatch(
            &kernel,
            &format!("{m}x{k}x{n}"),
            // Without a residual any readable buffer stands in.
            &[self.x, self.w, self.bias, self.residual.unwrap_or(self.bias), self.c],
            &params,
            grid(n.div_ceil(columns), m.div_ceil(rows), limit),
        )
    }
}
