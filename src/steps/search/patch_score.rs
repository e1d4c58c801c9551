//! The soft-weighted patch score and the image score: docs/method.md, section 6.

use crate::Result;
use crate::gpu::{Recorder, Shader, Tensor, grid_1d, shader};
use crate::steps::checks::{check, words};

pub(super) static PATCH_SCORE: Shader = shader!("search/patch_score");

/// Patch scores `weight * squared distance` and the largest of every image.
#[derive(Debug)]
pub struct PatchScore<'a> {
    /// `[images][positions][2]`: squared distance (f32 bits) and bank row of the nearest neighbour.
    pub best: &'a Tensor,
    /// `[rows]`: weights of the bank's rows.
    pub weights: &'a Tensor,
    /// Output, `[images][positions]` from word `first` on.
    pub scores: &'a Tensor,
    /// Output `[images]`.
    pub top: &'a Tensor,
    /// Images.
    pub images: u32,
    /// Patches per image.
    pub positions: u32,
    /// Rows of the bank.
    pub rows: u32,
    /// Words of `scores` before these; where there are any, these are more patches of the same images, whose
    /// largest score so far is in `top`.
    pub first: u32,
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    images: u32,
    positions: u32,
    m: u32,
    first: u32,
    on: u32,
}

impl PatchScore<'_> {
    /// Records the scores.
    ///
    /// # Errors
    /// [`crate::Error::Limit`] where a tensor is too small.
    pub fn record(&self, recorder: &mut Recorder) -> Result<()> {
        let Self { images, positions, rows: m, first, .. } = *self;
        check("neighbours", words(&[images, positions, 2]), self.best)?;
        check("bank weights", m.into(), self.weights)?;
        check("patch scores", u64::from(first) + words(&[images, positions]), self.scores)?;
        check("image scores", images.into(), self.top)?;
        let kernel = recorder.device().kernel(&PATCH_SCORE, &[], &[])?;
        let grid = grid_1d(images, recorder.device().caps().max_groups);
        let tensors = [self.best, self.weights, self.scores, self.top];
        let shape = format!("{images}x{positions}");
        let params = Params { images, positions, m, first, on: (first > 0).into() };
        recorder.dispatch(&kernel, &shape, &tensors, &params, grid)
    }
}
