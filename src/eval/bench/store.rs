//! Embeddings of the images of a category, extracted once.

use super::kept::{Kept, Key, key};
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

enum Data {
    Memory(Vec<f32>),
    File(File, PathBuf),
}

/// `[positions][dim]` embeddings per image.
pub(super) struct Store {
    data: Data,
    /// Where the features of an image are.
    at: HashMap<Key, usize>,
    grid: [u32; 2],
    dim: u32,
    /// What a run that is interrupted now leaves to the next one.
    kept: Option<Kept>,
    /// Images that went through the backbone.
    pub extracted: usize,
}

impl Store {
    /// Extracts `entries`, which `source` loads in the same order, in frames of these rows and columns. Past
    /// half of the budget they go to a temporary file in the folder `spool`: the other half is for the fits,
    /// see [`Store::left`]. With `kept` they go to its file in any case, and what an interrupted run left
    /// there is taken instead of extracting them again.
    pub fn extract(
        device: &Device,
        backbone: &Backbone,
        entries: &[TrainEntry],
        source: &dyn ImageSource,
        (options, frame): (&FitOptions, [u32; 2]),
        (spool, mut kept): (&Path, Option<Kept>),
        progress: &dyn Progress,
    ) -> Result<Self> {
        let network = backbone.network.clone();
        let extraction = options.extraction(&network.name, frame);
        let mut extractor = Extractor::with(device, network, &backbone.weights, extraction)?;
        let what = Use::new(&backbone.network, options, frame, Then::Bench(options, entries.len()))?;
        self_test(device, &what, &|| progress.cancelled())?;
        let (grid, dim) = (extractor.grid(), extractor.dim());
        let (n, image) = (entries.len(), (grid[0] * grid[1] * dim) as usize);
        let in_memory = (n * image) as u64 * 4 <= options.memory / 2;
        let mut values = if in_memory { vec![0.0_f32; n * image] } else { Vec::new() };
        let take = |i: usize, from: &[f32]| {
            if in_memory {
                values[i * image..(i + 1) * image].copy_from_slice(from);
            }
        };
        let there = kept.as_mut().and_then(|kept| kept.go_on(image, take));
        let extracted = if there.is_some() { 0 } else { n };
        let mut file = None;
        if there.is_some() {
            progress.notice(&format!("features of {n} images are there and are taken"));
        } else {
            kept = kept.and_then(|mut kept| kept.begin().is_ok().then_some(kept));
            if kept.is_none() && !in_memory {
                file = Some(files::spool(spool)?);
            }
            let mut feed = Feed::new(device, extractor.network(), options.framing(frame))?;
            let mut done = 0;
            let together = Together::any(extractor.batch() as usize);
            embed(&mut extractor, &mut feed, source, together, progress, |run| {
                let run: Vec<f32> = device.read(&run.x.slice(0, run.count * dim as usize))?;
                if in_memory {
                    values[done..done + run.len()].copy_from_slice(&run);
                    done += run.len();
                }
                let written = match (&mut file, &mut kept) {
                    (Some(file), _) => file.write_all(bytemuck::cast_slice(&run)),
                    (None, Some(kept)) => kept.write(&run),
                    (None, None) => Ok(()),
                };
                match written {
                    // The run does without, and so does the next one.
                    Err(e) if in_memory => {
                        progress.notice(&format!("features are not kept for a run that goes on: {e}"));
                        kept = None;
                        Ok(())
                    }
                    other => other.map_err(|e| Error::io(spool, "spooling embeddings", e)),
                }
            })?;
            // What cannot be said now is made again.
            kept.as_mut().map(|kept| kept.end(image));
        }
        let data = match (in_memory, file, &kept) {
            (true, ..) => Data::Memory(values),
            (false, Some(file), _) => Data::File(file, spool.to_owned()),
            (false, None, Some(kept)) => Data::File(
                kept.file.try_clone().map_err(|e| Error::io(spool, "opening the spooled embeddings", e))?,
                spool.to_owned(),
            ),
            (false, None, None) => return Err(Error::Internal("embeddings that went nowhere".to_owned())),
        };
        let places = there.filter(|_| !in_memory).unwrap_or_else(|| (0..n).collect());
        let at = entries.iter().map(key).zip(places).collect();
        Ok(Self { data, at, grid, dim, kept, extracted })
    }

    /// Removes what was kept on the disk: the category is done.
    pub fn done(self) {
        if let Some(kept) = self.kept {
            kept.done();
        }
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
