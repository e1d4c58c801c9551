//! What the tests of the kernels share: the devices, the lock that serialises them, comparison of floats.
//!
//! `mod common;` in a test file; every test starts with `let _guard = serial();`, since a software driver already
//! uses every core.
#![allow(dead_code, reason = "every test binary includes this file and uses its own part")]

pub mod weights;

use rand::{Rng, SeedableRng};
use softpatch::gpu::{Archetype, Device, DeviceOptions, Feature};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

/// Both kernel families, each with wgpu's injected checks on and off; opened once a test binary.
///
/// # Panics
/// Where there is no adapter: the suite needs one.
pub fn devices() -> &'static [(String, Device)] {
    static DEVICES: OnceLock<Vec<(String, Device)>> = OnceLock::new();
    DEVICES.get_or_init(|| {
        let mut all = Vec::new();
        for archetype in [Archetype::Direct, Archetype::Tiled] {
            for unchecked in [false, true] {
                let options = DeviceOptions {
                    archetype: Some(archetype),
                    unchecked: Some(unchecked),
                    default_limits: true,
                    // Loads and stores of either width.
                    without: if unchecked { Vec::new() } else { vec![Feature::Int64] },
                    ..Default::default()
                };
                let device = Device::open(&options)
                    .unwrap_or_else(|e| panic!("the tests of the kernels need an adapter: {e}"));
                let checks = if unchecked { "unchecked" } else { "checked" };
                all.push((format!("{archetype} {checks}"), device));
            }
        }
        all
    })
}

/// Held by every test that uses a device, so that tests do not share its cores. A failed test does not poison it.
pub fn serial() -> MutexGuard<'static, ()> {
    static LOCK: Mutex<()> = Mutex::new(());
    LOCK.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Asserts `|got - want| <= absolute + relative * |want|` element by element; equal infinities are close, and a NaN
/// is close to nothing.
///
/// # Panics
/// Where they differ, with the worst element.
#[track_caller]
pub fn assert_close(what: &str, got: &[f32], want: &[f32], absolute: f32, relative: f32) {
    assert_eq!(got.len(), want.len(), "{what}: lengths");
    let excess = |g: f32, w: f32| {
        let (g, w) = (f64::from(g), f64::from(w));
        let room = f64::from(absolute) + f64::from(relative) * w.abs();
        if g == w {
            0.0
        } else if (g - w).abs().is_finite() && room > 0.0 {
            (g - w).abs() / room
        } else {
            f64::INFINITY
        }
    };
    let worst = (0..got.len()).max_by(|&a, &b| excess(got[a], want[a]).total_cmp(&excess(got[b], want[b])));
    let Some(i) = worst else { return };
    let ratio = excess(got[i], want[i]);
    let count = (0..got.len()).filter(|&i| excess(got[i], want[i]) > 1.0).count();
    assert!(
        ratio <= 1.0,
        "{what}: {count} of {} differ, worst at {i}: got {}, want {} ({ratio:.3} times what {absolute:e} + \
         {relative:e} * |want| allows)",
        got.len(),
        got[i],
        want[i]
    );
}

/// Seeded random numbers, uniform in `mean - spread .. mean + spread`.
pub fn noise(seed: u64, len: usize, mean: f32, spread: f32) -> Vec<f32> {
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
    (0..len).map(|_| mean + spread * (2.0 * rng.random::<f32>() - 1.0)).collect()
}

/// `gamma(n) = n u / (1 - n u)` with f32's unit roundoff `u`: the bound on the relative error of `n` chained
/// roundings (Higham, Accuracy and Stability of Numerical Algorithms, section 3.1).
pub fn gamma(n: usize) -> f32 {
    let nu = n as f32 * f32::EPSILON / 2.0;
    nu / (1.0 - nu)
}
