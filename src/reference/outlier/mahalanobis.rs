//! The `gaussian` noise discriminator: Mahalanobis distance to the group's own Gaussian. docs/method.md,
//! section 4; PaDiM.

/// Added to the diagonal of the covariance, which has rank `n - 1` at most and could not be inverted
/// otherwise.
pub const RIDGE: f64 = 0.01;

/// Mahalanobis distance of every row of X `[n][r]` to the rows' mean under their covariance (ddof 1) plus
/// [`RIDGE`] times the identity, plus 1: `[n]`. A row that is alone gets 1.
///
/// With the Cholesky factor `L` of the covariance it is the length of `y` where `L y = x - mean`.
pub fn mahalanobis(x: &[f32], r: usize) -> Vec<f32> {
    let n = x.len() / r;
    if n < 2 {
        return vec![1.0; n];
    }
    mahalanobis_to(x, x, r)
}

/// Mahalanobis distance of every row of `rows` `[q][r]` to the mean of X `[n][r]` under X's covariance
/// (`max(n - 1, 1)` in the denominator) plus [`RIDGE`] times the identity, plus 1: `[q]`.
pub fn mahalanobis_to(x: &[f32], rows: &[f32], r: usize) -> Vec<f32> {
    let n = x.len() / r;
    let mean: Vec<f64> =
        (0..r).map(|j| (0..n).map(|i| f64::from(x[i * r + j])).sum::<f64>() / n as f64).collect();
    let centre = |x: &[f32]| -> Vec<f64> {
        x.iter().enumerate().map(|(at, &v)| f64::from(v) - mean[at % r]).collect()
    };
    let lower = cholesky(&covariance(&centre(x), n, r), r);
    let score = |row: &[f64]| {
        let y = solve_lower(&lower, r, row);
        (y.iter().map(|v| v * v).sum::<f64>().sqrt() + 1.0) as f32
    };
    centre(rows).chunks_exact(r).map(score).collect()
}

/// Covariance `[r][r]` of centred rows `[n][r]`, [`RIDGE`] on its diagonal.
fn covariance(centred: &[f64], n: usize, r: usize) -> Vec<f64> {
    let mut c = vec![0.0; r * r];
    for i in 0..r {
        for j in 0..r {
            let products = centred.chunks_exact(r).map(|row| row[i] * row[j]);
            c[i * r + j] = products.sum::<f64>() / (n.max(2) - 1) as f64 + if i == j { RIDGE } else { 0.0 };
        }
    }
    c
}

/// Lower triangle `L` `[r][r]` with `L L^T = a`, for a symmetric positive definite `a` `[r][r]`.
fn cholesky(a: &[f64], r: usize) -> Vec<f64> {
    let mut l = vec![0.0; r * r];
    for i in 0..r {
        for j in 0..=i {
            let rest = a[i * r + j] - (0..j).map(|k| l[i * r + k] * l[j * r + k]).sum::<f64>();
            l[i * r + j] = if i == j { rest.sqrt() } else { rest / l[j * r + j] };
        }
    }
    l
}

/// `y` with `l y = b`, by forward substitution.
fn solve_lower(l: &[f64], r: usize, b: &[f64]) -> Vec<f64> {
    let mut y = vec![0.0; r];
    for i in 0..r {
        let known: f64 = (0..i).map(|k| l[i * r + k] * y[k]).sum();
        y[i] = (b[i] - known) / l[i * r + i];
    }
    y
}
