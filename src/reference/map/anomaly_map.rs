//! The anomaly map: patch scores, upsampled and blurred. docs/method.md, section 6.

use crate::reference::patches::upsampling::between;

/// Standard deviation of the blur in pixels.
const SIGMA: f64 = 4.0;
/// Where the Gaussian is cut off, in standard deviations.
const TRUNCATE: f64 = 4.0;

/// Scores `[h][w]` to a map `[oh][ow]`: bilinear upsampling as
/// [`crate::reference::patches::upsampling::upsample_bilinear`], then a Gaussian of sigma 4 pixels as SciPy's
/// `gaussian_filter(sigma=4, truncate=4, mode="reflect")`.
pub fn anomaly_map(scores: &[f32], [h, w]: [usize; 2], [oh, ow]: [usize; 2]) -> Vec<f32> {
    assert_eq!(scores.len(), h * w, "scores [{h}][{w}]");
    let scores: Vec<f64> = scores.iter().map(|&v| v.into()).collect();
    // Each step works on the rows and leaves the result transposed: [h][w] -> [ow][h] -> [oh][ow].
    let columns = blur_rows(&upsample_rows(&scores, h, w, ow), h, ow);
    let map = blur_rows(&upsample_rows(&columns, ow, h, oh), ow, oh);
    map.into_iter().map(|v| v as f32).collect()
}

/// Resamples rows `[rows][n]` to `[rows][out]`.
fn upsample_rows(x: &[f64], rows: usize, n: usize, out: usize) -> Vec<f64> {
    let mut y = Vec::with_capacity(rows * out);
    for row in 0..rows {
        for o in 0..out {
            let (low, high, t) = between(o, n, out);
            y.push(x[row * n + low] * (1.0 - t) + x[row * n + high] * t);
        }
    }
    y
}

/// Blurs rows `[rows][n]` and transposes: `[n][rows]`.
fn blur_rows(x: &[f64], rows: usize, n: usize) -> Vec<f64> {
    let radius = (TRUNCATE * SIGMA + 0.5) as i64;
    let weights: Vec<f64> = (-radius..=radius).map(|d| (-0.5 * (d as f64 / SIGMA).powi(2)).exp()).collect();
    let sum: f64 = weights.iter().sum();
    let mut y = vec![0.0; rows * n];
    for row in 0..rows {
        for o in 0..n {
            let blurred: f64 = (-radius..=radius)
                .zip(&weights)
                .map(|(d, weight)| weight * x[row * n + reflect(o as i64 + d, n as i64)])
                .sum();
            y[o * rows + row] = blurred / sum;
        }
    }
    y
}

/// SciPy's `reflect`: `d c b a | a b c d | d c b a`, as often as it takes.
fn reflect(at: i64, n: i64) -> usize {
    let at = at.rem_euclid(2 * n);
    (if at < n { at } else { 2 * n - 1 - at }) as usize
}
