//! The k nearest others of every member of a group. docs/method.md, section 4.

use crate::reference::distance::squared_distance;

/// Distances and indices of the k nearest other rows for every row of X `[n][r]`, each `[n][k']` ascending by
/// distance, where `k' = min(k, n - 1)`.
///
/// Distances are Euclidean. A row is left out of its own neighbours by index, so its duplicates count, at
/// distance 0; of equals the smaller index comes first.
pub fn knn(x: &[f32], r: usize, k: usize) -> (Vec<f32>, Vec<u32>) {
    let neighbours = neighbours(x, r, k).into_iter().flatten();
    neighbours.map(|(distance, index)| (distance as f32, index)).unzip()
}

/// The neighbours of every row with their distances not yet rounded: `[n][k']` pairs.
pub(crate) fn neighbours(x: &[f32], r: usize, k: usize) -> Vec<Vec<(f64, u32)>> {
    let rows: Vec<&[f32]> = x.chunks_exact(r).collect();
    let others_of = |(i, a): (usize, &&[f32])| {
        let others = rows.iter().enumerate().filter(|&(j, _)| j != i);
        let mut list: Vec<_> = others.map(|(j, b)| (squared_distance(a, b).sqrt(), j as u32)).collect();
        list.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        list.truncate(k);
        list
    };
    rows.iter().enumerate().map(others_of).collect()
}
