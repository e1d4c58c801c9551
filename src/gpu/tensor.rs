//! Typed views of device buffers.

use super::device::{Device, Shared};
use super::texels::{Shown, Texels};
use crate::process::OfProcess;
use crate::{Error, Result};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, atomic::Ordering};

/// A buffer, counted for as long as it lives.
pub(super) struct Allocation {
    pub buffer: OfProcess<wgpu::Buffer>,
    pub bytes: u64,
    owner: Arc<OfProcess<Shared>>,
    /// Set where the words stay as they are.
    shown: OnceLock<Mutex<Shown>>,
}

impl Allocation {
    pub fn new(device: &Device, bytes: u64, usage: wgpu::BufferUsages, label: &str) -> Result<Self> {
        let shared = &device.0;
        device.make_room(bytes, label)?;
        let size = if shared.rehearses { 16 } else { bytes };
        let buffer = device.scoped(&format!("allocating {bytes} bytes for '{label}'"), || {
            shared.wgpu.create_buffer(&wgpu::BufferDescriptor {
                label: Some(label),
                size,
                usage,
                mapped_at_creation: false,
            })
        })?;
        device.count_created(1);
        device.count_bytes(bytes);
        Ok(Self { buffer: OfProcess::new(buffer), bytes, owner: shared.clone(), shown: OnceLock::new() })
    }
}

impl Drop for Allocation {
    fn drop(&mut self) {
        self.owner.live_bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// Bytes that a binding's start is a multiple of, on every adapter.
const ALIGNMENT: u64 = 256;

/// A run of 4-byte words on the device: f32, u32, or pairs of f16. Cheap to clone; clones share the memory.
#[derive(Clone)]
pub struct Tensor {
    allocation: Arc<Allocation>,
    offset: u64,
    len: usize,
    f16: bool,
    /// The texture that a dispatch binds in place of the buffer, where its kernel asks for one.
    texels: Option<Arc<Texels>>,
}

impl std::fmt::Debug for Tensor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = if self.f16 { " of f16 pairs" } else { "" };
        write!(f, "Tensor({} words{kind} at byte {})", self.len, self.offset)
    }
}

impl Tensor {
    pub(super) fn new(device: &Device, len: usize, f16: bool, label: &str) -> Result<Self> {
        // An empty binding is invalid in WebGPU, and sizes are kept multiples of a vec4.
        let bytes = (len.max(1) as u64 * 4).next_multiple_of(16);
        let max = device.caps().max_binding;
        if bytes > max {
            return Err(Error::Limit(format!(
                "buffer '{label}' needs {bytes} bytes, the device binds at most {max}; use fewer images per batch, a \
                 smaller coreset ratio or a smaller frame"
            )));
        }
        let usage = wgpu::BufferUsages::STORAGE
            | wgpu::BufferUsages::COPY_SRC
            | wgpu::BufferUsages::COPY_DST
            | wgpu::BufferUsages::UNIFORM;
        let allocation = Allocation::new(device, bytes, usage, label)?;
        Ok(Self { allocation: Arc::new(allocation), offset: 0, len, f16, texels: None })
    }

    /// Length in 4-byte words.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether every word holds two f16 values.
    pub fn is_f16(&self) -> bool {
        self.f16
    }

    /// Length in values: words, or twice as many with f16.
    pub fn values(&self) -> usize {
        if self.f16 { 2 * self.len } else { self.len }
    }

    /// Whether there are no words.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Words `start .. start + len` of this tensor, sharing its memory.
    ///
    /// # Panics
    /// Where the range does not fit, or its start is not aligned to 256 bytes (the portable binding
    /// alignment).
    pub fn slice(&self, start: usize, len: usize) -> Self {
        assert!(start.is_multiple_of(64), "slice start {start} is not a multiple of 64 words");
        self.part(start, len)
    }

    /// [`Tensor::slice`] from any word on; a kernel takes it only where its step says so.
    ///
    /// # Panics
    /// Where the range does not fit.
    pub fn part(&self, start: usize, len: usize) -> Self {
        assert!(start + len <= self.len, "words {start}+{len} of {self:?}");
        let offset = self.offset + start as u64 * 4;
        Self { allocation: self.allocation.clone(), offset, len, f16: self.f16, texels: None }
    }

    /// The same from the last word on that can be bound, and the words there are in front of its own.
    pub(crate) fn aligned(&self) -> (Self, u32) {
        let before = (self.offset % ALIGNMENT / 4) as usize;
        let offset = self.offset - before as u64 * 4;
        (
            Self {
                allocation: self.allocation.clone(),
                offset,
                len: self.len + before,
                f16: self.f16,
                texels: None,
            },
            before as u32,
        )
    }

    /// The same, whose words stay as they are from now on, in all of its memory: kernels that read it as a texture
    /// have it copied once.
    ///
    /// # Panics
    /// Later, where something is recorded or written that would change it: a mistake in host code, not in input.
    pub fn constant(self) -> Self {
        self.allocation.shown.get_or_init(Mutex::default);
        self
    }

    /// Whether the words stay as they are.
    pub(super) fn is_constant(&self) -> bool {
        self.allocation.shown.get().is_some()
    }

    /// Refuses to be changed where the words stay.
    pub(super) fn assert_may_change(&self) {
        assert!(!self.is_constant(), "{self:?} was declared constant");
    }

    /// The textures with its words, of which others may be made only by whoever holds this.
    pub(super) fn shown(&self) -> MutexGuard<'_, Shown> {
        let shown = self.allocation.shown.get_or_init(Mutex::default);
        shown.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn with_texels(&self, texels: Arc<Texels>) -> Self {
        Self { texels: Some(texels), ..self.clone() }
    }

    pub(super) fn texels(&self) -> Option<&Arc<Texels>> {
        self.texels.as_ref()
    }

    /// Whether both are the same words in the same memory.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.allocation, &other.allocation)
            && (self.offset, self.len) == (other.offset, other.len)
    }

    pub(super) fn buffer(&self) -> &wgpu::Buffer {
        &self.allocation.buffer
    }

    /// Whether it can be bound as it is.
    pub(super) fn is_aligned(&self) -> bool {
        self.offset.is_multiple_of(ALIGNMENT)
    }

    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// Whole 16-byte units where the allocation has them, so that a tail can be bound as `vec4`.
    pub(super) fn binding(&self) -> wgpu::BufferBinding<'_> {
        let size = (self.len.max(1) as u64 * 4).next_multiple_of(16).min(self.allocation.bytes - self.offset);
        wgpu::BufferBinding {
            buffer: self.buffer(),
            offset: self.offset,
            size: std::num::NonZeroU64::new(size),
        }
    }
}
