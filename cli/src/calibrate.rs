//! `softpatch calibrate`.

use crate::common::backbone::{ModelArgs, open_model};
use crate::common::device::DeviceArgs;
use crate::common::edits::model_file;
use crate::common::failure::{Failure, Outcome, print_error};
use crate::common::images::Files;
use crate::common::interrupt::catch_interrupts;
use crate::common::output::{plain, print, print_json};
use crate::common::progress::Bars;
use crate::common::set::{SetArgs, end};
use serde::Serialize;
use softpatch::Error;
use softpatch::data::ImageSource;
use softpatch::detector::Progress;
use softpatch::eval::{Calibrated, CalibrationSet, Verdicts, check_rate};
use std::fmt::Write;
use std::path::PathBuf;

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
    #[serde(flatten)]
    found: Calibrated,
}

pub fn run(args: &Args, quiet: bool) -> Outcome {
    args.target_fpr.map(check_rate).transpose().map_err(|e| match e {
        Error::InvalidOption(reason) => Failure::Usage(reason),
        other => other.into(),
    })?;
    let bars = Bars::new(quiet);
    let set = CalibrationSet::open(&args.dir, &args.set.options())?;
    set.notes.iter().for_each(|note| bars.notice(note));
    args.set.folder.say(&args.dir, &set.left_out, &bars)?;
    let target = model_file(&args.model, args.output.as_deref())?;
    let detector = open_model(&args.model, &args.weights, &args.device)?;
    set.check_apart(&detector)?.iter().for_each(|note| bars.notice(note));
    catch_interrupts(quiet);

    let files = Files::new(set.paths(), &detector, false, args.set.on_error)?;
    let scored = set.score(&detector, &files, &bars, |index| match files.take_error(index) {
        Some(error) => {
            bars.suspend(|| print_error(&error));
            false
        }
        None => true,
    })?;
    files.notes().iter().for_each(|note| bars.notice(note));
    bars.finish();
    let (model, found) = set.calibrate(detector.model(), &scored, args.target_fpr)?;
    let output = target.save(&model)?;
    let document = Document { model: output.display().to_string(), found };
    if args.json { print_json(&document) } else { print(&document.text()) }?;
    document.found.notes.iter().for_each(|note| bars.notice(note));
    end(set.items.len() - scored.len(), "the model was calibrated")
}

impl Document {
    fn text(&self) -> String {
        let mut text = format!("{}\n", plain(&self.model));
        let mut line = |key: &str, value: String| {
            let _ = writeln!(text, "  {key:<12}{value}");
        };
        let number = |v: Option<f32>| v.map_or("none".to_owned(), |v| format!("{v:.4}"));
        let [image, pixel] = self.found.before;
        let how = self.found.calibration.as_ref().map_or(String::new(), |c| format!(", {c}"));
        line("threshold", format!("{} (before: {}){how}", number(self.found.threshold), number(image)));
        line("of pixels", format!("{} (before: {})", number(self.found.pixel_threshold), number(pixel)));
        let Some(Verdicts { good, false_alarms, defects, misses, .. }) = self.found.at_threshold else {
            return text;
        };
        line("good", format!("{good}, of which {false_alarms} score above it"));
        if let (Some(f1), Some(at)) = (self.found.best_f1, self.found.best_f1_threshold) {
            let found = 100.0 * (defects - misses) as f64 / defects as f64;
            line("defects", format!("{defects}, of which {} are found ({found:.1} %)", defects - misses));
            line("best F1", format!("{f1:.4}, for scores from {at:.4} on"));
        }
        text
    }
}
