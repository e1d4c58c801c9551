//! Buffers of a device: made, written, read.

use super::device::Device;
use super::tensor::{Allocation, Tensor};
use crate::workers::share;
use crate::{Error, Result};
use half::f16;

/// Words that a thread packs at a time.
const PIECE: usize = 1 << 16;
/// Pieces whose staging memory is made before they are filled: 16 MiB.
const TOGETHER: usize = 64;
/// Words that are written as a row where there are none.
const ROW: usize = 1 << 12;
/// From so many bytes on a write is shared among threads.
const MANY: usize = 1 << 20;
/// Words of pixels that a core packs in a microsecond, measured.
const WORDS_PER_MICROSECOND: usize = 1000;

/// Rows of words on their way to a tensor.
pub(crate) struct Rows {
    /// Word of the tensor where they begin.
    pub at: usize,
    /// Of a row.
    pub words: usize,
    /// How many.
    pub rows: usize,
}

impl Device {
    /// A new buffer of `len` 4-byte words, zeroed.
    ///
    /// # Errors
    /// [`crate::Error::Limit`] where it would not fit one binding, [`crate::Error::Memory`] where memory is
    /// out.
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
        let tensor = self.alloc_f16(data.len(), label)?;
        self.write_words(&tensor, 0, data.len().div_ceil(2), &|first, words| {
            let halves: &mut [f16] = bytemuck::cast_slice_mut(words);
            halves.fill(f16::ZERO);
            for (half, v) in halves.iter_mut().zip(&data[2 * first..]) {
                *half = f16::from_f32(v.clamp(-max, max));
            }
        })?;
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

    /// Writes `data` at word `offset` of `tensor`, before the next submission runs. Where that fails, the next
    /// call that waits or submits says so.
    ///
    /// # Panics
    /// Where the data does not fit.
    pub fn write<T: bytemuck::Pod>(&self, tensor: &Tensor, offset: usize, data: &[T]) {
        let bytes: &[u8] = bytemuck::cast_slice(data);
        assert!(offset * 4 + bytes.len() <= tensor.len() * 4, "write past the end of {tensor:?}");
        tensor.assert_may_change();
        if bytes.is_empty() || self.rehearses() {
            return;
        }
        let written = if bytes.len() >= MANY && bytes.len().is_multiple_of(4) {
            self.write_words(tensor, offset, bytes.len() / 4, &|first, words| {
                let to: &mut [u8] = bytemuck::cast_slice_mut(words);
                to.copy_from_slice(&bytes[4 * first..][..to.len()]);
            })
        } else {
            let at = tensor.offset() + offset as u64 * 4;
            self.scoped("writing", || self.0.queue.write_buffer(tensor.buffer(), at, bytes))
        };
        if let Err(error) = written {
            self.0.health.keep(error);
        }
    }

    /// Writes `count` words at word `at`: `pack` has to fill those from a word on, counted from the first of them.
    fn write_words(
        &self,
        tensor: &Tensor,
        at: usize,
        count: usize,
        pack: &(dyn Fn(usize, &mut [u32]) + Sync),
    ) -> Result<()> {
        let (rows, rest) = (count / ROW, count % ROW);
        let whole = Rows { at, words: ROW, rows };
        let last = Rows { at: at + rows * ROW, words: rest, rows: 1 };
        self.write_rows(tensor, &[whole, last], &|block, row, words| pack((block * rows + row) * ROW, words))
    }

    /// Writes blocks of rows before the next submission runs: `pack` has to fill row `row` of block number
    /// `block`, in any order and on several threads.
    ///
    /// # Errors
    /// [`crate::Error::Memory`] where memory is out, [`crate::Error::Lost`] where the device was lost.
    ///
    /// # Panics
    /// Where a block passes the tensor's end.
    pub(crate) fn write_rows(
        &self,
        tensor: &Tensor,
        blocks: &[Rows],
        pack: &(dyn Fn(usize, usize, &mut [u32]) + Sync),
    ) -> Result<()> {
        tensor.assert_may_change();
        if self.rehearses() {
            return Ok(());
        }
        let mut pieces = Vec::new();
        for (block, &Rows { at, words, rows }) in blocks.iter().enumerate() {
            assert!(at + rows * words <= tensor.len(), "write past the end of {tensor:?}");
            let per = (PIECE / words.max(1)).max(1);
            let starts = (0..rows).step_by(per).filter(|_| words > 0);
            pieces.extend(starts.map(|row| (block, row, per.min(rows - row))));
        }
        // Staging memory that was not handed back stays for good where there is no more to be had.
        for some in pieces.chunks(TOGETHER) {
            self.write_pieces(tensor, blocks, some, pack)?;
        }
        Ok(())
    }

    /// Writes pieces of blocks: number of the block, first row, and rows.
    fn write_pieces(
        &self,
        tensor: &Tensor,
        blocks: &[Rows],
        pieces: &[(usize, usize, usize)],
        pack: &(dyn Fn(usize, usize, &mut [u32]) + Sync),
    ) -> Result<()> {
        let (mut views, mut all) = (Vec::new(), 0);
        let complete = self.scoped("writing", || {
            for &(block, row, rows) in pieces {
                let Rows { at, words, .. } = blocks[block];
                let to = tensor.offset() + 4 * (at + row * words) as u64;
                let bytes = wgpu::BufferSize::new(4 * (rows * words) as u64);
                let view = bytes.and_then(|bytes| self.0.queue.write_buffer_with(tensor.buffer(), to, bytes));
                let Some(view) = view else { return false };
                all += rows * words;
                views.push((block, row, view));
            }
            true
        })?;
        if !complete {
            let _ = self.scoped("writing", || drop(views));
            return Err(self.failed(Error::Device("writing: there is no staging memory".into())));
        }
        share(views.iter_mut().collect(), (all / WORDS_PER_MICROSECOND) as u64, |(block, first, view)| {
            let mut row = vec![0; blocks[*block].words];
            let mut rest = view.slice(..);
            for y in *first.. {
                if rest.is_empty() {
                    break;
                }
                pack(*block, y, &mut row);
                let (mut to, after) = rest.split_at(4 * row.len());
                to.copy_from_slice(bytemuck::cast_slice(&row));
                rest = after;
            }
        });
        // They go to the queue as they are dropped.
        self.scoped("writing", || drop(views))
    }

    /// Waits for all submitted work and reads the whole tensor back.
    ///
    /// # Errors
    /// [`crate::Error::Lost`] where the device was lost.
    pub fn read<T: bytemuck::Pod>(&self, tensor: &Tensor) -> Result<Vec<T>> {
        let size = tensor.len() as u64 * 4;
        let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
        let staging = Allocation::new(self, size, usage, "readback")?;
        if self.rehearses() {
            return Ok(vec![T::zeroed(); tensor.len() * 4 / size_of::<T>()]);
        }
        self.scoped("reading", || {
            let mut encoder = self.0.wgpu.create_command_encoder(&Default::default());
            encoder.copy_buffer_to_buffer(tensor.buffer(), tensor.offset(), &staging.buffer, 0, size);
            self.submit(encoder.finish());
        })?;
        self.read_mapped(&staging.buffer, size)
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
}
