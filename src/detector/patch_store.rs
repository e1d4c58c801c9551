//! Vectors of all images: on the device, or in a temporary file.

use crate::Result;
use crate::gpu::{Device, Recorder, Tensor};
use crate::spool::Spool;
use crate::steps::coreset::bank_rows;
use std::sync::atomic::{AtomicU64, Ordering};

/// `[rows][dims]` in as many buffers as binding sizes ask for.
pub(crate) struct Chunks {
    /// The buffers; all but the last hold `rows` rows.
    pub tensors: Vec<Tensor>,
    /// Rows a buffer.
    pub rows: usize,
}

impl Chunks {
    fn new(device: &Device, rows: usize, dims: usize, label: &str) -> Result<Self> {
        let per = ((device.caps().max_binding / 4) as usize / dims).clamp(1, rows.max(1));
        let lens = (0..rows).step_by(per).map(|start| per.min(rows - start) * dims);
        let tensors = lens.map(|len| device.alloc(len, label)).collect::<Result<_>>()?;
        Ok(Self { tensors, rows: per })
    }

    /// The buffers that rows `first .. first + count` lie in: each with the first row there, and how many.
    fn parts(&self, first: usize, count: usize) -> impl Iterator<Item = (&Tensor, usize, usize)> {
        let end = first + count;
        let chunks = first / self.rows..end.div_ceil(self.rows);
        chunks.map(move |c| {
            let (start, stop) = (first.max(c * self.rows), end.min((c + 1) * self.rows));
            (&self.tensors[c], start - c * self.rows, stop - start)
        })
    }
}

/// Where the vectors are.
pub(crate) enum Place {
    /// On the device.
    Device(Chunks),
    /// In a temporary file.
    Disk(Spool),
}

/// Vectors of all images, a row a patch; patches are numbered image by image.
pub(crate) struct PatchStore {
    device: Device,
    /// Where they are.
    pub place: Place,
    dims: usize,
    /// Bytes of the file so far.
    written: AtomicU64,
}

impl PatchStore {
    /// Room for `[rows][dims]`.
    pub fn new(device: &Device, [rows, dims]: [usize; 2], on_disk: bool, label: &str) -> Result<Self> {
        let place = if on_disk && device.rehearses() {
            Place::Disk(Spool::rehearsed(dims))
        } else if on_disk {
            tracing::info!("{label} ({} MiB) wait on disk", (rows * dims) >> 18);
            Place::Disk(Spool::new(dims)?)
        } else {
            Place::Device(Chunks::new(device, rows, dims, label)?)
        };
        Ok(Self { device: device.clone(), place, dims, written: AtomicU64::new(0) })
    }

    /// Whether they are in a temporary file.
    pub fn is_on_disk(&self) -> bool {
        matches!(self.place, Place::Disk(_))
    }

    /// Records taking rows `first .. first + count` from the start of `from`, as far as that needs the device.
    pub fn record(&self, recorder: &mut Recorder, first: usize, count: usize, from: &Tensor) {
        if let Place::Device(chunks) = &self.place {
            let mut done = 0;
            for (to, row, rows) in chunks.parts(first, count) {
                recorder.copy(from, done * self.dims, to, row * self.dims, rows * self.dims);
                done += rows;
            }
        }
    }

    /// The rest of [`PatchStore::record`], once that is submitted.
    pub fn submitted(&self, first: usize, count: usize, from: &Tensor) -> Result<()> {
        match &self.place {
            Place::Device(_) => Ok(()),
            Place::Disk(spool) => {
                let values: Vec<f32> = self.device.read(&from.slice(0, count * self.dims))?;
                spool.write(first, &values)?;
                let end = 4 * ((first + count) * self.dims) as u64;
                let before = self.written.fetch_max(end, Ordering::Relaxed);
                self.device.count_spooled(end.saturating_sub(before));
                Ok(())
            }
        }
    }

    /// Copies rows `first .. first + count` to the start of `to`.
    pub fn load(&self, first: usize, count: usize, to: &Tensor) -> Result<()> {
        match &self.place {
            Place::Device(chunks) => {
                let mut recorder = Recorder::new(&self.device);
                let mut done = 0;
                for (from, row, rows) in chunks.parts(first, count) {
                    recorder.copy(from, row * self.dims, to, done * self.dims, rows * self.dims);
                    done += rows;
                }
                recorder.run()
            }
            Place::Disk(spool) => {
                let mut values = vec![0.0_f32; count * self.dims];
                spool.read(first, &mut values)?;
                self.device.write(to, 0, &values);
                Ok(())
            }
        }
    }

    /// Overwrites rows `first .. first + count` with what `from` begins with.
    pub fn fill(&self, first: usize, count: usize, from: &Tensor) -> Result<()> {
        let mut recorder = Recorder::new(&self.device);
        self.record(&mut recorder, first, count, from);
        recorder.run()?;
        self.submitted(first, count, from)
    }

    /// The vectors of the patches in `rows`, `[rows][dims]`.
    pub fn gather(&self, rows: &[u32]) -> Result<Vec<f32>> {
        let chunks = match &self.place {
            Place::Device(chunks) => chunks,
            Place::Disk(spool) => return spool.gather(rows),
        };
        let out = self.device.alloc(rows.len() * self.dims, "memory bank")?;
        let per = chunks.rows;
        for (c, tensor) in chunks.tensors.iter().enumerate() {
            let here = c * per..(c + 1) * per;
            let pairs: Vec<[u32; 2]> = rows
                .iter()
                .enumerate()
                .filter(|(_, row)| here.contains(&(**row as usize)))
                .map(|(i, row)| [*row - (c * per) as u32, i as u32])
                .collect();
            if pairs.is_empty() {
                continue;
            }
            let list = self.device.upload(&pairs, "bank rows")?;
            let mut recorder = Recorder::new(&self.device);
            bank_rows::record(&mut recorder, tensor, &list, pairs.len() as u32, self.dims as u32, &out)?;
            recorder.run()?;
        }
        self.device.read(&out)
    }
}
