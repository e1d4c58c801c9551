//! Models that no fit made, and all that is done with one without a device.

use serde_json::json;
use softpatch::data::OwnedImage;
use softpatch::detector::Cover;
use softpatch::low_level::bank::{Axes, Index, MemoryBank, Removed};
use softpatch::model::{Edit, EditKind, MadeOn, Model, Reference, References};
use softpatch::report::png_bytes;
use softpatch::{Backbone, FitOptions, Size};
use std::path::Path;

fn bank(rows: usize, dim: usize, indexed: bool, floored: bool) -> MemoryBank {
    let values: Vec<f32> = (0..rows * dim).map(|i| ((i * 37 + i / dim * 11) % 29) as f32 * 0.1).collect();
    let axes = Axes::principal(&values, dim);
    MemoryBank {
        weights: (0..rows).map(|i| 1.0 + i as f32 * 0.01).collect(),
        floors: (0..if floored { rows } else { 0 }).map(|i| i as f32 * 0.1).collect(),
        provenance: (0..rows as u32).map(|i| [i % 3, i % 4, i % 5]).collect(),
        index: indexed.then(|| Index { axes, order: (0..rows as u32).rev().collect() }),
        rows: values,
    }
}

/// A model that was never fitted, with all that a file can hold, or with little.
pub fn made_up(whole: bool) -> Model {
    let (rows, dim) = (12, 8);
    let images: Vec<String> = ["a/1.png", "a/2.png", "b/1.png"].map(str::to_owned).into();
    let picture = OwnedImage { width: 3, height: 2, pixels: (0..18).collect() };
    let reference = Reference {
        name: "a/1.png".into(),
        size: [3, 2],
        score: 1.5,
        anomalous: Some(false),
        peak: [1, 1],
        patches: vec![0.5; 20],
        png: png_bytes(&picture).unwrap(),
    };
    let made_on =
        MadeOn { version: "1".into(), adapter: "x".into(), backend: "vulkan".into(), driver: "y".into() };
    let info = json!({
        "options": FitOptions { size: Size::Shorter(64), ..FitOptions::default() },
        "backbone": Backbone::embedded().unwrap().info(), "images": images, "grid": [4, 5], "frame": [64, 80],
        "dim": dim, "rows": rows, "noise_threshold": 1.0, "kept": 12, "lof_k": 2, "threshold": 2.0,
        "pixel_threshold": 2.5, "made_by": "softpatch 0.1.0",
    });
    let mut model = Model {
        info: serde_json::from_value(info).unwrap(),
        bank: bank(rows, dim, whole, whole),
        roi: whole.then(|| Cover { frame: [64, 80], inside: (0..64 * 80).map(|i| i % 3 > 0).collect() }),
        train_images: vec![0, 1, 2, 0],
        train_scores: vec![1.0, 1.1, 1.3, 0.9],
        good_scores: Vec::new(),
        references: None,
        removed: Removed::default(),
    };
    if whole {
        model.info.looked_at = Some(0.6);
        let fingerprint = model.fingerprint();
        let pictures = vec![reference; 2];
        let (threshold, pixel_threshold) = (Some(2.0), Some(2.5));
        model.references =
            Some(References { made_on, fingerprint, edits: 0, threshold, pixel_threshold, pictures });
        model.remove_image("b/1.png").unwrap();
        model.calibrate(&[1.0, 1.2, 1.4, 1.5, 1.7], &[1.0, 1.3, 1.4, 1.6, 1.8], 0.1).unwrap();
        // As `allow` does it, which takes a device to find the rows.
        let name = "new.png".to_owned();
        model.info.images.push(name.clone());
        model.bank.provenance.push([3, 1, 1]);
        model.bank.weights.push(1.0);
        model.bank.floors.push(0.0);
        model.bank.rows.extend([0.25; 8]);
        let bank = &mut model.bank;
        if let Some(index) = &mut bank.index {
            index.order.push(bank.weights.len() as u32 - 1);
        }
        model.info.rows = model.bank.weights.len() as u32;
        let (made_by, fingerprint) = ("softpatch 0.1.0".to_owned(), model.fingerprint());
        let edit = Edit {
            what: EditKind::Allow,
            image: name,
            seconds: 7,
            removed: 0,
            added: 1,
            made_by,
            fingerprint,
        };
        model.info.history.push(edit);
        model.remove_image("a/2.png").unwrap();
    }
    model
}

/// All that is done with a model without a device.
pub fn use_up(mut model: Model) {
    let path = Path::new("model");
    let file = model.to_bytes().expect("what was read is written");
    let again = Model::from_bytes(&file, path).expect("what was written is read");
    assert!(again == model);
    // The rest takes ten times as long.
    if file.len() % 4 > 0 {
        return;
    }
    assert_eq!(again.fingerprint(), model.fingerprint());
    let document = model.document().expect("a model is a document");
    serde_json::to_string(&document).expect("a document is a text");
    assert!(model.info.map_threshold().is_some() || model.info.threshold.is_none());
    model.info.calibration.iter().for_each(|calibration| drop(calibration.to_string()));
    let image = model.info.images.first().cloned().unwrap_or_default();
    let mut edited = model.clone();
    let _ = edited.calibrate(&model.train_scores, &model.train_scores, 0.05);
    if edited.remove_image(&image).is_ok() {
        let file = edited.to_bytes().expect("an edited model is written");
        Model::from_bytes(&file, path).expect("an edited model is read");
        // Taken back, it is what it was; that of a hostile history may be refused.
        edited.undo().ok().flatten().expect("the last edit is taken back");
    }
    while let Ok(Some(_)) = model.undo() {
        let file = model.to_bytes().expect("a model before its edit is written");
        Model::from_bytes(&file, path).expect("a model before its edit is read");
    }
}
