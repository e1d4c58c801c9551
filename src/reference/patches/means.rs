//! From stages of the backbone to one embedding a patch: docs/method.md, section 3 (PatchCore, section 3.1).

use crate::reference::patches::upsampling::upsample_bilinear;
use crate::steps::patches::pooling::STAGE_VALUES;

/// 3x3 mean of every position of `x` `[h][w][c]`: stride 1, zero padding 1, and the zeros count in the mean.
pub fn patch_mean3(x: &[f32], [h, w, c]: [usize; 3]) -> Vec<f32> {
    let patches = patches3(x, [h, w, c]);
    patches.chunks_exact(9).map(|patch| (sum(patch) / 9.0) as f32).collect()
}

/// The 3x3 neighbourhood of every position of `x` `[h][w][c]` with zero padding: `[h][w][c * 9]`, a patch
/// ordered by channel, then row, then column.
pub fn patches3(x: &[f32], [h, w, c]: [usize; 3]) -> Vec<f32> {
    assert_eq!(x.len(), h * w * c, "x [{h}][{w}][{c}]");
    let mut y = Vec::with_capacity(x.len() * 9);
    for row in 0..h {
        for column in 0..w {
            for channel in 0..c {
                for dy in 0..3 {
                    for dx in 0..3 {
                        // Shifted by one: 0 and h + 1 are the padding.
                        let (py, px) = (row + dy, column + dx);
                        let inside = (1..=h).contains(&py) && (1..=w).contains(&px);
                        y.push(if inside { x[((py - 1) * w + px - 1) * c + channel] } else { 0.0 });
                    }
                }
            }
        }
    }
    y
}

/// Adaptive average pooling of each row of `x` `[rows][n]` to `[rows][m]`: output `i` is the mean of inputs
/// `floor(i * n / m) .. ceil((i + 1) * n / m)`.
pub fn adaptive_average(x: &[f32], n: usize, m: usize) -> Vec<f32> {
    assert!(n > 0 && m > 0 && x.len().is_multiple_of(n), "rows of {n} to {m}");
    let mut y = Vec::with_capacity(x.len() / n * m);
    for row in x.chunks_exact(n) {
        for i in 0..m {
            let window = &row[i * n / m..((i + 1) * n).div_ceil(m)];
            y.push((sum(window) / window.len() as f64) as f32);
        }
    }
    y
}

/// `concat`: 3x3 mean of each stage `[h][w][c]`, upsampled to the first stage's grid, side by side:
/// `[h0][w0][sum of c]`.
pub fn embed_concat(stages: &[(&[f32], [usize; 3])]) -> Vec<f32> {
    let [h, w, _] = stages[0].1;
    let parts: Vec<(Vec<f32>, usize)> = stages
        .iter()
        .map(|&(x, shape)| (upsample_bilinear(&patch_mean3(x, shape), shape, [h, w]), shape[2]))
        .collect();
    side_by_side(&parts, h * w)
}

/// `pooled`: the 3x3 patches of each stage `[h][w][c]` as vectors of `c * 9`, upsampled to the first stage's
/// grid, averaged adaptively to [`STAGE_VALUES`], side by side, averaged adaptively to `d`: `[h0][w0][d]`.
pub fn embed_pooled(stages: &[(&[f32], [usize; 3])], d: usize) -> Vec<f32> {
    let [h, w, _] = stages[0].1;
    let parts: Vec<(Vec<f32>, usize)> = stages
        .iter()
        .map(|&(x, [sh, sw, sc])| {
            let vectors = upsample_bilinear(&patches3(x, [sh, sw, sc]), [sh, sw, sc * 9], [h, w]);
            (adaptive_average(&vectors, sc * 9, STAGE_VALUES), STAGE_VALUES)
        })
        .collect();
    adaptive_average(&side_by_side(&parts, h * w), stages.len() * STAGE_VALUES, d)
}

/// Joins the rows of matrices `[rows][n_i]` to `[rows][sum of n_i]`.
fn side_by_side(parts: &[(Vec<f32>, usize)], rows: usize) -> Vec<f32> {
    (0..rows).flat_map(|row| parts.iter().flat_map(move |(x, n)| &x[row * n..][..*n])).copied().collect()
}

/// Sum in f64.
fn sum(x: &[f32]) -> f64 {
    x.iter().map(|&v| f64::from(v)).sum()
}
