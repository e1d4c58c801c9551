//! What the first row of the bank is measured against: docs/method.md, section 5.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

/// Patches that the first row is chosen against.
pub const START_SAMPLES: usize = 10;

/// Positions into a list of `kept` patches that the first row is chosen against: [`START_SAMPLES`] distinct
/// ones in the order drawn, or all of them, ascending, where no more than that are kept.
///
/// A position is `floor(u * kept / 2^64)` of the next 64-bit word `u` of `ChaCha8Rng::seed_from_u64(seed)`;
/// one that was drawn before is drawn again. Spelled out so that no release of `rand` can move the bank of a
/// seed.
pub fn start_samples(kept: usize, seed: u64) -> Vec<usize> {
    if kept <= START_SAMPLES {
        return (0..kept).collect();
    }
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut drawn = Vec::with_capacity(START_SAMPLES);
    while drawn.len() < START_SAMPLES {
        let position = ((u128::from(rng.next_u64()) * kept as u128) >> 64) as usize;
        if !drawn.contains(&position) {
            drawn.push(position);
        }
    }
    drawn
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_distinct_and_of_few_patches_all() {
        for kept in 1..=START_SAMPLES {
            assert_eq!(start_samples(kept, 7), (0..kept).collect::<Vec<_>>());
        }
        for (kept, seed) in [(11, 0), (11, 1), (12, 2), (20, 3), (1 << 40, 4)] {
            let drawn = start_samples(kept, seed);
            let mut sorted = drawn.clone();
            sorted.sort_unstable();
            sorted.dedup();
            assert!(sorted.len() == START_SAMPLES && drawn.iter().all(|&d| d < kept), "{kept}: {drawn:?}");
        }
        assert_ne!(start_samples(1000, 0), start_samples(1000, 1));
    }
}
