//! Embeddings as they come become the features of a fit.

use super::Progress;
use super::features::{Embeddings, Features};
use super::host::pictures;
use super::ingest::{Run, Together, embed, largest_of};
use super::patch_store::PatchStore;
use super::projection::{Projection, record_projection, sample_rows};
use crate::Result;
use crate::backbone::{Extractor, Feed};
use crate::data::ImageSource;
use crate::gpu::{Device, Recorder, Tensor};
use crate::settings::{FeatureShape, FitOptions, Layout, PICTURES};
use crate::steps::coreset::bank_rows;
use crate::steps::texels;

/// Values of vectors that are brought to the device at a time: 4 MiB.
const PIECE: usize = 1 << 20;

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
    /// Room for features of `shape` within `options.memory`, of which the work beside it has `beside` bytes,
    /// taken up to `most` patches at a time; with `keep`, the embeddings are kept, too.
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
        let layout =
            Layout::new(shape, r, options, (keep && projection.is_some(), texels(device.caps())), beside)?;
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

    /// Room for the features that `extractor` makes of so many images, of which the largest has so many pixels.
    fn of(
        device: &Device,
        extractor: &Extractor,
        (images, pixels): (usize, u64),
        projection: Option<&'a Projection>,
        options: &FitOptions,
    ) -> Result<Self> {
        let [h, w] = extractor.grid();
        let (positions, dim) = (h as usize * w as usize, extractor.dim() as usize);
        let shape = FeatureShape { images, positions, columns: w as usize, dim };
        // One picture at a time, and the next, beside the backbone's buffers.
        let one = pictures(pixels, 1, 2).saturating_sub(PICTURES);
        let sizes = [extractor.embedding().len() / dim, (extractor.bytes() + one) as usize];
        Self::new(device, shape, projection, sizes, options, true)
    }

    /// Takes what there is of the next patches.
    fn push(&mut self, run: &Run<'_>) -> Result<()> {
        let &Run { first, count, x } = run;
        let Some(projection) = self.projection else { return self.keep(first, count, [x, x], [true, true]) };
        if self.map.is_none() {
            // Of the first image alone, and of all of it, whatever comes at a time: the map must not depend
            // on that.
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
        let _stage = tracing::info_span!("features", images = source.len()).entered();
        let projection = Projection::random(extractor.dim() as usize, options);
        let images = (source.len(), largest_of(source, options.memory)?);
        let mut all = Collector::of(device, extractor, images, projection.as_ref(), options)?;
        let mut together = all.features.together(extractor, options);
        if together.count(images.1) == u64::from(extractor.batch()) {
            together = Together::any(together.images);
        }
        embed(extractor, feed, source, together, progress, |run| all.push(&run))?;
        Ok(all.features)
    }

    /// Pictures that are decoded at a time: half of what features and extractor leave of the budget is theirs.
    pub fn together(&self, extractor: &Extractor, options: &FitOptions) -> Together {
        let left = self.left(options.memory.saturating_sub(extractor.bytes())) / 2;
        // One that is too large was refused with the layout.
        Together { images: extractor.batch() as usize, bytes: left.max(PICTURES), most: u64::MAX }
    }

    /// The same on a device that only counts, as far as it makes buffers: with a batch.
    pub fn rehearse(
        device: &Device,
        extractor: &mut Extractor,
        (images, pixels): (usize, u64),
        options: &FitOptions,
    ) -> Result<Self> {
        let projection = Projection::random(extractor.dim() as usize, options);
        let mut all = Collector::of(device, extractor, (images, pixels), projection.as_ref(), options)?;
        let (x, columns) = (extractor.embedding().clone(), extractor.grid()[1] as usize);
        let batch = (extractor.batch() as usize).min(images);
        for (i, piece) in extractor.pieces().to_vec().iter().enumerate() {
            extractor.plan(batch as u32, i)?;
            let (first, count) = (piece.rows.start as usize * columns, batch * piece.rows.len() * columns);
            if count > 0 {
                all.push(&Run { first, count, x: &x })?;
            }
        }
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

    /// Vectors `[images][positions][dim]` that are at hand, as what is projected; `embeddings` says where the
    /// embeddings are then.
    pub(super) fn at_hand(
        device: &Device,
        shape: FeatureShape,
        vectors: &[f32],
        embeddings: Embeddings,
        options: &FitOptions,
    ) -> Result<Self> {
        let FeatureShape { images, positions, columns, dim } = shape;
        let Layout { parts, z_on_disk, .. } =
            Layout::new(shape, dim, options, (false, texels(device.caps())), 0)?;
        let z = PatchStore::new(device, [images * positions, dim], z_on_disk, "vectors at hand")?;
        let features = Self {
            device: device.clone(),
            z,
            embeddings,
            parts,
            images,
            positions,
            columns,
            r: dim,
            dim,
            covered: None,
        };
        let most = PIECE / dim.max(1) + 1;
        let piece = device.alloc(most * dim, "vectors on their way")?;
        for (i, vectors) in vectors.chunks(most * dim).enumerate() {
            device.write(&piece, 0, vectors);
            features.z.fill(i * most, vectors.len() / dim, &piece)?;
        }
        device.wait()?;
        Ok(features)
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
}
