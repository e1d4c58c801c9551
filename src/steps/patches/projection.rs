//! Random projection of the embeddings, used by the discriminators and the coreset: docs/method.md, section
//! 4.

use rand::{Rng, RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// The map `[r][d]`: entries uniform in `±1 / sqrt(d)`, as PyTorch initialises `Linear(d, r)`.
///
/// Entry `i` in memory order (row by row) is made of the `i`-th `next_u32` of
/// `ChaCha8Rng::seed_from_u64(seed)`: its upper 24 bits as `u` give `(u / 2^23 - 1) / sqrt(d)`, in f64,
/// rounded to f32 once.
pub fn projection_matrix(d: usize, r: usize, seed: u64) -> Vec<f32> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let bound = 1.0 / (d as f64).sqrt();
    (0..r * d)
        .map(|_| {
            let u = f64::from(random.next_u32() >> 8);
            ((u / f64::from(1 << 23) - 1.0) * bound) as f32
        })
        .collect()
}

/// PaDiM's choice: `count` of `dim` channels, drawn without replacement, ascending; all where there are no
/// more.
pub fn random_channels(dim: usize, count: usize, seed: u64) -> Vec<usize> {
    let mut all: Vec<usize> = (0..dim).collect();
    if count < dim {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        for i in 0..count {
            all.swap(i, rng.random_range(i..dim));
        }
        all.truncate(count);
        all.sort_unstable();
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_uniform_and_seeded() {
        let (d, r) = (400, 50);
        let matrix = projection_matrix(d, r, 7);
        let bound = 1.0 / (d as f64).sqrt();
        assert!(matrix.iter().all(|&v| f64::from(v).abs() <= bound));
        let n = matrix.len() as f64;
        let mean = matrix.iter().map(|&v| f64::from(v)).sum::<f64>() / n;
        let variance = matrix.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>() / n;
        // The mean of n uniform values has a deviation of bound / sqrt(3 n): 4 of them. The variance is
        // bound^2 / 3, its deviation 0.9 / sqrt(n) of that.
        assert!(mean.abs() < 4.0 * bound / (3.0 * n).sqrt(), "{mean}");
        assert!((variance / (bound * bound / 3.0) - 1.0).abs() < 4.0 * 0.9 / n.sqrt(), "{variance}");
        assert_eq!(matrix, projection_matrix(d, r, 7));
        assert_ne!(matrix, projection_matrix(d, r, 8));
    }
}
