//! A device, what it can do (decided once), its buffers and pipelines.

use super::cache::PipelineCache;
use super::{Coop, Kernel, Tensor, Tuning, adapter, kernel};
use crate::{Error, Result};
use half::f16;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// Kernel family for the matrix-shaped work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Archetype {
    /// No workgroup memory and no barrier, a large register tile an invocation: CPU drivers.
    Direct,
    /// Tiles staged in workgroup memory: GPUs.
    Tiled,
}

impl std::fmt::Display for Archetype {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Direct => "direct",
            Self::Tiled => "tiled",
        })
    }
}

/// What the device offers and what of it is used.
#[derive(Clone, Debug)]
pub struct Caps {
    /// Adapter name as the driver gives it.
    pub adapter: String,
    /// Driver name and version.
    pub driver: String,
    /// Backend: `vulkan`, `metal`, `dx12`.
    pub backend: String,
    /// Kernel family for matrix-shaped work.
    pub archetype: Archetype,
    /// Arithmetic in f16, which cooperative matrices need. Storage as f16 needs nothing.
    pub f16: bool,
    /// Words of 64 bits in shaders, in which the `direct` kernels load and store.
    pub int64: bool,
    /// Smallest and largest subgroup, where subgroup operations are offered.
    pub subgroup: Option<(u32, u32)>,
    /// Cooperative matrices with f16 operands and f32 sums; none where the adapter offers no shape that the kernels have.
    pub coop: Option<Coop>,
    /// Shaders run without wgpu's injected bounds and loop checks (release builds).
    pub unchecked: bool,
    /// Timestamp queries.
    pub timestamps: bool,
    /// Largest storage binding in bytes.
    pub max_binding: u64,
    /// Workgroup memory in bytes.
    pub max_workgroup_memory: u32,
    /// Invocations a workgroup.
    pub max_invocations: u32,
    /// Workgroups a dimension of a dispatch.
    pub max_groups: u32,
    /// Alignment of storage and uniform offsets in bytes.
    pub alignment: u64,
}

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
    /// Folder for a file of compiled pipelines, which the device reads as it opens and writes as it is dropped. None is
    /// written where this is `None`, the adapter keeps no such cache (all but Vulkan), or is a CPU driver, whose cache is
    /// empty.
    pub pipeline_cache: Option<PathBuf>,
    /// Stays within WebGPU's default limits though the adapter offers more.
    pub default_limits: bool,
    /// Does without words of 64 bits, as on an adapter that has none.
    pub without_int64: bool,
    /// Runs the kernels for cooperative matrices of this side (8 or 16) with matrices in ordinary registers, on an adapter
    /// with f16: very slow, for tests of these kernels on machines without such matrices.
    pub emulate_coop: Option<u32>,
    /// Tile sizes measured on this adapter, see [`Tuning`]; the defaults if `None`.
    pub tuning: Option<Tuning>,
}

pub(super) struct Shared {
    pub wgpu: wgpu::Device,
    pub queue: wgpu::Queue,
    pub caps: Caps,
    pub tuning: Tuning,
    pub kernels: Mutex<HashMap<String, Arc<Kernel>>>,
    pub cache: Option<Arc<PipelineCache>>,
    pub live_bytes: AtomicU64,
    pub peak_bytes: AtomicU64,
    /// Buffers, bind groups and pipelines made so far.
    pub created: AtomicU64,
}

/// A GPU (or a CPU driver) that runs the kernels. Cheap to clone; clones share the device. `Send + Sync`.
#[derive(Clone)]
pub struct Device(pub(super) Arc<Shared>);

impl std::fmt::Debug for Device {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Device").field("caps", &self.0.caps).finish()
    }
}

/// Features that a user turned off: `SOFTPATCH_DISABLE=f16,int64,subgroup,coop,unchecked`.
fn disabled(what: &str) -> bool {
    std::env::var("SOFTPATCH_DISABLE").is_ok_and(|v| v.split(',').any(|w| w.trim() == what))
}

impl Device {
    /// Opens an adapter.
    ///
    /// # Errors
    /// [`Error::Device`] where no adapter is found, none fits the name, or the driver refuses.
    pub fn open(options: &DeviceOptions) -> Result<Self> {
        let adapter = adapter::choose(options)?;
        let wanted = wgpu::Features::TIMESTAMP_QUERY
            | wgpu::Features::SUBGROUP
            | wgpu::Features::SHADER_F16
            | wgpu::Features::SHADER_INT64
            | wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX;
        let mut features = adapter.features() & wanted;
        if options.pipeline_cache.is_some() && adapter.get_info().device_type != wgpu::DeviceType::Cpu {
            features |= adapter.features() & wgpu::Features::PIPELINE_CACHE;
        }
        if disabled("f16") {
            features = features.difference(wgpu::Features::SHADER_F16);
        }
        if options.without_int64 || disabled("int64") {
            features = features.difference(wgpu::Features::SHADER_INT64);
        }
        if disabled("subgroup") {
            features = features.difference(wgpu::Features::SUBGROUP);
        }
        if disabled("coop") {
            features = features.difference(wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX);
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
        let coop = adapter::suitable_coop(&adapter, features);
        Self::build(device, queue, options, coop)
    }

    /// Uses a device that the application already owns; the application keeps using it at the same time. Features
    /// that were not requested when the device was made (timestamps, subgroups, f16, words of 64 bits) are not
    /// used, nor are cooperative matrices.
    pub fn from_wgpu(device: wgpu::Device, queue: wgpu::Queue) -> Self {
        // Which cooperative matrices there are only the adapter tells, and that the application has.
        let (options, coop) = (DeviceOptions::default(), None);
        Self(Arc::new(Self::shared(device, queue, &options, coop)))
    }

    fn build(
        device: wgpu::Device,
        queue: wgpu::Queue,
        options: &DeviceOptions,
        coop: Option<Coop>,
    ) -> Result<Self> {
        if let Some(tuning) = &options.tuning {
            tuning.validate()?;
        }
        if options.emulate_coop.is_some_and(|side| side != 8 && side != 16) {
            return Err(Error::InvalidOption("cooperative matrices have a side of 8 or 16".into()));
        }
        Ok(Self(Arc::new(Self::shared(device, queue, options, coop))))
    }

    fn shared(
        device: wgpu::Device,
        queue: wgpu::Queue,
        options: &DeviceOptions,
        coop: Option<Coop>,
    ) -> Shared {
        let (info, features, limits) = (device.adapter_info(), device.features(), device.limits());
        let by_type =
            if info.device_type == wgpu::DeviceType::Cpu { Archetype::Direct } else { Archetype::Tiled };
        let unchecked = options.unchecked.unwrap_or(!cfg!(debug_assertions) && !disabled("unchecked"));
        let caps = Caps {
            driver: adapter::driver(&info),
            backend: info.backend.to_string(),
            archetype: options.archetype.unwrap_or(by_type),
            f16: features.contains(wgpu::Features::SHADER_F16),
            int64: features.contains(wgpu::Features::SHADER_INT64),
            subgroup: features
                .contains(wgpu::Features::SUBGROUP)
                .then_some((info.subgroup_min_size, info.subgroup_max_size)),
            coop: match options.emulate_coop {
                Some(side) if features.contains(wgpu::Features::SHADER_F16) => {
                    Some(Coop { side, lanes: 32, emulated: true })
                }
                _ => coop,
            },
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
        tracing::debug!(?caps, "device");
        let cache = options
            .pipeline_cache
            .as_deref()
            .and_then(|folder| PipelineCache::open(&device, folder))
            .map(Arc::new);
        Shared {
            wgpu: device,
            queue,
            caps,
            tuning: options.tuning.clone().unwrap_or_default(),
            kernels: Mutex::default(),
            cache,
            live_bytes: AtomicU64::new(0),
            peak_bytes: AtomicU64::new(0),
            created: AtomicU64::new(0),
        }
    }

    /// The same device with other tile sizes; it shares nothing else with this one but the wgpu device and the file of
    /// compiled pipelines.
    ///
    /// # Errors
    /// [`Error::InvalidOption`] where a size is out of its range.
    pub fn with_tuning(&self, tuning: Tuning) -> Result<Self> {
        tuning.validate()?;
        Ok(Self(Arc::new(Shared {
            wgpu: self.0.wgpu.clone(),
            queue: self.0.queue.clone(),
            caps: self.0.caps.clone(),
            tuning,
            kernels: Mutex::default(),
            cache: self.0.cache.clone(),
            live_bytes: AtomicU64::new(0),
            peak_bytes: AtomicU64::new(0),
            created: AtomicU64::new(0),
        })))
    }

    /// The tile sizes in use.
    pub fn tuning(&self) -> &Tuning {
        &self.0.tuning
    }

    /// What the device offers and what of it is used.
    pub fn caps(&self) -> &Caps {
        &self.0.caps
    }

    /// The wgpu device underneath.
    pub fn wgpu(&self) -> (&wgpu::Device, &wgpu::Queue) {
        (&self.0.wgpu, &self.0.queue)
    }

    /// Most bytes of device buffers that were alive at once.
    pub fn peak_bytes(&self) -> u64 {
        self.0.peak_bytes.load(Ordering::Relaxed)
    }

    /// Buffers, bind groups and pipelines made so far: for tests that nothing is made where nothing should be.
    #[doc(hidden)]
    pub fn created(&self) -> u64 {
        self.0.created.load(Ordering::Relaxed)
    }

    pub(super) fn count_created(&self, objects: usize) {
        self.0.created.fetch_add(objects as u64, Ordering::Relaxed);
    }

    /// The pipeline of shader `name` with the given constants and flags, built at the first call.
    ///
    /// # Errors
    /// [`Error::Device`] where the shader is unknown or the driver refuses it, [`Error::Limit`] where its workgroup
    /// needs more than the device has.
    pub fn kernel(&self, name: &str, constants: &[(&str, u32)], flags: &[&str]) -> Result<Arc<Kernel>> {
        kernel::cached(self, name, constants, flags)
    }

    /// Labels of the pipelines built so far, `shader+FLAG CONST=value`, sorted: which variants are in use.
    pub fn built_kernels(&self) -> Vec<String> {
        let kernels = self.0.kernels.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut labels: Vec<String> = kernels.keys().cloned().collect();
        labels.sort();
        labels
    }

    /// A new buffer of `len` 4-byte words, zeroed.
    ///
    /// # Errors
    /// [`Error::Limit`] where it would not fit one binding, [`Error::Device`] where memory is out.
    pub fn alloc(&self, len: usize, label: &str) -> Result<Tensor> {
        Tensor::new(self, len, false, label)
    }

    /// A new buffer of `values` f16 values, zeroed.
    ///
    /// # Errors
    /// As [`Device::alloc`].
    pub fn alloc_f16(&self, values: usize, label: &str) -> Result<Tensor> {
        Tensor::new(self, values.div_ceil(2), true, label)
    }

    /// A new buffer with `data` rounded to f16; values beyond its range become its largest.
    ///
    /// # Errors
    /// As [`Device::alloc`].
    pub fn upload_f16(&self, data: &[f32], label: &str) -> Result<Tensor> {
        let max = f16::MAX.to_f32();
        let mut halves: Vec<f16> = data.iter().map(|v| f16::from_f32(v.clamp(-max, max))).collect();
        halves.resize(data.len().next_multiple_of(2), f16::ZERO);
        let tensor = self.alloc_f16(data.len(), label)?;
        self.write(&tensor, 0, &halves);
        Ok(tensor)
    }

    /// A new buffer with `data` in it (elements of 4 bytes).
    ///
    /// # Errors
    /// As [`Device::alloc`].
    pub fn upload<T: bytemuck::Pod>(&self, data: &[T], label: &str) -> Result<Tensor> {
        let bytes: &[u8] = bytemuck::cast_slice(data);
        let tensor = Tensor::new(self, bytes.len().div_ceil(4), false, label)?;
        self.write(&tensor, 0, data);
        Ok(tensor)
    }

    /// Writes `data` at word `offset` of `tensor`, before the next submission runs.
    ///
    /// # Panics
    /// Where the data does not fit.
    pub fn write<T: bytemuck::Pod>(&self, tensor: &Tensor, offset: usize, data: &[T]) {
        let bytes: &[u8] = bytemuck::cast_slice(data);
        assert!(offset * 4 + bytes.len() <= tensor.len() * 4, "write past the end of {tensor:?}");
        if !bytes.is_empty() {
            self.0.queue.write_buffer(tensor.buffer(), tensor.offset() + offset as u64 * 4, bytes);
        }
    }

    /// Waits for all submitted work and reads the whole tensor back.
    ///
    /// # Errors
    /// [`Error::Device`] where the device was lost.
    pub fn read<T: bytemuck::Pod>(&self, tensor: &Tensor) -> Result<Vec<T>> {
        let size = tensor.len() as u64 * 4;
        self.count_created(1);
        let staging = self.0.wgpu.create_buffer(&wgpu::BufferDescriptor {
            label: Some("readback"),
            size,
            usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let mut encoder = self.0.wgpu.create_command_encoder(&Default::default());
        encoder.copy_buffer_to_buffer(tensor.buffer(), tensor.offset(), &staging, 0, size);
        self.0.queue.submit([encoder.finish()]);
        self.read_mapped(&staging, size)
    }

    /// [`Device::read`] of f32 or f16 values, as f32.
    ///
    /// # Errors
    /// As [`Device::read`].
    pub fn read_values(&self, tensor: &Tensor) -> Result<Vec<f32>> {
        if !tensor.is_f16() {
            return self.read(tensor);
        }
        Ok(self.read::<f16>(tensor)?.into_iter().map(f16::to_f32).collect())
    }

    pub(super) fn read_mapped<T: bytemuck::Pod>(&self, staging: &wgpu::Buffer, size: u64) -> Result<Vec<T>> {
        let slice = staging.slice(0..size);
        let (sender, receiver) = std::sync::mpsc::channel();
        slice.map_async(wgpu::MapMode::Read, move |r| {
            let _ = sender.send(r);
        });
        self.wait()?;
        receiver
            .recv()
            .map_err(|_| Error::Device("readback was dropped: the device is lost".into()))?
            .map_err(|e| Error::Device(format!("readback: {e}")))?;
        let view = slice.get_mapped_range().map_err(|e| Error::Device(format!("readback: {e}")))?;
        let data = bytemuck::pod_collect_to_vec(&view[..]);
        drop(view);
        staging.unmap();
        Ok(data)
    }

    /// Waits until all submitted work is done.
    ///
    /// # Errors
    /// [`Error::Device`] where the device was lost.
    pub fn wait(&self) -> Result<()> {
        self.poll(wgpu::PollType::wait_indefinitely())
    }

    pub(super) fn poll(&self, until: wgpu::PollType) -> Result<()> {
        let polled = self.0.wgpu.poll(until);
        polled.map(|_| ()).map_err(|e| Error::Device(format!("waiting for the device: {e}")))
    }

    /// Runs `f` and turns a validation or out-of-memory error that wgpu raises in it into [`Error::Device`].
    pub(super) fn scoped<T>(&self, what: &str, f: impl FnOnce() -> T) -> Result<T> {
        let memory = self.0.wgpu.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let validation = self.0.wgpu.push_error_scope(wgpu::ErrorFilter::Validation);
        let value = f();
        let errors = [pollster::block_on(validation.pop()), pollster::block_on(memory.pop())];
        match errors.into_iter().flatten().next() {
            None => Ok(value),
            Some(e) => Err(Error::Device(format!("{what}: {e}"))),
        }
    }
}
