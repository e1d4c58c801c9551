//! The whole method from patch features to anomaly maps, by plain Rust and by the detector, against
//! scikit-learn, SciPy and NumPy (`tools/golden_method.py`, which also says why no pick and no neighbour can
//! hang on a rounding).

use crate::common::{DIVISION, SQUARE_ROOT, assert_close, gamma, of_each_kind, on_each, turn};
use safetensors::{Dtype, SafeTensors};
use softpatch::detector::{Compat, Discriminator, FitOptions, Quiet, Score, Want};
use softpatch::low_level::reference::coreset::greedy::{greedy_coreset, greedy_coreset_official};
use softpatch::low_level::reference::distance::squared_distance;
use softpatch::low_level::reference::map::anomaly_map::anomaly_map;
use softpatch::low_level::reference::outlier::lof::lof;
use softpatch::low_level::reference::outlier::mahalanobis::mahalanobis;
use softpatch::low_level::reference::outlier::nearest::nearest;
use softpatch::low_level::reference::outlier::quantile::keep;
use softpatch::low_level::reference::patches::projection::project;
use softpatch::low_level::reference::search::search::{nearest_neighbor, soft_scores};
use softpatch::low_level::steps::coreset::samples::start_samples;
use softpatch::low_level::steps::patches::projection::projection_matrix;
use softpatch::methods::{Fitted, fit_embeddings, score_embeddings};

const IMAGES: usize = 20;
const TESTS: usize = 3;
const GRID: [usize; 2] = [8, 8];
const POSITIONS: usize = 64;
const DIM: usize = 152;
const R: usize = 128;
const SIDE: usize = 64;
const PICKS: usize = 128;
/// f32's unit roundoff.
const U: f32 = f32::EPSILON / 2.0;

struct Golden<'a>(SafeTensors<'a>);

impl Golden<'_> {
    fn data(&self, name: &str, dtype: Dtype) -> &[u8] {
        let tensor = self.0.tensor(name).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(tensor.dtype(), dtype, "{name}");
        tensor.data()
    }
    fn floats(&self, name: &str) -> Vec<f32> {
        bytemuck::pod_collect_to_vec(self.data(name, Dtype::F32))
    }
    fn ints(&self, name: &str) -> Vec<u32> {
        bytemuck::pod_collect_to_vec(self.data(name, Dtype::U32))
    }
    fn features(&self, name: &str) -> Vec<f32> {
        let words: Vec<u16> = bytemuck::pod_collect_to_vec(self.data(name, Dtype::F16));
        words.into_iter().map(|w| half::f16::from_bits(w).to_f32()).collect()
    }
    fn seed(&self) -> u64 {
        self.ints("seed")[0].into()
    }
}

fn with_golden(f: impl FnOnce(&Golden<'_>)) {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/method.safetensors");
    let bytes = std::fs::read(path).unwrap();
    f(&Golden(SafeTensors::deserialize(&bytes).unwrap()));
}

/// What was computed of a case; the fields as in the golden file.
struct Found {
    outlier: Vec<f32>,
    threshold: f32,
    kept: Vec<u32>,
    picks: Vec<u32>,
    weights: Vec<f32>,
    patches: Vec<f32>,
    image: Vec<f32>,
    map: Vec<f32>,
    own: Vec<f32>,
}

const CASES: [(&str, Discriminator, usize); 4] = [
    ("lof", Discriminator::Lof, 6),
    ("official", Discriminator::Lof, 5),
    ("nearest", Discriminator::Nearest, 1),
    ("gaussian", Discriminator::Gaussian, 0),
];

fn largest(values: &[f32]) -> f32 {
    values.iter().copied().fold(0.0, f32::max)
}

/// Relative error of a local outlier factor, as in tests/kernels/lof.rs: `distance` is the error of a
/// distance before its root.
fn factor_error(distance: f32, k: usize) -> f32 {
    2.0 * distance + gamma(2 * SQUARE_ROOT + 3 * (k + 2 * DIVISION + 1))
}

impl Found {
    /// Compares with the golden values, and says how far the worst of each is off in tolerances where it
    /// fails.
    fn check(&self, golden: &Golden<'_>, who: &str, case: &str, k: usize, gaussian: f32) {
        let what = |part: &str| format!("{case}.{part} of {who}");
        let want = |part: &str| golden.floats(&format!("{case}.{part}"));
        let distance = golden.floats("error")[0];
        let outlier = match case {
            "gaussian" => gaussian,
            // One distance, its root and a sum.
            "nearest" => distance + gamma(SQUARE_ROOT + 1),
            _ => factor_error(distance, k),
        };
        let (scores, threshold) = (want("outlier"), want("threshold"));
        assert_close(&what("outlier"), &self.outlier, &scores, 0.0, outlier);
        assert_close(&what("threshold"), &[self.threshold], &threshold, 0.0, outlier);
        let kept = golden.ints(&format!("{case}.kept"));
        if case == "gaussian" {
            // Kept are those not above the threshold; the golden ones but for those too near to it to tell.
            assert_eq!(self.kept, keep(&self.outlier, 0.15).1, "{}", what("kept"));
            for (i, score) in scores.iter().enumerate() {
                let (here, there) = (self.kept.contains(&(i as u32)), kept.contains(&(i as u32)));
                let near = (score - threshold[0]).abs() <= 2.0 * outlier * threshold[0];
                assert!(here == there || near, "{}: patch {i} of score {score}", what("kept"));
            }
            return;
        }
        assert_eq!(self.kept, kept, "{}", what("kept"));
        assert_eq!(self.picks, golden.ints(&format!("{case}.picks")), "{}", what("picks"));
        if case == "official" {
            assert!(
                !kept.contains(&self.picks[0]),
                "the data should tell that dropped patches may come first"
            );
        }
        assert_close(&what("weights"), &self.weights, &want("weights"), 0.0, outlier);
        // A weight times a sum of squares of rounded differences, and the reference's roundings of both.
        let score = outlier + gamma(DIM + 3 + 1 + 2);
        assert_close(&what("patches"), &self.patches, &want("patches"), 0.0, score);
        assert_close(&what("image"), &self.image, &want("image"), 0.0, score);
        let own = want("own");
        assert_close(&what("own"), &self.own, &own, 0.0, score);
        if case != "nearest" {
            // Two interpolations, two sums of 33 terms with positive weights that add up to 1.
            let absolute = (score + gamma(2 * 33 + 8)) * largest(&want("patches"));
            assert_close(&what("map"), &self.map, &want("map"), absolute, 0.0);
        }
    }
}

#[test]
fn the_reference_is_scikit_learns_and_scipys() {
    with_golden(|golden| {
        let (train, test, seed) =
            (golden.features("train.features"), golden.features("test.features"), golden.seed());
        let projected =
            |seed| project(&train, &projection_matrix(DIM, R, seed), [IMAGES * POSITIONS, DIM, R]);
        let (z, redrawn) = (projected(seed), projected(seed + 1));
        // f64 on both sides, rounded once.
        assert_close("projection", &z[..POSITIONS * R], &golden.floats("train.projected"), 0.0, 2.0 * U);
        for (case, discriminator, k) in CASES {
            let official = case == "official";
            let mut outlier = vec![0.0; IMAGES * POSITIONS];
            for position in 0..POSITIONS {
                let group: Vec<f32> =
                    (0..IMAGES).flat_map(|i| &z[(i * POSITIONS + position) * R..][..R]).copied().collect();
                let scores = match discriminator {
                    Discriminator::Lof => lof(&group, R, k),
                    Discriminator::Nearest => nearest(&group, R),
                    _ => mahalanobis(&group, R),
                };
                for (i, score) in scores.into_iter().enumerate() {
                    outlier[i * POSITIONS + position] = score;
                }
            }
            let (threshold, kept) = keep(&outlier, 0.15);
            let picks = if official {
                greedy_coreset_official(&redrawn, R, &kept, PICKS, seed, squared_distance)
            } else {
                greedy_coreset(&z, R, &kept, PICKS, seed)
            };
            let weights: Vec<f32> = picks.iter().map(|&p| outlier[p as usize].max(0.0)).collect();
            let bank: Vec<f32> =
                picks.iter().flat_map(|&p| &train[p as usize * DIM..][..DIM]).copied().collect();
            let score = |x: &[f32], own: Option<u32>| {
                let skip = |_, row: usize| own == Some(picks[row] / POSITIONS as u32);
                let (index, squared) = nearest_neighbor(x, &bank, DIM, &[], skip);
                soft_scores(&squared, &index, &weights)
            };
            let patches = score(&test, None);
            let found = Found {
                image: patches.chunks_exact(POSITIONS).map(largest).collect(),
                map: patches.chunks_exact(POSITIONS).flat_map(|p| anomaly_map(p, GRID, [SIDE; 2])).collect(),
                own: (train.chunks_exact(POSITIONS * DIM).enumerate())
                    .map(|(i, x)| largest(&score(x, Some(i as u32))))
                    .collect(),
                outlier,
                threshold,
                kept,
                picks,
                weights,
                patches,
            };
            if case != "gaussian" {
                let open = if official { IMAGES * POSITIONS } else { found.kept.len() };
                let samples: Vec<u32> = start_samples(open, seed).into_iter().map(|s| s as u32).collect();
                assert_eq!(samples, golden.ints(&format!("{case}.samples")), "{case}");
            }
            // The vectors are rounded to f32, U of their length; the inverse root of the covariance stretches
            // that by 1 / sqrt(0.01) at most, in the row, the mean and the covariance; then it is part of a
            // score over 5.
            let length =
                z.chunks_exact(R).map(|v| v.iter().map(|v| v * v).sum::<f32>().sqrt()).fold(0.0, f32::max);
            found.check(golden, "the reference", case, k, 3.0 * U * length * 10.0 / 5.0);
        }
    });
}

#[test]
fn the_detector_is_scikit_learns_and_scipys() {
    let _turn = turn();
    with_golden(|golden| {
        let (train, test, seed) =
            (golden.features("train.features"), golden.features("test.features"), golden.seed());
        on_each(&of_each_kind(), |name, device| {
            for (case, discriminator, k) in CASES {
                let official =
                    if case == "official" { FitOptions::official() } else { FitOptions::paper(64, 64) };
                let options = FitOptions { discriminator, seed, resize: 64, crop: 64, ..official };
                let grid = GRID.map(|n| n as u32);
                let Fitted { model, outlier, kept } =
                    fit_embeddings(device, &train, grid, DIM as u32, &options, &Quiet).unwrap();
                let mut scores: Vec<Score> = Vec::new();
                let load = |i: usize, out: &mut [f32]| {
                    out.copy_from_slice(&test[i * POSITIONS * DIM..][..POSITIONS * DIM]);
                    Ok(())
                };
                score_embeddings(device, &model, TESTS, Want::Maps, load, |score| {
                    scores.push(score);
                    Ok(())
                })
                .unwrap();
                if discriminator == Discriminator::Lof {
                    assert_eq!(model.info.lof_k, Some(k as u32));
                }
                assert_eq!(model.info.options.compat == Compat::Official, case == "official");
                let position = |p: &[u32; 3]| p[0] * POSITIONS as u32 + p[1] * grid[1] + p[2];
                let found = Found {
                    outlier,
                    threshold: model.info.noise_threshold.unwrap(),
                    kept,
                    picks: model.bank.provenance.iter().map(position).collect(),
                    weights: model.bank.weights,
                    patches: scores.iter().flat_map(|s| s.patches.clone()).collect(),
                    image: scores.iter().map(|s| s.score).collect(),
                    map: scores.iter().flat_map(|s| s.map.clone()).collect(),
                    own: model.train_scores,
                };
                // As in tests/kernels/mahalanobis.rs: half the condition times what n + 3 r roundings come
                // to, and the pivots.
                let condition = golden.floats("gaussian.condition")[0];
                let roundings = 4.0 * ((IMAGES + 3 * R) as f32).sqrt() * f32::EPSILON;
                let gaussian = 0.5 * condition * (roundings + gamma(2 * (SQUARE_ROOT + DIVISION)));
                found.check(golden, name, case, k, gaussian);
                if case != "gaussian" {
                    // The median errs as the scores do, the deviations from it twice that.
                    let (own, want) =
                        (golden.floats(&format!("{case}.own")), golden.floats(&format!("{case}.decision")));
                    let score = factor_error(golden.floats("error")[0], k) + gamma(DIM + 3 + 1 + 2);
                    let absolute = score * largest(&own) * (1.0 + 2.0 * 3.0 * 1.4826);
                    assert_close(
                        &format!("{case}.decision"),
                        &[model.info.threshold.unwrap()],
                        &want,
                        absolute,
                        0.0,
                    );
                    for (score, image) in scores.iter().zip(golden.floats(&format!("{case}.image"))) {
                        assert_eq!(score.anomalous, Some(image > want[0]), "{case}: {image} {}", want[0]);
                    }
                }
            }
        });
    });
}
