//! Results on their way back, without waiting for work that was submitted after them.

use super::device::Device;
use super::health::Numbered;
use super::tensor::{Allocation, Tensor};
use crate::{Error, Result};
use std::ops::Range;

/// Work that was submitted.
#[derive(Clone, Debug)]
pub struct Submission(pub(super) Option<Numbered>);

/// A buffer of 4-byte words that the host reads again and again; [`super::Recorder::copy_back`] fills it.
pub struct Readback {
    device: Device,
    pub(super) allocation: Allocation,
}

impl std::fmt::Debug for Readback {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Readback({} bytes)", self.allocation.bytes)
    }
}

/// Words that can be read; until this is dropped, nothing may be submitted that fills the buffer.
pub struct Mapped<'a> {
    buffer: &'a wgpu::Buffer,
    view: Option<wgpu::BufferView>,
}

impl Readback {
    /// Room for `words` words.
    ///
    /// # Errors
    /// [`Error::Memory`] where memory is out.
    pub fn new(device: &Device, words: usize, label: &str) -> Result<Self> {
        let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
        let allocation =
            Allocation::new(device, (words as u64 * 4).next_multiple_of(16).max(16), usage, label)?;
        Ok(Self { device: device.clone(), allocation })
    }

    /// Waits for `submission`, which filled the buffer, but for nothing after it.
    ///
    /// # Errors
    /// [`Error::Lost`] where the device was lost.
    pub fn read(&self, submission: &Submission) -> Result<Mapped<'_>> {
        let buffer = &self.allocation.buffer;
        let slice = buffer.slice(..);
        let (sender, receiver) = std::sync::mpsc::channel();
        self.device.scoped("readback", || {
            slice.map_async(wgpu::MapMode::Read, move |r| {
                let _ = sender.send(r);
            });
        })?;
        self.device.wait_for(submission.0.as_ref())?;
        receiver
            .recv()
            .map_err(|_| Error::Lost("what it was to answer was dropped".into()))?
            .map_err(|e| self.device.failed(Error::Device(format!("readback: {e}"))))?;
        let view = slice.get_mapped_range().map_err(|e| Error::Device(format!("readback: {e}")))?;
        Ok(Mapped { buffer, view: Some(view) })
    }

    pub(super) fn check(&self, from: &Tensor, words: usize, to_word: usize) {
        assert!(
            words <= from.len() && (to_word + words) as u64 * 4 <= self.allocation.bytes,
            "a copy of {words} words does not fit"
        );
    }
}

impl Mapped<'_> {
    /// A copy of some of the words.
    pub fn words<T: bytemuck::Pod>(&self, range: Range<usize>) -> Vec<T> {
        let bytes = self.view.as_deref().unwrap_or_default();
        bytemuck::pod_collect_to_vec(&bytes[range.start * 4..range.end * 4])
    }

    /// Copies the words from `from` on to the caller's memory, as many as it takes.
    pub fn copy_to<T: bytemuck::Pod>(&self, from: usize, to: &mut [T]) {
        let to: &mut [u8] = bytemuck::cast_slice_mut(to);
        let bytes = self.view.as_deref().unwrap_or_default();
        to.copy_from_slice(&bytes[from * 4..][..to.len()]);
    }
}

impl Drop for Mapped<'_> {
    fn drop(&mut self) {
        self.view = None;
        self.buffer.unmap();
    }
}
