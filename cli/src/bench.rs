//! `softpatch bench`.

use crate::common::backbone::BackboneArgs;
use crate::common::device::DeviceArgs;
use crate::common::failure::{Failure, Outcome};
use crate::common::images::OnError;
use crate::common::interrupt::catch_interrupts;
use crate::common::output::{check_outside, plain_lines, plain_path, print};
use crate::common::progress::Bars;
use crate::common::set::{FolderArgs, SetArgs, TakeArgs, end, settle_bits};
use crate::common::settings::{Given, Scope};
use crate::common::sizes::human_bytes;
use softpatch::data::{Dataset, NoiseProtocol};
use softpatch::detector::Progress;
use softpatch::eval::MetricSize;
use softpatch::eval::bench::{Bench, BenchOptions, Cell, Method, Summary, protocol_of};
use softpatch::low_level::gpu::Device;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Compare methods on a data set whose training images are made dirty on purpose.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "DATASET is a set in its published layout (MVTec AD, LOCO, 3D-AD, BTAD, VisA, KolektorSDD, \
         KolektorSDD2, MPDD, magnetic tile), one category of it, or a plain folder with good/ and a folder \
         for each kind of defect. DIR gets results.csv, results.json, table.md, report.html, the lists of \
         images in splits/, and cells/, from which an interrupted run goes on; features/ holds those of the \
         category at hand until its cells are done."
)]
pub struct Args {
    /// Folder of the data set.
    dataset: PathBuf,
    #[command(flatten)]
    set: SetArgs,
    /// Folder for the results, outside the data set; made where it is not there.
    #[arg(short, long, value_name = "DIR")]
    out: PathBuf,
    /// Methods, with commas between.
    #[arg(
        long,
        value_name = "NAMES",
        value_delimiter = ',',
        default_value = "patchcore,softpatch-lof",
        long_help = "Methods, with commas between: padim, spade, patchcore (or none), softpatch-nearest, \
             softpatch-gaussian, softpatch-lof, each of these softpatch with -hard for no soft weights, softpatch-auto, \
             and softpatch+"
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
    /// Keep no features in DIR/features for a run that goes on after an interruption. Without this, those of
    /// one category at a time are there until its cells are done, of 4 bytes a value.
    #[arg(long)]
    no_keep_features: bool,
    /// Pixels in which maps and masks are compared: source (all pixels of the images), frame (what the model
    /// looks at, as published programs do), a side or WIDTHxHEIGHT; the default is frame with the geometry paper,
    /// else source.
    #[arg(long, value_name = "SIZE")]
    metric_size: Option<MetricSize>,
    #[command(flatten)]
    fit: Given<InBench>,
    #[command(flatten)]
    backbone: BackboneArgs,
    #[command(flatten)]
    device: DeviceArgs,
}

/// What a bench decides itself: methods stand for discriminators and weights, seeds are counted. Its figures
/// know no threshold.
#[derive(Clone, Debug, Default)]
struct InBench;

impl Scope for InBench {
    const LEFT_OUT: &'static [&'static str] = &["discriminator", "soft-weights", "seed", "target-fpr"];
    const ALIAS: Option<(&'static str, &'static str)> = Some(("coreset-ratio", "ratio"));
    const DEFAULTS: &'static [(&'static str, &'static str)] = &[("geometry", "paper")];
    const HELP: &'static [(&'static str, &'static str)] = &[
        (
            "exif",
            "Turn images as their EXIF orientation says, and masks that were drawn on the pixels as stored",
        ),
        (
            "memory",
            "Memory, device and host together, for the features of a category and for each fit, e.g. 800MB \
             or 2GiB. Features that do not fit wait in temporary files. Backbone, driver, and the maps of \
             the test images come on top",
        ),
    ];
}

impl Args {
    fn options(&self) -> Outcome<BenchOptions> {
        let usage = |e: softpatch::Error| Failure::Usage(e.to_string());
        let BenchOptions { mut fit, .. } = BenchOptions::default();
        self.fit.apply(&mut fit)?;
        let mut methods: Vec<Method> = Vec::new();
        for name in &self.methods {
            let method = name.parse().map_err(usage)?;
            if !methods.contains(&method) {
                methods.push(method);
            }
        }
        let protocols: Vec<NoiseProtocol> =
            self.protocol.iter().map(|p| protocol_of(p)).collect::<Result<_, _>>().map_err(usage)?;
        let decode = fit.decode();
        let (noise, seeds, splits) = (self.noise.clone(), self.seeds, self.splits.clone());
        let skip_bad = self.set.on_error == OnError::Skip;
        let options = BenchOptions {
            methods,
            noise,
            protocols,
            seeds,
            fit,
            metric_size: self.metric_size,
            decode,
            skip_bad,
            splits,
            keep_features: !self.no_keep_features,
        };
        options.validate().map_err(usage)?;
        Ok(options)
    }
}

pub fn run(args: &Args, quiet: bool) -> Outcome {
    let mut options = args.options()?;
    let (dataset, out) = (&args.dataset, &args.out);
    check_outside("--out", out, [dataset])?;
    let bars = Bars::new(quiet);
    let set = open_set(dataset, &args.category, (&args.set.folder, &args.set.take), &bars)?;
    let paths: Vec<PathBuf> = (set.categories.iter())
        .flat_map(|c| c.train.iter().chain(c.test.items.iter().map(|i| &i.path)).cloned())
        .collect();
    // Links lead to folders elsewhere.
    let masks = set.categories.iter().flat_map(|c| c.test.items.iter().filter_map(|i| i.mask.as_deref()));
    let folders: BTreeSet<&Path> =
        paths.iter().map(PathBuf::as_path).chain(masks).filter_map(Path::parent).collect();
    check_outside("--out", out, folders)?;
    settle_bits(&mut options.fit, &paths, &bars)?;
    options.decode = options.fit.decode();
    std::fs::create_dir_all(out).map_err(|e| softpatch::Error::io(out, "making the folder", e))?;
    let device = args.device.open()?;
    let backbone = args.backbone.open()?;
    let categories = &set.categories;
    let total =
        options.conditions().len() * options.seeds as usize * options.methods.len() * categories.len();
    let count = categories.len();
    let plural = if count == 1 { "y" } else { "ies" };
    bars.notice(&format!("layout of {}: {count} categor{plural}, {total} cells", set.layout.title()));
    let mut number = 0;
    let started = Instant::now();
    catch_interrupts(quiet);
    let bench = Bench { device: &device, backbone: &backbone, categories, out, options: &options };
    let summary = bench.run(&bars, |cell, computed| {
        number += 1;
        bars.notice(&format!("{number}/{total} {}", line(cell, computed)));
    })?;
    bars.finish();
    let name = dataset.file_name().unwrap_or(dataset.as_os_str()).to_string_lossy();
    summary.write(out, &format!("{name}: anomaly detection over noise"))?;
    summary.notes.iter().for_each(|note| bars.notice(note));
    let report = out.join("report.html");
    let footer = footer(&summary, &device, started);
    let text = format!("{}\n{footer}{}\n", summary.markdown(), plain_path(&report));
    print(&plain_lines(&text))?;
    end(summary.skipped, "the figures are of the set")
}

/// A data set, or of it the categories that are named; says what is left out.
pub fn open_set(
    path: &Path,
    categories: &[String],
    (folder, take): (&FolderArgs, &TakeArgs),
    progress: &dyn Progress,
) -> Outcome<Dataset> {
    let mut set = Dataset::open_with(path, &folder.options(take))?;
    if !categories.is_empty() {
        set = set.only(categories).map_err(|e| Failure::Usage(e.to_string()))?;
    }
    for category in &set.categories {
        let notes = category.notes.iter().chain(&category.test.notes).cloned();
        let notes = notes.chain(category.test.missing_masks());
        notes.for_each(|note| progress.notice(&format!("{}: {note}", category.name)));
    }
    folder.say(path, &set.left_out, progress)?;
    Ok(set)
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
        "{} cells, {} of them computed now; features of {} images in {:.1} s, {:.1} s in all; {}, {} at \
         most\n",
        summary.cells.len(),
        summary.computed,
        summary.images,
        summary.feature_seconds,
        started.elapsed().as_secs_f64(),
        device.caps().adapter,
        human_bytes(device.peak_bytes())
    )
}
