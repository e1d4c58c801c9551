//! What a fit keeps of all training images: projected vectors, and the embeddings.

use super::Progress;
use super::ingest::embed;
use super::patch_store::{PatchStore, Place};
use super::projection::{Projection, record_projection};
use crate::ahead::read_ahead;
use crate::backbone::{Extractor, Feed};
use crate::data::ImageSource;
use crate::gpu::{Device, Recorder, Tensor};
use crate::settings::{FeatureShape, FitOptions, Layout, Parts};
use crate::spool::Spool;
use crate::steps::outlier::group::Gather;
use crate::steps::patches::projection::projection_matrix;
use crate::{Error, Result};

enum Embeddings {
    Kept(PatchStore),
    /// The projected vectors are the embeddings.
    Projected,
    Dropped,
}

/// Features of all training images.
pub(crate) struct Features {
    device: Device,
    /// Projected vectors `[images * positions][r]`.
    pub z: PatchStore,
    embeddings: Embeddings,
    /// Sizes of what else is in memory.
    pub parts: Parts,
    /// Training images.
    pub images: usize,
    /// Grid positions an image.
    pub positions: usize,
    /// Columns of the grid.
    pub columns: usize,
    /// Values of a projected vector.
    pub r: usize,
    /// Values of an embedding.
    pub dim: usize,
    /// `[images][positions]`, true where a patch is looked at; `None`: all are.
    pub covered: Option<Vec<bool>>,
}

/// Collects features, a batch at a time.
struct Collector<'a> {
    features: Features,
    projection: Option<&'a Projection>,
    /// The map with its bias, once the first image is there.
    map: Option<(Tensor, Tensor)>,
    projected: Tensor,
}

impl<'a> Collector<'a> {
    /// Room for features of `shape` within `options.memory`, taken up to `batch` images at a time; with
    /// `keep`, the embeddings are kept, too.
    fn new(
        device: &Device,
        shape: FeatureShape,
        projection: Option<&'a Projection>,
        batch: usize,
        options: &FitOptions,
        keep: bool,
    ) -> Result<Self> {
        let FeatureShape { images, positions, columns, dim } = shape;
        let r = projection.map_or(dim, |p| p.r);
        let layout = Layout::new(shape, r, options, keep && projection.is_some())?;
        let z = PatchStore::new(device, [images, positions, r], layout.z_on_disk, "projected patches")?;
        let embeddings = if !keep {
            Embeddings::Dropped
        } else if projection.is_none() {
            Embeddings::Projected
        } else {
            let sizes = [images, positions, dim];
            Embeddings::Kept(PatchStore::new(device, sizes, layout.embeddings_on_disk, "embeddings")?)
        };
        let parts = layout.parts;
        Ok(Self {
            features: Features {
                device: device.clone(),
                z,
                embeddings,
                parts,
                covered: None,
                images,
                positions,
                columns,
                r,
                dim,
            },
            projection,
            map: None,
            projected: device.alloc(batch * positions * r, "projected batch")?,
        })
    }

    /// Takes images `start .. start + count` from `embedding` `[count][positions][dim]`.
    fn push(&mut self, start: usize, count: usize, embedding: &Tensor) -> Result<()> {
        let Features { device, z, embeddings, positions, r, dim, .. } = &mut self.features;
        let (positions, r, dim) = (*positions, *r, *dim);
        if let (Some(projection), None) = (self.projection, &self.map) {
            // One image, whatever the batch: the map must not depend on that.
            let w = projection.upload(device, embedding, positions)?;
            self.map = Some((w, device.alloc(r, "no bias")?));
        }
        let mut recorder = Recorder::new(device);
        if let Some((w, bias)) = &self.map {
            let sizes = [count * positions, dim, r];
            record_projection(&mut recorder, embedding, w, bias, &self.projected, sizes)?;
        }
        let from = if self.projection.is_some() { &self.projected } else { embedding };
        let mut taken = vec![(&*z, from)];
        if let Embeddings::Kept(kept) = embeddings {
            taken.push((&*kept, embedding));
        }
        taken.iter().for_each(|(kept, from)| kept.record(&mut recorder, start, count, from));
        recorder.run()?;
        taken.iter().try_for_each(|(kept, from)| kept.submitted(start, count, from))?;
        // Bounds the work in flight to one batch while the next one decodes.
        device.wait()
    }
}

impl Features {
    /// Runs every image of `source` through the backbone.
    pub fn extract(
        device: &Device,
        extractor: &mut Extractor,
        feed: &mut Feed,
        source: &dyn ImageSource,
        options: &FitOptions,
        progress: &dyn Progress,
    ) -> Result<Self> {
        let [h, w] = extractor.grid();
        let (positions, dim) = (h as usize * w as usize, extractor.dim() as usize);
        let shape = FeatureShape { images: source.len(), positions, columns: w as usize, dim };
        let projection = Projection::random(dim, options);
        let batch = extractor.batch() as usize;
        let mut all = Collector::new(device, shape, projection.as_ref(), batch, options, true)?;
        embed(extractor, feed, source, progress, |start, count, x| all.push(start, count, x))?;
        Ok(all.features)
    }

    /// Collects embeddings that are at hand: `load` fills `[positions][dim]` of an image.
    pub fn from_embeddings(
        device: &Device,
        shape: FeatureShape,
        projection: Option<&Projection>,
        batch: usize,
        options: &FitOptions,
        load: impl FnMut(usize, &mut [f32]) -> Result<()>,
    ) -> Result<Self> {
        let all = Collector::new(device, shape, projection, batch, options, true)?;
        Self::collect(device, shape, batch, all, load)
    }

    /// Collects the projected vectors alone; [`Features::gather`] and [`Features::image`] have nothing to
    /// give then.
    pub fn projected(
        device: &Device,
        shape: FeatureShape,
        projection: &Projection,
        batch: usize,
        options: &FitOptions,
        load: impl FnMut(usize, &mut [f32]) -> Result<()>,
    ) -> Result<Self> {
        let all = Collector::new(device, shape, Some(projection), batch, options, false)?;
        Self::collect(device, shape, batch, all, load)
    }

    fn collect(
        device: &Device,
        shape: FeatureShape,
        batch: usize,
        mut all: Collector<'_>,
        mut load: impl FnMut(usize, &mut [f32]) -> Result<()>,
    ) -> Result<Self> {
        let image = shape.positions * shape.dim;
        let x = device.alloc(batch * image, "embeddings at hand")?;
        let mut values = vec![0.0_f32; batch * image];
        for start in (0..shape.images).step_by(batch) {
            let count = batch.min(shape.images - start);
            for i in 0..count {
                load(start + i, &mut values[i * image..(i + 1) * image])?;
            }
            device.write(&x, 0, &values[..count * image]);
            all.push(start, count, &x)?;
        }
        Ok(all.features)
    }

    /// Whether a patch (image-major number) is looked at.
    pub fn covers(&self, patch: u32) -> bool {
        self.covered.as_ref().is_none_or(|covered| covered[patch as usize])
    }

    /// Patches that are looked at.
    pub fn looked_at(&self) -> usize {
        let all = self.images * self.positions;
        self.covered.as_ref().map_or(all, |covered| covered.iter().filter(|c| **c).count())
    }

    /// Leaves out the patches that `covered` `[images][positions]` has as false: their projected vectors become
    /// infinite, which are nobody's neighbours.
    pub fn cover(&mut self, covered: Vec<bool>) -> Result<()> {
        let nothing = self.device.upload(&vec![f32::INFINITY; self.positions * self.r], "nothing")?;
        for (image, covered) in covered.chunks_exact(self.positions).enumerate() {
            let mut at = 0;
            for run in covered.chunk_by(|a, b| a == b) {
                if !run[0] {
                    self.z.fill(image * self.positions + at, run.len(), &nothing)?;
                }
                at += run.len();
            }
        }
        self.covered = Some(covered);
        Ok(())
    }

    /// The outlier scores with 1, as of patches that nothing is known of, where no more than `k` images show
    /// the position, and 0 where a patch is not looked at.
    pub fn judged(&self, mut scores: Vec<f32>, k: u32) -> Vec<f32> {
        let Some(covered) = &self.covered else { return scores };
        let mut images = vec![0_u32; self.positions];
        for one in covered.chunks_exact(self.positions) {
            images.iter_mut().zip(one).for_each(|(n, c)| *n += u32::from(*c));
        }
        for (score, (covered, n)) in scores.iter_mut().zip(covered.iter().zip(images.iter().cycle())) {
            match (covered, *n > k) {
                (false, _) => *score = 0.0,
                (true, false) => *score = 1.0,
                (true, true) => {}
            }
        }
        scores
    }

    /// Projects all embeddings anew, by the map of `seed`. Embeddings that were not projected stay as they
    /// are.
    pub fn reproject(&mut self, seed: u64) -> Result<()> {
        if matches!(self.embeddings, Embeddings::Projected) {
            return Ok(());
        }
        let device = self.device.clone();
        let sizes = [self.positions, self.dim, self.r];
        let projection =
            Projection { matrix: projection_matrix(self.dim, self.r, seed), r: self.r, turn: true };
        let bias = device.alloc(self.r, "no bias")?;
        let x = device.alloc(self.positions * self.dim, "embeddings of an image")?;
        let c = device.alloc(self.positions * self.r, "projected image")?;
        self.image(0, &x)?;
        let w = projection.upload(&device, &x, self.positions)?;
        for image in 0..self.images {
            self.image(image, &x)?;
            let mut recorder = Recorder::new(&device);
            record_projection(&mut recorder, &x, &w, &bias, &c, sizes)?;
            self.z.record(&mut recorder, image, 1, &c);
            recorder.run()?;
            self.z.submitted(image, 1, &c)?;
        }
        device.wait()
    }

    fn embeddings(&self) -> Result<&PatchStore> {
        match &self.embeddings {
            Embeddings::Kept(kept) => Ok(kept),
            Embeddings::Projected => Ok(&self.z),
            Embeddings::Dropped => Err(Error::Internal("the embeddings were not kept".into())),
        }
    }

    /// The embeddings of the patches in `rows` (image-major numbers), `[rows][dim]`.
    pub fn gather(&self, rows: &[u32]) -> Result<Vec<f32>> {
        self.embeddings()?.gather(rows)
    }

    /// Copies the embeddings of image `image` to `to` `[positions][dim]`.
    pub fn image(&self, image: usize, to: &Tensor) -> Result<()> {
        self.embeddings()?.image(image, to)
    }

    /// Brings grid positions `p0 .. p0 + groups` of all images to `block` `[groups][images][r]`, before the
    /// next submission or in what `recorder` records.
    pub fn block(&self, recorder: &mut Recorder, block: &Tensor, p0: usize, groups: usize) -> Result<()> {
        let chunks = match &self.z.place {
            Place::Device(chunks) => chunks,
            Place::Disk(spool) => {
                let mut values = Vec::new();
                self.read_block(spool, p0, groups, &mut values)?;
                self.device.write(block, 0, &values);
                return Ok(());
            }
        };
        for (c, z) in chunks.tensors.iter().enumerate() {
            let first = c * chunks.images;
            Gather {
                z,
                block,
                images: chunks.images.min(self.images - first) as u32,
                first: first as u32,
                n: self.images as u32,
                positions: self.positions as u32,
                p0: p0 as u32,
                groups: groups as u32,
                r: self.r as u32,
            }
            .record(recorder)?;
        }
        Ok(())
    }

    /// Calls `f` for every run of up to `groups` grid positions, in order: with their vectors in `block`, or
    /// a recorder that brings them there, the first position, and how many there are. `f` must submit, and
    /// wait for the device.
    pub fn blocks(
        &self,
        block: &Tensor,
        groups: usize,
        mut f: impl FnMut(Recorder, usize, usize) -> Result<()>,
    ) -> Result<()> {
        let device = self.device.clone();
        let runs = (0..self.positions).step_by(groups).map(|p0| (p0, groups.min(self.positions - p0)));
        match &self.z.place {
            Place::Device(_) => {
                for (p0, here) in runs {
                    let mut recorder = Recorder::new(&device);
                    self.block(&mut recorder, block, p0, here)?;
                    f(recorder, p0, here)?;
                }
                Ok(())
            }
            Place::Disk(spool) => read_ahead(
                runs.collect::<Vec<_>>(),
                |&(p0, here), values| self.read_block(spool, p0, here, values),
                |(p0, here), values| {
                    device.write(block, 0, values);
                    f(Recorder::new(&device), p0, here)
                },
            ),
        }
    }

    /// Reads a piece of every image and deals its rows out to the groups.
    fn read_block(&self, spool: &Spool, p0: usize, groups: usize, values: &mut Vec<f32>) -> Result<()> {
        let (n, r) = (self.images, self.r);
        values.resize(groups * n * r, 0.0);
        let mut piece = vec![0.0_f32; groups * r];
        for image in 0..n {
            spool.read(image * self.positions + p0, &mut piece)?;
            for (group, row) in piece.chunks_exact(r).enumerate() {
                values[(group * n + image) * r..][..r].copy_from_slice(row);
            }
        }
        Ok(())
    }
}
