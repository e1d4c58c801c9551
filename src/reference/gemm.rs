//! Matrix product.

use super::check_len;

/// `a` `[m][k]` times `b` `[k][n]`: `[m][n]`.
pub fn gemm(a: &[f32], b: &[f32], m: usize, k: usize, n: usize) -> Vec<f32> {
    check_len("gemm: left operand", a, &[m, k]);
    check_len("gemm: right operand", b, &[k, n]);
    let mut c = Vec::with_capacity(m * n);
    for row in 0..m {
        for column in 0..n {
            let sum: f64 = (0..k).map(|i| f64::from(a[row * k + i]) * f64::from(b[i * n + column])).sum();
            c.push(sum as f32);
        }
    }
    c
}
