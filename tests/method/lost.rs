//! Devices that are lost, fall silent, or have too little memory: the same results, or a clear error.

use crate::common::{direct, faulty, turn};
use softpatch::data::synth::{Defect, Material, SynthOptions, generate, render};
use softpatch::data::{Dataset, Frame, MemorySource, OwnedImage};
use softpatch::detector::{Audit, Discriminator, Progress, Score, Stream, Want};
use softpatch::eval::bench::{Bench, BenchOptions, Method};
use softpatch::eval::{MetricMaps, MetricSize};
use softpatch::low_level::gpu::Device;
use softpatch::{Backbone, Detector, Error, FitOptions, Quiet, Result, Size};
use std::cell::RefCell;

const SIDE: u32 = 64;

fn lose(submissions: &[u64]) -> String {
    let numbers: Vec<String> = submissions.iter().map(u64::to_string).collect();
    if numbers.is_empty() { String::new() } else { format!("lose={}", numbers.join(",")) }
}

fn lost_after(submissions: &[u64]) -> Device {
    faulty(&lose(submissions)).0
}

fn parts(count: u64) -> Vec<OwnedImage> {
    (0..count)
        .map(|i| render(Material::Gear, (i % 3 == 2).then_some(Defect::Chip), i, SIDE).unwrap().0)
        .collect()
}

fn options() -> FitOptions {
    FitOptions::default().size(Size::Shorter(SIDE)).coreset_ratio(0.1).batch(2)
}

fn fit(device: &Device, options: &FitOptions, progress: &dyn Progress) -> Result<Detector> {
    Detector::fit(device, &Backbone::embedded()?, &MemorySource(&parts(8)), options, progress)
}

/// The model file.
fn bytes(detector: &Detector) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("model.safetensors");
    detector.save(&file).unwrap();
    std::fs::read(file).unwrap()
}

/// Keeps what is said.
#[derive(Default)]
struct Heard(RefCell<Vec<String>>);

impl Progress for Heard {
    fn notice(&self, message: &str) {
        self.0.borrow_mut().push(message.to_owned());
    }
}

impl Heard {
    fn has(&self, words: &str) -> bool {
        self.0.borrow().iter().any(|said| said.contains(words))
    }
}

/// Some of `1 ..= last`, with both ends.
fn some_of(last: u64, count: u64) -> Vec<u64> {
    let mut chosen: Vec<u64> = (0..count).map(|i| 1 + i * (last - 1) / (count - 1)).collect();
    chosen.dedup();
    chosen
}

#[test]
fn a_fit_on_a_lost_device_is_the_same() {
    let _turn = turn();
    for discriminator in [Discriminator::Lof, Discriminator::Auto] {
        let options = options().discriminator(discriminator);
        let (device, faults) = faulty("");
        let whole = bytes(&fit(&device, &options, &Quiet).unwrap());
        assert!(faults.submissions() > 20, "{} submissions", faults.submissions());
        for n in some_of(faults.submissions(), 7) {
            let heard = Heard::default();
            let device = lost_after(&[n]);
            let detector = fit(&device, &options, &heard).unwrap_or_else(|e| panic!("submission {n}: {e}"));
            assert!(device.is_lost() && heard.has("it is opened again"), "submission {n}: {:?}", heard.0);
            assert!(bytes(&detector) == whole, "submission {n}: another model");
        }
    }
}

#[test]
fn an_audit_on_a_lost_device_is_the_same() {
    let _turn = turn();
    let backbone = Backbone::embedded().unwrap();
    let (images, options) = (parts(8), options());
    let audit = |device: &Device| Audit::of(device, &backbone, &MemorySource(&images), &options, &Quiet);
    let (device, faults) = faulty("");
    let whole = audit(&device).unwrap();
    for n in some_of(faults.submissions(), 4) {
        assert_eq!(audit(&lost_after(&[n])).unwrap().images, whole.images, "submission {n}");
    }
}

#[test]
fn the_second_loss_ends_a_fit() {
    let _turn = turn();
    let error = fit(&lost_after(&[3, 6]), &options(), &Quiet).unwrap_err();
    assert!(matches!(error, Error::Lost(_)), "{error}");
    assert!(error.to_string().contains("once before"), "{error}");
}

/// Scores of a source with what came before an error.
fn scores(detector: &Detector, images: &[OwnedImage]) -> (Vec<Score>, Result<()>) {
    let mut scores = Vec::new();
    let ended = detector.score_source(&MemorySource(images), Want::Maps, &Quiet, |index, score| {
        assert_eq!(index, scores.len(), "in order, and each once");
        scores.push(score);
        Ok(())
    });
    (scores, ended)
}

/// A detector on a device that is lost after so many more submissions, counted from now on.
fn detector_lost_after(model: &[u8], more: &[u64]) -> (Detector, u64) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("model.safetensors");
    std::fs::write(&file, model).unwrap();
    let backbone = Backbone::embedded().unwrap();
    let (device, faults) = faulty("");
    drop(Detector::load(&device, &backbone, &file).unwrap());
    let before = faults.submissions();
    let more: Vec<u64> = more.iter().map(|n| before + n).collect();
    let (device, _) = faulty(&lose(&more));
    (Detector::load(&device, &backbone, &file).unwrap(), before)
}

#[test]
fn scores_on_a_lost_device_are_the_same() {
    let _turn = turn();
    let model = bytes(&fit(&direct().1, &options(), &Quiet).unwrap());
    let images = parts(9);
    let (detector, _) = detector_lost_after(&model, &[]);
    let (whole, ended) = scores(&detector, &images);
    ended.unwrap();
    assert_eq!(whole.len(), images.len());
    for n in 1..=7 {
        let (detector, _) = detector_lost_after(&model, &[n]);
        let (found, ended) = scores(&detector, &images);
        ended.unwrap_or_else(|e| panic!("submission {n}: {e}"));
        assert!(found == whole, "submission {n}: other scores");
        // In memory, in the pixels of the images, and once more after all is well.
        let (detector, _) = detector_lost_after(&model, &[n]);
        let views: Vec<_> = images.iter().map(|i| i.as_image().unwrap()).collect();
        assert!(detector.score(&views).unwrap() == whole, "submission {n}: in memory");
        assert!(detector.score(&views).unwrap() == whole, "submission {n}: in memory, again");
        let (detector, _) = detector_lost_after(&model, &[n]);
        let explained = detector.explain(&views[2], 2, 2).unwrap();
        assert!(explained.score.patches == whole[2].patches, "submission {n}: explained");
    }
    // What was finished before the second loss is handed over.
    let (detector, _) = detector_lost_after(&model, &[3, 6]);
    let (found, ended) = scores(&detector, &images);
    assert!(matches!(ended, Err(Error::Lost(_))), "{ended:?}");
    assert!(!found.is_empty() && found.len() < whole.len() && found == whole[..found.len()]);
}

#[test]
fn a_map_on_a_lost_device_is_the_same() {
    let _turn = turn();
    let model = bytes(&fit(&direct().1, &options(), &Quiet).unwrap());
    let image = parts(3).pop().unwrap();
    let (detector, _) = detector_lost_after(&model, &[]);
    let whole = detector.score_one(&image.as_image().unwrap(), Want::Source).unwrap();
    for n in 1..=3 {
        let (detector, _) = detector_lost_after(&model, &[n]);
        let found = detector.score_one(&image.as_image().unwrap(), Want::Source).unwrap();
        assert!(found == whole, "submission {n}");
    }
}

#[test]
fn a_stream_goes_on_after_losses() {
    let _turn = turn();
    let model = bytes(&fit(&direct().1, &options(), &Quiet).unwrap());
    let images = parts(12);
    let (detector, _) = detector_lost_after(&model, &[]);
    let views: Vec<_> = images.iter().map(|i| i.as_image().unwrap()).collect();
    let whole = detector.score(&views).unwrap();
    let (detector, _) = detector_lost_after(&model, &[2, 9, 17]);
    let stream = Stream::new(detector.into(), 3, Want::Maps).unwrap();
    let frames = images.iter().map(|i| Frame::copy_of(&i.as_image().unwrap()));
    let found: Vec<Score> = stream.scores(frames).map(|f| f.score.unwrap()).collect();
    assert!(found == whole);
}

#[test]
fn a_silent_device_is_a_lost_one() {
    let _turn = turn();
    let whole = bytes(&fit(&direct().1, &options(), &Quiet).unwrap());
    let heard = Heard::default();
    let (device, _) = faulty("silent=4");
    let detector = fit(&device, &options(), &heard).unwrap();
    assert!(heard.has("answered nothing for 30s"), "{:?}", heard.0);
    assert!(bytes(&detector) == whole);
}

#[test]
fn too_little_memory_halves_what_is_taken_at_a_time() {
    let _turn = turn();
    let options = options().batch(8);
    let (device, _) = faulty("");
    let whole = fit(&device, &options, &Quiet).unwrap();
    let images = parts(9);
    let (scored, ended) = scores(&whole, &images);
    ended.unwrap();
    let peak = device.peak_bytes();
    let model = bytes(&whole);
    let (mut halved, mut refused) = (0, 0);
    for eighths in 1..8 {
        let heard = Heard::default();
        let (device, _) = faulty(&format!("memory={}", peak * eighths / 8));
        match fit(&device, &options, &heard) {
            Ok(detector) => {
                halved += 1;
                assert!(heard.has("out of memory") && heard.has("batches of 4"), "{:?}", heard.0);
                assert!(bytes(&detector) == model, "{eighths} eighths: another model");
                let (found, ended) = scores(&detector, &images);
                ended.unwrap();
                assert!(found == scored, "{eighths} eighths: other scores");
            }
            Err(error) => {
                refused += 1;
                assert!(matches!(error, Error::Memory(_)), "{eighths} eighths: {error}");
            }
        }
    }
    assert!(halved > 0 && refused > 0, "{halved} went on, {refused} were refused");
}

/// A device of the application's is not opened again, and what it does not answer is no result.
#[test]
fn an_applications_device_that_is_lost_is_an_error() {
    let _turn = turn();
    let (ours, _) = faulty("");
    let (wgpu, queue) = ours.wgpu();
    let device = Device::from_wgpu(wgpu.clone(), queue.clone());
    let detector = fit(&device, &options(), &Quiet).unwrap();
    wgpu.destroy();
    let image = parts(1).pop().unwrap();
    let error = detector.score_one(&image.as_image().unwrap(), Want::Scores).unwrap_err();
    assert!(matches!(error, Error::Lost(_) | Error::Device(_)), "{error}");
}

/// Each cell is told of once, and its figures are those of an undisturbed run.
#[test]
fn a_bench_on_a_lost_device_is_the_same() {
    let _turn = turn();
    let folder = tempfile::tempdir().unwrap();
    let materials = vec![Material::Gear];
    let small = SynthOptions {
        materials,
        train: 8,
        test_good: 3,
        test_per_defect: 1,
        size: 96,
        seed: 3,
        contamination: 0.0,
    };
    generate(&folder.path().join("set"), &small, &|_, _| {}).unwrap();
    let set = Dataset::open(folder.path().join("set")).unwrap();
    let backbone = Backbone::embedded().unwrap();
    let methods = [Discriminator::None, Discriminator::Lof];
    let options = BenchOptions {
        methods: methods.map(|discriminator| Method::SoftPatch { discriminator, soft: true }).to_vec(),
        noise: vec![0.0],
        seeds: 1,
        fit: options(),
        ..BenchOptions::default()
    };
    let run = |device: &Device, out: &str| {
        let out = &folder.path().join(out);
        let bench =
            Bench { device, backbone: &backbone, categories: &set.categories, out, options: &options };
        let mut told = 0;
        let summary = bench.run(&Quiet, |_, _| told += 1).unwrap();
        assert_eq!(told, methods.len());
        summary.cells.iter().map(|cell| format!("{:?}", cell.report)).collect::<Vec<_>>()
    };
    let (device, faults) = faulty("");
    let whole = run(&device, "whole");
    for n in some_of(faults.submissions(), 5) {
        assert_eq!(run(&lost_after(&[n]), &format!("lost-{n}")), whole, "submission {n}");
    }
}

/// Maps for figures of merit are made while a source is scored, on buffers of their own.
#[test]
fn figures_on_a_lost_device_are_the_same() {
    let _turn = turn();
    let model = bytes(&fit(&direct().1, &options(), &Quiet).unwrap());
    let images = parts(9);
    let maps = |detector: &Detector, size: MetricSize| {
        let info = detector.info();
        let mut maps = MetricMaps::new(detector.device(), info.grid, info.framing(), size, None).unwrap();
        let mut all = Vec::new();
        let source = MemorySource(&images);
        let ended = detector.score_source(&source, Want::Scores, &Quiet, |_, score| {
            all.push(maps.run(&score.patches, [SIDE, SIDE])?);
            Ok(())
        });
        ended.map(|()| all)
    };
    for size in [MetricSize::Frame, MetricSize::Source] {
        let whole = maps(&detector_lost_after(&model, &[]).0, size).unwrap();
        for n in 1..=9 {
            let (detector, _) = detector_lost_after(&model, &[n]);
            let found = maps(&detector, size).unwrap_or_else(|e| panic!("{size:?}, submission {n}: {e}"));
            assert!(found == whole, "{size:?}, submission {n}");
        }
    }
}

#[test]
fn edits_on_a_lost_device_are_the_same() {
    let _turn = turn();
    let model = bytes(&fit(&direct().1, &options(), &Quiet).unwrap());
    let image = parts(3).pop().unwrap();
    let region = Some([20, 20, 16, 16]);
    let allow = |more: &[u64]| {
        let (mut detector, _) = detector_lost_after(&model, more);
        let mended = detector.allow("a part", &image.as_image().unwrap(), region).unwrap();
        (mended.before, mended.after, detector.model().bank.clone())
    };
    let whole = allow(&[]);
    for n in 1..=10 {
        assert!(allow(&[n]) == whole, "submission {n}");
    }
}
