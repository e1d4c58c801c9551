//! Scores an image with a model of `fit_folder` and paints where it looks wrong.
//!
//! `cargo run --release --example score_image -- MODEL.safetensors IMAGE HEATMAP.png`

use softpatch::data::decode_file;
use softpatch::detector::Want;
use softpatch::report::{overlay, write_png};
use softpatch::{Backbone, Detector, Device, DeviceOptions};
use std::path::Path;

fn main() -> softpatch::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, image, heatmap] = &arguments[..] else {
        eprintln!("usage: score_image MODEL.safetensors IMAGE HEATMAP.png");
        std::process::exit(2);
    };
    let device = Device::open(&DeviceOptions::default())?;
    let detector = Detector::load(&device, &Backbone::embedded()?, Path::new(model))?;
    // Decoded as the training images were.
    let picture = decode_file(image, &detector.info().options.decode())?;
    let score = detector.score_one(&picture.as_image()?, Want::Source)?;
    let verdict = match score.anomalous {
        Some(true) => "anomalous",
        Some(false) => "normal",
        None => "no verdict: the model has no threshold",
    };
    println!("{image}: {:.2}, {verdict}, most at {:?}", score.score, score.peak);
    for region in detector.regions(&score)? {
        println!("  {} pixels at {:?}, up to {:.2}", region.area, region.bbox, region.peak);
    }

    // The map has the picture's pixels; it is drawn from nothing to twice the threshold.
    let top = detector.info().map_threshold().unwrap_or(score.score);
    write_png(Path::new(heatmap), &overlay(&picture, &score.map, (0.0, 2.0 * top), Some(top))?)
}
