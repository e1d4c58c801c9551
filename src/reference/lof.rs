//! Local outlier factor of one group. Source: SoftPatch, section 3.3; equal to scikit-learn's `LocalOutlierFactor`.

use super::knn::squared_knn;

/// Keeps densities finite where more than `k` rows are equal; scikit-learn's value.
pub const DENSITY_EPSILON: f64 = 1e-10;

/// Local outlier factor of each row of `x` `[n][r]` among the others: `[n]`, about 1 for an inlier, more for an outlier.
///
/// With `d_k(o)` the distance of `o` to its `k`-th nearest other row and `N_k(x)` the `k` nearest others of `x`:
/// `reach(x, o) = max(d_k(o), d(x, o))`, `lrd(x) = 1 / (mean of reach(x, o) over N_k(x) + 1e-10)`,
/// `LOF(x) = mean of lrd(o) over N_k(x) / lrd(x)`. `k` is cut to `n - 1` and at least 1; a group of one scores 1.
///
/// Where several rows tie for the `k`-th place, the smaller index is taken; scikit-learn leaves it open which.
pub fn lof(x: &[f32], n: usize, r: usize, k: usize) -> Vec<f32> {
    if n <= 1 {
        return vec![1.0; n];
    }
    let k = k.clamp(1, n - 1);
    let (squared, neighbors) = squared_knn(x, n, r, k);
    let distances: Vec<f64> = squared.into_iter().map(f64::sqrt).collect();
    let k_distance = |o: usize| distances[o * k + k - 1];
    let of = |i: usize| neighbors[i * k..(i + 1) * k].iter().map(|o| *o as usize);

    let density: Vec<f64> = (0..n)
        .map(|i| {
            let reach = of(i).zip(&distances[i * k..]).map(|(o, distance)| distance.max(k_distance(o)));
            1.0 / (reach.sum::<f64>() / k as f64 + DENSITY_EPSILON)
        })
        .collect();
    (0..n).map(|i| (of(i).map(|o| density[o] / density[i]).sum::<f64>() / k as f64) as f32).collect()
}
