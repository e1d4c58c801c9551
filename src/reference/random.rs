//! The seeded random numbers of the method, the same on every platform.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

/// What a random stream is for; streams of one seed are independent of each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Entries of the projection matrix.
    Projection = 1,
    /// Start samples of the coreset.
    Coreset = 2,
}

/// ChaCha8 whose key is `seed` in little-endian order followed by 24 zero bytes, on the stream numbered by `purpose`.
pub fn seeded(seed: u64, purpose: Purpose) -> ChaCha8Rng {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    let mut rng = ChaCha8Rng::from_seed(key);
    rng.set_stream(purpose as u64);
    rng
}

/// A number below `n`: the upper half of the 128-bit product of the next 64-bit word and `n`. Its bias, at most
/// `n / 2^64`, is accepted for the sake of one draw a number.
pub fn below(rng: &mut ChaCha8Rng, n: u64) -> u64 {
    ((u128::from(rng.next_u64()) * u128::from(n)) >> 64) as u64
}
