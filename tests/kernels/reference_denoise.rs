//! The reference of discriminators, quantile, nearest neighbour and coreset against scikit-learn, SciPy and
//! NumPy (`tools/golden_denoise.py`), and by invariants where golden values do not reach.

use proptest::prelude::*;
use safetensors::{Dtype, SafeTensors};
use softpatch::low_level::reference::coreset::greedy::{covering_radius, greedy_coreset, greedy_coreset_f32};
use softpatch::low_level::reference::outlier::knn::knn;
use softpatch::low_level::reference::outlier::lof::{from_lists, lof};
use softpatch::low_level::reference::outlier::mahalanobis::mahalanobis;
use softpatch::low_level::reference::outlier::nearest::nearest;
use softpatch::low_level::reference::outlier::others::{Among, others};
use softpatch::low_level::reference::outlier::quantile::{keep, quantile};
use softpatch::low_level::reference::search::search::{nearest_neighbor, soft_scores};
use softpatch::low_level::steps::coreset::samples::start_samples;

/// Both sides compute in f64 and round to f32 once, so they part by a rounding step at most (2^-24), allowed
/// twice.
const ROUNDING: f32 = 1.2e-7;
/// Mahalanobis inverts a covariance of condition up to 1e4 (ridge 0.01) in f64: still far below f32 rounding,
/// of which two steps are allowed, one for the distance and one for the 1 that is added.
const INVERSION: f32 = 2.4e-7;
/// Another order of rows is another order of f64 sums: after the rounding to f32 one step apart at most.
const PERMUTED: f32 = 1.2e-7;
/// Members of a grid whose neighbourhoods are alike score exactly 1 but for the 1e-10 in the density and
/// rounding.
const UNIFORM: f32 = 1e-6;

static GOLDEN: &[u8] = include_bytes!("../golden/denoise.safetensors");

fn golden() -> SafeTensors<'static> {
    SafeTensors::deserialize(GOLDEN).expect("golden file is well-formed")
}

/// Words of a tensor and the length of its rows (1 for a vector).
fn words<T>(name: &str, dtype: Dtype, parse: fn([u8; 4]) -> T) -> (Vec<T>, usize) {
    let tensor = golden().tensor(name).unwrap_or_else(|e| panic!("{name}: {e}"));
    assert_eq!(tensor.dtype(), dtype, "{name}");
    let columns = tensor.shape().get(1).copied().unwrap_or(1);
    (tensor.data().as_chunks().0.iter().map(|&bytes| parse(bytes)).collect(), columns)
}

fn floats(name: &str) -> (Vec<f32>, usize) {
    words(name, Dtype::F32, f32::from_le_bytes)
}

fn integers(name: &str) -> Vec<u32> {
    words(name, Dtype::U32, u32::from_le_bytes).0
}

/// Names of the cases of a step: `step.case.tensor` for one tensor.
fn cases(step: &str, tensor: &str) -> Vec<String> {
    let golden = golden();
    let case = |name: &str| {
        Some(name.strip_prefix(step)?.strip_prefix('.')?.strip_suffix(tensor)?.strip_suffix('.')?.to_owned())
    };
    let mut cases: Vec<_> = golden.names().into_iter().filter_map(case).collect();
    cases.sort();
    assert!(!cases.is_empty(), "no golden case of {step}");
    cases
}

fn assert_close(what: &str, got: &[f32], want: &[f32], relative: f32) {
    assert_eq!(got.len(), want.len(), "{what}");
    for (i, (&g, &w)) in got.iter().zip(want).enumerate() {
        assert!((g - w).abs() <= relative * w.abs(), "{what}[{i}]: {g} is not {w}");
    }
}

#[test]
fn lof_is_scikit_learns() {
    for case in cases("lof", "score") {
        let (group, k) = case.rsplit_once('.').unwrap();
        let (x, r) = floats(&format!("group.{group}.x"));
        let got = lof(&x, r, k.parse().unwrap());
        assert_close(&format!("lof of {case}"), &got, &floats(&format!("lof.{case}.score")).0, ROUNDING);
    }
}

#[test]
fn lof_among_other_images_is_scikit_learns() {
    for case in cases("others", "score") {
        let (x, r) = floats(&format!("others.{case}.x"));
        let sizes = integers(&format!("others.{case}.sizes"));
        let [images, h, w, reach, k] = sizes.iter().map(|&v| v as usize).collect::<Vec<_>>()[..] else {
            panic!("{case}: {sizes:?}")
        };
        // A window that no grid passes: all of an image.
        for reach in [Some(reach), None].into_iter().take(if reach < h.max(w) { 1 } else { 2 }) {
            let got = from_lists(&others(&x, r, k, Among { images, grid: [h, w], reach }), k);
            let want = floats(&format!("others.{case}.score")).0;
            assert_close(&format!("lof among others, {case}"), &got, &want, ROUNDING);
        }
    }
}

#[test]
fn knn_is_scikit_learns() {
    for case in cases("knn", "distance") {
        let (x, r) = floats(&format!("group.{case}.x"));
        let (want, k) = floats(&format!("knn.{case}.distance"));
        let (distance, index) = knn(&x, r, 6);
        assert_eq!(k, 6.min(x.len() / r - 1));
        assert_close(&format!("distances of {case}"), &distance, &want, ROUNDING);
        assert_eq!(index, integers(&format!("knn.{case}.index")), "neighbours of {case}");
    }
}

#[test]
fn nearest_is_numpys() {
    for case in cases("nearest", "score") {
        let (x, r) = floats(&format!("group.{case}.x"));
        let want = floats(&format!("nearest.{case}.score")).0;
        assert_close(&format!("nearest of {case}"), &nearest(&x, r), &want, ROUNDING);
    }
}

#[test]
fn mahalanobis_is_scipys() {
    for case in cases("mahalanobis", "score") {
        let (x, r) = floats(&format!("group.{case}.x"));
        let want = floats(&format!("mahalanobis.{case}.score")).0;
        assert_close(&format!("mahalanobis of {case}"), &mahalanobis(&x, r), &want, INVERSION);
    }
}

#[test]
fn a_patch_alone_in_its_group_scores_one() {
    let x = [3.0, -4.0];
    assert_eq!(lof(&x, 2, 6), [1.0]);
    assert_eq!(nearest(&x, 2), [1.0]);
    assert_eq!(mahalanobis(&x, 2), [1.0]);
    assert_eq!(knn(&x, 2, 6), (vec![], vec![]));
}

#[test]
fn an_empty_group_has_no_scores() {
    assert!(lof(&[], 2, 6).is_empty());
    assert!(nearest(&[], 2).is_empty());
    assert!(mahalanobis(&[], 2).is_empty());
}

#[test]
fn lof_of_a_uniform_ring_is_one() {
    // Every member of a closed chain sees the same neighbourhood, and there is no border.
    let (n, mut x) = (16, Vec::new());
    for i in 0..n {
        let angle = std::f32::consts::TAU * i as f32 / n as f32;
        x.extend([100.0 * angle.cos(), 100.0 * angle.sin()]);
    }
    assert_close("ring", &lof(&x, 2, 2), &vec![1.0; n], UNIFORM);
}

#[test]
fn lof_inside_a_uniform_grid_is_one_and_an_outlier_stands_out() {
    let side = 9;
    let mut x: Vec<f32> = (0..side * side).flat_map(|i| [(i / side) as f32, (i % side) as f32]).collect();
    x.extend([30.0, 30.0]);
    let scores = lof(&x, 2, 4);
    // A border member reaches farther for its fourth neighbour; that moves the density of the members beside
    // it and so the score of those one step further in. From the fourth ring on nothing is felt of it.
    for i in 3..side - 3 {
        for j in 3..side - 3 {
            assert_close("inner", &[scores[i * side + j]], &[1.0], UNIFORM);
        }
    }
    assert!(scores[side * side] > 5.0, "{}", scores[side * side]);
}

#[test]
fn quantile_is_numpys() {
    for case in cases("quantile", "values") {
        let values = floats(&format!("quantile.{case}.values")).0;
        let levels = floats(&format!("quantile.{case}.levels")).0;
        let got: Vec<f32> = levels.iter().map(|&q| quantile(&values, q.into())).collect();
        let want = floats(&format!("quantile.{case}.expected")).0;
        assert_close(&format!("quantiles of {case}"), &got, &want, ROUNDING);
    }
}

#[test]
fn keep_drops_what_numpy_drops() {
    for case in cases("keep", "values") {
        let (threshold, kept) = keep(&floats(&format!("keep.{case}.values")).0, 0.15);
        let want = floats(&format!("keep.{case}.threshold")).0[0];
        assert!(
            threshold == want || threshold.is_nan() && want.is_nan(),
            "{case}: {threshold} is not {want}"
        );
        assert_eq!(kept, integers(&format!("keep.{case}.kept")), "{case}");
    }
}

#[test]
fn keep_stands_infinite_scores() {
    let scores = [1.0, f32::INFINITY, 2.0, 0.5, f32::INFINITY];
    assert_eq!(keep(&scores, 0.5), (2.0, vec![0, 2, 3]));
    assert_eq!(keep(&scores, 0.0), (f32::INFINITY, vec![0, 1, 2, 3, 4]));
}

#[test]
fn nearest_neighbor_and_scores_are_numpys() {
    for case in cases("neighbor", "bank") {
        let (x, d) = floats(&format!("neighbor.{case}.x"));
        let bank = floats(&format!("neighbor.{case}.bank")).0;
        let (index, squared) =
            nearest_neighbor(&x, &bank, d, &[], |query, row| case == "self" && query == row);
        assert_eq!(index, integers(&format!("neighbor.{case}.index")), "{case}");
        assert_close(
            &format!("squared distances of {case}"),
            &squared,
            &floats(&format!("neighbor.{case}.squared")).0,
            ROUNDING,
        );
        let scores = soft_scores(&squared, &index, &floats(&format!("neighbor.{case}.weights")).0);
        // One rounding of the distance, one of the product.
        assert_close(
            &format!("scores of {case}"),
            &scores,
            &floats(&format!("neighbor.{case}.score")).0,
            2.0 * ROUNDING,
        );
    }
}

#[test]
fn a_query_without_rows_is_infinitely_far() {
    let (index, squared) = nearest_neighbor(&[1.0, 2.0], &[1.0, 2.0], 2, &[], |_, _| true);
    assert_eq!((index[0], squared[0]), (u32::MAX, f32::INFINITY));
    assert_eq!(soft_scores(&squared, &index, &[1.0]), [f32::INFINITY]);
}

#[test]
fn coreset_is_the_brute_greedy_selection() {
    for case in cases("coreset", "z") {
        let (z, r) = floats(&format!("coreset.{case}.z"));
        let one = |tensor: &str| integers(&format!("coreset.{case}.{tensor}"))[0];
        let kept = integers(&format!("coreset.{case}.kept"));
        let samples: Vec<u32> =
            start_samples(kept.len(), one("seed").into()).iter().map(|&s| s as u32).collect();
        assert_eq!(samples, integers(&format!("coreset.{case}.samples")), "samples of {case}");
        let picks = greedy_coreset(&z, r, &kept, one("picks") as usize, one("seed").into());
        assert_eq!(picks, integers(&format!("coreset.{case}.order")), "picks of {case}");
    }
}

#[test]
fn coreset_in_f32_agrees_where_no_sum_is_close() {
    let (z, r) = floats("coreset.cloud.z");
    let squared = |a: &[f32], b: &[f32]| a.iter().zip(b).fold(0.0f32, |sum, (a, b)| sum + (a - b) * (a - b));
    let kept = integers("coreset.cloud.kept");
    assert_eq!(greedy_coreset_f32(&z, r, &kept, 30, 0, squared), integers("coreset.cloud.order"));
}

#[test]
fn coreset_of_nothing_is_empty() {
    assert!(greedy_coreset(&[], 2, &[], 5, 0).is_empty());
    assert!(greedy_coreset(&[1.0, 2.0], 2, &[0], 0, 0).is_empty());
    assert!(greedy_coreset_f32(&[], 2, &[], 5, 0, |_, _| 0.0).is_empty());
}

/// Rows of length 3 on a coarse lattice, so that duplicates and ties are common, and their shuffled order.
fn rows_and_order() -> impl Strategy<Value = (Vec<[f32; 3]>, Vec<usize>)> {
    let value = (-8i8..8).prop_map(|v| f32::from(v) / 4.0);
    prop::collection::vec(prop::array::uniform3(value), 1..40).prop_flat_map(|rows| {
        let order = Just((0..rows.len()).collect::<Vec<_>>()).prop_shuffle();
        (Just(rows), order)
    })
}

/// Rows in general position: no two distances are equal, so no neighbour hangs on the order of rows.
fn distinct_rows_and_order() -> impl Strategy<Value = (Vec<[f32; 3]>, Vec<usize>)> {
    let rows = prop::collection::vec(prop::array::uniform3(-1.0f32..1.0), 1..40);
    rows.prop_flat_map(|rows| {
        let order = Just((0..rows.len()).collect::<Vec<_>>()).prop_shuffle();
        (Just(rows), order)
    })
}

proptest! {
    #[test]
    fn scores_move_with_their_rows((rows, order) in distinct_rows_and_order()) {
        let x = rows.as_flattened();
        let shuffled: Vec<f32> = order.iter().flat_map(|&i| rows[i]).collect();
        let moved = |scores: Vec<f32>| order.iter().map(|&i| scores[i]).collect::<Vec<_>>();
        assert_close("lof", &lof(&shuffled, 3, 6), &moved(lof(x, 3, 6)), PERMUTED);
        assert_close("nearest", &nearest(&shuffled, 3), &moved(nearest(x, 3)), PERMUTED);
        assert_close("mahalanobis", &mahalanobis(&shuffled, 3), &moved(mahalanobis(x, 3)), INVERSION);
    }

    #[test]
    fn scores_are_finite_and_neighbours_ascend((rows, _) in rows_and_order()) {
        let x = rows.as_flattened();
        for score in [lof(x, 3, 6), nearest(x, 3), mahalanobis(x, 3)].concat() {
            prop_assert!(score.is_finite() && score > 0.0);
        }
        let (distance, index) = knn(x, 3, 6);
        let k = 6.min(rows.len() - 1);
        prop_assert_eq!(distance.len(), rows.len() * k);
        for i in 0..rows.len() {
            let list = i * k..(i + 1) * k;
            prop_assert!(distance[list.clone()].is_sorted());
            prop_assert!(index[list].iter().all(|&j| j as usize != i));
        }
    }

    #[test]
    fn the_coreset_covers_ever_better((rows, order) in rows_and_order(), seed: u64, f32_sums: bool) {
        let z = rows.as_flattened();
        let mut kept: Vec<u32> = order.iter().take(rows.len().div_ceil(2)).map(|&i| i as u32).collect();
        kept.sort_unstable();
        let squared = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum::<f32>();
        let picks = if f32_sums {
            greedy_coreset_f32(z, 3, &kept, rows.len(), seed, squared)
        } else {
            greedy_coreset(z, 3, &kept, rows.len(), seed)
        };
        let mut sorted = picks.clone();
        sorted.sort_unstable();
        prop_assert_eq!(&sorted, &kept);
        let radii: Vec<f64> = (1..=picks.len()).map(|m| covering_radius(z, 3, &kept, &picks[..m])).collect();
        prop_assert!(radii.is_sorted_by(|a, b| a >= b), "{:?}", radii);
        prop_assert_eq!(radii[picks.len() - 1], 0.0);
        // What is picked for a smaller bank is the beginning of what is picked for a larger one.
        let half = picks.len() / 2;
        if !f32_sums {
            prop_assert_eq!(&greedy_coreset(z, 3, &kept, half, seed)[..], &picks[..half]);
        }
    }

    #[test]
    fn start_samples_are_distinct_and_repeatable(kept in 0usize..10_000, seed: u64) {
        let samples = start_samples(kept, seed);
        prop_assert_eq!(samples.len(), kept.min(10));
        prop_assert!(samples.iter().all(|&s| s < kept));
        prop_assert!((1..samples.len()).all(|i| !samples[..i].contains(&samples[i])));
        prop_assert_eq!(samples, start_samples(kept, seed));
    }

    #[test]
    fn keep_keeps_the_share_asked_for(scores in prop::collection::vec(0.0f32..10.0, 1..200), tau in 0.0f64..1.0) {
        let (threshold, kept) = keep(&scores, tau);
        prop_assert!(kept.is_sorted());
        prop_assert_eq!(kept.len(), scores.iter().filter(|&&s| s <= threshold).count());
        // At least floor((1 - tau) * (n - 1)) + 1 values lie at or below an interpolated quantile.
        prop_assert!(kept.len() > ((1.0 - tau) * (scores.len() - 1) as f64) as usize);
    }
}
