//! Models whose parts are changed one by one, with a checksum that fits, on a device: what is not refused
//! scores a picture, by shaders without checks, as release builds run them.
#![no_main]

use arbitrary::Unstructured;
use libfuzzer_sys::{Corpus, fuzz_target};
use softpatch::data::synth::{Material, render};
use softpatch::data::{MemorySource, OwnedImage};
use softpatch::detector::Want;
use softpatch::model::Model;
use softpatch::{Backbone, Detector, Device, DeviceOptions, FitOptions, Quiet, Size};
use softpatch_fuzz::models::Parts;
use std::path::Path;
use std::sync::OnceLock;

struct World {
    device: Device,
    backbone: Backbone,
    parts: Parts,
    picture: OwnedImage,
}

static WORLD: OnceLock<World> = OnceLock::new();

impl World {
    fn new() -> Self {
        let options = DeviceOptions { unchecked: Some(true), no_self_test: true, ..DeviceOptions::default() };
        let (device, backbone) = (Device::open(&options).unwrap(), Backbone::embedded().unwrap());
        let part = |seed| render(Material::Metal, None, seed, 64).unwrap().0;
        let good: Vec<OwnedImage> = (0..4).map(part).collect();
        let options = FitOptions { size: Size::Shorter(64), ..FitOptions::default() };
        let detector = Detector::fit(&device, &backbone, &MemorySource(&good), &options, &Quiet).unwrap();
        let mut model = detector.model().clone();
        // With a history, to be examined and taken back.
        let image = model.info.images[0].clone();
        let _ = model.remove_image(&image);
        let parts = Parts::of(&model.to_bytes().unwrap());
        Self { device, backbone, parts, picture: part(9) }
    }
}

fuzz_target!(init: {
    let _ = WORLD.set(World::new());
}, |data: &[u8]| -> Corpus {
    let Some(World { device, backbone, parts, picture }) = WORLD.get() else { return Corpus::Reject };
    let Some(file) = parts.changed(&mut Unstructured::new(data)).file() else { return Corpus::Reject };
    let Ok(model) = Model::from_bytes(&file, Path::new("model")) else { return Corpus::Keep };
    let Ok(detector) = Detector::new(device, backbone, model) else { return Corpus::Keep };
    let image = picture.as_image().unwrap();
    if let Ok(score) = detector.score_one(&image, Want::Source) {
        assert_eq!(score.map.len(), 64 * 64);
        if let Ok(explained) = detector.explain(&image, 2, 2) {
            drop(format!("{explained:?}"));
        }
    }
    let _ = detector.calibrated(1.5);
    if data.len() % 8 == 0 {
        let _ = detector.verify();
    }
    Corpus::Keep
});
