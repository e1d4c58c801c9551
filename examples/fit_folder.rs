//! Learns what normal parts look like from a folder of images.
//!
//! `cargo run --release --example fit_folder -- FOLDER MODEL.safetensors`

use softpatch::data::TrainSet;
use softpatch::detector::Stage;
use softpatch::{Backbone, Detector, Device, DeviceOptions, FitOptions, Progress};
use std::ops::ControlFlow;
use std::path::Path;

/// Says on standard error how far the fit is.
struct Lines;

impl Progress for Lines {
    fn update(&self, stage: Stage, done: u64, total: u64) {
        eprint!("\r{} {done}/{total}   ", stage.name());
    }
}

fn main() -> softpatch::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, model] = &arguments[..] else {
        eprintln!("usage: fit_folder FOLDER MODEL.safetensors");
        std::process::exit(2);
    };
    let device = Device::open(&DeviceOptions::default())?;
    let images = TrainSet::open(folder)?;
    // A tenth of all training patches becomes the memory bank; 0.01 makes scoring faster.
    let mut options = FitOptions::default().coreset_ratio(0.1);
    // Cameras of 10 to 14 bit leave their values in the lower bits of 16.
    let depth = options.settle_bits(&images.paths, |_| ControlFlow::Continue(()))?;
    for said in images.notes.iter().chain(&depth) {
        eprintln!("{said}");
    }
    let images = images.source(options.decode());
    let detector = Detector::fit(&device, &Backbone::embedded()?, &images, &options, &Lines)?;
    detector.save(Path::new(model))?;
    let info = detector.info();
    println!("\n{model}: {} rows, threshold {:?}", info.rows, info.threshold);
    Ok(())
}
