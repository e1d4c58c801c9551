//! Images -> features: decoding beside the backbone, projected vectors and embeddings kept for all images.

use super::budget::{Layout, Parts};
use super::kept::{Kept, Place};
use super::{FitOptions, Progress, Stage};
use crate::backbone::{Extractor, Feed};
use crate::bank::Axes;
use crate::data::{Image, ImageSource, OwnedImage};
use crate::gpu::{Device, Plan, Recorder, Submission, Tensor};
use crate::shapes::Activation;
use crate::spool::{Spool, read_ahead};
use crate::steps::network::gemm::Gemm;
use crate::steps::outlier::group::Gather;
use crate::steps::patches::projection::projection_matrix;
use crate::{Error, Result};
use rayon::prelude::*;
use std::borrow::Cow;

/// Decodes `source` in batches of `batch` on other threads, one batch ahead, and hands them to `f` in order.
pub(super) fn stream(
    source: &dyn ImageSource,
    batch: usize,
    mut f: impl FnMut(usize, &[Cow<'_, OwnedImage>]) -> Result<()>,
) -> Result<()> {
    std::thread::scope(|scope| {
        let (sender, receiver) = std::sync::mpsc::sync_channel::<Vec<Result<Cow<'_, OwnedImage>>>>(1);
        scope.spawn(move || {
            for start in (0..source.len()).step_by(batch) {
                let range = start..(start + batch).min(source.len());
                // The receiver is gone after an error; then nobody wants more.
                if sender.send(range.into_par_iter().map(|i| source.load(i)).collect()).is_err() {
                    return;
                }
            }
        });
        let mut start = 0;
        for images in receiver {
            let images = images.into_iter().collect::<Result<Vec<_>>>()?;
            f(start, &images)?;
            start += images.len();
        }
        Ok(())
    })
}

enum Embeddings {
    Kept(Kept),
    /// The projected vectors are the embeddings.
    Projected,
    Dropped,
}

/// Features of all training images.
pub(crate) struct Features {
    device: Device,
    /// Projected vectors `[images * positions][r]`.
    pub z: Kept,
    embeddings: Embeddings,
    /// Sizes of what else is in memory.
    pub parts: Parts,
    /// Training images.
    pub images: usize,
    /// Grid positions an image.
    pub positions: usize,
    /// Values of a projected vector.
    pub r: usize,
    /// Values of an embedding.
    pub dim: usize,
}

/// Sizes of what is collected.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FeatureShape {
    /// Images.
    pub images: usize,
    /// Grid positions an image.
    pub positions: usize,
    /// Values of an embedding.
    pub dim: usize,
}

/// A linear map `[r][dim]` of embeddings.
pub(crate) struct Projection {
    /// Row-major.
    pub matrix: Vec<f32>,
    /// Values of a projected vector.
    pub r: usize,
    /// The projected vectors may be turned, so that only their distances are what the map says.
    pub turn: bool,
}

impl Projection {
    /// The seeded random map of the method; none where the embedding is no longer than the map's result.
    pub fn random(dim: usize, options: &FitOptions) -> Option<Self> {
        let r = options.projection as usize;
        (dim > r).then(|| Self { matrix: projection_matrix(dim, r, options.seed), r, turn: true })
    }

    /// The map, on the device. Where it may turn its results, it does so, into principal axes of what becomes of `sample`
    /// `[rows][dim]`: distances stay, but their first terms are then the largest, and the coreset, which leaves a sum of
    /// squares as soon as it is large enough, leaves sooner.
    fn upload(&self, device: &Device, sample: &Tensor, rows: usize) -> Result<Tensor> {
        let w = device.upload(&self.matrix, "projection")?;
        if !self.turn {
            return Ok(w);
        }
        let (r, dim) = (self.r, self.matrix.len() / self.r);
        let bias = device.alloc(r, "no bias")?;
        let c = device.alloc(rows * r, "projected sample")?;
        let mut recorder = Recorder::new(device);
        record_projection(&mut recorder, sample, &w, &bias, &c, [rows, dim, r])?;
        recorder.run()?;
        let axes = Axes::new(&device.read::<f32>(&c)?, r, r).vectors;
        let turned: Vec<f32> = axes
            .par_chunks_exact(r)
            .flat_map_iter(|axis| {
                let mut row = vec![0.0_f64; dim];
                for (a, from) in axis.iter().zip(self.matrix.chunks_exact(dim)) {
                    row.iter_mut().zip(from).for_each(|(sum, v)| *sum += f64::from(*a) * f64::from(*v));
                }
                row.into_iter().map(|v| v as f32)
            })
            .collect();
        device.upload(&turned, "projection")
    }
}

/// Records `c [m][r] = x [m][dim] * w [r][dim]^T`.
fn record_projection(
    recorder: &mut Recorder,
    x: &Tensor,
    w: &Tensor,
    bias: &Tensor,
    c: &Tensor,
    [m, dim, r]: [usize; 3],
) -> Result<()> {
    let (m, k, n) = (m as u32, dim as u32, r as u32);
    Gemm { x, w, bias, residual: None, c, m, k, n, activation: Activation::None }.record(recorder)
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
    /// Room for features of `shape` within `options.memory`, taken up to `batch` images at a time; with `keep`, the
    /// embeddings are kept, too.
    fn new(
        device: &Device,
        shape: FeatureShape,
        projection: Option<&'a Projection>,
        batch: usize,
        options: &FitOptions,
        keep: bool,
    ) -> Result<Self> {
        let FeatureShape { images, positions, dim } = shape;
        let r = projection.map_or(dim, |p| p.r);
        let layout = Layout::new(shape, r, options, keep && projection.is_some())?;
        let z = Kept::new(device, [images, positions, r], layout.z_on_disk, "projected patches")?;
        let embeddings = if !keep {
            Embeddings::Dropped
        } else if projection.is_none() {
            Embeddings::Projected
        } else {
            let sizes = [images, positions, dim];
            Embeddings::Kept(Kept::new(device, sizes, layout.embeddings_on_disk, "embeddings")?)
        };
        let parts = layout.parts;
        Ok(Self {
            features: Features { device: device.clone(), z, embeddings, parts, images, positions, r, dim },
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

/// Runs every image of `source` through the backbone and hands out the embeddings `[count][positions][dim]`, which lie on
/// the device, a batch at a time with the number of its first image.
pub(crate) fn embed(
    extractor: &mut Extractor,
    feed: &mut Feed,
    source: &dyn ImageSource,
    progress: &dyn Progress,
    mut f: impl FnMut(usize, usize, &Tensor) -> Result<()>,
) -> Result<()> {
    let (batch, images) = (extractor.batch() as usize, source.len() as u64);
    progress.update(Stage::Features, 0, images);
    stream(source, batch, |start, loaded| {
        if progress.cancelled() {
            return Err(Error::Cancelled);
        }
        let views = loaded.iter().map(|i| i.as_image()).collect::<Result<Vec<_>>>()?;
        run_backbone(extractor, feed, &views, &|slot| source.name(start + slot), &[])?;
        f(start, loaded.len(), extractor.embedding())?;
        progress.update(Stage::Features, (start + loaded.len()) as u64, images);
        Ok(())
    })
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
        let shape = FeatureShape { images: source.len(), positions, dim };
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

    /// Collects the projected vectors alone; [`Features::gather`] and [`Features::image`] have nothing to give then.
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

    /// Projects all embeddings anew, by the map of `seed`. Embeddings that were not projected stay as they are.
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

    fn embeddings(&self) -> Result<&Kept> {
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

    /// Brings grid positions `p0 .. p0 + groups` of all images to `block` `[groups][images][r]`, before the next submission
    /// or in what `recorder` records.
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

    /// Calls `f` for every run of up to `groups` grid positions, in order: with their vectors in `block`, or a recorder that
    /// brings them there, the first position, and how many there are. `f` must submit, and wait for the device.
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

/// Submits a batch of decoded images through feed and backbone, and then `after`; the embeddings are ready when the device
/// gets there. `name` says which image of the batch an error is about.
pub(super) fn run_backbone(
    extractor: &mut Extractor,
    feed: &mut Feed,
    images: &[Image<'_>],
    name: &dyn Fn(usize) -> String,
    after: &[&Plan],
) -> Result<Submission> {
    // What a batch left behind that failed.
    feed.take();
    let input = extractor.input().clone();
    for (slot, image) in images.iter().enumerate() {
        feed.push(image, &input, slot as u32).map_err(|e| match e {
            Error::InvalidOption(reason) => Error::Image {
                path: name(slot).into(),
                reason,
                remedy: "Leave the image out, or choose another resize and crop",
            },
            other => other,
        })?;
    }
    let mut plans = vec![extractor.plan(images.len() as u32)?];
    plans.extend(after);
    feed.submit(&plans)
}
