//! Vectors of all images: on the device, or in a temporary file.

use crate::gpu::{Device, Recorder, Tensor};
use crate::spool::Spool;
use crate::steps::coreset::bank_rows;
use crate::{Error, Result};

/// `[images][positions][dims]` in as many buffers as binding sizes ask for, cut between images.
pub(crate) struct Chunks {
    /// The buffers; all but the last hold `images` images.
    pub tensors: Vec<Tensor>,
    /// Images a buffer.
    pub images: usize,
}

impl Chunks {
    fn new(device: &Device, images: usize, image_words: usize, label: &str) -> Result<Self> {
        let per = ((device.caps().max_binding / 4) as usize / image_words).min(images);
        if per == 0 {
            return Err(Error::Limit(format!(
                "the features of one image ({image_words} values) pass what the device binds; use a smaller \
                 frame"
            )));
        }
        let lens = (0..images).step_by(per).map(|start| per.min(images - start) * image_words);
        let tensors = lens.map(|len| device.alloc(len, label)).collect::<Result<_>>()?;
        Ok(Self { tensors, images: per })
    }

    /// Buffer and word of image `image`.
    fn at(&self, image: usize, image_words: usize) -> (&Tensor, usize) {
        (&self.tensors[image / self.images], image % self.images * image_words)
    }
}

/// Where the vectors are.
pub(crate) enum Place {
    /// On the device.
    Device(Chunks),
    /// In a temporary file.
    Disk(Spool),
}

/// Vectors of all images, a row a patch.
pub(crate) struct PatchStore {
    device: Device,
    /// Where they are.
    pub place: Place,
    positions: usize,
    dims: usize,
}

impl PatchStore {
    /// Room for `[images][positions][dims]`.
    pub fn new(
        device: &Device,
        [images, positions, dims]: [usize; 3],
        on_disk: bool,
        label: &str,
    ) -> Result<Self> {
        let place = if on_disk {
            tracing::info!("{label} ({} MiB) wait on disk", (images * positions * dims) >> 18);
            Place::Disk(Spool::new(dims)?)
        } else {
            Place::Device(Chunks::new(device, images, positions * dims, label)?)
        };
        Ok(Self { device: device.clone(), place, positions, dims })
    }

    fn image_words(&self) -> usize {
        self.positions * self.dims
    }

    /// Records taking images `start .. start + count` from the start of `from`, as far as that needs the
    /// device.
    pub fn record(&self, recorder: &mut Recorder, start: usize, count: usize, from: &Tensor) {
        let words = self.image_words();
        if let Place::Device(chunks) = &self.place {
            for i in 0..count {
                let (to, word) = chunks.at(start + i, words);
                recorder.copy(from, i * words, to, word, words);
            }
        }
    }

    /// The rest of [`PatchStore::record`], once that is submitted.
    pub fn submitted(&self, start: usize, count: usize, from: &Tensor) -> Result<()> {
        match &self.place {
            Place::Device(_) => Ok(()),
            Place::Disk(spool) => {
                let values: Vec<f32> = self.device.read(&from.slice(0, count * self.image_words()))?;
                spool.write(start * self.positions, &values)
            }
        }
    }

    /// Copies the vectors of image `image` to `to` `[positions][dims]`.
    pub fn image(&self, image: usize, to: &Tensor) -> Result<()> {
        let words = self.image_words();
        match &self.place {
            Place::Device(chunks) => {
                let (from, word) = chunks.at(image, words);
                let mut recorder = Recorder::new(&self.device);
                recorder.copy(from, word, to, 0, words);
                recorder.run()
            }
            Place::Disk(spool) => {
                let mut values = vec![0.0_f32; words];
                spool.read(image * self.positions, &mut values)?;
                self.device.write(to, 0, &values);
                Ok(())
            }
        }
    }

    /// Overwrites `count` rows from row `first` on (image-major numbers, all of one image) with what `from` begins
    /// with.
    pub fn fill(&self, first: usize, count: usize, from: &Tensor) -> Result<()> {
        match &self.place {
            Place::Device(chunks) => {
                let (image, row) = (first / self.positions, first % self.positions);
                let (to, word) = chunks.at(image, self.image_words());
                let mut recorder = Recorder::new(&self.device);
                recorder.copy(from, 0, to, word + row * self.dims, count * self.dims);
                recorder.run()
            }
            Place::Disk(spool) => {
                spool.write(first, &self.device.read::<f32>(&from.slice(0, count * self.dims))?)
            }
        }
    }

    /// The vectors of the patches in `rows` (image-major numbers), `[rows][dims]`.
    pub fn gather(&self, rows: &[u32]) -> Result<Vec<f32>> {
        let chunks = match &self.place {
            Place::Device(chunks) => chunks,
            Place::Disk(spool) => return spool.gather(rows),
        };
        let out = self.device.alloc(rows.len() * self.dims, "memory bank")?;
        let per = chunks.images * self.positions;
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
