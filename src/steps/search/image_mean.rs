//! Mean of the embeddings of an image.

use crate::Result;
use crate::gpu::{Recorder, Shader, Tensor, shader};
use crate::steps::checks::{check, check_vec4, grid_64, words};

pub(super) static IMAGE_MEAN: Shader = shader!("search/image_mean");

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    images: u32,
    positions: u32,
    d4: u32,
}

/// Records `c[i] = mean over positions of x[i]`: `x` `[images][positions][dim]` to `c` `[images][dim]`.
///
/// # Errors
/// [`crate::Error::Limit`] where a tensor is too small or `dim` is no multiple of 4.
pub fn record(
    recorder: &mut Recorder,
    x: &Tensor,
    [images, positions, dim]: [u32; 3],
    c: &Tensor,
) -> Result<()> {
    check_vec4("image mean", dim)?;
    check("image mean input", words(&[images, positions, dim]), x)?;
    check("image mean", words(&[images, dim]), c)?;
    if images == 0 || positions == 0 {
        return Ok(());
    }
    let kernel = recorder.device().kernel(&IMAGE_MEAN, &[], &[])?;
    let grid = grid_64("image mean", words(&[images, dim / 4]), recorder.device().caps())?;
    let params = Params { images, positions, d4: dim / 4 };
    recorder.dispatch(&kernel, &format!("{images}x{positions}x{dim}"), &[x, c], &params, grid)
}
