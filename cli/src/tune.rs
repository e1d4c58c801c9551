//! `softpatch tune`.

use crate::common::failure::{Failure, Outcome};
use crate::common::folders::tuning_path;
use crate::common::output::{check_output_file, plain_path, print};
use softpatch::Error;
use softpatch::low_level::gpu::{Device, DeviceOptions};
use softpatch::low_level::roofline::tune::{Table, tune};
use std::path::PathBuf;

/// Measure which tile sizes suit this adapter and remember them for later runs.
#[derive(Debug, clap::Args)]
#[command(after_help = "The table lies in the user's configuration folder (softpatch/tuning.json below \
         XDG_CONFIG_HOME, ~/.config or APPDATA) and is read by every command; it has an entry for each \
         adapter and driver. SOFTPATCH_TUNING=FILE names another table, SOFTPATCH_TUNING= none. Results \
         change in their last digits, no more.")]
pub struct Args {
    /// Adapter to measure: its number in `softpatch devices`, or a part of its name.
    #[arg(long, value_name = "ADAPTER")]
    device: Option<String>,
    /// Table to write instead of the one that is read by every command.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

pub fn run(args: &Args) -> Outcome {
    let Some(path) = args.out.clone().or_else(tuning_path) else {
        return Err(Failure::Usage("there is no configuration folder; name a file with --out".into()));
    };
    if args.out.is_none()
        && let Some(folder) = path.parent()
    {
        std::fs::create_dir_all(folder).map_err(|e| Error::io(folder, "making the folder", e))?;
    }
    check_output_file(&path)?;
    let mut table = if path.exists() { Table::load(&path)? } else { Table::default() };
    let device = Device::open(&DeviceOptions { adapter: args.device.clone(), ..DeviceOptions::default() })?;
    let caps = device.caps();
    print(&format!("{} ({}), kernels {}\n", caps.adapter, caps.driver, caps.archetype))?;
    let mut stopped = None;
    let best = tune(&device, &mut |line| {
        if stopped.is_none() {
            stopped = print(&format!("{line}\n")).err();
        }
    })?;
    if let Some(failure) = stopped {
        return Err(failure);
    }
    table.set(&device, best.clone());
    table.save(&path)?;
    let text = serde_json::to_string(&softpatch::low_level::steps::tuning::values(&best))
        .map_err(|e| Failure::Output(e.into()))?;
    print(&format!("{text}\nwritten to {}\n", plain_path(&path)))
}
