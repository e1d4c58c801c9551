//! A device, and what is counted and shared on it.

use super::cache::PipelineCache;
use super::caps::Caps;
use super::health::{Health, Numbered};
use super::kernel::Kernel;
use super::options::Rewrite;
use super::tested::{SelfTest, Tested};
use super::texels::Pool;
use super::tuning::Tuning;
use crate::process::{self, OfProcess};
use crate::{Error, Result};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Instant;

pub(super) struct Shared {
    pub wgpu: wgpu::Device,
    pub queue: wgpu::Queue,
    pub caps: Caps,
    pub tuning: Tuning,
    /// Shared by devices that differ in tile sizes alone.
    pub kernels: Arc<Mutex<HashMap<String, Arc<Kernel>>>>,
    pub cache: Option<Arc<PipelineCache>>,
    /// None where kernels are used untried.
    pub self_test: Option<SelfTest>,
    pub rewrite: Option<Rewrite>,
    pub texels: Mutex<Pool>,
    /// Copies to textures that go before the next submission; shared by devices that differ in tile sizes alone.
    pub fills: Arc<Mutex<Vec<wgpu::CommandBuffer>>>,
    pub health: Arc<Health>,
    /// The last device that was opened in the place of one that was lost; shared by all that came one after the
    /// other. Those who use it keep it.
    pub successor: Arc<Mutex<Weak<OfProcess<Shared>>>>,
    /// Counts buffers and makes none.
    pub rehearses: bool,
    pub live_bytes: Arc<AtomicU64>,
    pub peak_bytes: AtomicU64,
    /// Bytes of features that were written to temporary files.
    pub spooled_bytes: AtomicU64,
    /// Buffers, bind groups and pipelines made so far.
    pub created: AtomicU64,
}

/// A GPU (or a CPU driver) that runs the kernels. Cheap to clone; clones share the device. `Send + Sync`.
///
/// A device belongs to its process: in one that was forked later, where the driver's threads are missing, all
/// that uses a device is [`Error::Device`], and dropping leaves things to the end of the process.
///
/// ```
/// use softpatch::{Device, DeviceOptions, adapters};
/// for adapter in adapters() {
///     println!("{adapter:?}");
/// }
/// // The fastest kind there is; a name, or a part of one, chooses another.
/// let device = Device::open(&DeviceOptions::default())?;
/// println!("{} by {}", device.caps().adapter, device.caps().driver);
/// let none = DeviceOptions { adapter: Some("no such adapter".into()), ..DeviceOptions::default() };
/// assert!(Device::open(&none).is_err());
/// # Ok::<(), softpatch::Error>(())
/// ```
#[derive(Clone)]
pub struct Device(pub(super) Arc<OfProcess<Shared>>);

impl std::fmt::Debug for Device {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Device").field("caps", &self.0.caps).finish()
    }
}

impl Device {
    /// The same device with other tile sizes; it shares the wgpu device and the compiled pipelines with this
    /// one.
    ///
    /// # Errors
    /// [`Error::InvalidOption`] where a size is out of its range.
    pub fn with_tuning(&self, tuning: Tuning) -> Result<Self> {
        tuning.validate()?;
        Ok(self.again(tuning, self.0.rehearses))
    }

    /// The same adapter, of which no more is used than its limits: buffers are counted and none is made,
    /// nothing is computed, and what is read is zero. What a job takes is found by going through it here.
    pub(crate) fn rehearsal(&self) -> Self {
        self.again(self.0.tuning.clone(), true)
    }

    fn again(&self, tuning: Tuning, rehearses: bool) -> Self {
        Self::of(Shared {
            rehearses,
            wgpu: self.0.wgpu.clone(),
            queue: self.0.queue.clone(),
            caps: self.0.caps.clone(),
            self_test: self.0.self_test.as_ref().filter(|_| !rehearses).map(SelfTest::anew),
            tuning,
            rewrite: self.0.rewrite.clone(),
            health: self.0.health.clone(),
            successor: self.0.successor.clone(),
            kernels: self.0.kernels.clone(),
            cache: self.0.cache.clone(),
            texels: Mutex::default(),
            fills: self.0.fills.clone(),
            live_bytes: Arc::default(),
            peak_bytes: AtomicU64::new(0),
            spooled_bytes: AtomicU64::new(0),
            created: AtomicU64::new(0),
        })
    }

    pub(super) fn of(shared: Shared) -> Self {
        Self(Arc::new(OfProcess::new(shared)))
    }

    /// The tile sizes in use.
    pub fn tuning(&self) -> &Tuning {
        &self.0.tuning
    }

    /// What the device offers and what of it is used.
    pub fn caps(&self) -> &Caps {
        &self.0.caps
    }

    /// The cases of kernels that gave right answers here; none where kernels are used untried. `kernels`
    /// stands for the text of all kernels.
    pub(crate) fn tested(&self, kernels: &str) -> Option<&Tested> {
        let Shared { self_test, caps, tuning, .. } = &**self.0;
        self_test.as_ref().map(|test| test.tested(caps, tuning, kernels))
    }

    /// The wgpu device underneath.
    pub fn wgpu(&self) -> (&wgpu::Device, &wgpu::Queue) {
        (&self.0.wgpu, &self.0.queue)
    }

    /// Most bytes of device buffers and textures that were alive at once.
    pub fn peak_bytes(&self) -> u64 {
        self.0.peak_bytes.load(Ordering::Relaxed)
    }

    /// Bytes of device buffers and textures that are alive.
    pub(crate) fn live_bytes(&self) -> u64 {
        self.0.live_bytes.load(Ordering::Relaxed)
    }

    /// Most bytes of device buffers and textures that were alive at once since this was asked last.
    #[doc(hidden)]
    pub fn take_peak(&self) -> u64 {
        self.0.peak_bytes.swap(self.live_bytes(), Ordering::Relaxed)
    }

    /// Whether this device [only counts](Self::rehearsal).
    pub(crate) fn rehearses(&self) -> bool {
        self.0.rehearses
    }

    /// Bytes of the features that waited in temporary files.
    pub fn spooled_bytes(&self) -> u64 {
        self.0.spooled_bytes.load(Ordering::Relaxed)
    }

    /// # Errors
    /// [`Error::Memory`] where the device was told to have less.
    pub(super) fn make_room(&self, bytes: u64, label: &str) -> Result<()> {
        let live = self.live_bytes();
        if let Some(most) = self.0.health.faults.as_ref().and_then(|faults| faults.memory)
            && live + bytes > most
        {
            return Err(Error::Memory(format!(
                "allocating {bytes} bytes for '{label}' beside {live}: it has {most}"
            )));
        }
        Ok(())
    }

    pub(super) fn count_bytes(&self, bytes: u64) {
        let live = self.0.live_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.0.peak_bytes.fetch_max(live, Ordering::Relaxed);
    }

    pub(crate) fn count_spooled(&self, bytes: u64) {
        self.0.spooled_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Buffers, bind groups and pipelines made so far: for tests that nothing is made where nothing should
    /// be.
    #[doc(hidden)]
    pub fn created(&self) -> u64 {
        self.0.created.load(Ordering::Relaxed)
    }

    pub(super) fn count_created(&self, objects: usize) {
        self.0.created.fetch_add(objects as u64, Ordering::Relaxed);
    }

    /// Labels of the pipelines built so far, `file:entry+FLAG CONST=value`, sorted: which variants are in
    /// use.
    pub fn built_kernels(&self) -> Vec<String> {
        let kernels = self.0.kernels.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut labels: Vec<String> = kernels.keys().cloned().collect();
        labels.sort();
        labels
    }

    pub(super) fn read_mapped<T: bytemuck::Pod>(&self, staging: &wgpu::Buffer, size: u64) -> Result<Vec<T>> {
        let slice = staging.slice(0..size);
        let (sender, receiver) = std::sync::mpsc::channel();
        self.scoped("readback", || {
            slice.map_async(wgpu::MapMode::Read, move |r| {
                let _ = sender.send(r);
            });
        })?;
        self.wait()?;
        receiver
            .recv()
            .map_err(|_| Error::Lost("what it was to answer was dropped".into()))?
            .map_err(|e| self.failed(Error::Device(format!("readback: {e}"))))?;
        let view = slice.get_mapped_range().map_err(|e| Error::Device(format!("readback: {e}")))?;
        let data = bytemuck::pod_collect_to_vec(&view[..]);
        drop(view);
        staging.unmap();
        Ok(data)
    }

    /// Waits until all submitted work is done.
    ///
    /// # Errors
    /// [`Error::Lost`] where the device was lost, [`Error::Device`] where it is another process's.
    pub fn wait(&self) -> Result<()> {
        self.wait_for(None)
    }

    /// Submits commands; counts and notes them. Where `softpatch::submission` is logged, each is waited for and
    /// timed: drivers end those that take seconds.
    pub(super) fn submit(&self, commands: wgpu::CommandBuffer) -> Numbered {
        let Shared { health, queue, wgpu, .. } = &**self.0;
        let number = health.submissions.fetch_add(1, Ordering::Relaxed) + 1;
        {
            // Held until they are on their way: what another thread submits may need them. No longer, as a submission
            // calls back whoever waits for the queue.
            let mut fills = self.0.fills.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            // By themselves: commands that are refused would take them along.
            if !fills.is_empty() {
                queue.submit(fills.drain(..));
            }
        }
        let numbered = (number, queue.submit([commands]));
        health.submitted(numbered.clone());
        if tracing::event_enabled!(target: "softpatch::submission", tracing::Level::TRACE) {
            let began = Instant::now();
            // Whoever waits for its results hears of an error.
            let _ = self.wait_for(Some(&numbered));
            tracing::trace!(target: "softpatch::submission", number, ms = 1e3 * began.elapsed().as_secs_f64());
        }
        if let Some((lost, silent)) = health.faults.as_ref().map(|faults| faults.submitted()) {
            health.is_silent.fetch_or(silent, Ordering::Relaxed);
            if lost {
                wgpu.destroy();
            }
        }
        numbered
    }

    /// Runs `f` and turns an error that wgpu raises in it into [`Error::Memory`] where memory is out, else into
    /// [`Error::Device`].
    pub(super) fn scoped<T>(&self, what: &str, f: impl FnOnce() -> T) -> Result<T> {
        process::check()?;
        self.0.health.check()?;
        let memory = self.0.wgpu.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let validation = self.0.wgpu.push_error_scope(wgpu::ErrorFilter::Validation);
        let value = f();
        let errors = [pollster::block_on(validation.pop()), pollster::block_on(memory.pop())];
        match errors.into_iter().flatten().next() {
            None => Ok(value),
            Some(e @ wgpu::Error::OutOfMemory { .. }) => Err(Error::Memory(format!("{what}: {e}"))),
            Some(e) => Err(self.failed(Error::Device(format!("{what}: {e}")))),
        }
    }
}
