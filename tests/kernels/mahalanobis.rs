//! Mahalanobis scores against the plain-Rust ones.

use crate::common::{DIVISION, SQUARE_ROOT, assert_close, gamma, noise, on_devices, turn};
use proptest::prelude::*;
use softpatch::low_level::gpu::Recorder;
use softpatch::low_level::reference;
use softpatch::low_level::steps::outlier::lof::ScoreMap;
use softpatch::low_level::steps::outlier::mahalanobis::{Mahalanobis, MahalanobisTo, RIDGE};

/// Relative error of a score. Covariance, factor and substitution are backward stable: together they solve
/// with a matrix that is off by `gamma(n + 3 r)` relative to its norm at worst, and by 4 times the square
/// root of that count but for odds of thousands to one (Higham and Mary 2019, rounding errors do not
/// conspire); a pivot's inverse root errs on top, in the factor and in what is solved with it. A distance
/// squared moves by the condition number times that, the distance by half; the condition is at most (largest
/// row sum of the covariance) / ridge + 1. The mean of `n` differences of at most `2 spread` moves each of
/// `r` values, and directions without variance divide that by the ridge's root. Last come the root, the sum
/// and the reference.
fn score_tolerance(x: &[f32], n: usize, r: usize, spread: f32) -> f32 {
    let mean: Vec<f64> =
        (0..r).map(|c| (0..n).map(|i| f64::from(x[i * r + c])).sum::<f64>() / n as f64).collect();
    let a = |i: usize, c: usize| f64::from(x[i * r + c]) - mean[c];
    let entry = |s: usize, t: usize| (0..n).map(|i| a(i, s) * a(i, t)).sum::<f64>() / (n.max(2) - 1) as f64;
    let norm = (0..r).map(|s| (0..r).map(|t| entry(s, t).abs()).sum::<f64>()).fold(0.0, f64::max);
    let condition = (norm / f64::from(RIDGE) + 1.0) as f32;
    let by_chance = |roundings: usize| 4.0 * (roundings as f32).sqrt() * f32::EPSILON;
    let matrix = by_chance(n + 3 * r) + gamma(2 * (SQUARE_ROOT + DIVISION));
    let centre = 2.0 * spread * (by_chance(n) + gamma(DIVISION + 2)) * (r as f32).sqrt() / RIDGE.sqrt();
    0.5 * condition * matrix + centre + gamma(SQUARE_ROOT + 2)
}

fn check(x: &[f32], groups: usize, n: usize, r: usize, spread: f32) {
    let (positions, p0) = (groups + 2, 1);
    let mut want = vec![0.0; n * positions];
    let mut tolerance = 0.0_f32;
    for (b, group) in x.chunks_exact(n * r).enumerate() {
        tolerance = tolerance.max(score_tolerance(group, n, r, spread));
        for (i, s) in reference::outlier::mahalanobis::mahalanobis(group, r).into_iter().enumerate() {
            want[i * positions + p0 + b] = s;
        }
    }
    assert!(tolerance < 0.01, "a tolerance of {tolerance} would hide mistakes");
    on_devices(|name, device| {
        let block = device.upload(x, "block").unwrap();
        let factors = device.alloc(groups * r * r, "factors").unwrap();
        let scores = device.alloc(want.len(), "scores").unwrap();
        let mut recorder = Recorder::new(device);
        Mahalanobis {
            block: &block,
            factors: &factors,
            to: ScoreMap { scores: &scores, positions: positions as u32, p0: p0 as u32 },
            groups: groups as u32,
            n: n as u32,
            r: r as u32,
        }
        .record(&mut recorder)
        .unwrap();
        recorder.run().unwrap();
        let what = format!("{name} {groups}x{n}x{r}");
        assert_close(&what, &device.read::<f32>(&scores).unwrap(), &want, 0.0, tolerance);
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn scores(
        groups in 1_usize..4,
        n in 1_usize..150,
        r4 in 1_usize..33,
        mean in prop::sample::select(vec![0.0_f32, 1000.0]),
        seed in any::<u64>(),
    ) {
        let _turn = turn();
        // Few rows in many directions are as good as parallel: the condition passes what f32 resolves.
        let r = 4 * r4.min(n);
        check(&noise(seed, groups * n * r, mean, 1.0), groups, n, r, 1.0);
    }
}

#[test]
fn full_size_group() {
    let _turn = turn();
    check(&noise(1, 2 * 209 * 128, 0.0, 1.0), 2, 209, 128, 1.0);
}

#[test]
fn constant_and_single_images_score_one() {
    let _turn = turn();
    check(&[5.5; 2 * 7 * 12], 2, 7, 12, 0.0);
    check(&noise(2, 3 * 12, 1000.0, 1.0), 3, 1, 12, 0.0);
}

#[test]
fn correlated_values_of_unlike_sizes() {
    let _turn = turn();
    let (n, r) = (90, 20);
    let mut x = noise(3, n * r, 0.0, 1.0);
    for row in x.chunks_exact_mut(r) {
        for c in 1..r {
            row[c] = 0.5 * row[c - 1] + row[c] * (1.0 / c as f32);
        }
    }
    check(&x, 1, n, r, 2.0);
}

/// Rows scored under a Gaussian that they had no part in.
#[test]
fn other_rows() {
    let _turn = turn();
    // Differences are at most 2.5.
    let spread = 1.25;
    for (groups, n, q, r, mean) in
        [(1, 1, 3, 4, 0.0), (3, 40, 7, 20, 0.0), (2, 30, 1, 100, 1000.0), (2, 12, 90, 36, 5.0)]
    {
        let (x, rows) = (noise(1, groups * n * r, mean, 1.0), noise(2, groups * q * r, mean + 0.5, 1.0));
        let (positions, p0) = (groups + 1, 1);
        let mut want = vec![0.0; q * positions];
        let mut tolerance = 0.0_f32;
        for b in 0..groups {
            let group = &x[b * n * r..(b + 1) * n * r];
            tolerance = tolerance.max(score_tolerance(group, n, r, spread));
            let own = &rows[b * q * r..(b + 1) * q * r];
            for (i, s) in
                reference::outlier::mahalanobis::mahalanobis_to(group, own, r).into_iter().enumerate()
            {
                want[i * positions + p0 + b] = s;
            }
        }
        assert!(tolerance < 0.01, "a tolerance of {tolerance} would hide mistakes");
        on_devices(|name, device| {
            let block = device.upload(&x, "block").unwrap();
            let others = device.upload(&rows, "rows").unwrap();
            let factors = device.alloc(groups * r * r, "factors").unwrap();
            let scores = device.alloc(want.len(), "scores").unwrap();
            let mut recorder = Recorder::new(device);
            MahalanobisTo {
                block: &block,
                factors: &factors,
                rows: &others,
                to: ScoreMap { scores: &scores, positions: positions as u32, p0: p0 as u32 },
                groups: groups as u32,
                n: n as u32,
                q: q as u32,
                r: r as u32,
            }
            .record(&mut recorder)
            .unwrap();
            recorder.run().unwrap();
            let got = device.read::<f32>(&scores).unwrap();
            assert_close(&format!("{name} {groups}x{n}+{q}x{r}"), &got, &want, 0.0, tolerance);
        });
    }
}
