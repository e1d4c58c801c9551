//! Nearest neighbours inside one group.

use super::{check_len, squared_distance};

/// The `k` nearest others of each row of `x` `[n][r]`: Euclidean distances `[n][k]`, ascending, and the rows they belong to
/// `[n][k]`.
///
/// A row is not its own neighbour, but another row with the same values is one. Ties go to the smaller index.
/// `k` is cut to `n - 1`, so that a group of one has no neighbours at all.
pub fn pairwise_knn(x: &[f32], n: usize, r: usize, k: usize) -> (Vec<f32>, Vec<u32>) {
    let (squared, indices) = squared_knn(x, n, r, k);
    (squared.into_iter().map(|d| d.sqrt() as f32).collect(), indices)
}

/// [`pairwise_knn`] with squared distances in f64.
pub(super) fn squared_knn(x: &[f32], n: usize, r: usize, k: usize) -> (Vec<f64>, Vec<u32>) {
    check_len("knn", x, &[n, r]);
    let k = k.min(n.saturating_sub(1));
    let row = |i: usize| &x[i * r..(i + 1) * r];
    let (mut distances, mut indices) = (Vec::with_capacity(n * k), Vec::with_capacity(n * k));
    for i in 0..n {
        let mut others: Vec<(f64, usize)> =
            (0..n).filter(|j| *j != i).map(|j| (squared_distance(row(i), row(j)), j)).collect();
        others.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        for (distance, j) in &others[..k] {
            distances.push(*distance);
            indices.push(*j as u32);
        }
    }
    (distances, indices)
}
