//! The `nearest` noise discriminator: how far the closest other member of the group is. docs/method.md,
//! section 4.

use crate::reference::outlier::knn::neighbours;

/// Distance of every row of X `[n][r]` to its nearest other row, plus 1: `[n]`. A row that is alone gets 1.
pub fn nearest(x: &[f32], r: usize) -> Vec<f32> {
    let score = |list: &Vec<(f64, u32)>| list.first().map_or(1.0, |&(distance, _)| (distance + 1.0) as f32);
    neighbours(x, r, 1).iter().map(score).collect()
}
