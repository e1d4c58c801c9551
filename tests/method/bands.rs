//! A frame that does not fit the memory budget is computed in bands of rows, and nothing else changes.

use crate::common::turn;
use softpatch::data::MemorySource;
use softpatch::data::synth::{Defect, Material, render};
use softpatch::detector::{Discriminator, Want};
use softpatch::low_level::gpu::Archetype;
use softpatch::{Backbone, Detector, Device, DeviceOptions, FitOptions, Quiet, Size};

/// Models, scores and maps are the same with much memory and with little, of which no more is used.
#[test]
fn little_memory_changes_nothing_but_the_memory() {
    let _turn = turn();
    let backbone = Backbone::embedded().unwrap();
    let good: Vec<_> = (0..5).map(|i| render(Material::Circuit, None, i, 512).unwrap().0).collect();
    let bad = render(Material::Circuit, Some(Defect::Scratch), 9, 512).unwrap().0;
    let fit = |memory: u64, discriminator| {
        let options =
            DeviceOptions { archetype: Some(Archetype::Direct), default_limits: true, ..Default::default() };
        let device = Device::open(&options).unwrap();
        let size = Size::Exact { width: 768, height: 640 };
        let options = FitOptions {
            size,
            memory,
            discriminator,
            coreset_ratio: 0.02,
            batch: 2,
            ..FitOptions::default()
        };
        let detector = Detector::fit(&device, &backbone, &MemorySource(&good), &options, &Quiet).unwrap();
        let image = bad.as_image().unwrap();
        let scores = detector.score_with(&[image, image], Want::Scores).unwrap();
        let peak = device.peak_bytes();
        let maps = detector.score(&[image, image]).unwrap();
        assert_eq!((scores[0].score, &scores[1].patches), (maps[1].score, &maps[0].patches));
        assert!(scores.iter().all(|s| s.map.is_empty()) && maps[0].map.len() == 768 * 640);
        let mut model = detector.model().clone();
        model.info.options.memory = 0;
        (model, maps, peak)
    };
    for discriminator in [Discriminator::Lof, Discriminator::None] {
        let (model, scores, peak) = fit(1 << 30, discriminator);
        assert_eq!(model.info.grid, [80, 96]);
        let (low_model, low_scores, low_peak) = fit(128 << 20, discriminator);
        assert!(model == low_model, "{discriminator}");
        assert!(scores == low_scores, "{discriminator}");
        // Weights of the backbone and the feed's pixels come on top.
        println!("{discriminator}: {peak} and {low_peak} bytes");
        assert!(low_peak < 152 << 20 && low_peak < peak, "{peak}, {low_peak}");
    }
}
