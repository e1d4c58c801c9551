//! Seeded randomness: lattice noise for textures, uniform draws from a ChaCha stream, smooth curves.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

/// A position in units: 0 .. 256 from left to right and from top to bottom.
pub(super) type Point = (f32, f32);

/// A stream of random numbers that depends on every word given, in order.
pub(super) fn stream(words: &[u64]) -> ChaCha8Rng {
    // SplitMix64's finaliser, folded over the words.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for &word in words {
        state = (state ^ word).wrapping_add(0x9e37_79b9_7f4a_7c15);
        state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        state ^= state >> 31;
    }
    ChaCha8Rng::seed_from_u64(state)
}

/// Uniform in `lo .. hi`.
pub(super) fn uniform(rng: &mut ChaCha8Rng, lo: f32, hi: f32) -> f32 {
    lo + (hi - lo) * ((rng.next_u32() >> 8) as f32 / 16_777_216.0)
}

/// Uniform in `0 .. n`; 0 where `n` is 0.
pub(super) fn below(rng: &mut ChaCha8Rng, n: usize) -> usize {
    ((u64::from(rng.next_u32()) * n as u64) >> 32) as usize
}

/// 1 or -1.
pub(super) fn sign(rng: &mut ChaCha8Rng) -> f32 {
    if rng.next_u32() & 1 == 0 { 1.0 } else { -1.0 }
}

/// A value in -1 .. 1 for a lattice point.
pub(super) fn hash(x: i32, y: i32, seed: u32) -> f32 {
    let mut h = seed ^ (x as u32).wrapping_mul(0x8da6_b343) ^ (y as u32).wrapping_mul(0xd816_3841);
    h = (h ^ (h >> 15)).wrapping_mul(0x2c1b_3c6d);
    h = (h ^ (h >> 12)).wrapping_mul(0x297a_2d39);
    h ^= h >> 15;
    (h >> 8) as f32 / 8_388_608.0 - 1.0
}

fn fade(t: f32) -> f32 {
    t * t * (3.0 - 2.0 * t)
}

/// Smooth noise in -1 .. 1 with features of about one unit.
pub(super) fn noise(x: f32, y: f32, seed: u32) -> f32 {
    let (fx, fy) = (x.floor(), y.floor());
    let (ix, iy) = (fx as i32, fy as i32);
    let (tx, ty) = (fade(x - fx), fade(y - fy));
    let top = hash(ix, iy, seed) * (1.0 - tx) + hash(ix + 1, iy, seed) * tx;
    let bottom = hash(ix, iy + 1, seed) * (1.0 - tx) + hash(ix + 1, iy + 1, seed) * tx;
    top * (1.0 - ty) + bottom * ty
}

/// Smooth noise along a line, a different one for each `lane`.
pub(super) fn noise1(x: f32, lane: i32, seed: u32) -> f32 {
    let fx = x.floor();
    let t = fade(x - fx);
    hash(fx as i32, lane, seed) * (1.0 - t) + hash(fx as i32 + 1, lane, seed) * t
}

/// Sum of `octaves` noises, each of half the size and half the strength of the one before; about -1 .. 1.
pub(super) fn fractal(x: f32, y: f32, octaves: u32, seed: u32) -> f32 {
    let (mut sum, mut scale, mut weight) = (0.0, 1.0, 0.6);
    for octave in 0..octaves {
        sum += weight * noise(x * scale, y * scale, seed.wrapping_add(octave * 0x9e37));
        scale *= 2.0;
        weight *= 0.5;
    }
    sum
}

/// 0 below `lo`, 1 above `hi`, smooth between; `lo > hi` falls instead of rising.
pub(super) fn step(lo: f32, hi: f32, x: f32) -> f32 {
    fade(((x - lo) / (hi - lo)).clamp(0.0, 1.0))
}

/// `a` at 0, `b` at 1.
pub(super) fn mix(a: f32, b: f32, t: f32) -> f32 {
    a + (b - a) * t
}

/// A smooth random walk: points about `pace` apart over `length` units, turning by up to `curl` radians per
/// pace.
pub(super) fn wander(
    rng: &mut ChaCha8Rng,
    start: Point,
    heading: f32,
    length: f32,
    pace: f32,
    curl: f32,
) -> Vec<Point> {
    let steps = (length / pace).ceil().max(1.0) as usize;
    let (mut at, mut heading, mut turn) = (start, heading, 0.0_f32);
    let mut points = Vec::with_capacity(steps + 1);
    points.push(at);
    for _ in 0..steps {
        turn = turn * 0.7 + uniform(rng, -curl, curl);
        heading += turn;
        at = (at.0 + heading.cos() * pace, at.1 + heading.sin() * pace);
        points.push(at);
    }
    points
}

/// An irregular closed outline around `at`: signed distance in units, negative inside.
pub(super) fn blob(at: Point, radius: f32, rough: f32, seed: u32) -> impl Fn(f32, f32) -> f32 {
    move |x, y| {
        let (dx, dy) = (x - at.0, y - at.1);
        let r = (dx * dx + dy * dy).sqrt();
        let (cx, cy) = if r > 1e-3 { (dx / r, dy / r) } else { (1.0, 0.0) };
        r - radius * (1.0 + rough * fractal(cx * 1.4 + 7.0, cy * 1.4 + 7.0, 3, seed))
    }
}
