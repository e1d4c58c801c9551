//! Local outlier factor of every member of a group. docs/method.md, section 4; Breunig et al., LOF (SIGMOD
//! 2000).

use crate::reference::outlier::knn::neighbours;

/// Added to the mean reachability distance, as scikit-learn does, so that the density of duplicates stays
/// finite.
pub const DENSITY_EPSILON: f64 = 1e-10;

/// Local outlier factor of every row of X `[n][r]` among its k nearest others: `[n]`, about 1 for a row as
/// dense as its neighbours, larger for an outlier.
///
/// Equals scikit-learn's `-LocalOutlierFactor(n_neighbors=k).fit(X).negative_outlier_factor_`. `k` is brought
/// into `1..=n - 1`; a row that is alone in its group gets 1.
pub fn lof(x: &[f32], r: usize, k: usize) -> Vec<f32> {
    let neighbours = neighbours(x, r, k.max(1));
    if neighbours.len() < 2 {
        return vec![1.0; neighbours.len()];
    }
    // d_k: a list is ascending, so its last entry is the farthest.
    let d_k: Vec<f64> = neighbours.iter().map(|list| list[list.len() - 1].0).collect();
    let density = |list: &Vec<(f64, u32)>| {
        let reach: f64 = list.iter().map(|&(distance, o)| d_k[o as usize].max(distance)).sum();
        1.0 / (reach / list.len() as f64 + DENSITY_EPSILON)
    };
    let lrd: Vec<f64> = neighbours.iter().map(density).collect();
    let factor = |(list, own): (&Vec<(f64, u32)>, &f64)| {
        let ratios: f64 = list.iter().map(|&(_, o)| lrd[o as usize] / own).sum();
        (ratios / list.len() as f64) as f32
    };
    neighbours.iter().zip(&lrd).map(factor).collect()
}
