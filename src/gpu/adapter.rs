//! The adapters of this machine, and the choice among them.

use super::options::DeviceOptions;
use crate::{Error, Result, process};

/// One adapter, as [`adapters`] lists it.
#[derive(Clone, Debug)]
pub struct AdapterSummary {
    /// Index for [`DeviceOptions::adapter`].
    pub index: usize,
    /// Name as the driver gives it.
    pub name: String,
    /// `vulkan`, `metal` or `dx12`.
    pub backend: String,
    /// `discrete`, `integrated`, `virtual`, `cpu` or `other`.
    pub kind: &'static str,
    /// Driver name and version.
    pub driver: String,
}

fn instance() -> wgpu::Instance {
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
    descriptor.backends = wgpu::Backends::PRIMARY;
    descriptor.flags = wgpu::InstanceFlags::empty();
    wgpu::Instance::new(descriptor)
}

fn rank(kind: wgpu::DeviceType) -> u8 {
    match kind {
        wgpu::DeviceType::DiscreteGpu => 0,
        wgpu::DeviceType::IntegratedGpu => 1,
        wgpu::DeviceType::VirtualGpu => 2,
        wgpu::DeviceType::Other => 3,
        wgpu::DeviceType::Cpu => 4,
    }
}

fn enumerate() -> Vec<wgpu::Adapter> {
    if wgpu::Instance::enabled_backend_features().is_empty() {
        // wgpu panics where it was built without any backend.
        return Vec::new();
    }
    // Some drivers start their threads here already.
    if process::enter().is_err() {
        return Vec::new();
    }
    let mut all = pollster::block_on(instance().enumerate_adapters(wgpu::Backends::PRIMARY));
    all.retain(|a| a.get_downlevel_capabilities().flags.contains(wgpu::DownlevelFlags::COMPUTE_SHADERS));
    all.sort_by_key(|a| rank(a.get_info().device_type));
    all
}

/// Name and version of the driver.
pub(super) fn driver(info: &wgpu::AdapterInfo) -> String {
    format!("{} {}", info.driver, info.driver_info).trim().to_owned()
}

/// All usable adapters, fastest kind first; none in a process that was forked from one that had used the
/// library.
pub fn adapters() -> Vec<AdapterSummary> {
    enumerate()
        .iter()
        .enumerate()
        .map(|(index, adapter)| {
            let info = adapter.get_info();
            AdapterSummary {
                index,
                driver: driver(&info),
                backend: info.backend.to_string(),
                kind: match info.device_type {
                    wgpu::DeviceType::DiscreteGpu => "discrete",
                    wgpu::DeviceType::IntegratedGpu => "integrated",
                    wgpu::DeviceType::VirtualGpu => "virtual",
                    wgpu::DeviceType::Cpu => "cpu",
                    wgpu::DeviceType::Other => "other",
                },
                name: info.name,
            }
        })
        .collect()
}

/// The adapter that `options` ask for.
///
/// # Errors
/// [`Error::Device`] where there is none, or none fits the name.
pub(super) fn choose(options: &DeviceOptions) -> Result<wgpu::Adapter> {
    let mut all = enumerate();
    if all.is_empty() {
        return Err(Error::Device(
            "no Vulkan, Metal or DX12 adapter found. Install a GPU driver, or on a machine without a GPU a software \
             one (Debian, Ubuntu: apt install mesa-vulkan-drivers libvulkan1). A library built without the features \
             vulkan, metal and dx12 finds none"
                .into(),
        ));
    }
    let chosen = match &options.adapter {
        None if options.low_power => {
            all.iter().position(|a| a.get_info().device_type == wgpu::DeviceType::IntegratedGpu).unwrap_or(0)
        }
        None => 0,
        Some(wanted) => {
            let by_index = wanted.parse().ok().filter(|&i: &usize| i < all.len());
            let lower = wanted.to_lowercase();
            let by_name = || all.iter().position(|a| a.get_info().name.to_lowercase().contains(&lower));
            by_index.or_else(by_name).ok_or_else(|| {
                let names: Vec<_> =
                    all.iter().enumerate().map(|(i, a)| format!("{i}: {}", a.get_info().name)).collect();
                Error::Device(format!("no adapter fits '{wanted}'; there are {}", names.join(", ")))
            })?
        }
    };
    Ok(all.swap_remove(chosen))
}
