//! The fixed random map in front of the discriminators and the coreset.

use super::gemm::gemm;
use super::random::{Purpose, seeded};
use rand_chacha::rand_core::RngCore;

/// The map for vectors of `d` values to `r`: `[d][r]`, entries uniform in `±1 / sqrt(d)`.
///
/// That is the distribution of `torch.nn.Linear(d, r, bias=False)`, which the published program draws from. Entry by
/// entry in row-major order: `u` is the upper 24 bits of the next 32-bit word of [`seeded`] for
/// [`Purpose::Projection`], divided by `2^24`; the entry is `(2u - 1) / sqrt(d)`, computed in f64.
pub fn projection_matrix(d: usize, r: usize, seed: u64) -> Vec<f32> {
    let mut rng = seeded(seed, Purpose::Projection);
    let bound = 1.0 / (d as f64).sqrt();
    let entry = |_| {
        let u = f64::from(rng.next_u32() >> 8) / f64::from(1 << 24);
        ((2.0 * u - 1.0) * bound) as f32
    };
    (0..d * r).map(entry).collect()
}

/// `x` `[n][d]` times `matrix` `[d][r]`: `[n][r]`.
pub fn project(x: &[f32], matrix: &[f32], n: usize, d: usize, r: usize) -> Vec<f32> {
    gemm(x, matrix, n, d, r)
}
