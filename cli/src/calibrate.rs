//! `softpatch calibrate`.

use crate::common::backbone::{ModelArgs, open_model};
use crate::common::device::DeviceArgs;
use crate::common::edits::Target;
use crate::common::failure::{Failure, Outcome, print_error};
use crate::common::images::Files;
use crate::common::interrupt::catch_interrupts;
use crate::common::output::{plain, plain_path, print, print_json};
use crate::common::progress::Bars;
use crate::common::set::{SetArgs, end};
use serde::Serialize;
use softpatch::Error;
use softpatch::data::{ImageSource, TestItem, TestSet, TrainSet};
use softpatch::detector::{Calibration, Detector, KeptPictures, Progress, Rule, Want};
use softpatch::eval::{BestF1, Verdicts, best_f1};
use std::collections::HashSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// The rate where neither the arguments nor the model's settings name one.
const RATE: f64 = 0.05;

/// Set a model's thresholds for a false-alarm rate, from good pictures that it was not fitted on.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "DIR is a folder of good pictures, or labelled images as `softpatch eval` reads them, of which the \
         good ones set the thresholds and the defects say what is then found. None may be a training picture. A rate \
         of 0.01 takes 99 good pictures; with fewer, the threshold is an extrapolation of their scores, which is \
         said. It is an edit in the model's history, which `softpatch model MODEL undo` takes back. With --json, one \
         object: model (the file written), threshold, pixel_threshold, calibration (target_fpr, \
         source, rule, good, left_out, interval: what the true rate lies in, with a confidence of 95 %), at_threshold \
         as of `softpatch eval`, best_f1 and its threshold (null without defects). Exit status 3: calibrated, but \
         for images that could not be used."
)]
pub struct Args {
    /// Model file made by `softpatch fit`.
    model: PathBuf,
    /// Folder of good pictures, or of a labelled data set.
    dir: PathBuf,
    /// False-alarm rate: the share of good pictures that may be called anomalous, 0.0001 to 0.5 [default:
    /// what the model was fitted for, else 0.05].
    #[arg(long, value_name = "RATE", allow_negative_numbers = true)]
    target_fpr: Option<f64>,
    /// Model file to write; without it, MODEL is replaced.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// One JSON document instead of text.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    set: SetArgs,
    #[command(flatten)]
    weights: ModelArgs,
    #[command(flatten)]
    device: DeviceArgs,
}

/// What was found.
#[derive(Debug, Serialize)]
struct Document {
    model: String,
    threshold: Option<f32>,
    pixel_threshold: Option<f32>,
    calibration: Option<Calibration>,
    at_threshold: Option<Verdicts>,
    best_f1: Option<f64>,
    best_f1_threshold: Option<f32>,
    /// Thresholds before.
    #[serde(skip)]
    before: [Option<f32>; 2],
}

pub fn run(args: &Args, quiet: bool) -> Outcome {
    if let Some(rate) = args.target_fpr.filter(|rate| !(0.0001..=0.5).contains(rate)) {
        return Err(Failure::Usage(format!("target-fpr is {rate}, it must be 0.0001 to 0.5")));
    }
    let bars = Bars::new(quiet);
    let items = open_set(args, &bars)?;
    let target = Target::new(&args.model, args.output.as_deref())?;
    let detector = open_model(&args.model, &args.weights, &args.device)?;
    let info = detector.info();
    let kept = detector.kept_pictures()?;
    refuse_training(&items, &info.images, &kept, &args.dir, &bars)?;
    catch_interrupts(quiet);
    let rate = args.target_fpr.or(Some(info.options.target_fpr).filter(|r| *r > 0.0)).unwrap_or(RATE);

    let (scored, skipped) = score(&detector, &items, &kept, args, &bars)?;
    bars.finish();
    let [scores, peaks] = [0, 1].map(|which| -> Vec<f32> {
        scored.iter().filter(|s| !s.is_defect).map(|s| [s.score, s.peak][which]).collect()
    });
    let mut model = detector.model().clone();
    model.calibrate(&scores, &peaks, rate).map_err(|e| match e {
        Error::InvalidOption(reason) => Error::Dataset { path: args.dir.clone(), reason },
        other => other,
    })?;
    if let Some(old) = info.threshold {
        let over = scores.iter().filter(|score| **score > old).count();
        if 2 * over > scores.len() {
            bars.notice(&format!(
                "{over} of {} good images pass the threshold that the model had, {old:.4}: are they of its parts?",
                scores.len()
            ));
        }
    }
    if model.references.is_some() {
        bars.notice(
            "`softpatch verify` holds thresholds against the approved ones: `softpatch model MODEL keep-references DIR` \
             approves the model as it is now",
        );
    }
    let output = target.save(|to| model.save(to))?;

    let all: Vec<f32> = scored.iter().map(|s| s.score).collect();
    let labels: Vec<bool> = scored.iter().map(|s| s.is_defect).collect();
    let best: Option<BestF1> = labels.contains(&true).then(|| best_f1(&all, &labels)).transpose()?;
    let document = Document {
        model: output.display().to_string(),
        threshold: model.info.threshold,
        pixel_threshold: model.info.pixel_threshold,
        at_threshold: model.info.threshold.map(|threshold| Verdicts::at(threshold, &all, &labels)),
        best_f1: best.map(|b| b.f1),
        best_f1_threshold: best.map(|b| b.threshold),
        before: [info.threshold, info.pixel_threshold],
        calibration: model.info.calibration,
    };
    if args.json { print_json(&document) } else { print(&document.text()) }?;
    document.tell(&bars);
    end(skipped, "the model was calibrated")
}

/// The images of the folder: labelled, or all good.
fn open_set(args: &Args, bars: &Bars) -> Outcome<Vec<TestItem>> {
    let options = args.set.options();
    let (items, left_out, notes) = match TestSet::open_with(&args.dir, &options) {
        Ok(set) => (set.items, set.left_out, set.notes),
        Err(error) => {
            let Ok(set) = TrainSet::open_with(&args.dir, &options) else { return Err(error.into()) };
            let good = |path| TestItem { path, defect: None, mask: None };
            (set.paths.into_iter().map(good).collect(), set.left_out, set.notes)
        }
    };
    notes.iter().for_each(|note| bars.notice(note));
    args.set.folder.say(&args.dir, &left_out, bars)?;
    if items.iter().all(TestItem::is_defect) {
        return Err(Failure::Failed(Error::Dataset {
            path: args.dir.clone(),
            reason: "there are no good images, whose scores a false-alarm rate is about; `softpatch data` shows what is \
                     taken for what"
                .into(),
        }));
    }
    Ok(items)
}

/// Of pictures that the bank has rows of, scores say nothing of new ones.
///
/// They are known by their paths; where those lead nowhere from here, that is said, and how many are known by
/// their pixels.
fn refuse_training(
    items: &[TestItem],
    trained: &[String],
    kept: &KeptPictures,
    dir: &Path,
    bars: &Bars,
) -> Outcome {
    let all = trained.len();
    let trained: HashSet<PathBuf> =
        trained.iter().filter_map(|name| Path::new(name).canonicalize().ok()).collect();
    if trained.is_empty() {
        let by_pixels = match kept.len() {
            0 => String::new(),
            n => format!(", but for {n} of them, which the model keeps"),
        };
        bars.notice(&format!(
            "none of the model's {all} training images is to be found from here, so that nothing tells whether these are \
             among them{by_pixels}: scores of training images say nothing of new ones"
        ));
    }
    let known = |item: &&TestItem| item.path.canonicalize().is_ok_and(|path| trained.contains(&path));
    let again: Vec<&TestItem> = items.iter().filter(known).collect();
    match again.first() {
        None => Ok(()),
        Some(first) => {
            Err(trained_on(dir, &format!("{} of its images are", again.len()), &plain_path(&first.path)))
        }
    }
}

/// The error where `which` are training images, such as `first`.
fn trained_on(dir: &Path, which: &str, first: &str) -> Failure {
    Failure::Failed(Error::Dataset {
        path: dir.to_owned(),
        reason: format!(
            "{which} training images of the model, such as {first}: their scores say nothing of new pictures; name others, \
             or fit with --target-fpr, which needs none"
        ),
    })
}

/// A scored image.
struct Scored {
    score: f32,
    /// The largest value of its map.
    peak: f32,
    is_defect: bool,
}

/// Scores the images; the second value is how many could not be used.
///
/// A training image under another name is known by its pixels, where the model keeps them.
fn score(
    detector: &Detector,
    items: &[TestItem],
    kept: &KeptPictures,
    args: &Args,
    bars: &Bars,
) -> Outcome<(Vec<Scored>, usize)> {
    let paths = items.iter().map(|item| item.path.clone()).collect();
    let files = Files::new(paths, detector.info(), !kept.is_empty(), args.set.on_error);
    let mut scored = Vec::with_capacity(items.len());
    let mut again = Vec::new();
    detector.score_source(&files, Want::Maps, bars, |index, score| {
        if let Some(picture) = files.take_picture(index)
            && let Some(name) = kept.find(&picture)?
        {
            again.push(format!("{}, which is {}", plain_path(&items[index].path), plain(name)));
        }
        match files.take_error(index) {
            Some(error) => bars.suspend(|| print_error(&error)),
            None => scored.push(Scored {
                score: score.score,
                peak: score.map.iter().copied().fold(0.0, f32::max),
                is_defect: items[index].is_defect(),
            }),
        }
        Ok(())
    })?;
    files.notes().iter().for_each(|note| bars.notice(note));
    if let Some(first) = again.first() {
        return Err(trained_on(
            &args.dir,
            &format!("{} of its images are by their pixels", again.len()),
            first,
        ));
    }
    let skipped = items.len() - scored.len();
    Ok((scored, skipped))
}

impl Document {
    fn text(&self) -> String {
        let mut text = format!("{}\n", plain(&self.model));
        let mut line = |key: &str, value: String| {
            let _ = writeln!(text, "  {key:<12}{value}");
        };
        let number = |v: Option<f32>| v.map_or("none".to_owned(), |v| format!("{v:.4}"));
        let [image, pixel] = self.before;
        let how = self.calibration.as_ref().map_or(String::new(), |c| format!(", {c}"));
        line("threshold", format!("{} (before: {}){how}", number(self.threshold), number(image)));
        line("of pixels", format!("{} (before: {})", number(self.pixel_threshold), number(pixel)));
        let Some(Verdicts { good, false_alarms, defects, misses, .. }) = self.at_threshold else {
            return text;
        };
        line("good", format!("{good}, of which {false_alarms} score above it"));
        if let (Some(f1), Some(at)) = (self.best_f1, self.best_f1_threshold) {
            let found = 100.0 * (defects - misses) as f64 / defects as f64;
            line("defects", format!("{defects}, of which {} are found ({found:.1} %)", defects - misses));
            line("best F1", format!("{f1:.4}, for scores from {at:.4} on"));
        }
        text
    }

    /// Says what a reader of the threshold should know.
    fn tell(&self, bars: &Bars) {
        let Some(Calibration { target_fpr, good, rule: Rule::Extrapolated, .. }) = &self.calibration else {
            return;
        };
        bars.notice(&format!(
            "a false-alarm rate of {target_fpr} takes {} good images to measure, and there are {good}: the threshold is \
             an extrapolation of their scores",
            Calibration::needed(*target_fpr)
        ));
    }
}
