//! `softpatch doctor`.

use crate::common::device::DeviceArgs;
use crate::common::failure::{Failure, Outcome};
use crate::common::output::print;
use softpatch::low_level::cases::{self, Entry, Verdict};
use softpatch::low_level::gpu::Device;
use std::time::Instant;

/// Run every kernel that this adapter can choose against plain Rust, at small shapes: largest error, time,
/// pass or fail.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    device: DeviceArgs,
}

pub fn run(args: &Args) -> Outcome {
    let device = args.device.open()?;
    let caps = device.caps();
    print(&format!("{} ({}, {}), kernels {}\n", caps.adapter, caps.backend, caps.driver, caps.archetype))?;
    print(&format!("{:<14} {:<44} {:>10} {:>10} {:>9}\n", "kernel", "shape", "error", "allowed", "ms"))?;
    let all = cases::small(&device);
    let mut failed: Vec<(&Entry, Vec<String>)> = Vec::new();
    for entry in &all {
        let (text, kernels) = check(&device, entry);
        print(&text)?;
        failed.extend(kernels.map(|kernels| (entry, kernels)));
    }
    if failed.is_empty() {
        return print(&format!("all {} checks pass\n", all.len()));
    }
    eprintln!("error: {} of {} checks fail on this adapter", failed.len(), all.len());
    let mut told: Vec<&str> = Vec::new();
    for (entry, kernels) in &failed {
        eprintln!("  {} {}: {}", entry.kernel, entry.shape, kernels.join(", "));
        if !told.contains(&entry.used_by) {
            told.push(entry.used_by);
        }
    }
    eprintln!("  what stands on them is wrong here: {}", told.join("; "));
    let kernels: Vec<String> = failed.iter().flat_map(|(_, kernels)| kernels.iter().cloned()).collect();
    eprintln!("  help: {}", cases::remedy(&device, &kernels));
    Err(Failure::Reported)
}

/// A line about an entry, and where it failed the kernels that took part.
fn check(device: &Device, entry: &Entry) -> (String, Option<Vec<String>>) {
    let run = || -> softpatch::Result<(Verdict, f64, Vec<String>)> {
        let case = entry.make(device)?;
        // Once to build what the driver builds late.
        case.run(device)?;
        let began = Instant::now();
        let verdict = case.run(device)?;
        Ok((verdict, began.elapsed().as_secs_f64(), case.kernels()))
    };
    let head = format!("{:<14} {:<44}", entry.kernel, entry.shape);
    match run() {
        Ok((verdict, seconds, kernels)) => {
            let word = if verdict.passed() { "pass" } else { "FAIL" };
            let ms = seconds * 1e3;
            let text =
                format!("{head} {:>10.2e} {:>10.2e} {ms:>9.3}  {word}\n", verdict.error, verdict.allowed);
            (text, (!verdict.passed()).then_some(kernels))
        }
        Err(e) => (format!("{head} FAIL: {e}\n"), Some(vec![e.to_string()])),
    }
}
