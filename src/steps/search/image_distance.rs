//! Distances of all pairs of two short lists of vectors.

use crate::Result;
use crate::gpu::{Recorder, Shader, Tensor, shader};
use crate::steps::checks::{check, check_vec4, grid_64, words};

pub(super) static IMAGE_DISTANCE: Shader = shader!("search/image_distance");

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    q: u32,
    m: u32,
    d4: u32,
}

/// Records `c[i][j] = |a[i] - b[j]|`: `a` `[q][dim]`, `b` `[m][dim]`, `c` `[q][m]`.
///
/// # Errors
/// [`crate::Error::Limit`] where a tensor is too small or `dim` is no multiple of 4.
pub fn record(
    recorder: &mut Recorder,
    a: &Tensor,
    b: &Tensor,
    [q, m, dim]: [u32; 3],
    c: &Tensor,
) -> Result<()> {
    check_vec4("image distance", dim)?;
    check("image distance rows", words(&[q, dim]), a)?;
    check("image distance columns", words(&[m, dim]), b)?;
    check("image distances", words(&[q, m]), c)?;
    if q == 0 || m == 0 {
        return Ok(());
    }
    let kernel = recorder.device().kernel(&IMAGE_DISTANCE, &[], &[])?;
    let grid = grid_64("image distance", words(&[q, m]), recorder.device().caps())?;
    recorder.dispatch(&kernel, &format!("{q}x{m}x{dim}"), &[a, b, c], &Params { q, m, d4: dim / 4 }, grid)
}

/// Numbers of the `k` smallest distances (all where there are fewer), nearest first, of equal ones the first.
pub fn nearest(distances: &[f32], k: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..distances.len()).collect();
    order.sort_by(|&a, &b| distances[a].total_cmp(&distances[b]).then(a.cmp(&b)));
    order.truncate(k);
    order
}
