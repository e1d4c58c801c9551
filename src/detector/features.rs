//! What a fit keeps of all training images: projected vectors, and the embeddings.

use super::Progress;
use super::ingest::{Run, embed};
use super::patch_store::{PatchStore, Place};
use super::projection::{Projection, record_projection, sample_rows};
use crate::ahead::read_ahead;
use crate::backbone::{Extractor, Feed};
use crate::data::ImageSource;
use crate::gpu::{Device, Recorder, Tensor};
use crate::settings::{FeatureShape, FitOptions, Layout, Parts};
use crate::spool::Spool;
use crate::steps::coreset::bank_rows;
use crate::steps::outlier::group::Gather;
use crate::steps::patches::projection::projection_matrix;
use crate::{Error, Result};

/// Patches of a pass at a time at most: few beside what a device holds, many beside what keeps it busy.
const AT_A_TIME: usize = 1 << 14;

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
    /// Patches at a time at most.
    most: usize,
    projected: Tensor,
}

impl<'a> Collector<'a> {
    /// Room for features of `shape` within `options.memory`, of which the work beside it has `beside` bytes, taken
    /// up to `most` patches at a time; with `keep`, the embeddings are kept, too.
    fn new(
        device: &Device,
        shape: FeatureShape,
        projection: Option<&'a Projection>,
        [most, beside]: [usize; 2],
        options: &FitOptions,
        keep: bool,
    ) -> Result<Self> {
        let FeatureShape { images, positions, columns, dim } = shape;
        let r = projection.map_or(dim, |p| p.r);
        let beside = (beside + 4 * most * r) as u64;
        let layout = Layout::new(shape, r, options, keep && projection.is_some(), beside)?;
        let rows = images * positions;
        let z = PatchStore::new(device, [rows, r], layout.z_on_disk, "projected patches")?;
        let embeddings = if !keep {
            Embeddings::Dropped
        } else if projection.is_none() {
            Embeddings::Projected
        } else {
            Embeddings::Kept(PatchStore::new(device, [rows, dim], layout.embeddings_on_disk, "embeddings")?)
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
            most,
            projected: device.alloc(most * r, "projected batch")?,
        })
    }

    /// Takes what there is of the next patches.
    fn push(&mut self, run: &Run<'_>) -> Result<()> {
        let &Run { first, count, x } = run;
        let Some(projection) = self.projection else { return self.keep(first, count, [x, x], [true, true]) };
        if self.map.is_none() {
            // Of the first image alone, and of all of it, whatever comes at a time: the map must not depend on that.
            let positions = self.features.positions;
            let rows = sample_rows(positions);
            let sample = match (first + count >= positions, first) {
                (true, 0) if rows.len() == positions => x.clone(),
                (true, 0) => rows_of(&self.features.device, x, &rows, self.features.dim)?,
                _ => {
                    self.keep(first, count, [x, x], [false, true])?;
                    if first + count < positions {
                        return Ok(());
                    }
                    self.features.device.upload(&self.features.gather(&rows)?, "sample of an image")?
                }
            };
            let device = &self.features.device;
            let w = projection.upload(device, &sample, rows.len())?;
            self.map = Some((w, device.alloc(projection.r, "no bias")?));
            if first > 0 {
                return self.catch_up(first + count);
            }
        }
        self.project(count, x)?;
        let projected = self.projected.clone();
        self.keep(first, count, [&projected, x], [true, true])
    }

    /// Projects the patches before `end`, whose embeddings are kept already.
    fn catch_up(&mut self, end: usize) -> Result<()> {
        let projected = self.projected.clone();
        let x = self.features.device.alloc(self.most * self.features.dim, "embeddings of an image")?;
        for first in (0..end).step_by(self.most) {
            let count = self.most.min(end - first);
            self.features.load(first, count, &x)?;
            self.project(count, &x)?;
            self.keep(first, count, [&projected, &x], [true, false])?;
        }
        Ok(())
    }

    /// Submits the projection of `count` embeddings.
    fn project(&self, count: usize, x: &Tensor) -> Result<()> {
        let Features { device, r, dim, .. } = &self.features;
        let Some((w, bias)) = &self.map else { return Ok(()) };
        let mut recorder = Recorder::new(device);
        record_projection(&mut recorder, x, w, bias, &self.projected, [count, *dim, *r])?;
        recorder.run()
    }

    /// Keeps patches from projected vectors and embeddings, or one of them.
    fn keep(&self, first: usize, count: usize, from: [&Tensor; 2], which: [bool; 2]) -> Result<()> {
        let Features { device, z, embeddings, .. } = &self.features;
        let mut taken = vec![(z, from[0], which[0])];
        if let Embeddings::Kept(kept) = embeddings {
            taken.push((kept, from[1], which[1]));
        }
        taken.retain(|(.., wanted)| *wanted);
        let mut recorder = Recorder::new(device);
        taken.iter().for_each(|(kept, from, _)| kept.record(&mut recorder, first, count, from));
        recorder.run()?;
        taken.iter().try_for_each(|(kept, from, _)| kept.submitted(first, count, from))?;
        // Bounds the work in flight to one batch while the next one decodes.
        device.wait()
    }
}

/// Rows `rows` of `x` `[..][dim]`.
fn rows_of(device: &Device, x: &Tensor, rows: &[u32], dim: usize) -> Result<Tensor> {
    let pairs: Vec<[u32; 2]> = (0..).zip(rows).map(|(to, &from)| [from, to]).collect();
    let list = device.upload(&pairs, "sampled rows")?;
    let sample = device.alloc(rows.len() * dim, "sample of an image")?;
    let mut recorder = Recorder::new(device);
    bank_rows::record(&mut recorder, x, &list, rows.len() as u32, dim as u32, &sample)?;
    recorder.run()?;
    Ok(sample)
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
        let most = extractor.embedding().len() / dim;
        let sizes = [most, extractor.bytes() as usize];
        let mut all = Collector::new(device, shape, projection.as_ref(), sizes, options, true)?;
        embed(extractor, feed, source, progress, |run| all.push(&run))?;
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
        let most = batch * shape.positions;
        let all = Collector::new(device, shape, projection, [most, 0], options, true)?;
        Self::collect(device, shape, batch, all, load)
    }

    /// Collects the projected vectors alone; [`Features::gather`] and [`Features::load`] have nothing to
    /// give then.
    pub fn projected(
        device: &Device,
        shape: FeatureShape,
        projection: &Projection,
        batch: usize,
        options: &FitOptions,
        load: impl FnMut(usize, &mut [f32]) -> Result<()>,
    ) -> Result<Self> {
        let most = batch * shape.positions;
        let all = Collector::new(device, shape, Some(projection), [most, 0], options, false)?;
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
            let (first, count) = (start * shape.positions, count * shape.positions);
            all.push(&Run { first, count, x: &x })?;
        }
        Ok(all.features)
    }

    /// Whether a patch (image-major number) is looked at.
    pub fn covers(&self, patch: u32) -> bool {
        self.covered.as_ref().is_none_or(|covered| covered[patch as usize])
    }

    /// Which patches of an image are looked at, where some are not.
    pub fn covered_of(&self, image: usize) -> Option<&[bool]> {
        self.covered.as_ref().map(|covered| &covered[image * self.positions..][..self.positions])
    }

    /// Patches that are looked at.
    pub fn looked_at(&self) -> usize {
        let all = self.images * self.positions;
        self.covered.as_ref().map_or(all, |covered| covered.iter().filter(|c| **c).count())
    }

    /// Leaves out the patches that `covered` `[images][positions]` has as false: their projected vectors become
    /// infinite, which are nobody's neighbours.
    pub fn cover(&mut self, covered: Vec<bool>) -> Result<()> {
        /// Rows at a time: enough for a picture's padding, small beside the features.
        const ROWS: usize = 8192;
        let most = self.positions.min(ROWS);
        let nothing = self.device.upload(&vec![f32::INFINITY; most * self.r], "nothing")?;
        for (image, covered) in covered.chunks_exact(self.positions).enumerate() {
            let mut at = 0;
            for run in covered.chunk_by(|a, b| a == b) {
                for part in run.chunks(most) {
                    if !part[0] {
                        self.z.fill(image * self.positions + at, part.len(), &nothing)?;
                    }
                    at += part.len();
                }
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
        let projection =
            Projection { matrix: projection_matrix(self.dim, self.r, seed), r: self.r, turn: true };
        let bias = device.alloc(self.r, "no bias")?;
        let most = self.at_a_time();
        let x = device.alloc(most * self.dim, "embeddings of patches")?;
        let c = device.alloc(most * self.r, "projected patches")?;
        let rows = sample_rows(self.positions);
        let sample = device.upload(&self.gather(&rows)?, "sample of an image")?;
        let w = projection.upload(&device, &sample, rows.len())?;
        let end = self.images * self.positions;
        for first in (0..end).step_by(most) {
            let count = most.min(end - first);
            self.load(first, count, &x)?;
            let mut recorder = Recorder::new(&device);
            record_projection(&mut recorder, &x, &w, &bias, &c, [count, self.dim, self.r])?;
            self.z.record(&mut recorder, first, count, &c);
            recorder.run()?;
            self.z.submitted(first, count, &c)?;
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

    /// Copies the embeddings of patches `first .. first + count` to `to` `[count][dim]`.
    pub fn load(&self, first: usize, count: usize, to: &Tensor) -> Result<()> {
        self.embeddings()?.load(first, count, to)
    }

    /// Patches of a pass over all of them, at a time: those of an image, or of a part of it.
    pub fn at_a_time(&self) -> usize {
        self.positions.min(AT_A_TIME)
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
            Gather {
                z,
                block,
                rows: (c * chunks.rows) as u32..(c * chunks.rows + z.len() / self.r) as u32,
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
