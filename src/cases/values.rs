//! Operands of the cases.

use crate::Result;
use crate::gpu::{Device, Tensor};
use rand::{Rng, SeedableRng};

/// Repeatable values in -0.5 .. 0.5 with as many digits as f32 has there, so that a device that computes in
/// fewer is found.
pub fn values(len: usize, seed: u64) -> Vec<f32> {
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
    (0..len).map(|_| rng.random::<f32>() - 0.5).collect()
}

/// The same, exact in f16.
pub fn coarse(len: usize, seed: u64) -> Vec<f32> {
    values(len, seed).into_iter().map(|v| (1024.0 * v).round() / 1024.0).collect()
}

/// What a layer that is stored in f16, or in f32, is given.
pub fn operand(len: usize, seed: u64, f16: bool) -> Vec<f32> {
    if f16 { coarse(len, seed) } else { values(len, seed) }
}

/// The same, never negative.
pub fn positive(len: usize, seed: u64) -> Vec<f32> {
    values(len, seed).into_iter().map(f32::abs).collect()
}

/// Whole numbers in -20 .. 20: squared distances of fewer than 10 000 of them are exact in f32.
pub fn whole(len: usize, seed: u64) -> Vec<f32> {
    values(len, seed).into_iter().map(|v| (40.0 * v).round()).collect()
}

/// Values whose spread falls along a row of `width`, as it does along the principal axes of real features;
/// with `steep` so fast that a few hundred rows lie as close as many thousand real ones.
pub fn falling(rows: usize, width: usize, seed: u64, steep: bool) -> Vec<f32> {
    let mut v = values(rows * width, seed);
    for (i, v) in v.iter_mut().enumerate() {
        // Equal rows would make ties.
        let spread = 1.0 + (i % width) as f32 / if steep { 2.0 } else { 8.0 };
        // The rest of a row weighs something, too.
        let spread = if steep { (spread * spread).min(100.0) } else { spread };
        *v = (*v + (i / width) as f32 * 1e-5) / spread;
    }
    v
}

/// Places to check among `len`: all of a few, else a sample spread without a pattern of rows or columns.
pub fn places(len: usize) -> Vec<usize> {
    const ALL: usize = 40_000;
    if len <= ALL {
        return (0..len).collect();
    }
    // The ends, where tails are, and what lies between.
    let spread = (0..300_usize).map(|i| (i.wrapping_mul(2_654_435_761) + i * 97) % len);
    [0, len - 1].into_iter().chain(spread).collect()
}

/// An operand on the device.
pub fn store(device: &Device, f16: bool, data: &[f32]) -> Result<Tensor> {
    if f16 { device.upload_f16(data, "operand") } else { device.upload(data, "operand") }
}

/// Room for a result.
pub fn room(device: &Device, f16: bool, len: usize) -> Result<Tensor> {
    if f16 { device.alloc_f16(len, "result") } else { device.alloc(len, "result") }
}
