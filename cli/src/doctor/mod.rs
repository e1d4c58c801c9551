//! `softpatch doctor`.

mod report;
mod scrub;

use crate::common::device::DeviceArgs;
use crate::common::failure::{Failure, Outcome};
use crate::common::log;
use crate::common::output::{check_output_file, print};
use report::{Check, Report};
use softpatch::low_level::cases::{self, Entry, Verdict};
use softpatch::low_level::gpu::Device;
use std::path::PathBuf;
use std::time::Instant;

/// Run every kernel that this adapter can choose against plain Rust, at small shapes: largest error, time,
/// pass or fail.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The report is for a bug report: version, system, adapters with drivers and limits, all checks with \
         their kernels, states of tuning table and caches, environment variables that steer them, default \
         settings. It is written where checks fail or no adapter opens, too, and as far as it got where the \
         driver ends the program. Pictures, their paths and names of users are not in it."
)]
pub struct Args {
    #[command(flatten)]
    device: DeviceArgs,
    /// Write what a maintainer asks for to this file, as JSON.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

pub fn run(args: &Args) -> Outcome {
    let Some(path) = &args.report else { return examine(args, None) };
    check_output_file(path)?;
    let mut report = Report::begin(path)?;
    let outcome = examine(args, Some(&mut report));
    let written = report.end(&outcome);
    // The status is that of the checks.
    match (outcome, written) {
        (Err(Failure::Failed(e)), Err(Failure::Failed(second))) => {
            crate::common::failure::print_error(&second);
            Err(Failure::Failed(e))
        }
        (Err(failure), _) => Err(failure),
        (Ok(()), written) => written,
    }
}

fn examine(args: &Args, mut report: Option<&mut Report>) -> Outcome {
    if let Some(report) = &mut report {
        report.adapters()?;
        report.doing("opening the device")?;
    }
    let device = args.device.open()?;
    let caps = device.caps();
    if let Some(report) = &mut report {
        report.device(&device);
    }
    let mut printed =
        print(&format!("{} ({}, {}), kernels {}\n", caps.adapter, caps.backend, caps.driver, caps.archetype))
            .and_then(|()| {
                print(&format!(
                    "{:<14} {:<44} {:>10} {:>10} {:>9}\n",
                    "kernel", "shape", "error", "allowed", "ms"
                ))
            });
    let all = cases::small(&device);
    let mut failed: Vec<(&Entry, Vec<String>)> = Vec::new();
    for entry in &all {
        // A reader of our output that has seen enough ends the checks, but for those of a report.
        if report.is_none() {
            printed?;
            printed = Ok(());
        }
        if let Some(report) = &mut report {
            report.doing(&format!("check {}", entry.id()))?;
        }
        let check = check(&device, entry);
        printed = printed.and_then(|()| print(&line(&check)));
        failed.extend((!check.passed).then(|| (entry, check.suspects())));
        if let Some(report) = &mut report {
            report.check(check);
        }
    }
    if failed.is_empty() {
        return printed.and_then(|()| print(&format!("all {} checks pass\n", all.len())));
    }
    let mut said = format!("{} of {} checks fail on this adapter", failed.len(), all.len());
    let mut told: Vec<&str> = Vec::new();
    for (entry, kernels) in &failed {
        said += &format!("\n  {} {}: {}", entry.kernel, entry.shape, kernels.join(", "));
        if !told.contains(&entry.used_by) {
            told.push(entry.used_by);
        }
    }
    said += &format!("\n  what stands on them is wrong here: {}", told.join("; "));
    let kernels: Vec<String> = failed.iter().flat_map(|(_, kernels)| kernels.iter().cloned()).collect();
    log::error_with(&said, Some(&cases::remedy(&device, &kernels)));
    Err(Failure::Reported)
}

/// Runs an entry and says what came of it.
fn check(device: &Device, entry: &Entry) -> Check {
    let run = || -> softpatch::Result<(Verdict, f64, Vec<String>)> {
        let case = entry.make(device)?;
        // Once to build what the driver builds late.
        case.run(device)?;
        let began = Instant::now();
        let verdict = case.run(device)?;
        Ok((verdict, began.elapsed().as_secs_f64(), case.kernels()))
    };
    let mut check = Check::of(entry);
    match run() {
        Ok((verdict, seconds, kernels)) => {
            check.passed = verdict.passed();
            check.figures = Some([verdict.error, verdict.allowed]);
            check.ms = Some(seconds * 1e3);
            check.kernels = kernels;
        }
        Err(e) => check.failure = Some(e.to_string()),
    }
    check
}

/// A check as a line of the table.
fn line(check: &Check) -> String {
    let head = format!("{:<14} {:<44}", check.kernel, check.shape);
    match (check.figures, &check.failure) {
        (Some([error, allowed]), _) => {
            let word = if check.passed { "pass" } else { "FAIL" };
            let ms = check.ms.unwrap_or_default();
            format!("{head} {error:>10.2e} {allowed:>10.2e} {ms:>9.3}  {word}\n")
        }
        (None, why) => format!("{head} FAIL: {}\n", why.as_deref().unwrap_or_default()),
    }
}
