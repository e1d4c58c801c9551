//! What the tests of the kernels share: the devices, turns at them, comparison of floats.
//!
//! `mod common;` in a test file; every test with a device starts with `let _turn = turn();`, since a software driver
//! already uses every core.
#![allow(dead_code, reason = "every test binary includes this file and uses its own part")]

use rand::{Rng, SeedableRng};
use softpatch::low_level::gpu::{Archetype, Caps, Device, DeviceOptions, Faults, Feature};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};

/// A device of the matrix and what it is.
pub type Named = (String, Device);

/// Devices that between them make every choice that is open to the kernels: both families; `direct` with and
/// without subgroups, with either width of words, with and without textures, `tiled` with and without subgroups; wgpu's injected
/// checks on and off in each family; WebGPU's default limits and the adapter's own ones. Opened once a test
/// binary. What the adapter lacks is left out, and said.
///
/// # Panics
/// Where there is no adapter: the suite needs one.
pub fn devices() -> &'static [Named] {
    static DEVICES: OnceLock<Vec<Named>> = OnceLock::new();
    DEVICES.get_or_init(|| {
        const SUBGROUP: Feature = Feature::Subgroup;
        const INT64: Feature = Feature::Int64;
        const TEXELS: Feature = Feature::Texels;
        let (direct, tiled) = (Archetype::Direct, Archetype::Tiled);
        let wanted: [(Archetype, &[Feature], bool, bool); 7] = [
            // Family, what is done without, unchecked, default limits. Two with the same kernels, but for the
            // width of words, have the same checks, so that the driver's cache knows most of the second's;
            // neighbours, which tests run at the same time, have not.
            (direct, &[], true, true),
            (tiled, &[SUBGROUP], false, false),
            (direct, &[SUBGROUP], false, true),
            (tiled, &[], true, true),
            (direct, &[INT64], true, false),
            (direct, &[SUBGROUP, INT64], false, false),
            (direct, &[TEXELS], true, true),
        ];
        let mut all: Vec<Named> = Vec::new();
        for (archetype, without, unchecked, default_limits) in wanted {
            if second_pass() && !without.is_empty() {
                continue;
            }
            let options = DeviceOptions {
                archetype: Some(archetype),
                unchecked: Some(unchecked),
                default_limits,
                without: without.to_vec(),
                ..Default::default()
            };
            let device = Device::open(&options)
                .unwrap_or_else(|e| panic!("the tests of the kernels need an adapter: {e}"));
            let name = format!(
                "{} {} {}",
                features(device.caps()),
                if unchecked { "unchecked" } else { "checked" },
                if default_limits { "default-limits" } else { "own-limits" }
            );
            let same = |caps: &Caps| {
                (features(caps), caps.unchecked) == (features(device.caps()), device.caps().unchecked)
            };
            match all.iter().find(|(_, other)| same(other.caps())) {
                Some((other, _)) => println!("skipped: {name}, which here makes the choices of {other}"),
                None => all.push((name, device)),
            }
        }
        all
    })
}

/// Whether this is a run of llvmpipe with SIMD registers, and so subgroups, of another width than its own.
/// What does without subgroups was tested in the first run, and the driver takes several times as long to
/// compile for 512 bits: such a run has one device of each family and no emulated matrices.
pub fn second_pass() -> bool {
    std::env::var_os("LP_NATIVE_VECTOR_WIDTH").is_some()
}

/// The family and what its kernels may choose by.
fn features(caps: &Caps) -> String {
    let mut name = caps.archetype.to_string();
    match caps.subgroup {
        Some((least, most)) if least == most => name += &format!(" subgroups-of-{least}"),
        Some((least, most)) => name += &format!(" subgroups-of-{least}-to-{most}"),
        None => name += " no-subgroups",
    }
    // Only the `direct` kernels load and store in wide words.
    if caps.archetype == Archetype::Direct {
        name += if caps.int64 { " 64-bit" } else { " 32-bit" };
        // Which go with subgroups of 8 and wide words.
        if caps.texels > 0 && caps.int64 && caps.subgroup == Some((8, 8)) {
            name += " texels";
        }
    }
    name
}

fn find(archetype: Archetype, unchecked: bool) -> &'static Named {
    let fits = |caps: &Caps| caps.archetype == archetype && caps.unchecked == unchecked;
    let family = |caps: &Caps| caps.archetype == archetype;
    let by = |fits: &dyn Fn(&Caps) -> bool| devices().iter().find(|(_, device)| fits(device.caps()));
    // A second pass has but one of each.
    by(&fits).or_else(|| by(&family)).expect("a device of either family")
}

/// The `direct` family as a released program runs it: without injected checks, with what the adapter has.
pub fn direct() -> &'static Named {
    find(Archetype::Direct, true)
}

/// The same of the `tiled` family.
pub fn tiled() -> &'static Named {
    find(Archetype::Tiled, true)
}

/// The `direct` and the `tiled` family with wgpu's injected checks.
pub fn checked() -> [&'static Named; 2] {
    [find(Archetype::Direct, false), find(Archetype::Tiled, false)]
}

/// Both families, each with and without checks: for tests of a whole method, whose kernels are tested with
/// every width of words elsewhere.
pub fn of_each_kind() -> Vec<Named> {
    let [direct_checked, tiled_checked] = checked();
    [direct(), tiled_checked, direct_checked, tiled()].map(Clone::clone).to_vec()
}

/// The device of [`direct`] once more, with faults such as `lose=3,9`.
pub fn faulty(faults: &str) -> (Device, Arc<Faults>) {
    let faults = Arc::new(Faults::parse(faults).unwrap());
    let options = DeviceOptions {
        archetype: Some(direct().1.caps().archetype),
        unchecked: Some(true),
        no_self_test: true,
        faults: Some(faults.clone()),
        ..DeviceOptions::default()
    };
    (Device::open(&options).unwrap(), faults)
}

/// Calls `f` with every item of `list`, two at a time: where a driver compiles kernels it does so on one
/// core, and that is most of the time of most tests. A failure in `f` is the test's.
pub fn in_pairs<T: Sync>(list: &[T], f: impl Fn(&T) + Sync) {
    let next = AtomicUsize::new(0);
    let work = || {
        while let Some(item) = list.get(next.fetch_add(1, Ordering::Relaxed)) {
            f(item);
        }
    };
    let failed = std::thread::scope(|scope| {
        let other = scope.spawn(work);
        let mine = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        mine.and(other.join())
    });
    if let Err(panic) = failed {
        std::panic::resume_unwind(panic);
    }
}

/// [`in_pairs`] of devices with their names.
pub fn on_each(list: &[Named], f: impl Fn(&str, &Device) + Sync) {
    in_pairs(list, |(name, device)| f(name, device));
}

/// [`on_each`] of [`devices`].
pub fn on_devices(f: impl Fn(&str, &Device) + Sync) {
    on_each(devices(), f);
}

/// Tests that use a device at once: one then computes while the other compiles or decodes.
const AT_ONCE: u32 = 2;

static FREE: (Mutex<u32>, Condvar) = (Mutex::new(AT_ONCE), Condvar::new());

/// What a test holds while it uses a device.
pub struct Turn(u32);

impl Turn {
    fn wait(places: u32) -> Self {
        let free = FREE.0.lock().unwrap_or_else(PoisonError::into_inner);
        let few = |free: &mut u32| *free < places;
        *FREE.1.wait_while(free, few).unwrap_or_else(PoisonError::into_inner) -= places;
        Self(places)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        *FREE.0.lock().unwrap_or_else(PoisonError::into_inner) += self.0;
        FREE.1.notify_all();
    }
}

/// Held by every test that uses a device, so that few share its cores and memory.
pub fn turn() -> Turn {
    Turn::wait(1)
}

/// In the place of [`turn`], where no other test may use a device in this process.
pub fn alone() -> Turn {
    Turn::wait(AT_ONCE)
}

/// The same device with counts, pipelines and buffers of its own.
pub fn fresh(device: &Device) -> Device {
    device.with_tuning(device.tuning().clone()).unwrap()
}

/// Asserts `|got - want| <= absolute + relative * |want|` element by element; equal infinities are close, and
/// a NaN is close to nothing.
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

/// `gamma(n) = n u / (1 - n u)`: the bound on the relative error of `n` chained roundings (Higham, Accuracy
/// and Stability of Numerical Algorithms, section 3.1), with one unit in the last place for `u` and not the
/// half that rounding to the nearest costs. For `+`, `-` and `*` WGSL (section 15.7.4, floating point
/// accuracy) asks for a correctly rounded result and means either neighbour of the true one: "the result may
/// be rounded up or down: WGSL does not specify a rounding mode". `fma(a, b, c)` is inherited from `a * b +
/// c`, fused or not; `dot` from its sum, in any order.
pub fn gamma(n: usize) -> f32 {
    let nu = n as f32 * f32::EPSILON;
    nu / (1.0 - nu)
}

/// Roundings that a division counts as: WGSL (section 15.7.4.1, Accuracy of Concrete Floating Point
/// Expressions) allows 2.5 units in the last place where the divisor is in 2^-126 ..= 2^126.
pub const DIVISION: usize = 3;

/// Roundings that `sqrt` counts as: it is inherited from `1 / inverseSqrt(x)`, which are 2 units in the last
/// place and the 2.5 of a division.
pub const SQUARE_ROOT: usize = 5;

/// The smallest normal number: what is smaller, operand or result, may count as zero (WGSL, section 15.7.2:
/// subnormal numbers may be flushed, and the sign of a zero ignored).
pub const FLUSHED: f32 = f32::MIN_POSITIVE;

/// Relative error of packing a number as f16, and the smallest normal one, below which it may become zero.
/// The packing is as free to round up or down as all else: some GPUs cut off (`v_cvt_pkrtz_f16_f32`), others
/// take the nearest.
pub const F16_ROUNDING: f32 = 1.0 / 1024.0;
pub const F16_FLUSHED: f32 = 1.0 / 16384.0;

/// Relative error of the distance of two rows of `r` values, a root of a sum of squares of differences,
/// against one that was rounded once. Squaring doubles a difference's rounding and adds one, a sum of `r`
/// terms of one sign adds `r` in whatever order, the root halves all that.
pub fn distance_error(r: usize) -> f32 {
    gamma((r + 3).div_ceil(2) + SQUARE_ROOT + 1)
}

/// Absolute error of bilinear resampling of a grid of `size` (rows, columns) whose values are at most
/// `largest` in size and differ by at most `step` from their neighbours. The position, which is `(o + 0.5) *
/// size / out - 0.5`, is rounded at the product, the division and the difference, and at most `size`; along
/// each axis the result moves by that error times `step` (it is continuous where a position falls to the
/// other side of a whole number). Then each of two interpolations rounds a complement, a product and a sum;
/// and the reference was rounded once.
pub fn resampling_error(size: [usize; 2], step: f32, largest: f32) -> f32 {
    let position = |n: usize| n as f32 * gamma(2 + DIVISION);
    (position(size[0]) + position(size[1])) * step + largest * gamma(7)
}
