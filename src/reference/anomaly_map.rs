//! Patch scores to a map of the image. Source: PatchCore, section 3.3; SciPy's `gaussian_filter`.

use super::check_len;
use super::resample::upsample_f64;

/// Standard deviation of the smoothing, in pixels.
pub const SIGMA: f64 = 4.0;
/// Where the Gaussian is cut, in standard deviations.
pub const TRUNCATE: f64 = 4.0;

/// Upsamples `scores` `[h][w]` to `[crop][crop]` and smooths them with [`SIGMA`].
pub fn anomaly_map(scores: &[f32], h: usize, w: usize, crop: usize) -> Vec<f32> {
    check_len("anomaly_map", scores, &[h, w]);
    let scores: Vec<f64> = scores.iter().map(|v| f64::from(*v)).collect();
    let map = upsample_f64(&scores, [h, w, 1], [crop, crop]);
    gaussian_filter(&map, crop, crop).into_iter().map(|v| v as f32).collect()
}

/// Weights of offsets `-radius ..= radius`, sum 1, with `radius` = `TRUNCATE * SIGMA` rounded: 33 weights.
pub fn gaussian_kernel() -> Vec<f64> {
    let radius = (TRUNCATE * SIGMA + 0.5) as i64;
    let weights: Vec<f64> =
        (-radius..=radius).map(|x| (-0.5 / (SIGMA * SIGMA) * (x * x) as f64).exp()).collect();
    let sum: f64 = weights.iter().sum();
    weights.into_iter().map(|w| w / sum).collect()
}

/// Columns, then rows, of `x` `[h][w]`. SciPy's `gaussian_filter(x, SIGMA, mode="reflect")`.
fn gaussian_filter(x: &[f64], h: usize, w: usize) -> Vec<f64> {
    let kernel = gaussian_kernel();
    let radius = kernel.len() as i64 / 2;
    let weighted = |at: &dyn Fn(i64) -> f64| -> f64 {
        kernel.iter().zip(-radius..).map(|(weight, offset)| weight * at(offset)).sum()
    };
    let mut vertical = Vec::with_capacity(h * w);
    for y in 0..h {
        for column in 0..w {
            vertical.push(weighted(&|offset| x[reflect(y as i64 + offset, h) * w + column]));
        }
    }
    let mut out = Vec::with_capacity(h * w);
    for y in 0..h {
        for column in 0..w {
            out.push(weighted(&|offset| vertical[y * w + reflect(column as i64 + offset, w)]));
        }
    }
    out
}

/// Mirrors an index at the borders, the border value doubled: `d c b a | a b c d | d c b a`, over and over.
fn reflect(index: i64, n: usize) -> usize {
    let n = n as i64;
    let index = index.rem_euclid(2 * n);
    (if index < n { index } else { 2 * n - 1 - index }) as usize
}
