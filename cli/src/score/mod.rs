//! `softpatch score`.

mod arrivals;
mod begun;
mod in_place;
mod journal;
mod outputs;
mod places;
mod regions;
mod rows;
mod watch;

use crate::common::backbone::{ModelArgs, open_model};
use crate::common::device::DeviceArgs;
use crate::common::failure::{Failure, Outcome, print_error};
use crate::common::images::{Files, OnError};
use crate::common::interrupt::catch_interrupts;
use crate::common::log;
use crate::common::output::{print, print_json};
use crate::common::progress::Bars;
use crate::common::report::page;
use crate::common::set::{FolderArgs, TakeArgs};
use crate::common::sizes::count;
use outputs::{OutputArgs, Outputs, Targets};
use regions::regions_csv;
use rows::{Damaged, Format, Row};
use serde::Serialize;
use softpatch::Error;
use softpatch::data::{Dataset, Layout, Listing};
use softpatch::detector::{Detector, Progress};
use softpatch::report::{PageImage, ScorePage};
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// Score images with a model: how far each is from normal, and where.
#[derive(Debug, clap::Args)]
#[command(after_long_help = FORMATS)]
pub struct Args {
    /// Model file made by `softpatch fit`.
    model: PathBuf,
    /// Images, or folders of which all images are taken; masks of a data set are left out.
    #[arg(required_unless_present = "watch", value_name = "IMAGE|DIR")]
    images: Vec<PathBuf>,
    /// Score the images that are in this folder or arrive in it, each once and as a whole, until ctrl-c.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["images", "layout", "strict"], requires = "results")]
    watch: Option<PathBuf>,
    /// With --watch: CSV file that gets a line per image. FILE.journal beside it says which images are in it,
    /// so that a watch that is started again goes on.
    #[arg(long, value_name = "FILE", requires = "watch")]
    results: Option<PathBuf>,
    #[command(flatten)]
    outputs: OutputArgs,
    /// One JSON document instead of a table; with --watch one object per line.
    #[arg(long, conflicts_with = "csv")]
    json: bool,
    /// CSV with a header instead of a table.
    #[arg(long)]
    csv: bool,
    /// What to do where an image cannot be used.
    #[arg(long, value_name = "WHAT", default_value = "skip", conflicts_with = "watch")]
    on_error: OnError,
    #[command(flatten)]
    folder: FolderArgs,
    #[command(flatten)]
    weights: ModelArgs,
    #[command(flatten)]
    device: DeviceArgs,
}

const FORMATS: &str = "\
Score: the largest distance of a patch from what is normal, 0 or more. An image is anomalous where its score
passes the model's threshold.

--json prints one object:
  model            path of the model file
  threshold        of the scores; null where the model has none
  pixel_threshold  of the values of maps; null where the model has none: then regions, masks and the lines of
                   heatmaps are at `threshold`
  map_scale        with --map-format png16: times the sample it is the map's value; else null
  images           array in order of scoring, one object per image, all places in pixels of the image as it is
                   decoded, columns first:
                     path, score, anomalous (true, false, or null without a threshold)
                     calibrated  share of good parts that score lower, by the training images or those of
                              `softpatch calibrate`; null where the model has neither
                     size     [width, height]
                     peak     [x, y] of the map's largest value
                     regions  array, largest first, null without a threshold: the connected areas that pass the
                              threshold, with bbox ([x, y, width, height]), area (pixels), peak (the
                              largest value), peak_at ([x, y]), and contour (corners [x, y] of the outer
                              boundary, clockwise; pixel x, y has the corners x, y and x + 1, y + 1)
                     heatmap, map, mask (path or null)
  errors           array, one object for each image that could not be read: path, error
--csv prints the columns path,score,anomalous,heatmap, as in RFC 4180, with an apostrophe before a name that a spreadsheet
would take for a formula. --regions FILE has the columns
path,region,x,y,width,height,area,peak,peak_x,peak_y.

--watch DIR --results FILE prints the same lines as images arrive, with --json an object of `images` or `errors`
per line. FILE has the columns path,score,anomalous,heatmap,error. An image has its turn once whoever wrote it
closed it or renamed it into place, where the system says so (Linux, local disks); else once it has stayed the
same for two seconds (links to files elsewhere, too), and a file that looks cut short for thirty. Names that
begin with a dot or end with .tmp, .part or alike are on their way and wait for their last name. A file that is
changed is a new one; one that is renamed is not. Where FILE or its journal is taken away, the watch ends.

Maps have the size of the image, and are 0 where the model does not look. Heatmaps, maps and masks keep their
place below the folder that was named, so images of one name in two folders do not collide. With --watch they
are written before the line of their image, and those of an earlier run stay; lines of --regions are added. A
watch that was stopped, or killed, or lost its power, goes on: every image is in each of these files once.

An image that cannot be read, or that takes more memory than there is, is reported on standard error, the others are
scored, and the exit status is 3; with --on-error stop all such images are named, and the exit status is 1. A path that
does not exist, or a folder that cannot be read, ends the program before anything is scored.";

#[derive(Serialize)]
struct Document {
    model: String,
    threshold: Option<f32>,
    pixel_threshold: Option<f32>,
    map_scale: Option<f32>,
    images: Vec<Row>,
    errors: Vec<Damaged>,
}

impl Args {
    fn format(&self) -> Format {
        match (self.csv, self.json) {
            (true, _) => Format::Csv,
            (false, true) => Format::Json,
            (false, false) => Format::Table,
        }
    }
}

pub fn run(args: &Args, quiet: bool) -> Outcome {
    if let (Some(folder), Some(results)) = (&args.watch, &args.results) {
        return watch::run(args, folder, results, quiet);
    }
    if args.results.is_some() {
        return Err(Failure::Usage("--results goes with --watch; --csv prints the same lines".into()));
    }
    let bars = Bars::new(quiet);
    let paths = collect(args, &bars)?;
    let mut outputs = args.outputs.open(&args.images, false)?;
    let targets = outputs.plan(&paths)?;
    let detector = open_model(&args.model, &args.weights, &args.device)?;
    let info = detector.info();
    let format = args.format();
    outputs.begin(info, format == Format::Json, &bars)?;
    let width = paths.iter().map(|p| p.display().to_string().chars().count()).max().unwrap_or(0).clamp(4, 70);
    let files = Files::new(paths, &detector, outputs.draws(), args.on_error)?;
    let mut document = Document {
        model: args.model.display().to_string(),
        threshold: info.threshold,
        pixel_threshold: info.pixel_threshold,
        map_scale: outputs.scale(info),
        images: Vec::new(),
        errors: Vec::new(),
    };
    let mut shown = Vec::new();
    let [mut scored_images, mut anomalous] = [0; 2];
    // Of hundreds of thousands of images, what nobody asks for later is not kept.
    let keeps_rows = format == Format::Json || outputs.regions().is_some();
    catch_interrupts(quiet);
    print_header(format, width)?;
    let scoring = Scoring { detector: &detector, files: &files, outputs: &outputs, targets: &targets };
    scoring.run(format, &bars, |scored| {
        match scored {
            Scored::Row(row, image) => {
                shown.extend(image);
                match format {
                    Format::Table => bars.suspend(|| print(&row.line(width)))?,
                    Format::Csv => bars.suspend(|| print(&row.csv()))?,
                    Format::Json => {}
                }
                scored_images += 1;
                anomalous += usize::from(row.anomalous == Some(true));
                if keeps_rows {
                    document.images.push(row);
                }
            }
            Scored::Damaged(damaged, error) => {
                bars.suspend(|| print_error(&error));
                document.errors.push(damaged);
            }
        }
        Ok(())
    })?;
    outputs.end(&bars);
    // Before files that may not be written.
    if format == Format::Json {
        print_json(&document)?;
    }
    if let Some(file) = outputs.regions() {
        let images = document.images.iter();
        let text =
            regions_csv(images.map(|row| (row.path.as_str(), row.regions.as_deref().unwrap_or_default())));
        softpatch::files::write_whole(file, text.as_bytes())?;
    }
    if let Some(file) = outputs.report() {
        let mut page = ScorePage { images: shown, ..page("Scores".to_owned(), &args.model, info) };
        page.notes.extend(document.errors.iter().map(|bad| format!("Not scored: {}", bad.error)));
        page.write(file)?;
    }
    if format == Format::Table && !quiet {
        log::summary(&summary(&detector, scored_images, anomalous));
    }
    if document.errors.is_empty() {
        return Ok(());
    }
    let all = count(document.errors.len() + scored_images, "image");
    log::error(&format!("{} of {all} could not be read", document.errors.len()));
    Err(Failure::LeftOut)
}

fn print_header(format: Format, width: usize) -> Outcome {
    match format {
        Format::Table => print(&format!("{:<width$}  {:>9}  verdict\n", "path", "score")),
        Format::Csv => print("path,score,anomalous,heatmap\n"),
        Format::Json => Ok(()),
    }
}

/// `12 images scored, 3 anomalous (threshold 2.1)`.
fn summary(detector: &Detector, scored: usize, anomalous: usize) -> String {
    let info = detector.info();
    let threshold = match (info.threshold, &info.no_threshold) {
        (Some(t), _) => format!("threshold {t:.4}"),
        (None, Some(why)) => format!("no verdict, as the model has no threshold: {why}"),
        (None, None) => "no verdict, as the model has no threshold".to_owned(),
    };
    format!("{} scored, {anomalous} anomalous ({threshold})", count(scored, "image"))
}

/// What became of a file.
enum Scored {
    /// With what the page shows of it.
    Row(Row, Option<PageImage>),
    Damaged(Damaged, Error),
}

/// Files to score, and where what is written of each goes.
struct Scoring<'a> {
    detector: &'a Detector,
    files: &'a Files,
    outputs: &'a Outputs,
    targets: &'a [Targets],
}

impl Scoring<'_> {
    /// Scores the files in order and hands out what became of each.
    fn run(&self, format: Format, bars: &Bars, mut f: impl FnMut(Scored) -> Outcome) -> Outcome {
        let Self { detector, files, outputs, targets } = self;
        let told = format == Format::Json;
        let mut stopped = None;
        let scored = detector.score_source(*files, outputs.want(told), bars, |index, score| {
            if bars.cancelled() {
                return Err(Error::Cancelled);
            }
            let path = files.paths()[index].display().to_string();
            let picture = files.take_picture(index);
            let scored = match files.take_error(index) {
                Some(error) => Scored::Damaged(Damaged { path, error: error.to_string() }, error),
                None => {
                    let info = detector.info();
                    outputs.write(&targets[index], picture.as_ref(), &score, info)?;
                    let thumb = outputs.thumb(picture.as_ref(), &score, info, files.paths().len())?;
                    let image = thumb.map(|thumb| {
                        let path = files.paths()[index].clone();
                        PageImage { path, score: score.score, defect: None, thumb }
                    });
                    let regions = match info.map_threshold() {
                        Some(_) if outputs.finds_regions(told) => Some(detector.regions(&score)?),
                        _ => None,
                    };
                    let calibrated = detector.calibrated(score.score);
                    Scored::Row(Row::new(path, (&score, calibrated), regions, &targets[index]), image)
                }
            };
            f(scored).map_err(|failure| {
                stopped = Some(failure);
                Error::Cancelled
            })
        });
        bars.finish();
        match stopped {
            Some(failure) => Err(failure),
            None => Ok(scored?),
        }
    }
}

/// The images that the arguments name, each once; says what is left out of folders.
fn collect(args: &Args, bars: &Bars) -> Outcome<Vec<PathBuf>> {
    let (mut paths, mut again) = (Vec::new(), Vec::new());
    let mut seen = HashSet::new();
    for argument in &args.images {
        let found = if argument.is_dir() {
            let Listing { images, left_out } = list(argument, &args.folder)?;
            args.folder.say(argument, &left_out, bars)?;
            images
        } else if argument.exists() {
            vec![argument.clone()]
        } else {
            return Err(Failure::Failed(Error::Image {
                path: argument.clone(),
                reason: "there is no such file or folder".into(),
                remedy: "Check the path",
            }));
        };
        for path in found {
            if seen.insert(path.canonicalize().unwrap_or_else(|_| path.clone())) {
                paths.push(path);
            } else {
                again.push(path);
            }
        }
    }
    if let Some(first) = again.first() {
        let such = if again.len() == 1 { "" } else { "such as " };
        let files = count(again.len(), "file");
        bars.notice(&format!("left out: {files} named before: {such}{}", first.display()));
    }
    Ok(paths)
}

/// All images of a folder, without the masks of the set that it may be.
fn list(folder: &Path, options: &FolderArgs) -> Outcome<Listing> {
    let mut options = options.options(&TakeArgs::default());
    match Dataset::open_with(folder, &options) {
        // A set that lacks a label has images to score all the same.
        Err(_) if options.layout.is_none() => {
            options.layout = Some(Layout::Images);
            Ok(Dataset::open_with(folder, &options)?.all)
        }
        other => Ok(other?.all),
    }
}
