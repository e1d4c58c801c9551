//! Random projection of the embeddings: docs/method.md, section 4.

use crate::reference::network::gemm::gemm;

/// Projects `m` rows `x` `[m][d]` with `matrix` `[r][d]`: `[m][r]`.
pub fn project(x: &[f32], matrix: &[f32], [m, d, r]: [usize; 3]) -> Vec<f32> {
    gemm(x, matrix, m, d, r)
}
