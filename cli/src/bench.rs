//! `softpatch bench`.

use crate::common::{self, BackboneArgs, Bars, DeviceArgs, Failure, Outcome, human_bytes};
use crate::config::{compat, embedding, parse_bytes, precision};
use softpatch::data::{Dataset, DecodeOptions, FileSource, ImageSource, NoiseProtocol};
use softpatch::detector::{Backbone, Compat, Detector, Embedding, FitOptions, Precision, Progress};
use softpatch::eval::bench::{Bench, BenchOptions, Cell, Method, Summary, protocol_of};
use softpatch::low_level::backbone::{WeightFile, architecture};
use softpatch::low_level::gpu::Device;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;
use std::time::Instant;

/// Compare methods on a data set whose training images are made dirty on purpose.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "DATASET is a set in its published layout (MVTec AD, LOCO, 3D-AD, BTAD, VisA, KolektorSDD, KolektorSDD2, MPDD, \
                        magnetic tile), one category of it, or a plain folder with good/ and a folder for each kind of defect. \
                        DIR gets results.csv, results.json, table.md, report.html, the lists of images in splits/, and \
                        cells/, from which an interrupted run goes on."
)]
pub struct Args {
    /// Folder of the data set.
    #[arg(required_unless_present = "roofline")]
    dataset: Option<PathBuf>,
    /// Folder for the results; made where it is not there.
    #[arg(short, long, value_name = "DIR", required_unless_present_any = ["time", "roofline"])]
    out: Option<PathBuf>,
    /// Methods, with commas between.
    #[arg(
        long,
        value_name = "NAMES",
        value_delimiter = ',',
        default_value = "patchcore,softpatch-lof",
        long_help = "Methods, with commas between: padim, spade, patchcore (or none), softpatch-nearest, softpatch-gaussian, \
                     softpatch-lof, each softpatch with -hard for no soft weights, and softpatch+"
    )]
    methods: Vec<String>,
    /// Shares of defect images put among the training images, with commas between.
    #[arg(long, value_name = "SHARES", value_delimiter = ',', default_value = "0,0.05,0.1,0.15")]
    noise: Vec<f64>,
    /// What becomes of those images: overlap (they are tested, too), no-overlap, augmented-overlap.
    #[arg(long, value_name = "NAMES", value_delimiter = ',', default_value = "overlap,no-overlap")]
    protocol: Vec<String>,
    /// Runs with seeds 0, 1, ...; tables hold their mean and standard deviation.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seeds: u32,
    /// Only these categories, with commas between.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    category: Vec<String>,
    /// Use the lists of images in this folder, as a run writes them to splits/.
    #[arg(long, value_name = "DIR")]
    splits: Option<PathBuf>,
    /// Share of the training patches that is dropped as noise [default: 0.15].
    #[arg(long, value_name = "SHARE")]
    tau: Option<f64>,
    /// Neighbours of the local outlier factor [default: 6].
    #[arg(long, value_name = "K")]
    lof_k: Option<u32>,
    /// Rows of the memory bank as a share of all training patches [default: 0.1].
    #[arg(long, visible_alias = "coreset-ratio", value_name = "SHARE")]
    ratio: Option<f64>,
    /// How the backbone's stages become one vector: auto, concat or pooled [default: auto].
    #[arg(long, value_name = "NAME", value_parser = embedding)]
    embedding: Option<Embedding>,
    /// Values of a pooled embedding [default: 1024].
    #[arg(long, value_name = "N")]
    embedding_dim: Option<u32>,
    /// `official` makes the choices of the published program where it and the paper part [default: none].
    #[arg(long, value_name = "NAME", value_parser = compat)]
    compat: Option<Compat>,
    /// How the backbone stores weights and activations: f32 or f16 [default: f32].
    #[arg(long, value_name = "NAME", value_parser = precision)]
    precision: Option<Precision>,
    /// Values of a projected patch, a multiple of 4 [default: 128].
    #[arg(long, value_name = "N")]
    projection: Option<u32>,
    /// The shorter side of every image is brought to this many pixels [default: 256].
    #[arg(long, value_name = "PIXELS")]
    resize: Option<u32>,
    /// Side of the centred square that is looked at, in pixels [default: 224].
    #[arg(long, value_name = "PIXELS")]
    crop: Option<u32>,
    /// Images that go through the backbone at a time [default: 8].
    #[arg(long, value_name = "N")]
    batch: Option<u32>,
    /// Memory, device and host together, for the features of a category and for each fit, e.g. 800MB or 2GiB. Features that
    /// do not fit wait in temporary files. Backbone, driver, and the maps of the test images come on top [default: 1GiB].
    #[arg(long, value_name = "SIZE", value_parser = parse_bytes)]
    memory: Option<u64>,
    /// Turn images as their EXIF orientation says (masks are not turned).
    #[arg(long)]
    exif: bool,
    /// Instead of measuring quality, print where the time goes when the first category is fitted and scored.
    #[arg(long)]
    time: bool,
    /// With --time, weights that are made up for this architecture, e.g. wide_resnet50_2: the work is the same, scores mean
    /// nothing.
    #[arg(long, value_name = "NAME", requires = "time", conflicts_with = "backbone")]
    made_up_weights: Option<String>,
    #[command(flatten)]
    roofline: crate::roofline::RooflineArgs,
    #[command(flatten)]
    backbone: BackboneArgs,
    #[command(flatten)]
    device: DeviceArgs,
}

impl Args {
    fn options(&self) -> Outcome<BenchOptions> {
        let usage = |e: softpatch::Error| Failure::Usage(e.to_string());
        let base = match self.compat {
            Some(Compat::Official) => FitOptions::official(),
            _ => FitOptions::default(),
        };
        let fit = FitOptions {
            tau: self.tau.unwrap_or(base.tau),
            lof_k: self.lof_k.unwrap_or(base.lof_k),
            coreset_ratio: self.ratio.unwrap_or(base.coreset_ratio),
            embedding: self.embedding.unwrap_or(base.embedding),
            embedding_dim: self.embedding_dim.unwrap_or(base.embedding_dim),
            precision: self.precision.unwrap_or(base.precision),
            projection: self.projection.unwrap_or(base.projection),
            resize: self.resize.unwrap_or(base.resize),
            crop: self.crop.unwrap_or(base.crop),
            batch: self.batch.unwrap_or(base.batch),
            memory: self.memory.unwrap_or(base.memory),
            exif: self.exif,
            ..base
        };
        let methods: Vec<Method> =
            self.methods.iter().map(|m| m.parse()).collect::<Result<_, _>>().map_err(usage)?;
        let protocols: Vec<NoiseProtocol> =
            self.protocol.iter().map(|p| protocol_of(p)).collect::<Result<_, _>>().map_err(usage)?;
        let decode = DecodeOptions { exif_orientation: self.exif, ..DecodeOptions::default() };
        let (noise, seeds, splits) = (self.noise.clone(), self.seeds, self.splits.clone());
        let options = BenchOptions { methods, noise, protocols, seeds, fit, decode, splits };
        options.validate().map_err(usage)?;
        Ok(options)
    }
}

pub fn run(args: &Args, quiet: bool) -> Outcome {
    if args.roofline.roofline {
        return crate::roofline::run(&args.roofline, &args.device.open()?, quiet);
    }
    let options = args.options()?;
    let Some(dataset) = &args.dataset else { return Err(Failure::Usage("DATASET is missing".into())) };
    let mut set = Dataset::open(dataset)?;
    if !args.category.is_empty() {
        set = set.only(&args.category).map_err(|e| Failure::Usage(e.to_string()))?;
    }
    if args.time {
        let backbone = match &args.made_up_weights {
            Some(name) => {
                let network = architecture(name)?;
                Backbone::from_weights(WeightFile::made_up(&network)?, Some(name), None)?
            }
            None => args.backbone.open()?,
        };
        return time(&args.device.open()?, &backbone, &set, &options, quiet);
    }
    let Some(out) = &args.out else { return Err(Failure::Usage("--out is missing".into())) };
    std::fs::create_dir_all(out).map_err(|e| softpatch::Error::io(out, "making the folder", e))?;
    let device = args.device.open()?;
    let backbone = args.backbone.open()?;
    let categories = &set.categories;
    let bars = Bars::new(quiet);
    let total =
        options.conditions().len() * options.seeds as usize * options.methods.len() * categories.len();
    let count = categories.len();
    let plural = if count == 1 { "y" } else { "ies" };
    bars.notice(&format!("layout of {}: {count} categor{plural}, {total} cells", set.layout));
    let mut number = 0;
    let started = Instant::now();
    let bench = Bench { device: &device, backbone: &backbone, categories, out, options: &options };
    let summary = bench.run(&bars, |cell, computed| {
        number += 1;
        bars.notice(&format!("{number}/{total} {}", line(cell, computed)));
    })?;
    bars.finish();
    let name = dataset.file_name().unwrap_or(dataset.as_os_str()).to_string_lossy();
    summary.write(out, &format!("{name}: anomaly detection over noise"))?;
    summary.notes.iter().for_each(|note| bars.notice(note));
    let text = format!("{}\n{}", summary.markdown(), footer(&summary, &device, started));
    common::print(&text)
}

/// One finished cell in a line.
fn line(cell: &Cell, computed: bool) -> String {
    let s = &cell.settings;
    let figure = |v: Option<f64>| v.map_or("-".to_owned(), |v| format!("{v:.4}"));
    format!(
        "{} {} {} seed {}: image AUROC {}, pixel AUROC {}{}",
        s.category,
        s.method,
        s.condition().name(),
        s.seed,
        figure(cell.report.image_auroc),
        figure(cell.report.pixel_auroc),
        if computed { format!(" ({:.1} s)", cell.seconds) } else { " (was there)".to_owned() }
    )
}

fn footer(summary: &Summary, device: &Device, started: Instant) -> String {
    format!(
        "{} cells, {} of them computed now; features of {} images in {:.1} s, {:.1} s in all; {}, {} at most\n",
        summary.cells.len(),
        summary.computed,
        summary.images,
        summary.feature_seconds,
        started.elapsed().as_secs_f64(),
        device.caps().adapter,
        human_bytes(device.peak_bytes())
    )
}

/// Images that latencies are measured on.
const TIMED: usize = 50;

/// Fits the first category with the first method's settings and times every stage.
fn time(device: &Device, backbone: &Backbone, set: &Dataset, options: &BenchOptions, quiet: bool) -> Outcome {
    let category = &set.categories[0];
    let bars = Bars::new(quiet);
    let decode = options.decode.clone();
    let train = FileSource::new(category.train.clone(), decode.clone());
    let fit = FitOptions { discriminator: options.methods[0].discriminator(), ..options.fit.clone() };
    let started = Instant::now();
    let detector = Detector::fit(device, backbone, &train, &fit, &bars)?;
    let fitted = started.elapsed();
    let mut text = String::new();
    let caps = device.caps();
    let _ = writeln!(text, "{} ({}, {})", caps.adapter, caps.driver, caps.archetype);
    let info = detector.info();
    let _ = writeln!(
        text,
        "{}: {} training images, crop {}, bank of {} rows of {} values\n\nfit: {:.2} s",
        category.name,
        info.images.len(),
        fit.crop,
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
        let each = 1e3 * all / f64::from(fit.batch);
        let _ = writeln!(text, "  on the device {each:.3} ms an image");
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
    common::print(&text)
}
