//! `softpatch profile`.

use crate::bench::open_set;
use crate::common::backbone::BackboneArgs;
use crate::common::config::{FitArgs, Settings};
use crate::common::device::DeviceArgs;
use crate::common::failure::Outcome;
use crate::common::output::print;
use crate::common::progress::Bars;
use crate::common::set::{FolderArgs, TakeArgs, settle_bits};
use crate::common::sizes::human_bytes;
use softpatch::data::{FileSource, ImageSource};
use softpatch::detector::{Backbone, Detector};
use softpatch::low_level::backbone::{WeightFile, architecture};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;
use std::time::Instant;

/// Show where the time goes when a category is fitted and scored.
#[derive(Debug, clap::Args)]
#[command(after_help = "DATASET is a folder as `softpatch bench` takes it; its first category is used.")]
pub struct Args {
    /// Folder of the data set.
    dataset: PathBuf,
    #[command(flatten)]
    folder: FolderArgs,
    /// This category instead of the first.
    #[arg(long, value_name = "NAME")]
    category: Option<String>,
    /// Weights that are made up for this architecture, e.g. wide_resnet50_2: the work is the same, scores
    /// mean nothing.
    #[arg(long, value_name = "NAME", conflicts_with = "backbone")]
    made_up_weights: Option<String>,
    #[command(flatten)]
    fit: FitArgs,
    #[command(flatten)]
    backbone: BackboneArgs,
    #[command(flatten)]
    device: DeviceArgs,
}

/// Images that latencies are measured on.
const TIMED: usize = 50;

pub fn run(args: Args, quiet: bool) -> Outcome {
    let Settings { mut fit, device, .. } = args.fit.settings(args.device)?;
    let bars = Bars::new(quiet);
    let set = open_set(&args.dataset, args.category.as_slice(), (&args.folder, &TakeArgs::default()), &bars)?;
    let backbone = match &args.made_up_weights {
        Some(name) => {
            let network = architecture(name)?;
            Backbone::from_weights(WeightFile::made_up(&network)?, Some(name), None)?
        }
        None => args.backbone.open()?,
    };
    let device = device.open()?;
    let category = &set.categories[0];
    category.require_test()?;
    settle_bits(&mut fit, category.require_train()?, &bars)?;
    let decode = fit.decode();
    let train = FileSource::new(category.require_train()?.to_vec(), decode.clone());
    let started = Instant::now();
    let detector = Detector::fit(&device, &backbone, &train, &fit, &bars)?;
    let fitted = started.elapsed();
    let mut text = String::new();
    let caps = device.caps();
    let _ = writeln!(text, "{} ({}, {})", caps.adapter, caps.driver, caps.archetype);
    let info = detector.info();
    let _ = writeln!(
        text,
        "{}: {} training images, frame {}x{}, bank of {} rows of {} values\n\nfit: {:.2} s",
        category.name,
        info.images.len(),
        info.frame[1],
        info.frame[0],
        info.rows,
        info.dim,
        fitted.as_secs_f64()
    );
    for (stage, spent) in bars.times() {
        let _ = writeln!(text, "  {:<28}{:>10.1} ms", stage.name(), 1e3 * spent.as_secs_f64());
    }

    let test = category.test.source(decode);
    let mut latencies = Vec::new();
    let count = test.len().min(TIMED);
    for i in 0..count {
        let image = test.load(i)?;
        let view = image.as_image()?;
        if i == 0 {
            // Pipelines and tables are built at the first call.
            detector.score(&[view])?;
        }
        let began = Instant::now();
        detector.score(&[view])?;
        latencies.push(began.elapsed().as_secs_f64() * 1e3);
    }
    latencies.sort_by(f64::total_cmp);
    // The smallest value with at least that share of all at or below it.
    let share = |q: f64| latencies[((q * count as f64).ceil() as usize).clamp(1, count) - 1];
    let _ = writeln!(
        text,
        "\nscore, one image of {count} at a time, decoded: p50 {:.1} ms, p95 {:.1} ms",
        share(0.5),
        share(0.95)
    );
    let full: Vec<_> =
        (0..fit.batch as usize).map(|i| test.load(i % test.len())).collect::<Result<_, _>>()?;
    let views = full.iter().map(|image| image.as_image()).collect::<Result<Vec<_>, _>>()?;
    let mut batches = Vec::new();
    for _ in 0..6 {
        let began = Instant::now();
        detector.score(&views)?;
        batches.push(began.elapsed().as_secs_f64() * 1e3 / f64::from(fit.batch));
    }
    // The first one built its pipelines.
    batches.remove(0);
    batches.sort_by(f64::total_cmp);
    let _ = writeln!(
        text,
        "score, {} images at a time, decoded: {:.3} ms an image, upload and readback included",
        fit.batch,
        batches[batches.len() / 2]
    );
    if caps.timestamps {
        let times = detector.profile(&views)?;
        let all: f64 = times.steps.iter().map(|t| t.seconds).sum();
        let each = 1e3 * all / times.images as f64;
        // One batch at a time: a stream has the next one decoded and packed meanwhile.
        let busy = 100.0 * each / batches[batches.len() / 2];
        let _ =
            writeln!(text, "  on the device {each:.3} ms an image, which is busy {busy:.0} % of the time");
        let image = test.load(0)?;
        let times = detector.profile(&[image.as_image()?])?;
        let all: f64 = times.steps.iter().map(|t| t.seconds).sum();
        let mut stages: Vec<(String, f64)> = Vec::new();
        let mut index = BTreeMap::new();
        for step in &times.steps {
            let name = step.label.split([' ', '+']).next().unwrap_or_default().to_owned();
            let at = *index.entry(name.clone()).or_insert_with(|| {
                stages.push((name, 0.0));
                stages.len() - 1
            });
            stages[at].1 += step.seconds;
        }
        let _ = writeln!(text, "  on the device, by kernel");
        for (name, seconds) in &stages {
            let _ = writeln!(text, "  {name:<28}{:>10.3} ms {:>5.1} %", 1e3 * seconds, 100.0 * seconds / all);
        }
        let _ = writeln!(text, "  {:<28}{:>10.3} ms", "sum", 1e3 * all);
    } else {
        let _ = writeln!(text, "  no stages: the adapter offers no timestamp queries");
    }
    let _ = writeln!(text, "\ndevice memory: {} at most", human_bytes(device.peak_bytes()));
    print(&text)
}
