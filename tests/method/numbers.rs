//! Numbers at their ends: what is none, what is too large or too small, pictures and settings without any
//! difference in them. The right result, or an error that says why there is none.

use crate::common::{direct, noise, of_each_kind, on_devices, on_each, turn};
use softpatch::data::{MemorySource, OwnedImage};
use softpatch::detector::{Discriminator, Score, Want};
use softpatch::low_level::gpu::Device;
use softpatch::methods::{fit_embeddings, score_embeddings};
use softpatch::{Backbone, Detector, Error, FitOptions, Quiet, Result, Size};

const ALL: [Discriminator; 5] = [
    Discriminator::Lof,
    Discriminator::Nearest,
    Discriminator::Gaussian,
    Discriminator::Auto,
    Discriminator::None,
];

fn scores(device: &Device, model: &softpatch::detector::Model, x: &[f32], size: usize) -> Vec<Score> {
    let mut all = Vec::new();
    let load = |i: usize, out: &mut [f32]| -> Result<()> {
        out.copy_from_slice(&x[i * size..][..size]);
        Ok(())
    };
    score_embeddings(device, model, x.len() / size, Want::Scores, load, |score| {
        all.push(score);
        Ok(())
    })
    .unwrap();
    all
}

/// In every family of kernels, in every place of a vector: such a patch is nobody's neighbour, the image is
/// anomalous, and its other patches score as they did.
#[test]
fn what_is_no_number_never_passes_as_good() {
    let _turn = turn();
    let (grid, images, dim) = ([4_u32, 5], 12, 32_usize);
    let size = 20 * dim;
    let x = noise(5, images * size, 0.0, 1.0);
    let good = noise(6, size, 0.0, 1.0);
    on_devices(|name, device| {
        let options = FitOptions::default().coreset_ratio(0.5);
        let model = fit_embeddings(device, &x, grid, dim as u32, &options, &Quiet).unwrap().model;
        let whole = scores(device, &model, &good, size).remove(0);
        assert!(whole.score.is_finite());
        for (bad, at) in [
            (f32::NAN, 0),
            (f32::NAN, dim - 1),
            (-f32::NAN, 7),
            (f32::INFINITY, 3),
            (f32::NEG_INFINITY, 17),
            (1e30, 9),
            (f32::MAX, dim - 1),
        ] {
            let patch = 13;
            let mut one = good.clone();
            one[patch * dim + at] = bad;
            let found = scores(device, &model, &one, size).remove(0);
            let what = format!("{name}: {bad} in value {at}");
            assert!(found.score > whole.score && found.score >= 1e9, "{what}: scores {}", found.score);
            assert_eq!(found.anomalous, Some(true), "{what}");
            for (i, (a, b)) in found.patches.iter().zip(&whole.patches).enumerate() {
                assert!(!a.is_nan(), "{what}: patch {i} is no number");
                assert!(i == patch || a == b, "{what}: patch {i} scores {a}, not {b}");
            }
        }
    });
}

/// A training patch that is no number comes neither into the bank nor into anything that is computed of
/// others.
#[test]
fn a_training_patch_that_is_no_number_teaches_nothing() {
    let _turn = turn();
    let (grid, images, dim) = ([3_u32, 3], 12, 32_usize);
    let size = 9 * dim;
    let x = noise(7, images * size, 0.0, 1.0);
    on_each(&of_each_kind(), |name, device| {
        for discriminator in ALL {
            for bad in [f32::NAN, f32::INFINITY] {
                let mut spoilt = x.clone();
                let (image, patch) = (4, 5);
                spoilt[image * size + patch * dim + 11] = bad;
                let options = FitOptions::default().discriminator(discriminator).coreset_ratio(0.6);
                let what = format!("{name}: {discriminator}, {bad}");
                let fitted = match fit_embeddings(device, &spoilt, grid, dim as u32, &options, &Quiet) {
                    Ok(fitted) => fitted,
                    Err(error) => {
                        assert!(error.to_string().contains("number"), "{what}: {error}");
                        continue;
                    }
                };
                let bank = &fitted.model.bank;
                assert!(bank.rows.iter().all(|v| v.is_finite()), "{what}: a row of no numbers");
                assert!(bank.weights.iter().all(|v| v.is_finite()), "{what}: {:?}", bank.weights);
                assert!(bank.floors.iter().all(|v| v.is_finite()), "{what}: {:?}", bank.floors);
                assert!(fitted.model.info.threshold.is_none_or(f32::is_finite), "{what}");
                let clean = &spoilt[..size];
                let score = scores(device, &fitted.model, clean, size).remove(0);
                assert!(score.score.is_finite(), "{what}: a good image scores {}", score.score);
            }
        }
    });
}

/// Embeddings without any difference, with hardly any, and settings at their ends.
#[test]
fn degenerate_sets_are_fitted_or_refused() {
    let _turn = turn();
    let device = &direct().1;
    let (grid, dim) = ([3_u32, 3], 32_usize);
    let size = 9 * dim;
    let sets: [(&str, Vec<f32>); 6] = [
        ("zeros", vec![0.0; 8 * size]),
        ("one value", vec![0.7; 8 * size]),
        ("one image again and again", noise(1, size, 0.0, 1.0).repeat(8)),
        ("denormals", noise(2, 8 * size, 0.0, 1e-40)),
        ("large", noise(3, 8 * size, 0.0, 1e15)),
        ("two images", noise(4, 2 * size, 0.0, 1.0)),
    ];
    for (name, x) in &sets {
        for discriminator in ALL {
            for (tau, ratio, k) in [(0.15, 0.1, 6), (0.0, 1.0, 1), (0.99, 0.001, 100), (0.5, 1.0, 7)] {
                let mut options = FitOptions::default().discriminator(discriminator).coreset_ratio(ratio);
                (options.tau, options.lof_k) = (tau, k);
                let what = format!("{name}: {discriminator}, tau {tau}, ratio {ratio}, k {k}");
                let fitted = match fit_embeddings(device, x, grid, dim as u32, &options, &Quiet) {
                    Ok(fitted) => fitted,
                    Err(Error::InvalidOption(_) | Error::Limit(_)) => continue,
                    Err(other) => panic!("{what}: {other}"),
                };
                let (bank, info) = (&fitted.model.bank, &fitted.model.info);
                assert!(!fitted.kept.is_empty() && !bank.weights.is_empty(), "{what}: nothing is left");
                assert!(bank.weights.iter().chain(&bank.floors).all(|v| v.is_finite()), "{what}");
                assert!(fitted.outlier.iter().all(|v| !v.is_nan()), "{what}: {:?}", fitted.outlier);
                assert!(info.threshold.is_none_or(f32::is_finite), "{what}: {:?}", info.threshold);
                // What was learnt, where all of it was, is normal; what is far away from all is not.
                let far: Vec<f32> = x[..size].iter().map(|v| v + 1e3 * v.abs().max(1.0)).collect();
                let found = scores(device, &fitted.model, &[&x[..size], &far].concat(), size);
                assert!(found.iter().all(|s| !s.score.is_nan()), "{what}");
                assert!(found[1].score >= found[0].score, "{what}: {} {}", found[0].score, found[1].score);
                if ratio == 1.0 && tau == 0.0 && discriminator != Discriminator::Auto {
                    assert!(found[0].score <= found[1].score * 1e-3, "{what}: {}", found[0].score);
                }
            }
        }
    }
}

/// Black, white and equal pictures through the whole way.
#[test]
fn pictures_without_a_difference() {
    let _turn = turn();
    let device = &direct().1;
    let backbone = Backbone::embedded().unwrap();
    let plain = |value: u8| OwnedImage { width: 64, height: 64, pixels: vec![value; 64 * 64 * 3] };
    for discriminator in ALL {
        let images: Vec<_> = (0..6).map(|_| plain(0)).collect();
        let options = FitOptions::default().size(Size::Shorter(64)).discriminator(discriminator);
        let source = MemorySource(&images);
        let detector = match Detector::fit(device, &backbone, &source, &options.coreset_ratio(0.3), &Quiet) {
            Ok(detector) => detector,
            Err(Error::InvalidOption(why)) => {
                println!("{discriminator}: {why}");
                continue;
            }
            Err(other) => panic!("{discriminator}: {other}"),
        };
        let score = |image: &OwnedImage| detector.score_one(&image.as_image().unwrap(), Want::Maps).unwrap();
        let [black, white] = [score(&plain(0)), score(&plain(255))];
        assert!(black.score < 1e-3 * white.score, "{discriminator}: {} {}", black.score, white.score);
        assert!(black.map.iter().chain(&white.map).all(|v| v.is_finite()), "{discriminator}");
        // Pictures that do not differ say nothing of how much normal ones may.
        assert_ne!(white.anomalous, Some(false), "{discriminator}");
    }
}

/// As many patches as a frame of 2048 x 2048 has.
#[test]
fn a_grid_of_65536_patches() {
    let _turn = turn();
    let device = &direct().1;
    let (grid, images, dim) = ([256_u32, 256], 4, 8_usize);
    let size = 65_536 * dim;
    let x = noise(8, images * size, 0.0, 1.0);
    let options = FitOptions::default().coreset_ratio(0.0002).batch(1);
    let fitted = fit_embeddings(device, &x, grid, dim as u32, &options, &Quiet).unwrap();
    assert_eq!(fitted.outlier.len(), images * 65_536);
    let mut odd = x[..size].to_vec();
    let last = odd.len() - dim;
    odd[last..].fill(50.0);
    let found = scores(device, &fitted.model, &odd, size).remove(0);
    assert_eq!((found.patches.len(), found.anomalous), (65_536, Some(true)));
    assert_eq!(found.patches[65_535], found.score);
}

/// More rows than one binding holds are refused before the work, with a ratio that does.
#[test]
fn a_bank_over_one_binding_is_refused() {
    let _turn = turn();
    let (_, device) =
        crate::common::devices().iter().find(|(name, _)| name.contains("default-limits")).unwrap();
    let dim = 1024_usize;
    let patches = 36_000;
    let x = vec![0.5_f32; patches * dim];
    let options = FitOptions::default().discriminator(Discriminator::None).coreset_ratio(1.0);
    let error = fit_embeddings(device, &x, [60, 60], dim as u32, &options, &Quiet).unwrap_err();
    assert!(
        matches!(error, Error::Limit(_)) && error.to_string().contains("coreset ratio of at most 0."),
        "{error}"
    );
}
