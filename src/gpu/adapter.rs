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
            let names: Vec<String> = all.iter().map(|a| a.get_info().name).collect();
            find(wanted, &names).ok_or_else(|| Error::Device(unknown(wanted, &names)))?
        }
    };
    Ok(all.swap_remove(chosen))
}

/// The adapter of that number, or the first with that part in its name. A number is part of a name (`4090`)
/// only where it is larger than any machine has adapters, so that a wrong number is not another adapter.
fn find(wanted: &str, names: &[String]) -> Option<usize> {
    match wanted.parse::<usize>() {
        Ok(index) if index < names.len() => Some(index),
        Ok(..100) => None,
        _ => names.iter().position(|name| name.to_lowercase().contains(&wanted.to_lowercase())),
    }
}

fn unknown(wanted: &str, names: &[String]) -> String {
    let numbered: Vec<String> = names.iter().enumerate().map(|(i, name)| format!("{i} = {name}")).collect();
    let (adapters, choice) = if names.len() == 1 {
        ("is one adapter", "leave the choice out, or")
    } else {
        ("are these adapters", "")
    };
    let remedy = format!("{choice} name its number or a part of its name").trim_start().to_owned();
    format!("no adapter fits '{wanted}'. There {adapters}: {}; {remedy}", numbered.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adapters_are_found_by_number_or_name() {
        let names = ["NVIDIA GeForce RTX 4070", "llvmpipe (LLVM 15.0.7, 256 bits)"].map(str::to_owned);
        for (wanted, found) in
            [("0", Some(0)), ("1", Some(1)), ("7", None), ("4070", Some(0)), ("LLVM", Some(1))]
        {
            assert_eq!(find(wanted, &names), found, "{wanted}");
        }
        let said = unknown("7", &names);
        assert!(said.contains("0 = NVIDIA GeForce RTX 4070, 1 = llvmpipe"), "{said}");
        assert!(unknown("x", &names[1..]).contains("There is one adapter: 0 = llvmpipe"), "{said}");
    }
}
