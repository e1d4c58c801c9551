//! Local outlier factors against the plain-Rust ones.

use crate::common::{DIVISION, assert_close, distance_error, gamma, noise, on_devices, turn};
use proptest::prelude::*;
use softpatch::low_level::gpu::{Device, Recorder};
use softpatch::low_level::reference;
use softpatch::low_level::steps::outlier::knn::Knn;
use softpatch::low_level::steps::outlier::lof::{Lof, ScoreMap};

/// Relative error of a factor: that of a density, to which distances of `r` values (none: they are given) add
/// `k` sums, two divisions and a sum, twice, since it is a ratio of them; and once more as much for the mean
/// of the ratios, with the reference's rounding for the sum.
fn factor_tolerance(r: usize, k: usize) -> f32 {
    let distance = if r > 0 { distance_error(r) } else { 0.0 };
    2.0 * distance + gamma(3 * (k + 2 * DIVISION + 1))
}

struct Found {
    distances: Vec<f32>,
    indices: Vec<u32>,
    scores: Vec<f32>,
}

/// Scores of `groups` groups, written behind position `p0` of an image of `positions`.
fn score(device: &Device, x: &[f32], sizes: [usize; 4], positions: usize, p0: usize) -> Found {
    let [groups, n, r, k] = sizes.map(|s| s as u32);
    let len = groups as usize * n as usize * Knn::width(k, n) as usize;
    let block = device.upload(x, "block").unwrap();
    let (distances, indices) =
        (device.alloc(len, "distances").unwrap(), device.alloc(len, "indices").unwrap());
    let density = device.alloc(sizes[0] * sizes[1], "density").unwrap();
    let scores = device.alloc(sizes[1] * positions, "scores").unwrap();
    let to = ScoreMap { scores: &scores, positions: positions as u32, p0: p0 as u32 };
    let mut recorder = Recorder::new(device);
    Knn { block: &block, distances: &distances, indices: &indices, groups, n, r, k }
        .record(&mut recorder)
        .unwrap();
    Lof { distances: &distances, indices: &indices, density: &density, to, groups, n, k }
        .record(&mut recorder)
        .unwrap();
    recorder.run().unwrap();
    Found {
        distances: device.read(&distances).unwrap(),
        indices: device.read(&indices).unwrap(),
        scores: device.read(&scores).unwrap(),
    }
}

/// `[groups][n]` to columns `p0 ..` of `[n][positions]`, 0 elsewhere.
fn spread(values: &[f32], groups: usize, n: usize, positions: usize, p0: usize) -> Vec<f32> {
    let mut out = vec![0.0; n * positions];
    for (at, v) in values.iter().enumerate().take(groups * n) {
        out[at % n * positions + p0 + at / n] = *v;
    }
    out
}

/// Factors from given lists, in f64.
fn factors(found: &Found, groups: usize, n: usize, k: usize) -> Vec<f32> {
    let lists = |x: usize| {
        let start = x / n * n;
        (0..k)
            .map(move |s| (start + found.indices[x * k + s] as usize, f64::from(found.distances[x * k + s])))
    };
    let k_distance = |o: usize| f64::from(found.distances[o * k + k - 1]);
    let density: Vec<f64> = (0..groups * n)
        .map(|x| 1.0 / (lists(x).map(|(o, d)| d.max(k_distance(o))).sum::<f64>() / k as f64 + 1e-10))
        .collect();
    (0..groups * n)
        .map(|x| (lists(x).map(|(o, _)| density[o] / density[x]).sum::<f64>() / k as f64) as f32)
        .collect()
}

/// Every other length of the lists is another pipeline to compile: few small groups, the others longer than
/// any list.
fn rows() -> impl Strategy<Value = usize> {
    prop_oneof![1 => prop::sample::select(vec![1_usize, 2, 7]), 3 => 33_usize..120]
}

fn ks() -> impl Strategy<Value = usize> {
    prop::sample::select(vec![1_usize, 6])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// Small whole numbers: distances are exact up to the root, so that ties fall the same way and factors
    /// compare. Few levels are full of duplicates.
    #[test]
    fn whole_numbers_give_the_specified_factors(
        groups in 1_usize..4,
        n in rows(),
        r4 in 1_usize..10,
        k in ks(),
        levels in 1_u32..6,
        mean in prop::sample::select(vec![0.0_f32, 1000.0]),
        margin in (0_usize..3, 0_usize..3),
        seed in any::<u64>(),
    ) {
        let _turn = turn();
        let r = 4 * r4;
        let x: Vec<f32> = noise(seed, groups * n * r, 0.0, levels as f32 / 2.0).iter().map(|v| v.round() + mean).collect();
        let positions = margin.0 + groups + margin.1;
        let want: Vec<f32> = x.chunks_exact(n * r).flat_map(|g| reference::outlier::lof::lof(g, r, k)).collect();
        let want = spread(&want, groups, n, positions, margin.0);
        on_devices(|name, device| {
            let found = score(device, &x, [groups, n, r, k], positions, margin.0);
            assert_close(name, &found.scores, &want, 0.0, factor_tolerance(r, k));
        });
    }

    /// Any values: where two neighbours are equally far but for rounding, either may be in the list, so the
    /// factors are held against those of the lists that were found (which `knn.rs` tests).
    #[test]
    fn factors_follow_from_the_lists(
        groups in 1_usize..4,
        n in rows(),
        k in ks(),
        mean in prop::sample::select(vec![0.0_f32, 1000.0]),
        seed in any::<u64>(),
    ) {
        let _turn = turn();
        let n = n.max(2);
        let x = noise(seed, groups * n * 16, mean, 1.0);
        on_devices(|name, device| {
            let found = score(device, &x, [groups, n, 16, k], groups, 0);
            let want = spread(&factors(&found, groups, n, k.min(n - 1)), groups, n, groups, 0);
            assert_close(name, &found.scores, &want, 0.0, factor_tolerance(0, k));
        });
    }
}

#[test]
fn constant_images_and_single_images_score_one() {
    let _turn = turn();
    on_devices(|name, device| {
        let same = score(device, &[3.25; 2 * 10 * 8], [2, 10, 8, 6], 2, 0);
        assert_close(name, &same.scores, &[1.0; 20], 0.0, factor_tolerance(0, 6));
        let one = score(device, &noise(3, 5 * 8, 0.0, 1.0), [5, 1, 8, 6], 5, 0);
        assert_eq!(one.scores, [1.0; 5], "{name}");
    });
}

#[test]
fn an_outlier_stands_out_and_a_damaged_row_scores_the_largest_float() {
    let _turn = turn();
    let (n, r) = (50, 16);
    let mut x = noise(4, n * r, 0.0, 1.0);
    x[11 * r..12 * r].fill(9.0);
    x[30 * r + 2] = f32::NAN;
    on_devices(|name, device| {
        let scores = score(device, &x, [1, n, r, 6], 1, 0).scores;
        assert_eq!(scores[30], f32::MAX, "{name}");
        assert!(scores[11] > 3.0, "{name}: {}", scores[11]);
        let rest = scores.iter().enumerate().filter(|(i, _)| ![11, 30].contains(i));
        assert!(rest.into_iter().all(|(_, s)| (0.5..2.0).contains(s)), "{name}: {scores:?}");
    });
}

/// Among more than `k` equal rows the density is 1 / 1e-10: rows next to them get factors of that size.
#[test]
fn crowds_of_duplicates_have_the_specified_density() {
    let _turn = turn();
    let (n, r, k) = (15, 8, 6);
    let mut x = vec![2.0; n * r];
    for i in 10..n {
        x[i * r] += (i * i) as f32;
    }
    let want = reference::outlier::lof::lof(&x, r, k);
    assert!(want[10] > 1e9, "{want:?}");
    on_devices(|name, device| {
        assert_close(name, &score(device, &x, [1, n, r, k], 1, 0).scores, &want, 0.0, factor_tolerance(r, k));
    });
}
