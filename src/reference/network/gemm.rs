//! Matrix product.

use crate::reference::network::conv::dot;

/// `x * w^T`: `x` `[m][k]`, `w` `[n][k]`, the result `[m][n]`.
pub fn gemm(x: &[f32], w: &[f32], m: usize, k: usize, n: usize) -> Vec<f32> {
    assert_eq!(x.len(), m * k, "x [{m}][{k}]");
    assert_eq!(w.len(), n * k, "w [{n}][{k}]");
    let mut y = Vec::with_capacity(m * n);
    for row in 0..m {
        for column in 0..n {
            y.push(dot(&x[row * k..][..k], &w[column * k..][..k]) as f32);
        }
    }
    y
}
