//! Nearest-neighbour discriminator of one group. Source: SoftPatch, section 3.3.

use super::knn::squared_knn;

/// Euclidean distance of each row of `x` `[n][r]` to the nearest other row, plus 1: `[n]`. A group of one scores 1.
pub fn nearest(x: &[f32], n: usize, r: usize) -> Vec<f32> {
    let (squared, _) = squared_knn(x, n, r, 1);
    (0..n).map(|i| (squared.get(i).map_or(0.0, |d| d.sqrt()) + 1.0) as f32).collect()
}
