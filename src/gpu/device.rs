//! A device, its buffers and pipelines.

use super::cache::PipelineCache;
use super::{Caps, Kernel, Rewrite, Tensor, Tested, Tuning, kernel};
use crate::{Error, Result};
use half::f16;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

pub(super) struct Shared {
    pub wgpu: wgpu::Device,
    pub queue: wgpu::Queue,
    pub caps: Caps,
    pub tuning: Tuning,
    /// Shared by devices that differ in tile sizes alone.
    pub kernels: Arc<Mutex<HashMap<String, Arc<Kernel>>>>,
    pub cache: Option<Arc<PipelineCache>>,
    /// Cases that passed the self-test; empty where there is to be no such test.
    pub tested: OnceLock<Tested>,
    pub rewrite: Option<Rewrite>,
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

impl Device {
    /// The same device with other tile sizes; it shares the wgpu device and the compiled pipelines with this one.
    ///
    /// # Errors
    /// [`Error::InvalidOption`] where a size is out of its range.
    pub fn with_tuning(&self, tuning: Tuning) -> Result<Self> {
        tuning.validate()?;
        Ok(Self(Arc::new(Shared {
            wgpu: self.0.wgpu.clone(),
            queue: self.0.queue.clone(),
            caps: self.0.caps.clone(),
            tested: self.tested().map(|t| t.with_tuning(&self.0.caps, &tuning).into()).unwrap_or_default(),
            tuning,
            rewrite: self.0.rewrite.clone(),
            kernels: self.0.kernels.clone(),
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

    pub(crate) fn tested(&self) -> Option<&Tested> {
        self.0.tested.get()
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
