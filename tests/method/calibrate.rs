//! Thresholds for a wanted false-alarm rate, and the scores of training images that they are from.

use crate::common::{direct, noise, on_each, tiled, turn};
use softpatch::data::synth::{Defect, Material, render};
use softpatch::data::{MemorySource, OwnedImage, Roi, WithRoi};
use softpatch::detector::{Backbone, Detector, EditKind, FitOptions, Model, Quiet, Rule, Size, Source, Want};
use softpatch::low_level::gpu::Device;
use softpatch::methods::{fit_embeddings, score_embeddings};

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|v| v.to_bits()).collect()
}

/// A model without the bank rows of one training image.
fn without(model: &Model, image: u32) -> Model {
    let mut out = model.clone();
    let dim = model.bank.dim();
    let kept: Vec<usize> =
        (0..model.bank.weights.len()).filter(|i| model.bank.provenance[*i][0] != image).collect();
    out.bank.rows = kept.iter().flat_map(|i| model.bank.rows[i * dim..][..dim].to_vec()).collect();
    out.bank.weights = kept.iter().map(|i| model.bank.weights[*i]).collect();
    out.bank.provenance = kept.iter().map(|i| model.bank.provenance[*i]).collect();
    (out.bank.index, out.info.rows) = (None, kept.len() as u32);
    out
}

/// All training images have scores, whose maps were made and those whose were not alike, and they are those
/// that a bank without the image's rows gives, in every bit.
#[test]
fn scores_are_those_of_a_bank_without_the_images_rows() {
    let _turn = turn();
    // More images than the sample has, and more patches than are searched for at first.
    let (grid, dim, images) = ([7, 9], 32_u32, 43);
    let image = 63 * dim as usize;
    let mut values = noise(5, images * image, 0.0, 1.0);
    // Some differ from all others in a few places, one in all.
    values[17 * image..18 * image].iter_mut().for_each(|v| *v *= 1.7);
    values[30 * image..30 * image + 5 * dim as usize].iter_mut().for_each(|v| *v += 2.0);
    let options = FitOptions { coreset_ratio: 0.3, projection: 16, tau: 0.05, ..FitOptions::paper(256, 224) };
    on_each(&[direct().clone(), tiled().clone()], |name, device| {
        let fit =
            |options: &FitOptions| fit_embeddings(device, &values, grid, dim, options, &Quiet).unwrap().model;
        let model = fit(&options);
        assert_eq!(model.train_images, (0..images as u32).collect::<Vec<_>>(), "{name}");
        assert!(model.info.calibration.is_none() && model.good_scores.is_empty(), "{name}");
        // With a rate, maps of all are made, and all patches searched for.
        let asked = fit(&options.clone().target_fpr(0.1));
        assert_eq!(bits(&model.train_scores), bits(&asked.train_scores), "{name}");
        assert_eq!(model.bank, asked.bank, "{name}");
        for (&i, want) in model.train_images.iter().zip(&model.train_scores).step_by(5) {
            let load = |_, out: &mut [f32]| {
                out.copy_from_slice(&values[i as usize * image..][..image]);
                Ok(())
            };
            score_embeddings(device, &without(&model, i), 1, Want::Scores, load, |score| {
                assert_eq!(score.score.to_bits(), want.to_bits(), "{name}: image {i}");
                Ok(())
            })
            .unwrap();
        }
    });
}

fn parts(defect: Option<Defect>, seeds: std::ops::Range<u64>) -> Vec<OwnedImage> {
    seeds.map(|seed| render(Material::Metal, defect, seed, 64).unwrap().0).collect()
}

fn fit(device: &Device, source: &dyn softpatch::data::ImageSource, target_fpr: f64) -> Detector {
    let options = FitOptions::default().size(Size::Shorter(64)).target_fpr(target_fpr);
    Detector::fit(device, &Backbone::embedded().unwrap(), source, &options, &Quiet).unwrap()
}

/// On painted parts, a few of them defective: the thresholds are as high as the good scores say, the file
/// keeps where they come from, and other good parts calibrate anew.
#[test]
fn thresholds_do_what_they_say() {
    let _turn = turn();
    let (_, device) = direct();
    let mut images = parts(None, 0..38);
    images.extend(parts(Some(Defect::Stain), 50..52));
    let detector = fit(device, &MemorySource(&images), 0.1);
    let info = detector.info();
    let calibration = info.calibration.clone().unwrap();
    assert_eq!((calibration.source, calibration.rule), (Source::Training, Rule::OrderStatistic));
    assert_eq!(calibration.good + calibration.left_out, 40);
    let threshold = info.threshold.unwrap();
    let n = calibration.good as usize;
    let above = detector.model().good_scores.iter().filter(|s| **s > threshold).count();
    assert_eq!(above, (0.1 * (n + 1) as f64).floor() as usize - 1);
    assert!(info.pixel_threshold.is_some_and(|t| t < threshold));
    let share = f64::from(detector.calibrated(threshold).unwrap());
    assert!((share - 1.0 + (above + 1) as f64 / (n + 1) as f64).abs() < 1e-6, "{share}");

    let bytes = detector.model().to_bytes().unwrap();
    let loaded = Model::from_bytes(&bytes, "m".as_ref()).unwrap();
    assert_eq!(&loaded, detector.model());

    // Of 30 other good parts, a fifth may pass the threshold that they set.
    let good = parts(None, 100..130);
    let views: Vec<_> = good.iter().map(|i| i.as_image().unwrap()).collect();
    let scored = detector.score(&views).unwrap();
    let scores: Vec<f32> = scored.iter().map(|s| s.score).collect();
    let peaks: Vec<f32> = scored.iter().map(|s| s.map.iter().copied().fold(0.0, f32::max)).collect();
    let mut model = loaded;
    let before = model.to_bytes().unwrap();
    model.calibrate(&scores, &peaks, 0.2).unwrap();
    // It is an edit, which leaves the bank, and is taken back to the same file.
    let edit = model.info.history.last().unwrap();
    assert_eq!((edit.what, edit.image.as_str()), (EditKind::Calibrate, "30 good pictures"));
    assert_eq!((edit.removed, edit.added), (0, 0));
    let mut undone = Model::from_bytes(&model.to_bytes().unwrap(), "m".as_ref()).unwrap();
    assert_eq!(undone, model);
    undone.calibrate(&scores, &[], 0.01).unwrap();
    undone.undo().unwrap().unwrap();
    assert_eq!(undone.to_bytes().unwrap(), model.to_bytes().unwrap());
    assert_eq!(undone.undo().unwrap().map(|edit| edit.what), Some(EditKind::Calibrate));
    assert_eq!(undone.to_bytes().unwrap(), before);
    // A record that does not fit the history is found.
    let mut wrong = model.clone();
    wrong.info.replaced.clear();
    assert!(Model::from_bytes(&wrong.to_bytes().unwrap(), "m".as_ref()).is_err());
    let (image, pixel) = (model.info.threshold.unwrap(), model.info.pixel_threshold.unwrap());
    // The 6th largest of each, which 5 pass.
    let passed = |all: &[f32], t: f32| all.iter().filter(|v| **v > t).count();
    assert_eq!([passed(&scores, image), passed(&peaks, pixel)], [5, 5]);
    let calibration = model.info.calibration.clone().unwrap();
    assert_eq!((calibration.source, calibration.good, calibration.left_out), (Source::Labelled, 30, 0));
    assert_eq!(model.good_scores, scores);
    let again = Detector::new(device, &Backbone::embedded().unwrap(), model.clone()).unwrap();
    assert_eq!(again.score(&views).unwrap().iter().filter(|s| s.anomalous == Some(true)).count(), 5);

    model.calibrate(&scores, &[], 0.01).unwrap();
    assert_eq!(model.info.calibration.as_ref().map(|c| c.rule), Some(Rule::Extrapolated));
    assert!(model.info.threshold.is_some_and(|t| scores.iter().all(|s| *s < t)));
    assert_eq!(model.info.pixel_threshold, None);
    for (scores, target, says) in [
        (&scores[..2], 0.1, "there are 2"),
        (&[1.0, 2.0, f32::NAN][..], 0.1, "is NaN"),
        (&[1.0; 9][..], 0.1, "copies of each other"),
        (&scores[..], 0.0, "target-fpr is 0, it must be"),
    ] {
        let error = model.calibrate(scores, &[], target).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
}

/// What is not looked at has no score here either.
#[test]
fn regions_of_interest_hold_for_all_training_images() {
    let _turn = turn();
    let (_, device) = direct();
    let images = parts(None, 0..36);
    let memory = MemorySource(&images);
    let inside: Vec<bool> = (0..64 * 64).map(|i| i % 64 < 40).collect();
    let source = WithRoi::new(memory, Some(Roi::new(64, 64, inside).unwrap()));
    let [plain, asked] = [0.0, 0.05].map(|rate| fit(device, &source, rate));
    assert_eq!(plain.model().train_scores.len(), 36);
    assert_eq!(bits(&plain.model().train_scores), bits(&asked.model().train_scores));
}
