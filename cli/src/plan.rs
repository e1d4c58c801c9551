//! `softpatch plan`.

use crate::common::failure::Outcome;
use crate::common::output::{print, print_json};
use crate::common::progress::Bars;
use crate::common::set::end;
use crate::common::sizes::{count, human_bytes};
use crate::common::training::{Training, TrainingArgs};
use serde::Serialize;
use softpatch::detector::{Detector, FitPlan, Probe};
use std::fmt::Write;
use std::time::Duration;

/// Time that the probe measures for.
const PROBE: Duration = Duration::from_secs(1);

/// Say what a fit will take before it runs: memory, disk, the size of the model, time.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The arguments are those of `softpatch fit`. Of the images headers are read; nothing is computed but \
         for the probe. Device buffers are counted by the code that makes them; the host's memory is an estimate. \
         Both are meant within a quarter (docs/measurements.md has planned and measured figures). With --json, one \
         object: images, largest ([width, height]), frame and grid ([rows, columns]), patches, dim, rows (of the \
         memory bank), batch, bands, stages (stage, device, host), vectors_on_disk, embeddings_on_disk, disk, model, \
         memory, weights, working, resident (bytes all; null where the system does not say), device, host, together, \
         counted (the peak that --memory is held against), and seconds (of the features; null without a probe) with \
         probed (pictures). Exit status 1 where the fit would be refused."
)]
pub struct Args {
    /// Leave out the probe, which brings a few images through the backbone for a second or two: no time is
    /// told then.
    #[arg(long)]
    no_probe: bool,
    /// One JSON document instead of text.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    training: TrainingArgs,
}

#[derive(Serialize)]
struct Document<'a> {
    #[serde(flatten)]
    plan: &'a FitPlan,
    device: u64,
    host: u64,
    together: u64,
    counted: u64,
    resident: Option<u64>,
    seconds: Option<f64>,
    probed: Option<usize>,
}

pub fn run(args: Args, quiet: bool) -> Outcome {
    let bars = Bars::new(quiet);
    let training = args.training.open(&bars, quiet, || Ok(()))?;
    let Training { device, backbone, options, .. } = &training;
    let resident = resident();
    let ((plan, probe), skipped) = training.judge(&bars, |source| {
        let plan = Detector::plan(device, backbone, &source, options, &bars)?;
        let probe = (!args.no_probe)
            .then(|| Detector::probe(device, backbone, &source, options, PROBE, &bars))
            .transpose()?;
        Ok((plan, probe))
    })?;
    if args.json {
        print_json(&Document {
            device: plan.device(),
            host: plan.host(),
            together: plan.together(),
            counted: plan.counted(),
            resident,
            seconds: probe.map(|probe| probe.seconds_of(plan.images)),
            probed: probe.map(|probe| probe.pictures),
            plan: &plan,
        })?;
    } else {
        print(&text(&plan, probe.as_ref(), resident))?;
    }
    end(skipped, "the plan is")
}

/// Bytes of this process that are in memory, where the system says so: program, driver, weights.
fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? << 10)
}

fn text(plan: &FitPlan, probe: Option<&Probe>, resident: Option<u64>) -> String {
    let mut text = String::new();
    let mut line = |key: &str, value: &str| {
        let _ = writeln!(text, "{key:<12}{value}");
    };
    let [rows, columns] = plan.frame;
    let [width, height] = plan.largest;
    line("images", &format!("{}, {width}x{height} the largest", plan.images));
    let bands = if plan.bands > 1 { format!(", in {} bands", plan.bands) } else { String::new() };
    line("frame", &format!("{columns}x{rows} pixels, {} at a time{bands}", plan.batch));
    line("patches", &format!("{} ({}x{} an image)", plan.patches, plan.grid[0], plan.grid[1]));
    line("bank", &format!("{} rows of {} values", plan.rows, plan.dim));
    line("model", &format!("{}, and up to 1 MB of training pictures", human_bytes(plan.model)));
    let waits = match (plan.vectors_on_disk, plan.embeddings_on_disk) {
        (true, true) => " in temporary files: projected vectors and embeddings",
        (true, false) => " in temporary files: projected vectors",
        (false, true) => " in temporary files: embeddings",
        (false, false) => "",
    };
    line(
        "disk",
        &if plan.disk > 0 { human_bytes(plan.disk) + waits } else { "nothing waits there".to_owned() },
    );
    line("memory", "stage          device        host    together");
    let largest = plan.largest_stage().copied();
    for stage in &plan.stages {
        let most = if largest.as_ref() == Some(stage) { "  most" } else { "" };
        line(
            "",
            &format!(
                "{:<10} {:>10}  {:>10}  {:>10}{most}",
                stage.stage.name(),
                human_bytes(stage.device),
                human_bytes(stage.host),
                human_bytes(stage.together())
            ),
        );
    }
    line(
        "of these",
        &format!(
            "{} weights and up to {} of working buffers, which do not count",
            human_bytes(plan.weights),
            human_bytes(plan.working)
        ),
    );
    if let Some(bytes) = resident {
        line("besides", &format!("{} that the program has now: weights, driver", human_bytes(bytes)));
    }
    line("budget", &budget(plan));
    match probe {
        Some(probe) => line(
            "time",
            &format!(
                "about {} for the features, as {} took {:.2} s just now; the choice of the bank comes on top",
                time(probe.seconds_of(plan.images)),
                count(probe.pictures, "picture"),
                probe.seconds
            ),
        ),
        None => line("time", "not probed"),
    }
    text
}

/// Whether it fits, and what to change.
fn budget(plan: &FitPlan) -> String {
    let (counted, memory) = (human_bytes(plan.counted()), human_bytes(plan.memory));
    if plan.counted() <= plan.memory {
        let disk = if plan.disk > 0 { "; more --memory keeps the features off the disk" } else { "" };
        return format!(
            "fits: {counted} beyond weights and working buffers, of the {memory} of --memory{disk}"
        );
    }
    let stage = plan.largest_stage().map_or("", |stage| stage.stage.name());
    format!(
        "does not fit: {counted} in the stage {stage}, and --memory is {memory}; raise it to {counted}, or use a smaller \
         batch, frame or coreset ratio"
    )
}

/// `41 s`, `3.2 min`.
fn time(seconds: f64) -> String {
    match seconds {
        s if s < 100.0 => format!("{s:.0} s"),
        s if s < 6000.0 => format!("{:.1} min", s / 60.0),
        s => format!("{:.1} h", s / 3600.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_short() {
        assert_eq!([3.4, 99.0, 192.0, 7200.0].map(time), ["3 s", "99 s", "3.2 min", "2.0 h"]);
    }
}
