//! Gaussian discriminator of one group. Source: SoftPatch, section 3.3, after PaDiM.

use super::check_len;

/// Added to the diagonal of the covariance.
pub const RIDGE: f64 = 0.01;

/// Mahalanobis distance of each row of `x` `[n][r]` to the mean of all rows, plus 1: `[n]`.
///
/// Under the rows' covariance (divisor `n - 1`) plus [`RIDGE`] on the diagonal: with its Cholesky factor `L`, the length of
/// `y` in `L y = x - mean`. A single row has the covariance `RIDGE * I` and scores 1.
pub fn mahalanobis(x: &[f32], n: usize, r: usize) -> Vec<f32> {
    check_len("mahalanobis", x, &[n, r]);
    let mean: Vec<f64> =
        (0..r).map(|c| (0..n).map(|i| f64::from(x[i * r + c])).sum::<f64>() / n as f64).collect();
    let centered: Vec<f64> = x.iter().enumerate().map(|(at, v)| f64::from(*v) - mean[at % r]).collect();

    let mut covariance = vec![0.0; r * r];
    for a in 0..r {
        for b in 0..=a {
            let sum: f64 = (0..n).map(|i| centered[i * r + a] * centered[i * r + b]).sum();
            covariance[a * r + b] = if n > 1 { sum / (n - 1) as f64 } else { 0.0 };
        }
        covariance[a * r + a] += RIDGE;
    }
    let factor = cholesky(&covariance, r);
    centered.chunks_exact(r.max(1)).map(|v| (forward(&factor, v).sqrt() + 1.0) as f32).collect()
}

/// Lower factor `L` `[r][r]` with `L L^T = a`, of which the lower triangle is read. The ridge keeps every pivot positive.
fn cholesky(a: &[f64], r: usize) -> Vec<f64> {
    let mut l = vec![0.0; r * r];
    for row in 0..r {
        for column in 0..=row {
            let dot: f64 = (0..column).map(|k| l[row * r + k] * l[column * r + k]).sum();
            let rest = a[row * r + column] - dot;
            l[row * r + column] = if row == column { rest.sqrt() } else { rest / l[column * r + column] };
        }
    }
    l
}

/// Squared length of `y` in `L y = v`.
fn forward(l: &[f64], v: &[f64]) -> f64 {
    let r = v.len();
    let mut y: Vec<f64> = Vec::with_capacity(r);
    for row in 0..r {
        let dot: f64 = y.iter().enumerate().map(|(k, value)| l[row * r + k] * value).sum();
        y.push((v[row] - dot) / l[row * r + row]);
    }
    y.iter().map(|value| value * value).sum()
}
