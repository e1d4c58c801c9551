//! Vectors brought to principal axes: a head whose distances bound those of the whole, and what the rest
//! needs.

use crate::Result;
use crate::gpu::{Recorder, Shader, Tensor, shader};
use crate::shapes::Activation;
use crate::steps::checks::grid_64;
use crate::steps::network::gemm::Gemm;

pub(super) static LIFT: Shader = shader!("search/lift");

/// Values behind the head of a lifted vector: scale, lower and upper bound of the rest (`search/lift.wgsl`).
pub const TAIL: usize = 3;

/// How a lifted vector lies, in values, multiples of 4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifted {
    /// The head with its tail.
    pub head: u32,
    /// Further axes with a tail of their own; 0: there are none.
    pub more: u32,
}

impl Lifted {
    /// Values of a lifted vector.
    pub fn values(self) -> u32 {
        self.head + self.more
    }
}

/// Lifted vectors of `x` `[rows][dim]`: heads by a matrix product with the axes, then the tail.
#[derive(Debug)]
pub struct Lift<'a> {
    /// `[rows][dim]`.
    pub x: &'a Tensor,
    /// `[dim]`: what is subtracted before the axes are applied.
    pub mean: &'a Tensor,
    /// `[lifted][dim]` orthonormal axes; those that stand for a tail are zero.
    pub axes: &'a Tensor,
    /// `[lifted]`: minus the axes' products with the mean.
    pub bias: &'a Tensor,
    /// Output `[rows][lifted]`.
    pub to: &'a Tensor,
    /// Vectors.
    pub rows: u32,
    /// Values of a vector, a multiple of 4.
    pub dim: u32,
    /// How a lifted vector lies.
    pub lifted: Lifted,
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    rows: u32,
    d4: u32,
    head4: u32,
    more4: u32,
    slack: f32,
}

impl Lift<'_> {
    /// Records the lift.
    ///
    /// # Errors
    /// [`crate::Error::Limit`] where a tensor is too small.
    pub fn record(&self, recorder: &mut Recorder) -> Result<()> {
        let Self { x, mean, axes: w, bias, to: c, rows, dim, lifted } = *self;
        let n = lifted.values();
        Gemm { x, w, bias, residual: None, c, m: rows, k: dim, n, activation: Activation::None }
            .record(recorder)?;
        // gamma(d) each for the two sums and for the heads, doubled.
        let slack = 4.0 * dim as f32 * f32::EPSILON;
        let params = Params { rows, d4: dim / 4, head4: lifted.head / 4, more4: lifted.more / 4, slack };
        let kernel = recorder.device().kernel(&LIFT, &[], &[])?;
        let grid = grid_64("lift", rows.into(), recorder.device().caps())?;
        recorder.dispatch(&kernel, &format!("{rows}x{dim}"), &[x, mean, c], &params, grid)
    }
}
