//! Opening a device: adapter, features, limits.

use super::cache::PipelineCache;
use super::caps::Disabled;
use super::device::Shared;
use super::{Archetype, Caps, Coop, Device, Feature, Tested, Tuning, adapter, coop};
use crate::{Error, Result};
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock};

/// How to open a device.
#[derive(Clone, Debug, Default)]
pub struct DeviceOptions {
    /// Adapter index as listed by [`adapters`](super::adapters), or a part of its name (case ignored); the fastest kind if `None`.
    pub adapter: Option<String>,
    /// Prefers an integrated GPU to a discrete one where `adapter` is `None`.
    pub low_power: bool,
    /// Forces a kernel family; by adapter type if `None`.
    pub archetype: Option<Archetype>,
    /// Forces shaders with (`Some(false)`) or without (`Some(true)`) injected checks; by build type if `None`.
    pub unchecked: Option<bool>,
    /// Folder for what the device remembers: which kernels passed their self-test, and, where a Vulkan GPU driver offers that,
    /// compiled pipelines (a file that is read as the device opens and written as it is dropped). Nothing is written where this
    /// is `None`.
    pub cache: Option<PathBuf>,
    /// Leaves out the self-test: before a model is fitted or scores with kernels that have not been used on this adapter, driver
    /// and version before, each runs once at a small shape and is compared with plain Rust.
    pub no_self_test: bool,
    /// Stays within WebGPU's default limits though the adapter offers more.
    pub default_limits: bool,
    /// Does without these, as on an adapter that lacks them; so does `SOFTPATCH_DISABLE`.
    pub without: Vec<Feature>,
    /// Runs the kernels for cooperative matrices of this side (8 or 16), held by so many lanes (16, 32 or 64), with matrices in
    /// ordinary registers, on an adapter with f16: very slow, for tests of these kernels on machines without such matrices.
    pub emulate_coop: Option<(u32, u32)>,
    /// Tile sizes measured on this adapter, see [`Tuning`]; the defaults if `None`.
    pub tuning: Option<Tuning>,
    /// Puts faults into shaders, for tests that they are found.
    #[doc(hidden)]
    pub rewrite: Option<Rewrite>,
}

/// Gives a shader of that name another text before it is compiled; `None` leaves it as it is.
#[doc(hidden)]
#[derive(Clone)]
pub struct Rewrite(pub Arc<Fault>);

/// Name and text to another text.
#[doc(hidden)]
pub type Fault = dyn Fn(&str, &str) -> Option<String> + Send + Sync;

impl std::fmt::Debug for Rewrite {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Rewrite")
    }
}

impl Device {
    /// Opens an adapter.
    ///
    /// # Errors
    /// [`Error::Device`] where no adapter is found, none fits the name, or the driver refuses.
    pub fn open(options: &DeviceOptions) -> Result<Self> {
        let adapter = adapter::choose(options)?;
        let disabled = Disabled::from_env()?;
        let wanted = wgpu::Features::TIMESTAMP_QUERY
            | wgpu::Features::SUBGROUP
            | wgpu::Features::SHADER_F16
            | wgpu::Features::SHADER_INT64
            | wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX;
        let mut features = adapter.features() & wanted;
        if options.cache.is_some() && adapter.get_info().device_type != wgpu::DeviceType::Cpu {
            features |= adapter.features() & wgpu::Features::PIPELINE_CACHE;
        }
        for feature in options.without.iter().chain(&disabled.features) {
            features = features.difference(feature.wgpu());
        }
        let limits = if options.default_limits { wgpu::Limits::default() } else { adapter.limits() };
        // SAFETY: asked for only where the adapter offers cooperative matrices, the one experimental feature that is
        // used; every kernel that uses it has a test against the reference.
        let experimental = if features.contains(wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX) {
            unsafe { wgpu::ExperimentalFeatures::enabled() }
        } else {
            wgpu::ExperimentalFeatures::disabled()
        };
        let (device, queue) = pollster::block_on(adapter.request_device(&wgpu::DeviceDescriptor {
            label: Some("softpatch"),
            required_features: features,
            required_limits: limits,
            experimental_features: experimental,
            memory_hints: wgpu::MemoryHints::MemoryUsage,
            trace: wgpu::Trace::Off,
        }))
        .map_err(|e| Error::Device(format!("{}: {e}", adapter.get_info().name)))?;
        let mut this = Self::build(device, queue, options, &disabled)?;
        if let (None, Some(offer)) = (options.emulate_coop, coop::Offer::of(&adapter, features))
            && let (coop @ Some(_), Some(shared)) = (offer.settle(&this), Arc::get_mut(&mut this.0))
        {
            shared.caps.coop = coop;
        }
        if let Some(coop) = this.caps().coop.filter(|c| c.emulated)
            && !coop::works(&this, coop)?
        {
            return Err(Error::Device("emulated cooperative matrices do not multiply right".into()));
        }
        tracing::debug!(caps = ?this.caps(), "device");
        Ok(this.remembering(options))
    }

    /// With what passed on this device before, which is a matter of all that it turned out to have.
    fn remembering(self, options: &DeviceOptions) -> Self {
        // What passes or fails with faults put in says nothing about the adapter.
        let folder = options.cache.as_deref().filter(|_| options.rewrite.is_none());
        if !options.no_self_test {
            self.0.tested.get_or_init(|| Tested::open(&self.0.caps, &self.0.tuning, folder));
        }
        self
    }

    /// Uses a device that the application already owns; the application keeps using it at the same time. Features
    /// that were not requested when the device was made (timestamps, subgroups, f16, words of 64 bits) are not
    /// used, nor are cooperative matrices.
    pub fn from_wgpu(device: wgpu::Device, queue: wgpu::Queue) -> Self {
        // A misspelt name in the environment is an error of `open` alone.
        let disabled = Disabled::from_env().unwrap_or_default();
        // Which cooperative matrices there are only the adapter tells, and that the application has.
        let options = DeviceOptions::default();
        Self(Arc::new(Self::shared(device, queue, &options, &disabled))).remembering(&options)
    }

    fn build(
        device: wgpu::Device,
        queue: wgpu::Queue,
        options: &DeviceOptions,
        disabled: &Disabled,
    ) -> Result<Self> {
        if let Some(tuning) = &options.tuning {
            tuning.validate()?;
        }
        if options
            .emulate_coop
            .is_some_and(|(side, lanes)| ![8, 16].contains(&side) || ![16, 32, 64].contains(&lanes))
        {
            return Err(Error::InvalidOption(
                "cooperative matrices have a side of 8 or 16, and 16, 32 or 64 lanes".into(),
            ));
        }
        Ok(Self(Arc::new(Self::shared(device, queue, options, disabled))))
    }

    fn shared(
        device: wgpu::Device,
        queue: wgpu::Queue,
        options: &DeviceOptions,
        disabled: &Disabled,
    ) -> Shared {
        let (info, limits) = (device.adapter_info(), device.limits());
        let off = disabled.features.iter().fold(wgpu::Features::empty(), |all, f| all | f.wgpu());
        let features = device.features().difference(off);
        let by_type =
            if info.device_type == wgpu::DeviceType::Cpu { Archetype::Direct } else { Archetype::Tiled };
        let unchecked = options.unchecked.unwrap_or(!cfg!(debug_assertions) && !disabled.unchecked);
        let caps = Caps {
            driver: adapter::driver(&info),
            id: format!("{:04x}:{:04x} {}", info.vendor, info.device, info.device_pci_bus_id),
            backend: info.backend.to_string(),
            archetype: options.archetype.unwrap_or(by_type),
            f16: features.contains(wgpu::Features::SHADER_F16),
            int64: features.contains(wgpu::Features::SHADER_INT64),
            subgroup: features
                .contains(wgpu::Features::SUBGROUP)
                .then_some((info.subgroup_min_size, info.subgroup_max_size)),
            coop: options
                .emulate_coop
                .filter(|_| features.contains(wgpu::Features::SHADER_F16))
                .map(|(side, lanes)| Coop { side, lanes, emulated: true }),
            unchecked,
            timestamps: features.contains(wgpu::Features::TIMESTAMP_QUERY),
            max_binding: limits.max_storage_buffer_binding_size.min(limits.max_buffer_size),
            max_workgroup_memory: limits.max_compute_workgroup_storage_size,
            max_invocations: limits.max_compute_invocations_per_workgroup,
            max_groups: limits.max_compute_workgroups_per_dimension,
            alignment: u64::from(
                limits.min_storage_buffer_offset_alignment.max(limits.min_uniform_buffer_offset_alignment),
            ),
            adapter: info.name,
        };
        let cache =
            options.cache.as_deref().and_then(|folder| PipelineCache::open(&device, folder)).map(Arc::new);
        let tuning = options.tuning.clone().unwrap_or_default();
        Shared {
            tested: OnceLock::new(),
            rewrite: options.rewrite.clone(),
            wgpu: device,
            queue,
            caps,
            tuning,
            kernels: Arc::default(),
            cache,
            live_bytes: AtomicU64::new(0),
            peak_bytes: AtomicU64::new(0),
            created: AtomicU64::new(0),
        }
    }
}
