//! The adapter that a subcommand runs on.

use super::failure::Outcome;
use super::folders::{cache_folder, tuning_table};
use softpatch::low_level::gpu::{Device, DeviceOptions};
use softpatch::low_level::roofline::tune::Table;

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
}

impl DeviceArgs {
    /// Opens it.
    pub fn open(&self) -> Outcome<Device> {
        open_device(self.device.as_deref(), self.no_self_test)
    }
}

/// Opens the adapter of that number or name, or the fastest kind.
fn open_device(adapter: Option<&str>, no_self_test: bool) -> Outcome<Device> {
    let cache = cache_folder();
    let adapter = adapter.map(str::to_owned);
    let options = DeviceOptions { adapter, cache, no_self_test, ..DeviceOptions::default() };
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
