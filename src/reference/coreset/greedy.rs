//! Greedy k-centre: which kept patches become the rows of the memory bank. docs/method.md, section 5;
//! PatchCore, section 3.2.

use crate::reference::distance::squared_distance;
use crate::steps::coreset::samples::start_samples;

/// Picks `picks` of the `kept` patches (ascending indices into the rows of Z `[patches][r]`), in greedy
/// order.
///
/// The first is the kept patch whose mean distance to the [`start_samples`] is largest, each next one the
/// patch whose squared distance to the nearest pick so far is largest. Of equals the smaller index wins, and
/// none is picked twice: once every distance left is 0 the rest follow by index. Returns all of `kept` where
/// `picks` is not less. docs/method.md, sections 5 and 11.
pub fn greedy_coreset(z: &[f32], r: usize, kept: &[u32], picks: usize, seed: u64) -> Vec<u32> {
    let row = |position: usize| patch(z, r, kept[position]);
    let samples = start_samples(kept.len(), seed);
    let start = largest(kept.len(), |position| {
        let distances = samples.iter().map(|&s| squared_distance(row(position), row(s)).sqrt());
        distances.sum::<f64>() / samples.len() as f64
    });
    greedy(z, r, kept, picks, start, squared_distance)
}

/// [`greedy_coreset`] with the rounding of a device: `squared` is the squared distance of two rows summed in
/// `f32` in the device's order, and the mean of the start is an `f32` sum over the samples in the order
/// drawn, times `1 / count`.
///
/// Picks of a device are compared with these index by index; against `f64` near-ties would part.
pub fn greedy_coreset_f32(
    z: &[f32],
    r: usize,
    kept: &[u32],
    picks: usize,
    seed: u64,
    squared: impl Fn(&[f32], &[f32]) -> f32,
) -> Vec<u32> {
    let row = |position: usize| patch(z, r, kept[position]);
    let samples = start_samples(kept.len(), seed);
    let scale = 1.0 / samples.len() as f32;
    let start = largest(kept.len(), |position| {
        let mut sum = 0.0f32;
        for &s in &samples {
            sum += squared(row(position), row(s)).sqrt();
        }
        f64::from(sum * scale)
    });
    greedy(z, r, kept, picks, start, |a, b| f64::from(squared(a, b)))
}

/// [`greedy_coreset`] as the program published with SoftPatch does it (docs/method.md, section 11): the
/// [`start_samples`] are of all patches; the first pick is the patch of all, kept or not, whose mean distance
/// to them is largest; and a kept patch's distance to the picks never counts as more than that mean.
/// `squared` is the squared distance of two rows.
pub fn greedy_coreset_official(
    z: &[f32],
    r: usize,
    kept: &[u32],
    picks: usize,
    seed: u64,
    squared: impl Fn(&[f32], &[f32]) -> f64,
) -> Vec<u32> {
    let all = z.len() / r;
    let row = |index: u32| patch(z, r, index);
    let samples = start_samples(all, seed);
    let means: Vec<f64> = (0..all as u32)
        .map(|i| {
            samples.iter().map(|&s| squared(row(i), row(s as u32)).sqrt()).sum::<f64>() / samples.len() as f64
        })
        .collect();
    let mut nearest: Vec<f64> = kept.iter().map(|&k| means[k as usize].powi(2)).collect();
    let mut order = Vec::new();
    let mut next = largest(all, |i| means[i]).map(|i| i as u32);
    while let Some(pick) = next.filter(|_| order.len() < picks) {
        order.push(pick);
        for (nearest, &k) in nearest.iter_mut().zip(kept) {
            // Below 0: chosen.
            *nearest = if k == pick { -1.0 } else { nearest.min(squared(row(k), row(pick))) };
        }
        next = largest(kept.len(), |i| nearest[i]).filter(|&i| nearest[i] >= 0.0).map(|i| kept[i]);
    }
    order
}

/// Largest distance from a kept patch of Z `[patches][r]` to its nearest pick: what greedy k-centre makes
/// small. 0 where nothing is kept, infinite where nothing is picked.
pub fn covering_radius(z: &[f32], r: usize, kept: &[u32], picks: &[u32]) -> f64 {
    let nearest = |&k: &u32| {
        let distances = picks.iter().map(|&p| squared_distance(patch(z, r, k), patch(z, r, p)).sqrt());
        distances.fold(f64::INFINITY, f64::min)
    };
    kept.iter().map(nearest).fold(0.0, f64::max)
}

fn greedy(
    z: &[f32],
    r: usize,
    kept: &[u32],
    picks: usize,
    start: Option<usize>,
    squared: impl Fn(&[f32], &[f32]) -> f64,
) -> Vec<u32> {
    debug_assert!(kept.is_sorted(), "ties go to the smaller index, so kept patches come in ascending order");
    let mut order = Vec::new();
    let mut chosen = vec![false; kept.len()];
    let mut nearest = vec![f64::INFINITY; kept.len()];
    let mut next = start;
    while let Some(pick) = next.filter(|_| order.len() < picks) {
        order.push(kept[pick]);
        chosen[pick] = true;
        for (position, nearest) in nearest.iter_mut().enumerate() {
            *nearest = nearest.min(squared(patch(z, r, kept[position]), patch(z, r, kept[pick])));
        }
        next = largest(kept.len(), |position| if chosen[position] { -1.0 } else { nearest[position] })
            .filter(|&position| !chosen[position]);
    }
    order
}

/// Smallest position of the largest value; `None` for no positions.
fn largest(count: usize, value: impl Fn(usize) -> f64) -> Option<usize> {
    let mut best: Option<(usize, f64)> = None;
    for position in 0..count {
        let v = value(position);
        if best.is_none_or(|(_, b)| v > b) {
            best = Some((position, v));
        }
    }
    best.map(|(position, _)| position)
}

fn patch(z: &[f32], r: usize, index: u32) -> &[f32] {
    &z[index as usize * r..][..r]
}
