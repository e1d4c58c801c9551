//! `softpatch doctor`.

use crate::common::{self, DeviceArgs, Failure, Outcome};
use softpatch::doctor::{Check, run as run_checks};

/// Run every kernel against plain Rust on this adapter: largest error, time, pass or fail.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    device: DeviceArgs,
}

pub fn run(args: &Args) -> Outcome {
    let device = args.device.open()?;
    let caps = device.caps();
    common::print(&format!(
        "{} ({}, {}), kernels {}\n",
        caps.adapter, caps.backend, caps.driver, caps.archetype
    ))?;
    common::print(&format!(
        "{:<14} {:<32} {:>10} {:>10} {:>9}\n",
        "kernel", "shape", "error", "allowed", "ms"
    ))?;
    let mut stopped = None;
    let (mut count, mut failed) = (0, 0);
    let all_pass = run_checks(&device, &mut |check| {
        count += 1;
        failed += usize::from(!check.passed());
        if stopped.is_none() {
            stopped = common::print(&line(check)).err();
        }
    })?;
    if let Some(failure) = stopped {
        return Err(failure);
    }
    if all_pass {
        common::print(&format!("all {count} checks pass\n"))
    } else {
        eprintln!(
            "error: {failed} of {count} checks fail on this adapter; its results cannot be trusted.\n  help: update its \
             driver, choose another adapter with --device, or try SOFTPATCH_DISABLE=f16,int64,subgroup,coop"
        );
        Err(Failure::Reported)
    }
}

fn line(check: &Check) -> String {
    match &check.outcome {
        Ok(m) => format!(
            "{:<14} {:<32} {:>10.2e} {:>10.2e} {:>9.3}  {}\n",
            check.name,
            check.shape,
            m.error,
            m.tolerance,
            m.seconds * 1e3,
            if check.passed() { "pass" } else { "FAIL" }
        ),
        Err(e) => format!("{:<14} {:<32} FAIL: {e}\n", check.name, check.shape),
    }
}
