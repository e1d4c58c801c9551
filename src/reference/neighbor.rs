//! Nearest row of the memory bank, and the soft score made of it. Source: SoftPatch, section 3.4.

use super::{check_len, squared_distance};

/// Nearest row of `bank` `[m][d]` for each row of `x` `[q][d]`: indices `[q]` and squared Euclidean distances `[q]`. Ties go to
/// the smaller index.
///
/// # Panics
/// Where the bank is empty.
pub fn nearest_neighbor(x: &[f32], q: usize, bank: &[f32], m: usize, d: usize) -> (Vec<u32>, Vec<f32>) {
    check_len("nearest_neighbor: queries", x, &[q, d]);
    check_len("nearest_neighbor: bank", bank, &[m, d]);
    assert!(m > 0, "nearest_neighbor: the bank is empty");
    let (mut indices, mut squared) = (Vec::with_capacity(q), Vec::with_capacity(q));
    for query in 0..q {
        let mut best = (0, f64::INFINITY);
        for row in 0..m {
            let distance = squared_distance(&x[query * d..][..d], &bank[row * d..][..d]);
            if distance < best.1 {
                best = (row, distance);
            }
        }
        indices.push(best.0 as u32);
        squared.push(best.1 as f32);
    }
    (indices, squared)
}

/// Scores `[q]`: the weight of the nearest bank row times the squared distance to it. `weights` is `[m]`; all 1 without soft
/// weights.
pub fn soft_scores(indices: &[u32], squared: &[f32], weights: &[f32]) -> Vec<f32> {
    assert_eq!(indices.len(), squared.len(), "soft_scores: one distance an index");
    let score = |(index, squared): (&u32, &f32)| f64::from(weights[*index as usize]) * f64::from(*squared);
    indices.iter().zip(squared).map(|pair| score(pair) as f32).collect()
}
