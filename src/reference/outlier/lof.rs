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
    let lists = neighbours(x, r, k.max(1));
    match lists.first() {
        Some(list) if !list.is_empty() => from_lists(&lists, list.len()),
        _ => vec![1.0; lists.len()],
    }
}

/// Local outlier factors from lists of `k` neighbours: the largest float for a patch that has fewer, or that
/// has one with fewer.
pub fn from_lists(lists: &[Vec<(f64, u32)>], k: usize) -> Vec<f32> {
    let reach = |&(distance, o): &(f64, u32)| {
        let list = &lists[o as usize];
        (list.len() == k).then(|| distance.max(list[k - 1].0))
    };
    let density = |list: &Vec<(f64, u32)>| {
        let sum: f64 = list.iter().map(reach).sum::<Option<f64>>()?;
        (list.len() == k).then(|| 1.0 / (sum / k as f64 + DENSITY_EPSILON))
    };
    let densities: Vec<Option<f64>> = lists.iter().map(density).collect();
    let factor = |(list, own): (&Vec<(f64, u32)>, &Option<f64>)| match own {
        // A neighbour without a density adds nothing.
        Some(own) => {
            let sum: f64 = list.iter().filter_map(|&(_, o)| densities[o as usize]).sum();
            (sum / k as f64 / own) as f32
        }
        None => f32::MAX,
    };
    lists.iter().zip(&densities).map(factor).collect()
}
