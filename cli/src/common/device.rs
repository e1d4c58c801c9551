//! The adapter that a subcommand runs on.

use super::failure::Outcome;
use super::folders::{cache_folder, tuning_table};
use softpatch::low_level::gpu::{Device, DeviceOptions};
use softpatch::low_level::roofline::tune::Table;
use std::time::Duration;

/// Where the work runs.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct DeviceArgs {
    /// Adapter to use: its number in `softpatch devices`, or a part of its name.
    #[arg(long, value_name = "ADAPTER")]
    pub device: Option<String>,
    /// Do without the self-test, which runs kernels that are new to this adapter, driver and version once at
    /// small shapes and stops where one is wrong.
    #[arg(long)]
    pub no_self_test: bool,
    /// Seconds that the device may work on one step, usually well below one, before it counts as lost and is opened
    /// again once (30 by default).
    #[arg(long, value_name = "SECONDS", value_parser = seconds, allow_negative_numbers = true)]
    pub device_timeout: Option<Duration>,
}

/// A number of seconds above 0.
fn seconds(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text} is no number of seconds from 0.001 to 86400");
    let seconds: f64 = text.parse().map_err(|_| wrong())?;
    if (0.001..=86_400.0).contains(&seconds) { Ok(Duration::from_secs_f64(seconds)) } else { Err(wrong()) }
}

impl DeviceArgs {
    /// Opens the adapter of that number or name, or the fastest kind.
    pub fn open(&self) -> Outcome<Device> {
        let Self { device: adapter, no_self_test, device_timeout: timeout } = self.clone();
        let cache = cache_folder();
        let options = DeviceOptions { adapter, cache, no_self_test, timeout, ..DeviceOptions::default() };
        let mut device = Device::open(&options)?;
        if let Some(path) = tuning_table()
            && let Some(tuning) = Table::load(&path)?.find(&device)
        {
            tracing::info!(path = %path.display(), "tile sizes");
            device = device.with_tuning(tuning.clone())?;
        }
        tracing::info!(adapter = device.caps().adapter, archetype = %device.caps().archetype, "device");
        Ok(device)
    }
}
