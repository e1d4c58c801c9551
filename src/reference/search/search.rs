//! Nearest row of the memory bank and the scores made of it. docs/method.md, section 6; SoftPatch, section
//! 3.4.

use crate::reference::distance::squared_distance;

/// Nearest row of the bank `[m][d]` for every query of X `[n][d]`: its index and the squared distance to it,
/// `[n]` each.
///
/// A row is no nearer than its floor in `floors` `[m]`; empty: there are none. `skip(query, row)` leaves a
/// row out (a patch must not be its own neighbour). Of equals the smaller index wins; where no row is left
/// the index is `u32::MAX` and the distance infinite.
pub fn nearest_neighbor(
    x: &[f32],
    bank: &[f32],
    d: usize,
    floors: &[f32],
    skip: impl Fn(usize, usize) -> bool,
) -> (Vec<u32>, Vec<f32>) {
    let nearest = |(query, x): (usize, &[f32])| {
        let mut best = (u32::MAX, f64::INFINITY);
        for (row, b) in bank.chunks_exact(d).enumerate().filter(|&(row, _)| !skip(query, row)) {
            let floor = floors.get(row).map_or(0.0, |f| f64::from(*f));
            let squared = squared_distance(x, b).max(floor);
            if squared < best.1 {
                best = (row as u32, squared);
            }
        }
        (best.0, best.1 as f32)
    };
    x.chunks_exact(d).enumerate().map(nearest).unzip()
}

/// Score of every patch: the weight of its nearest row times the squared distance to it.
///
/// `squared` and `index` `[n]` as [`nearest_neighbor`] gives them, `weights` `[m]`, all 1 without soft
/// weights. A patch without a nearest row (index `u32::MAX`) keeps its infinite distance as score.
pub fn soft_scores(squared: &[f32], index: &[u32], weights: &[f32]) -> Vec<f32> {
    let score = |(&s, &i): (&f32, &u32)| if i == u32::MAX { s } else { weights[i as usize] * s };
    squared.iter().zip(index).map(score).collect()
}
