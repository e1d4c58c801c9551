//! `softpatch fit`.

use crate::common::failure::Outcome;
use crate::common::output::{check_model_file, plain_path, print};
use crate::common::progress::Bars;
use crate::common::set::end;
use crate::common::sizes::{count, human_bytes};
use crate::common::training::TrainingArgs;
use softpatch::detector::{Detector, FitAspect, Geometry, Group, ModelInfo};
use softpatch::low_level::gpu::Device;
use std::fmt::Write;
use std::path::PathBuf;
use std::time::Instant;

/// Learn what normal looks like from a folder of images and write a model file.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "DIR is a folder of good images, or a category of a data set in its published layout, of which \
         the training images are used (`softpatch data DIR` shows which). Where nothing says which images \
         are good, the folders are named and --take or --all decides. PNG, JPEG, BMP, TIFF, WebP, GIF, QOI and PNM are read. \
         Exit status 3: fitted, but for images that could not be used."
)]
pub struct Args {
    /// Model file to write; its folder must exist.
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Keep no training pictures in the model. Without this, up to 8 are kept (pixels, 1 MB at most), for
    /// `softpatch verify`: whoever has the model can look at them.
    #[arg(long)]
    no_references: bool,
    #[command(flatten)]
    training: TrainingArgs,
}

pub fn run(args: Args, quiet: bool) -> Outcome {
    let bars = Bars::new(quiet);
    let training = args.training.open(&bars, quiet, || check_model_file(&args.output))?;
    let (device, backbone, options) = (&training.device, &training.backbone, &training.options);
    let started = Instant::now();
    let (detector, skipped) = training.judge(&bars, |source| {
        let mut detector = Detector::fit(device, backbone, &source, options, &bars)?;
        if !args.no_references {
            detector.keep_references(&source)?;
        }
        Ok(detector)
    })?;
    detector.save(&args.output)?;
    print(&summary(&plain_path(&args.output), &detector, device, &bars, started))?;
    end(skipped, "the model was made")
}

/// What the model looks at.
fn frame(info: &ModelInfo) -> String {
    let [rows, columns] = info.frame;
    let options = &info.options;
    let way = match (options.geometry, options.fit_aspect) {
        (Geometry::Paper, _) => {
            format!(
                "the middle of pictures, shorter side {}; what lies beside it is not looked at",
                options.resize
            )
        }
        (_, FitAspect::Pad) => "whole pictures, padded".to_owned(),
        (_, FitAspect::Crop) => "pictures cut to this shape".to_owned(),
        _ => "whole pictures".to_owned(),
    };
    let roi = info
        .looked_at
        .map_or(String::new(), |share| format!(", of which {:.1} % are looked at", 100.0 * share));
    format!("{columns}x{rows} pixels, {way}{roi}")
}

/// What a fit made, in a few lines.
fn summary(name: &str, detector: &Detector, device: &Device, bars: &Bars, started: Instant) -> String {
    let info = detector.info();
    let patches = info.images.len() as u64 * u64::from(info.grid[0]) * u64::from(info.grid[1]);
    let mut text = format!("{name}\n");
    let mut line = |key: &str, value: String| {
        let _ = writeln!(text, "  {key:<12}{value}");
    };
    line("images", info.images.len().to_string());
    line("frame", frame(info));
    line("patches", format!("{patches} ({}x{} an image)", info.grid[0], info.grid[1]));
    let by = info.options.discriminator;
    let k = info.lof_k.map_or(String::new(), |k| format!(", k {k}"));
    let group = match info.options.group {
        Group::Window => format!(", windows of {0}x{0}", info.options.window),
        Group::Global => ", all images' patches".to_owned(),
        _ => String::new(),
    };
    let over = info.noise_threshold.map_or(String::new(), |t| format!(", outlier score over {t:.4}"));
    line(
        "kept",
        match patches.saturating_sub(info.kept) {
            0 => format!("{} (all; {by}{k}{group}{over})", info.kept),
            gone => format!("{} ({gone} dropped by {by}{k}{group}{over})", info.kept),
        },
    );
    line("bank", format!("{} rows of {} values", info.rows, info.dim));
    line(
        "threshold",
        match (info.threshold, &info.calibration) {
            (Some(threshold), Some(calibration)) => format!("{threshold:.4}, {calibration}"),
            (Some(threshold), None) => format!("{threshold:.4}"),
            (None, _) => "none (scores come without a verdict)".to_owned(),
        },
    );
    if let Some(kept) = &detector.model().references {
        let pictures = count(kept.pictures.len(), "picture");
        line("references", format!("{pictures} kept in the model, {}", human_bytes(kept.bytes())));
    }
    let stages =
        bars.times().iter().map(|(s, t)| format!("{} {:.1}", s.name(), t.as_secs_f64())).collect::<Vec<_>>();
    line("seconds", format!("{}; {:.1} in all", stages.join(", "), started.elapsed().as_secs_f64()));
    line("device", format!("{}, {} at most", device.caps().adapter, human_bytes(device.peak_bytes())));
    text
}
