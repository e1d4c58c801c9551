//! Opening a device: adapter, features, limits.

use super::adapter;
use super::cache::PipelineCache;
use super::caps::{Archetype, Caps, Coop, Disabled, Feature};
use super::coop;
use super::device::{Device, Shared};
use super::faults::Faults;
use super::health::Health;
use super::options::DeviceOptions;
use super::tested::SelfTest;
use super::texels;
use crate::{Error, Result, process};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};

impl Device {
    /// Opens an adapter.
    ///
    /// # Errors
    /// [`Error::Device`] where no adapter is found, none fits the name, the driver refuses, or this process
    /// was forked from one that had used the library.
    pub fn open(options: &DeviceOptions) -> Result<Self> {
        process::enter()?;
        let asked = Faults::from_env()?.map(Arc::new);
        let options = &DeviceOptions { faults: options.faults.clone().or(asked), ..options.clone() };
        let adapter = adapter::choose(options)?;
        let disabled = Disabled::from_env()?;
        let wanted = wgpu::Features::TIMESTAMP_QUERY
            | wgpu::Features::SUBGROUP
            | wgpu::Features::SHADER_F16
            | wgpu::Features::SHADER_INT64
            | wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX
            | if texels::offered(&adapter) { Feature::Texels.wgpu() } else { wgpu::Features::empty() };
        let mut features = adapter.features() & wanted;
        if options.cache.is_some() && adapter.get_info().device_type != wgpu::DeviceType::Cpu {
            features |= adapter.features() & wgpu::Features::PIPELINE_CACHE;
        }
        for feature in options.without.iter().chain(&disabled.features) {
            features = features.difference(feature.wgpu());
        }
        let limits = if options.default_limits { wgpu::Limits::default() } else { adapter.limits() };
        // SAFETY: asked for only where the adapter offers cooperative matrices, the one experimental feature
        // that is used; every kernel that uses it has a test against the reference.
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
        if this.caps().archetype == Archetype::Direct
            && features.contains(Feature::Texels.wgpu())
            && let Some(shared) = Arc::get_mut(&mut this.0)
        {
            shared.caps.texels = texels::most(&shared.wgpu.limits());
        }
        tracing::debug!(caps = ?this.caps(), "device");
        Ok(this)
    }

    /// Uses a device that the application already owns; the application keeps using it at the same time.
    /// Features that were not requested when the device was made (timestamps, subgroups, f16, words of 64
    /// bits) are not used, nor are cooperative matrices, nor textures in place of buffers.
    pub fn from_wgpu(device: wgpu::Device, queue: wgpu::Queue) -> Self {
        // In a forked process, what the device is used for says so.
        let _ = process::enter();
        // A misspelt name in the environment is an error of `open` alone.
        let disabled = Disabled::from_env().unwrap_or_default();
        // Which cooperative matrices there are only the adapter tells, and that the application has.
        let options = DeviceOptions::default();
        Self::of(Self::shared(device, queue, &options, &disabled, Health::new(None)))
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
        let health = Health::new(Some(options));
        Health::listen(&health, &device);
        Ok(Self::of(Self::shared(device, queue, options, disabled, health)))
    }

    fn shared(
        device: wgpu::Device,
        queue: wgpu::Queue,
        options: &DeviceOptions,
        disabled: &Disabled,
        health: Arc<Health>,
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
            texels: 0,
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
            // What passes or fails with faults put in says nothing about the adapter.
            self_test: (!options.no_self_test)
                .then(|| SelfTest::new(options.cache.clone().filter(|_| options.rewrite.is_none()))),
            rewrite: options.rewrite.clone(),
            texels: Mutex::default(),
            fills: Arc::default(),
            health,
            successor: Arc::default(),
            wgpu: device,
            queue,
            caps,
            tuning,
            kernels: Arc::default(),
            cache,
            rehearses: false,
            live_bytes: Arc::default(),
            peak_bytes: AtomicU64::new(0),
            spooled_bytes: AtomicU64::new(0),
            created: AtomicU64::new(0),
        }
    }
}
