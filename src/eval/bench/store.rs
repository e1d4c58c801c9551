//! Embeddings of the images of a category, extracted once.

use crate::backbone::{Extractor, Feed};
use crate::cases::{Then, Use, self_test};
use crate::data::{ImageSource, TrainEntry};
use crate::detector::{Backbone, Progress, Together, embed};
use crate::gpu::Device;
use crate::methods::Embeddings;
use crate::settings::FitOptions;
use crate::{Error, Result, files};
use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// An image and its move, if it is moved.
pub(super) type Key = (PathBuf, Option<[u64; 5]>);

/// Under which key the features of an entry are kept.
pub(super) fn key(entry: &TrainEntry) -> Key {
    let bits = entry.augment.map(|a| [a.rotation, a.shift_x, a.shift_y, a.scale, a.shear].map(f64::to_bits));
    (entry.path.clone(), bits)
}

enum Data {
    Memory(Vec<f32>),
    File(File, PathBuf),
}

/// `[positions][dim]` embeddings per image.
pub(super) struct Store {
    data: Data,
    at: HashMap<Key, usize>,
    grid: [u32; 2],
    dim: u32,
}

impl Store {
    /// Extracts `entries`, which `source` loads in the same order, in frames of these rows and columns. Past
    /// half of the budget (bytes) they go to a temporary file in the folder of `spool`: the other half is for
    /// the fits, see [`Store::left`].
    pub fn extract(
        device: &Device,
        backbone: &Backbone,
        entries: &[TrainEntry],
        source: &dyn ImageSource,
        (options, frame): (&FitOptions, [u32; 2]),
        spool: (&Path, u64),
        progress: &dyn Progress,
    ) -> Result<Self> {
        let network = backbone.network.clone();
        let extraction = options.extraction(&network.name, frame);
        let mut extractor = Extractor::with(device, network, &backbone.weights, extraction)?;
        let what = Use::new(&backbone.network, options, frame, Then::Bench(options, entries.len()))?;
        self_test(device, &what)?;
        let mut feed = Feed::new(device, extractor.network(), options.framing(frame))?;
        let (grid, dim) = (extractor.grid(), extractor.dim());
        let image = (grid[0] * grid[1] * dim) as usize;
        let (folder, budget) = spool;
        let mut data = if (entries.len() * image) as u64 * 4 <= budget / 2 {
            Data::Memory(Vec::with_capacity(entries.len() * image))
        } else {
            Data::File(files::spool(folder)?, folder.to_owned())
        };
        let together = Together::any(extractor.batch() as usize);
        embed(&mut extractor, &mut feed, source, together, progress, |run| {
            let values: Vec<f32> = device.read(&run.x.slice(0, run.count * dim as usize))?;
            match &mut data {
                Data::Memory(all) => all.extend_from_slice(&values),
                Data::File(file, folder) => file
                    .write_all(bytemuck::cast_slice(&values))
                    .map_err(|e| Error::io(folder, "spooling embeddings", e))?,
            }
            Ok(())
        })?;
        let at = entries.iter().enumerate().map(|(i, entry)| (key(entry), i)).collect();
        Ok(Self { data, at, grid, dim })
    }

    /// What is left of a budget of `memory` bytes beside what is kept here.
    pub fn left(&self, memory: u64) -> u64 {
        match &self.data {
            Data::Memory(all) => memory.saturating_sub(all.len() as u64 * 4),
            Data::File(..) => memory,
        }
    }

    /// Number of an entry's image.
    pub fn number(&self, entry: &TrainEntry) -> Result<usize> {
        self.at.get(&key(entry)).copied().ok_or_else(|| {
            Error::InvalidOption(format!("{}: its features were not extracted", entry.path.display()))
        })
    }
}

impl Embeddings for Store {
    fn grid(&self) -> [u32; 2] {
        self.grid
    }

    fn dim(&self) -> u32 {
        self.dim
    }

    fn load(&mut self, i: usize, out: &mut [f32]) -> Result<()> {
        let image = (self.grid[0] * self.grid[1] * self.dim) as usize;
        match &mut self.data {
            Data::Memory(all) => out.copy_from_slice(&all[i * image..(i + 1) * image]),
            Data::File(file, folder) => file
                .seek(SeekFrom::Start((i * image) as u64 * 4))
                .and_then(|_| file.read_exact(bytemuck::cast_slice_mut(out)))
                .map_err(|e| Error::io(folder, "reading spooled embeddings", e))?,
        }
        Ok(())
    }
}
