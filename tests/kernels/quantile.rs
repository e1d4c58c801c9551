//! The quantile is exact, and so are the patches that stay.

use crate::common::{FLUSHED, checked, gamma, noise, on_devices, turn};
use proptest::prelude::*;
use softpatch::low_level::gpu::{Device, Recorder};
use softpatch::low_level::reference;
use softpatch::low_level::steps::outlier::quantile::{Keep, Quantile};

fn select(device: &Device, scores: &[f32], q: f64) -> (f32, Vec<u32>) {
    let len = scores.len() as u32;
    let scores = device.upload(scores, "scores").unwrap();
    let state = device.alloc(Quantile::STATE, "state").unwrap();
    let threshold = device.alloc(1, "threshold").unwrap();
    let starts = device.alloc(Keep::starts_len(len), "starts").unwrap();
    let (kept, count) = (device.alloc(len as usize, "kept").unwrap(), device.alloc(1, "count").unwrap());
    let mut recorder = Recorder::new(device);
    Quantile { scores: &scores, len, q, state: &state, threshold: &threshold }.record(&mut recorder).unwrap();
    Keep { scores: &scores, threshold: &threshold, len, starts: &starts, kept: &kept, count: &count }
        .record(&mut recorder)
        .unwrap();
    let plan = recorder.finish().unwrap();
    // Twice: nothing may be left over from the run before.
    plan.submit().unwrap();
    plan.submit().unwrap();
    let count = device.read::<u32>(&count).unwrap()[0] as usize;
    let mut kept: Vec<u32> = device.read(&kept).unwrap();
    kept.truncate(count);
    (device.read::<f32>(&threshold).unwrap()[0], kept)
}

fn check(scores: &[f32], q: f64) {
    // What is damaged counts as the largest float.
    let finite: Vec<f32> = scores.iter().map(|s| if *s < f32::MAX { *s } else { f32::MAX }).collect();
    let want = reference::outlier::quantile::quantile(&finite, q);
    let mut sorted = finite.clone();
    sorted.sort_by(f32::total_cmp);
    let at = q * (sorted.len() - 1) as f64;
    let (a, b) = (sorted[at.floor() as usize], sorted[at.ceil() as usize]);
    // The ends are exact. Between them the difference, at most twice the larger end, is rounded, the position
    // twice and their product once, the result once more, and the reference once. What is subnormal on the
    // way may count as zero.
    let largest = a.abs().max(b.abs());
    let room = f64::from(largest) * f64::from(2.0 * gamma(4) + gamma(2)) + f64::from(FLUSHED);
    on_devices(|name, device| {
        let (threshold, kept) = select(device, scores, q);
        let what = format!("{name} len {} q {q}: {threshold} for {want}", scores.len());
        if a == b || at.fract() == 0.0 {
            assert!(threshold == want || want.is_subnormal() && threshold == 0.0, "{what}");
        }
        assert!((f64::from(threshold) - f64::from(want)).abs() <= room, "{what}");
        let stay: Vec<u32> = (0..scores.len() as u32)
            .filter(|&i| scores[i as usize] <= threshold && scores[i as usize] < f32::MAX)
            .collect();
        assert!(kept == stay, "{what}: kept {} for {}", kept.len(), stay.len());
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn any_scores(
        len in prop_oneof![1_usize..40, 2000_usize..2100, 1_usize..30_000],
        q in prop_oneof![Just(0.85), Just(0.0), Just(1.0), 0.0_f64..1.0],
        mean in prop::sample::select(vec![0.0_f32, 1.0, 1000.0]),
        levels in prop::sample::select(vec![0.0_f32, 1.0, 100.0]),
        seed in any::<u64>(),
    ) {
        let _turn = turn();
        let mut scores = noise(seed, len, mean, 1.5);
        if levels > 0.0 {
            // Many equal scores.
            for s in &mut scores { *s = (*s * levels).round() / levels; }
        }
        check(&scores, q);
    }

    #[test]
    fn damaged_scores(len in 1_usize..3000, every in 1_usize..20, q in 0.0_f64..1.0) {
        let _turn = turn();
        let mut scores = noise(9, len, 1.0, 1.0);
        let damage = [f32::NAN, f32::INFINITY, f32::MAX, -f32::NAN];
        for (i, s) in scores.iter_mut().step_by(every).enumerate() { *s = damage[i % 4]; }
        check(&scores, q);
    }
}

/// Negative zeros equal zeros: the threshold is one of them, and all of both stay.
#[test]
fn zeros_of_both_signs() {
    let _turn = turn();
    for q in [0.0, 0.5, 1.0] {
        check(&[0.0, -0.0, 1.0, -0.0, 0.0, -1.0, 0.0], q);
        check(&[-0.0, 0.0, -0.0], q);
    }
}

#[test]
fn hundreds_of_thousands() {
    let _turn = turn();
    check(&noise(10, 800_003, 1.2, 0.3), 0.85);
}

#[test]
fn extremes_of_the_range() {
    let _turn = turn();
    let scores = [0.0, -0.0, f32::MIN_POSITIVE, -f32::MIN_POSITIVE, -1e38, 1e38, -3.0, 3.0];
    for q in [0.0, 2.0 / 7.0, 0.4, 0.85, 1.0] {
        check(&scores, q);
    }
}

#[test]
fn refuses_what_has_no_quantile() {
    let _turn = turn();
    let device = &checked()[0].1;
    let (scores, state) =
        (device.alloc(8, "scores").unwrap(), device.alloc(Quantile::STATE, "state").unwrap());
    let quantile = |len, q| {
        Quantile { scores: &scores, len, q, state: &state, threshold: &scores }
            .record(&mut Recorder::new(device))
    };
    assert!(quantile(0, 0.5).is_err() && quantile(9, 0.5).is_err());
    assert!(quantile(8, 1.1).is_err() && quantile(8, -0.1).is_err() && quantile(8, f64::NAN).is_err());
}
