//! The whole method on small procedural sets: fit, save, load, score.

use crate::common::{checked, direct, fresh, tiled, turn};
use softpatch::data::synth::{Defect, Material, SynthOptions, generate, render};
use softpatch::data::{DecodeOptions, Frame, MemorySource, PixelFormat, TestSet, TrainSet};
use softpatch::detector::{
    Backbone, Choice, Compat, Detector, Discriminator, FitOptions, Model, Quiet, Stream, Want,
};

use softpatch::eval::auroc;
use softpatch::low_level::bank::Index;
use softpatch::low_level::gpu::Device;
use std::path::Path;
use std::sync::Arc;

fn small(discriminator: Discriminator) -> FitOptions {
    FitOptions { discriminator, coreset_ratio: 0.1, ..FitOptions::paper(128, 128) }
}

fn fit(device: &Device, folder: &Path, options: &FitOptions) -> Detector {
    let source = TrainSet::open(folder).unwrap().source(DecodeOptions::default());
    Detector::fit(device, &Backbone::embedded().unwrap(), &source, options, &Quiet).unwrap()
}

fn image_auroc(detector: &Detector, folder: &Path) -> f64 {
    let test = TestSet::open(folder).unwrap();
    let mut scores = Vec::new();
    detector
        .score_source(&test.source(DecodeOptions::default()), Want::Maps, &Quiet, |i, score| {
            assert_eq!(i, scores.len());
            scores.push(score.score);
            Ok(())
        })
        .unwrap();
    let labels: Vec<bool> = test.items.iter().map(|i| i.is_defect()).collect();
    auroc(&scores, &labels).unwrap()
}

/// Contamination that overlaps the test defects is what PatchCore falls for: a defect that is in the bank
/// scores low.
#[test]
fn lof_survives_contamination_that_misleads_patchcore() {
    let _turn = turn();
    let folder = tempfile::tempdir().unwrap();
    let options = SynthOptions {
        materials: vec![Material::Fabric],
        train: 40,
        test_good: 12,
        test_per_defect: 3,
        size: 128,
        seed: 1,
        contamination: 0.1,
    };
    generate(folder.path(), &options, &|_, _| {}).unwrap();
    let set = folder.path().join("fabric");
    let (_, device) = direct();
    let lof = image_auroc(&fit(device, &set, &small(Discriminator::Lof)), &set);
    let none = image_auroc(&fit(device, &set, &small(Discriminator::None)), &set);
    assert!(lof > none, "image AUROC {lof} with lof, {none} without");
    assert!(lof > 0.75, "image AUROC {lof} with lof");
}

#[test]
fn a_model_survives_disk_and_every_discriminator_works() {
    let _turn = turn();
    let folder = tempfile::tempdir().unwrap();
    let images: Vec<_> =
        (0..7).map(|i| softpatch::data::synth::render(Material::Metal, None, i, 96).unwrap().0).collect();
    let backbone = Backbone::embedded().unwrap();
    for (name, device) in checked() {
        for &discriminator in Discriminator::ALL {
            let options = FitOptions { resize: 96, crop: 96, coreset_ratio: 0.2, ..small(discriminator) };
            let made = Detector::fit(device, &backbone, &MemorySource(&images), &options, &Quiet).unwrap();
            let patches = images.len() * 12 * 12;
            assert_eq!(made.info().rows as usize, patches / 5, "{name} {discriminator}");
            let kept = made.info().kept as f64 / patches as f64;
            let keeps = [Discriminator::None, Discriminator::Auto].contains(&discriminator);
            let expected = if keeps { 1.0 } else { 0.85 };
            assert!((kept - expected).abs() < 0.01, "{name} {discriminator}: kept {kept}");
            let path = folder.path().join(format!("{discriminator}.safetensors"));
            made.save(&path).unwrap();
            let loaded = Detector::load(device, &backbone, &path).unwrap();
            assert_eq!(made.model(), loaded.model());
            let views: Vec<_> = images.iter().map(|i| i.as_image().unwrap()).collect();
            let (a, b) = (made.score(&views).unwrap(), loaded.score(&views).unwrap());
            assert_eq!(a, b, "{name} {discriminator}");
            // A batch of one gives what a batch of seven gives, and maps change nothing else.
            assert_eq!(loaded.score_one(&views[3], Want::Maps).unwrap(), b[3]);
            let plain = loaded.score_with(&views, Want::Scores).unwrap();
            for (plain, full) in plain.into_iter().zip(&b) {
                assert!(plain.map.is_empty());
                assert_eq!(loaded.complete(full.clone(), Want::Scores).unwrap(), plain);
                assert_eq!(loaded.complete(plain, Want::Maps).unwrap(), *full);
            }
            for score in &b {
                assert_eq!(score.patches.len(), 144);
                assert_eq!(score.map.len(), 96 * 96);
                assert_eq!(score.score, score.patches.iter().copied().fold(0.0, f32::max));
            }
        }
    }
}

/// Files of earlier versions have no axes and no order: they score the same. Wrong ones would make the search
/// pass over near rows, and are refused.
#[test]
fn a_model_without_an_index_scores_the_same_and_a_wrong_index_is_refused() {
    let _turn = turn();
    let images: Vec<_> =
        (0..7).map(|i| softpatch::data::synth::render(Material::Metal, None, i, 96).unwrap().0).collect();
    let backbone = Backbone::embedded().unwrap();
    let options = FitOptions { resize: 96, crop: 96, coreset_ratio: 0.2, ..small(Discriminator::Lof) };
    for (name, device) in checked() {
        let made = Detector::fit(device, &backbone, &MemorySource(&images), &options, &Quiet).unwrap();
        let read = |model: &Model| Model::from_bytes(&model.to_bytes().unwrap(), Path::new("m.safetensors"));
        let mut model = made.model().clone();
        let index = model.bank.index.take().unwrap();
        let older = read(&model).unwrap();
        assert_eq!(older.bank.index, None);
        let older = Detector::new(device, &backbone, older).unwrap();
        assert_eq!(older.model(), made.model(), "{name}: found anew");
        let views: Vec<_> = images.iter().map(|i| i.as_image().unwrap()).collect();
        assert_eq!(older.score(&views).unwrap(), made.score(&views).unwrap(), "{name}");

        let wrong = [
            |index: &mut Index| index.order[0] = index.order[1],
            |index: &mut Index| index.axes.vectors[3] += 0.01,
            |index: &mut Index| index.axes.mean[0] = f32::NAN,
        ];
        for (i, spoil) in wrong.into_iter().enumerate() {
            let mut index = index.clone();
            spoil(&mut index);
            model.bank.index = Some(index);
            let error = read(&model).unwrap_err().to_string();
            assert!(error.contains("m.safetensors") && error.contains("do not fit together"), "{i}: {error}");
        }
    }
}

/// Features that wait on disk give the same model, bit for bit.
#[test]
fn a_small_budget_changes_nothing() {
    let _turn = turn();
    let images: Vec<_> =
        (0..9).map(|i| softpatch::data::synth::render(Material::Print, None, i, 96).unwrap().0).collect();
    let backbone = Backbone::embedded().unwrap();
    let (_, device) = direct();
    let fit = |options: &FitOptions| {
        Detector::fit(device, &backbone, &MemorySource(&images), options, &Quiet).unwrap().model().clone()
    };
    let all = Discriminator::ALL;
    let plain = all.iter().map(|discriminator| (*discriminator, Compat::None, 128));
    // The program's start, which projects anew; and embeddings that are their own projection.
    let more = [(Discriminator::Lof, Compat::Official, 128), (Discriminator::Lof, Compat::None, 256)];
    for (discriminator, compat, projection) in plain.chain(more) {
        let roomy = FitOptions {
            resize: 96,
            crop: 96,
            coreset_ratio: 0.1,
            batch: 2,
            compat,
            projection,
            ..small(discriminator)
        };
        // 9 x 144 patches are 0.8 MB of embeddings and 0.7 MB of projected vectors: the embeddings wait, or
        // both.
        let large = fit(&roomy);
        let what = format!("{discriminator} {compat} {projection}");
        for memory in [1_400_000, 640_000] {
            let small = fit(&FitOptions { memory, ..roomy.clone() });
            assert_eq!(small.bank.provenance, large.bank.provenance, "{what} within {memory}");
            assert_eq!(bits(&small.bank.rows), bits(&large.bank.rows), "{what} within {memory}");
            assert_eq!(bits(&small.bank.weights), bits(&large.bank.weights), "{what} within {memory}");
            assert_eq!(bits(&small.bank.floors), bits(&large.bank.floors), "{what} within {memory}");
            assert_eq!(bits(&small.train_scores), bits(&large.train_scores), "{what} within {memory}");
            assert_eq!(small.info.threshold.map(f32::to_bits), large.info.threshold.map(f32::to_bits));
            assert_eq!(small.info.kept, large.info.kept);
        }
    }
    let options = FitOptions { memory: 100_000, resize: 96, crop: 96, ..small(Discriminator::Lof) };
    let error = Detector::fit(device, &backbone, &MemorySource(&images), &options, &Quiet).unwrap_err();
    assert!(error.to_string().contains("raise --memory"), "{error}");
}

/// After a warm-up, frames of a known size make no buffer, bind group or pipeline, and overlapping batches
/// change no result.
#[test]
fn scoring_makes_nothing_once_it_is_warm() {
    let _turn = turn();
    let render = |i| softpatch::data::synth::render(Material::Metal, None, i, 96).unwrap().0;
    let images: Vec<_> = (0..20).map(render).collect();
    let views: Vec<_> = images.iter().map(|i| i.as_image().unwrap()).collect();
    let backbone = Backbone::embedded().unwrap();
    for (name, device) in [checked()[0], tiled()] {
        let device = &fresh(device);
        for batch in [1, 3] {
            let options = FitOptions { resize: 96, crop: 96, batch, ..small(Discriminator::Nearest) };
            let source = MemorySource(&images[..6]);
            let detector = Arc::new(Detector::fit(device, &backbone, &source, &options, &Quiet).unwrap());
            let alone: Vec<_> = views.iter().map(|v| detector.score(&[*v]).unwrap().remove(0)).collect();
            let created = || (device.created(), device.peak_bytes());

            // Twice: every size of batch meets every set of buffers.
            for _ in 0..2 {
                assert_eq!(detector.score(&views).unwrap(), alone, "{name} {batch}");
            }
            let warm = created();
            assert_eq!(detector.score(&views).unwrap(), alone, "{name} {batch}");
            let mut streamed = Vec::new();
            let collect = |_, score| {
                streamed.push(score);
                Ok(())
            };
            detector.score_source(&MemorySource(&images), Want::Maps, &Quiet, collect).unwrap();
            assert_eq!(streamed, alone, "{name} {batch}");
            assert_eq!(created(), warm, "{name} {batch}");

            // How many frames a stream takes at once depends on the moment, unless a batch is one.
            let stream = Stream::new(detector.clone(), 4, Want::Maps).unwrap();
            let frames: Vec<_> = views.iter().map(Frame::copy_of).collect();
            let warm = created();
            let scores: Vec<_> = stream.scores(&frames).map(|f| f.score.unwrap()).collect();
            assert_eq!(scores, alone, "{name} {batch}");
            assert!(batch > 1 || created() == warm, "{name}");
        }
    }
}

/// A caller that stops in the middle, and a bad image in the middle, leave a detector as it was.
#[test]
fn scoring_goes_on_after_an_error() {
    let _turn = turn();
    let render = |i| softpatch::data::synth::render(Material::Metal, None, i, 96).unwrap().0;
    let images: Vec<_> = (0..9).map(render).collect();
    let mut views: Vec<_> = images.iter().map(|i| i.as_image().unwrap()).collect();
    let (_, device) = direct();
    let options = FitOptions { resize: 96, crop: 96, batch: 2, ..small(Discriminator::Nearest) };
    let backbone = Backbone::embedded().unwrap();
    let detector = Detector::fit(device, &backbone, &MemorySource(&images), &options, &Quiet).unwrap();
    let good = detector.score(&views).unwrap();
    let mut seen = 0;
    let stop = |i, score| {
        assert_eq!((i, &score), (seen, &good[seen]));
        seen += 1;
        if seen == 3 { Err(softpatch::Error::Cancelled) } else { Ok(()) }
    };
    let stopped = detector.score_source(&MemorySource(&images), Want::Maps, &Quiet, stop);
    assert!(matches!(stopped, Err(softpatch::Error::Cancelled)));
    assert_eq!(seen, 3);
    // Too long and thin to be resized.
    let thin = vec![0_u8; 300_000 * 3];
    views[5] = softpatch::data::Image::new(&thin, 300_000, 1, 900_000, PixelFormat::Rgb8).unwrap();
    let error = detector.score(&views).unwrap_err().to_string();
    assert!(error.contains("image 5"), "{error}");
    views[5] = images[5].as_image().unwrap();
    assert_eq!(detector.score(&views).unwrap(), good);
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|v| v.to_bits()).collect()
}

/// Same seed, same bank; another seed, another; and both kernel families agree within what rounding does to a
/// score.
#[test]
fn fits_repeat_and_kernel_families_agree() {
    let _turn = turn();
    let images: Vec<_> =
        (0..6).map(|i| softpatch::data::synth::render(Material::Gear, None, i, 96).unwrap().0).collect();
    let backbone = Backbone::embedded().unwrap();
    let fit = |device: &Device, seed: u64| -> (Model, Vec<f32>) {
        // The whole bank: which rows are chosen may differ across devices where distances almost tie.
        let options =
            FitOptions { resize: 96, crop: 96, seed, coreset_ratio: 0.8, ..small(Discriminator::None) };
        let detector = Detector::fit(device, &backbone, &MemorySource(&images), &options, &Quiet).unwrap();
        let query = softpatch::data::synth::render(Material::Gear, None, 99, 96).unwrap().0;
        let scores = detector.score(&[query.as_image().unwrap()]).unwrap();
        (detector.model().clone(), scores[0].patches.clone())
    };
    let (direct, tiled) = (&direct().1, &tiled().1);
    let (model, scores) = fit(direct, 0);
    assert_eq!((model.clone(), scores.clone()), fit(direct, 0));
    assert_ne!(model.bank.provenance, fit(direct, 1).0.bank.provenance);
    let (_, others) = fit(tiled, 0);
    // Features agree to about 1e-5 of their size; a squared distance, being a difference, to 1e-2 of the
    // median one.
    let mut sorted = scores.clone();
    sorted.sort_by(f32::total_cmp);
    let close = scores
        .iter()
        .zip(&others)
        .filter(|(a, b)| (*a - *b).abs() <= 0.01 * sorted[sorted.len() / 2].max(**a))
        .count();
    assert!(close * 100 >= scores.len() * 97, "{close} of {} patch scores agree", scores.len());
}

/// Real images, where the folder with them stands beside the checkout.
#[test]
fn real_bottles_are_told_apart() {
    let _turn = turn();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/mvtec_ad/bottle");
    if !folder.is_dir() {
        println!("skipped: {} is not there", folder.display());
        return;
    }
    let (_, device) = direct();
    let mut train = TrainSet::open(&folder).unwrap();
    train.paths.truncate(40);
    let options = FitOptions { coreset_ratio: 0.05, ..FitOptions::default() };
    let source = train.source(DecodeOptions::default());
    let detector = Detector::fit(device, &Backbone::embedded().unwrap(), &source, &options, &Quiet).unwrap();
    let figure = image_auroc(&detector, &folder);
    assert!(figure >= 0.97, "image AUROC {figure}");
}

/// A model remembers its precision, and scores in it.
#[test]
fn a_model_remembers_its_precision() {
    use softpatch::detector::Precision;
    let _turn = turn();
    let device = &direct().1;
    let good: Vec<_> = (0..4).map(|i| render(Material::Gear, None, i, 64).unwrap().0).collect();
    let backbone = Backbone::embedded().unwrap();
    let (frame, _) = render(Material::Gear, Some(Defect::Stain), 9, 64).unwrap();
    let image = frame.as_image().unwrap();
    let score = |precision: Precision| {
        let options = FitOptions { coreset_ratio: 0.5, precision, ..FitOptions::paper(64, 64) };
        let fitted = Detector::fit(device, &backbone, &MemorySource(&good), &options, &Quiet).unwrap();
        let model = Model::from_bytes(&fitted.model().to_bytes().unwrap(), "memory".as_ref()).unwrap();
        let loaded = Detector::new(device, &backbone, model).unwrap();
        assert_eq!(loaded.info().options.precision, precision);
        let (a, b) = (fitted.score(&[image]).unwrap(), loaded.score(&[image]).unwrap());
        assert_eq!(a, b, "{precision}");
        a[0].score
    };
    let (full, half) = (score(Precision::F32), score(Precision::F16));
    assert_ne!(full, half, "f16 was not used");
    // Vectors are off by up to 1 % of their length each, and neighbours are about as far.
    assert!((full - half).abs() < 0.1 * full, "{full} and {half}");
}

/// A file from before there were other frames says neither geometry nor frame: it looks at the middle square.
#[test]
fn a_model_without_a_frame_looks_at_the_middle_square() {
    let _turn = turn();
    let good: Vec<_> = (0..4).map(|i| render(Material::Gear, None, i, 64).unwrap().0).collect();
    let options = FitOptions { coreset_ratio: 0.5, ..FitOptions::paper(72, 64) };
    let backbone = Backbone::embedded().unwrap();
    let fitted = Detector::fit(&direct().1, &backbone, &MemorySource(&good), &options, &Quiet).unwrap();
    let mut model = fitted.model().clone();
    model.info.frame = [0; 2];
    let bytes = model.to_bytes().unwrap();
    assert!(!String::from_utf8_lossy(&bytes[..2000]).contains("geometry"), "older programs do not know it");
    let old = Model::from_bytes(&bytes, "old".as_ref()).unwrap();
    assert_eq!((old.info.frame, &old.info.options), ([64, 64], &fitted.info().options));
    // A frame that is not that of the settings is no model's.
    model.info.frame = [64, 72];
    assert!(Model::from_bytes(&model.to_bytes().unwrap(), "odd".as_ref()).is_err());
}
