//! Patch embedding: stages of the backbone to one vector a grid position. Source: PatchCore, section 3.1.

use super::check_len;
use super::resample::upsample_f64;

/// Values that each stage is pooled to before the stages are concatenated.
pub const STAGE_DIM: usize = 1024;

/// Output of one stage of the backbone for one image.
#[derive(Clone, Copy, Debug)]
pub struct Stage<'a> {
    /// `[h][w][c]`.
    pub x: &'a [f32],
    /// Rows.
    pub h: usize,
    /// Columns.
    pub w: usize,
    /// Channels.
    pub c: usize,
}

/// 3x3 mean of `x` `[h][w][c]` around every position: `[h][w][c]`. Outside are zeros, and they count: the divisor is 9
/// everywhere.
pub fn patch_mean3(x: &[f32], h: usize, w: usize, c: usize) -> Vec<f32> {
    mean3_f64(&Stage { x, h, w, c }).into_iter().map(|v| v as f32).collect()
}

fn mean3_f64(stage: &Stage<'_>) -> Vec<f64> {
    unfold3(stage).chunks_exact(9).map(|window| window.iter().sum::<f64>() / 9.0).collect()
}

/// Every position's 3x3 neighbourhood, zeros outside: `[h][w][c][3][3]`, that is channel-major, then row, then column.
fn unfold3(stage: &Stage<'_>) -> Vec<f64> {
    let Stage { x, h, w, c } = *stage;
    check_len("stage", x, &[h, w, c]);
    let mut out = Vec::with_capacity(h * w * c * 9);
    for y in 0..h {
        for column in 0..w {
            for channel in 0..c {
                for ky in 0..3 {
                    for kx in 0..3 {
                        // One more than the position, so that nothing is negative.
                        let (sy, sx) = (y + ky, column + kx);
                        let inside = (1..=h).contains(&sy) && (1..=w).contains(&sx);
                        let value = || f64::from(x[((sy - 1) * w + sx - 1) * c + channel]);
                        out.push(if inside { value() } else { 0.0 });
                    }
                }
            }
        }
    }
    out
}

/// Adaptive average pooling in one dimension of each row of `x` `[rows][n]`: `[rows][m]`. Output `i` is the mean of inputs
/// `floor(i * n / m) .. ceil((i + 1) * n / m)`; with `m > n` values repeat. Source: PyTorch's `adaptive_avg_pool1d`.
fn adaptive_pool(x: &[f64], n: usize, m: usize) -> Vec<f64> {
    let mut out = Vec::with_capacity(x.len() / n * m);
    for row in x.chunks_exact(n) {
        for i in 0..m {
            let window = &row[i * n / m..((i + 1) * n).div_ceil(m)];
            out.push(window.iter().sum::<f64>() / window.len() as f64);
        }
    }
    out
}

/// Concatenates `[positions][dim]` tensors position by position.
fn concatenate(parts: &[(Vec<f64>, usize)], positions: usize) -> Vec<f64> {
    let row = |p: usize| parts.iter().flat_map(move |(x, dim)| &x[p * dim..(p + 1) * dim]);
    (0..positions).flat_map(row).copied().collect()
}

/// Embedding `concat`: 3x3 mean of each stage, upsampled to the first stage's grid, concatenated:
/// `[h0 * w0][sum of c]`. What anomalib's PatchCore does.
pub fn embed_concat(stages: &[Stage<'_>]) -> Vec<f32> {
    let grid = [stages[0].h, stages[0].w];
    let part = |s: &Stage<'_>| (upsample_f64(&mean3_f64(s), [s.h, s.w, s.c], grid), s.c);
    let parts: Vec<_> = stages.iter().map(part).collect();
    concatenate(&parts, grid[0] * grid[1]).into_iter().map(|v| v as f32).collect()
}

/// Embedding `pooled`: each stage's `c * 9` neighbourhood vectors, upsampled to the first stage's grid and pooled to
/// [`STAGE_DIM`] values; the stages' vectors concatenated and pooled to `d`: `[h0 * w0][d]`. What PatchCore and SoftPatch
/// publish their figures with.
pub fn embed_pooled(stages: &[Stage<'_>], d: usize) -> Vec<f32> {
    let grid = [stages[0].h, stages[0].w];
    let part = |s: &Stage<'_>| {
        let pooled = adaptive_pool(&unfold3(s), s.c * 9, STAGE_DIM);
        // Upsampling acts on positions, pooling on channels: they commute, and this order is the cheaper one.
        (upsample_f64(&pooled, [s.h, s.w, STAGE_DIM], grid), STAGE_DIM)
    };
    let parts: Vec<_> = stages.iter().map(part).collect();
    let joined = concatenate(&parts, grid[0] * grid[1]);
    adaptive_pool(&joined, STAGE_DIM * stages.len(), d).into_iter().map(|v| v as f32).collect()
}
