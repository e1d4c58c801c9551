//! `softpatch verify`.

use crate::common::backbone::{ModelArgs, open_model};
use crate::common::device::DeviceArgs;
use crate::common::failure::{Failure, Outcome};
use crate::common::log;
use crate::common::output::{plain, plain_path, print, print_json};
use crate::common::sizes::count;
use softpatch::detector::{Checked, MadeOn, Verification};
use std::path::PathBuf;

/// Check that a model is the one that was approved, and scores on this machine as it did where it was made.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "A model keeps a few training pictures with their scores (`softpatch fit` unless told \
         --no-references, or `softpatch model MODEL keep-references DIR`). They are scored here and compared. \
         Exit status 0: bank and thresholds are those that were approved, and no score differs by more than 1e-3, \
         relative (2e-2 with --precision f16); 1: not, or the model keeps none. Where edits of `softpatch model` \
         came after the approval, they are taken back for the comparison, and what they changed is told beside \
         it. With --json, one object: ok, count, largest_difference, bound, rank_changes, verdict_flips, \
         same_bank, same_thresholds, edits (since the approval), approved_on and here_on (version, adapter, \
         backend, driver), fingerprint, and pictures (name, approved, here, difference, was_anomalous, anomalous, \
         was_peak, peak, and edited: the score by the bank as edited, or null)."
)]
pub struct Args {
    /// Model file made by `softpatch fit`.
    model: PathBuf,
    /// One JSON document instead of text.
    #[arg(long)]
    json: bool,
    /// Weights that the model was made with, where those were not the built-in ones.
    #[arg(long, value_name = "FILE")]
    backbone: Option<PathBuf>,
    #[command(flatten)]
    device: DeviceArgs,
}

pub fn run(args: &Args) -> Outcome {
    let weights = ModelArgs { backbone: args.backbone.clone(), ..ModelArgs::default() };
    let detector = open_model(&args.model, &weights, &args.device)?;
    let found = detector.verify().map_err(|error| match error {
        softpatch::Error::InvalidOption(reason) | softpatch::Error::Model { reason, .. } => {
            softpatch::Error::Model { path: args.model.clone(), reason }
        }
        other => other,
    })?;
    if args.json {
        print_json(&found.document())?;
    } else {
        print(&text(&plain_path(&args.model), &found))?;
    }
    if found.ok() {
        return Ok(());
    }
    for reason in reasons(&found) {
        log::error(&format!("{}: {reason}", plain_path(&args.model)));
    }
    Err(Failure::Reported)
}

/// Why it is not the same.
fn reasons(found: &Verification) -> Vec<String> {
    let mut all = Vec::new();
    if !found.same_bank {
        all.push("the memory bank, or what is looked at, is not what was approved".to_owned());
    }
    if !found.same_thresholds {
        all.push("the thresholds are not those that were approved; after `softpatch calibrate`, `softpatch model MODEL \
                  keep-references DIR` approves the model as it is"
                .to_owned());
    }
    if found.largest_difference > found.bound {
        all.push(format!(
            "scores differ by {:.1e}, relative, from those that were approved, and {:.0e} is what devices may differ \
             by; `softpatch doctor` checks this one",
            found.largest_difference, found.bound
        ));
    }
    all
}

fn device(on: &MadeOn) -> String {
    let driver = if on.driver.is_empty() { String::new() } else { format!(", {}", on.driver) };
    format!("{} ({}{driver}), {}", on.adapter, on.backend, on.version)
}

fn verdict(anomalous: Option<bool>) -> &'static str {
    match anomalous {
        None => "-",
        Some(true) => "anomalous",
        Some(false) => "normal",
    }
}

fn text(name: &str, found: &Verification) -> String {
    let mut text = format!("{name}\n");
    let mut line = |key: &str, value: String| text.push_str(&format!("  {key:<12}{}\n", plain(&value)));
    line("approved on", device(&found.approved_on));
    line("here", device(&found.here_on));
    let yes =
        |same: bool, what: &str| if same { format!("{what} as approved") } else { format!("{what} CHANGED") };
    line("content", [yes(found.same_bank, "bank"), yes(found.same_thresholds, "thresholds")].join(", "));
    line("fingerprint", found.fingerprint[..16].to_owned());
    let width = found.pictures.iter().map(|p| plain(&p.name).chars().count()).max().unwrap_or(0).max(9);
    let edited = if found.edits > 0 { format!("  {:>12}", "edited") } else { String::new() };
    text.push_str(&format!(
        "{:<width$}  {:>12}  {:>12}  {:>10}  {:<9}{edited}\n",
        "reference", "approved", "here", "difference", "verdict"
    ));
    for Checked { name, approved, here, difference, was_anomalous, anomalous, edited, .. } in &found.pictures
    {
        let edited = edited.map_or(String::new(), |score| format!("  {score:>12.5}"));
        let flip = if was_anomalous == anomalous { "" } else { " (was not)" };
        text.push_str(&format!(
            "{:<width$}  {approved:>12.5}  {here:>12.5}  {difference:>10.1e}  {:<9}{flip}{edited}\n",
            plain(name),
            verdict(*anomalous)
        ));
    }
    text.push_str(&format!(
        "largest difference {:.1e} of {:.0e} allowed, {}, {}\n",
        found.largest_difference,
        found.bound,
        count(found.rank_changes, "rank change"),
        count(found.verdict_flips, "verdict flip")
    ));
    if found.edits > 0 {
        let moved = found.pictures.iter().filter(|p| p.edited.is_some_and(|score| score != p.here)).count();
        text.push_str(&format!(
            "{} since the approval (`softpatch model MODEL history`); {moved} of {} image scores of references changed by it, in \
             the last column\n",
            count(found.edits, "edit"),
            found.count
        ));
    }
    text.push_str(if found.ok() { "the same" } else { "NOT the same" });
    text.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}
