//! Greedy k-centre selection of the memory bank. Source: PatchCore, section 3.2, with the start of its published program.

use super::random::{Purpose, below, seeded};
use super::{check_len, squared_distance};

/// Random rows that the first choice is measured against.
pub const START_SAMPLES: usize = 10;

/// Positions in a list of `n_kept` rows that the first choice is measured against: [`START_SAMPLES`] different ones, or all
/// where there are fewer, in the order drawn.
///
/// Numbers below `n_kept` from [`below`] on [`seeded`] for [`Purpose::Coreset`]; a number drawn before is drawn again.
pub fn start_samples(n_kept: usize, seed: u64) -> Vec<usize> {
    let mut rng = seeded(seed, Purpose::Coreset);
    let mut samples = Vec::new();
    while samples.len() < START_SAMPLES.min(n_kept) {
        let sample = below(&mut rng, n_kept as u64) as usize;
        if !samples.contains(&sample) {
            samples.push(sample);
        }
    }
    samples
}

/// Chooses `m` of the rows `kept` of `x` `[n][r]`: their indices into `x` in the order chosen. `kept` is ascending and
/// without repeats; where `m` is larger than it, all of it is chosen, in greedy order.
///
/// - First choice: the kept row whose mean Euclidean distance to the rows at [`start_samples`] is largest. A sample's
///   distance to itself, 0, counts.
/// - Every later choice: of the rows not chosen yet, the one farthest from its nearest chosen row. The distances to the
///   first choice replace those to the samples.
/// - Ties go to the smaller index, so once every remaining distance is 0 (the rest are copies of chosen rows) rows follow in
///   ascending order. No row is chosen twice.
pub fn greedy_coreset(x: &[f32], n: usize, r: usize, kept: &[u32], m: usize, seed: u64) -> Vec<u32> {
    check_len("greedy_coreset", x, &[n, r]);
    assert!(kept.windows(2).all(|pair| pair[0] < pair[1]), "greedy_coreset: kept rows must ascend");
    let row = |position: usize| &x[kept[position] as usize * r..][..r];
    let m = m.min(kept.len());
    let mut chosen = Vec::with_capacity(m);
    if m == 0 {
        return chosen;
    }

    let samples = start_samples(kept.len(), seed);
    let distance_to_samples = |position: usize| -> f64 {
        let distances = samples.iter().map(|s| squared_distance(row(position), row(*s)).sqrt());
        distances.sum::<f64>() / samples.len() as f64
    };
    let start: Vec<f64> = (0..kept.len()).map(distance_to_samples).collect();
    let mut taken = vec![false; kept.len()];
    let mut to_chosen = vec![f64::INFINITY; kept.len()];
    let mut next = farthest(&start, &taken);
    loop {
        taken[next] = true;
        chosen.push(kept[next]);
        if chosen.len() == m {
            return chosen;
        }
        for (position, distance) in to_chosen.iter_mut().enumerate() {
            *distance = distance.min(squared_distance(row(position), row(next)));
        }
        next = farthest(&to_chosen, &taken);
    }
}

/// Position of the largest distance among those not taken, the first of equals. At least one must be left.
fn farthest(distances: &[f64], taken: &[bool]) -> usize {
    let mut best = None;
    for (position, distance) in distances.iter().enumerate().filter(|(position, _)| !taken[*position]) {
        if best.is_none_or(|(_, largest)| *distance > largest) {
            best = Some((position, *distance));
        }
    }
    best.map_or(0, |(position, _)| position)
}
