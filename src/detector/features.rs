//! Images -> features: decoding beside the backbone, projected vectors and embeddings kept for all images.

use super::{FitOptions, Progress, Stage};
use crate::backbone::{Extractor, Feed};
use crate::data::{Image, ImageSource, OwnedImage};
use crate::gpu::{Device, Recorder, Tensor};
use crate::ops::gemm::Gemm;
use crate::ops::{Activation, gather};
use crate::reference::projection::projection_matrix;
use crate::{Error, Result};
use rayon::prelude::*;
use std::borrow::Cow;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};

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

/// `[rows][columns]` in as many buffers as binding sizes ask for, cut between images.
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
                "the features of one image ({image_words} values) pass what the device binds; use a smaller crop"
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

enum Embeddings {
    /// On the device.
    Device(Chunks),
    /// The projected vectors are the embeddings.
    Projected,
    /// In a temporary file, image after image.
    Disk(File),
    /// Not kept.
    Dropped,
}

/// Features of all training images.
pub(crate) struct Features {
    device: Device,
    /// Projected vectors `[images * positions][r]`.
    pub z: Chunks,
    embeddings: Embeddings,
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
}

impl Projection {
    /// The seeded random map of the method; none where the embedding is no longer than the map's result.
    pub fn random(dim: usize, options: &FitOptions) -> Option<Self> {
        let r = options.projection as usize;
        (dim > r).then(|| Self { matrix: projection_matrix(dim, r, options.seed), r })
    }
}

/// Collects features, a batch at a time.
struct Collector {
    features: Features,
    projection: Option<(Tensor, Tensor)>,
    projected: Tensor,
}

impl Collector {
    fn new(
        device: &Device,
        shape: FeatureShape,
        projection: Option<&Projection>,
        batch: usize,
        memory: u64,
        keep: bool,
    ) -> Result<Self> {
        let FeatureShape { images, positions, dim } = shape;
        let r = projection.map_or(dim, |p| p.r);
        let bytes = |values: usize| images as u64 * positions as u64 * values as u64 * 4;
        if bytes(r) > memory {
            return Err(Error::Limit(format!(
                "the projected patches of {images} images need {} MiB, the memory budget is {} MiB; raise --memory, or use \
                 fewer images, a smaller crop or a smaller projection",
                bytes(r) >> 20,
                memory >> 20
            )));
        }
        let z = Chunks::new(device, images, positions * r, "projected patches")?;
        let embeddings = if !keep {
            Embeddings::Dropped
        } else if projection.is_none() {
            Embeddings::Projected
        } else if bytes(r) + bytes(dim) <= memory {
            Embeddings::Device(Chunks::new(device, images, positions * dim, "embeddings")?)
        } else {
            let file = tempfile::tempfile()
                .map_err(|e| Error::io(std::env::temp_dir(), "opening a spool file", e))?;
            tracing::info!("embeddings ({} MiB) wait on disk: they pass the memory budget", bytes(dim) >> 20);
            Embeddings::Disk(file)
        };
        let upload = |p: &Projection| -> Result<_> {
            Ok((device.upload(&p.matrix, "projection")?, device.alloc(r, "no bias")?))
        };
        Ok(Self {
            features: Features { device: device.clone(), z, embeddings, images, positions, r, dim },
            projection: projection.map(upload).transpose()?,
            projected: device.alloc(batch * positions * r, "projected batch")?,
        })
    }

    /// Takes images `start .. start + count` from `embedding` `[count][positions][dim]`.
    fn push(&mut self, start: usize, count: usize, embedding: &Tensor) -> Result<()> {
        let Features { device, z, embeddings, positions, r, dim, .. } = &mut self.features;
        let (positions, r, dim) = (*positions, *r, *dim);
        let mut recorder = Recorder::new(device);
        if let Some((w, bias)) = &self.projection {
            Gemm {
                x: embedding,
                w,
                bias,
                residual: None,
                c: &self.projected,
                m: (count * positions) as u32,
                k: dim as u32,
                n: r as u32,
                activation: Activation::None,
            }
            .record(&mut recorder)?;
        }
        let (zs, es) = (positions * r, positions * dim);
        for i in 0..count {
            let (to, word) = z.at(start + i, zs);
            let from = if self.projection.is_some() { &self.projected } else { embedding };
            recorder.copy(from, i * zs, to, word, zs);
            if let Embeddings::Device(chunks) = embeddings {
                let (to, word) = chunks.at(start + i, es);
                recorder.copy(embedding, i * es, to, word, es);
            }
        }
        recorder.run()?;
        match embeddings {
            Embeddings::Disk(file) => {
                let values: Vec<f32> = device.read(&embedding.slice(0, count * es))?;
                file.write_all(bytemuck::cast_slice(&values))
                    .map_err(|e| Error::io(std::env::temp_dir(), "spooling embeddings", e))
            }
            // Bounds the work in flight to one batch while the next one decodes.
            _ => device.wait(),
        }
    }
}

/// Runs every image of `source` through the backbone and hands out the embeddings `[count][positions][dim]`, which lie on
/// the device, a batch at a time with the number of its first image.
pub(crate) fn embed(
    device: &Device,
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
        run_backbone(device, extractor, feed, &views, &|slot| source.name(start + slot))?;
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
        let mut all = Collector::new(device, shape, projection.as_ref(), batch, options.memory, true)?;
        embed(device, extractor, feed, source, progress, |start, count, x| all.push(start, count, x))?;
        Ok(all.features)
    }

    /// Collects embeddings that are at hand: `load` fills `[positions][dim]` of an image.
    pub fn from_embeddings(
        device: &Device,
        shape: FeatureShape,
        projection: Option<&Projection>,
        batch: usize,
        memory: u64,
        load: impl FnMut(usize, &mut [f32]) -> Result<()>,
    ) -> Result<Self> {
        let all = Collector::new(device, shape, projection, batch, memory, true)?;
        Self::collect(device, shape, batch, all, load)
    }

    /// Collects the projected vectors alone; [`Features::gather`] has nothing to give then.
    pub fn projected(
        device: &Device,
        shape: FeatureShape,
        projection: &Projection,
        batch: usize,
        memory: u64,
        load: impl FnMut(usize, &mut [f32]) -> Result<()>,
    ) -> Result<Self> {
        let all = Collector::new(device, shape, Some(projection), batch, memory, false)?;
        Self::collect(device, shape, batch, all, load)
    }

    fn collect(
        device: &Device,
        shape: FeatureShape,
        batch: usize,
        mut all: Collector,
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
        let (zs, es) = (self.positions * self.r, self.positions * self.dim);
        let w = device.upload(&projection_matrix(self.dim, self.r, seed), "projection")?;
        let bias = device.alloc(self.r, "no bias")?;
        let x = device.alloc(es, "embeddings of an image")?;
        let c = device.alloc(zs, "projected image")?;
        if let Embeddings::Disk(file) = &mut self.embeddings {
            file.rewind().map_err(|e| Error::io(std::env::temp_dir(), "reading spooled embeddings", e))?;
        }
        let mut values = Vec::new();
        for image in 0..self.images {
            let mut recorder = Recorder::new(&device);
            match &mut self.embeddings {
                Embeddings::Device(chunks) => {
                    let (from, word) = chunks.at(image, es);
                    recorder.copy(from, word, &x, 0, es);
                }
                Embeddings::Disk(file) => {
                    values.resize(es, 0.0_f32);
                    file.read_exact(bytemuck::cast_slice_mut(&mut values))
                        .map_err(|e| Error::io(std::env::temp_dir(), "reading spooled embeddings", e))?;
                    device.write(&x, 0, &values);
                }
                Embeddings::Dropped => return Err(Error::Limit("the embeddings were not kept".into())),
                Embeddings::Projected => {}
            }
            let (m, k, n) = (self.positions as u32, self.dim as u32, self.r as u32);
            let activation = Activation::None;
            Gemm { x: &x, w: &w, bias: &bias, residual: None, c: &c, m, k, n, activation }
                .record(&mut recorder)?;
            let (to, word) = self.z.at(image, zs);
            recorder.copy(&c, 0, to, word, zs);
            recorder.run()?;
        }
        device.wait()
    }

    /// The embeddings of the patches in `rows` (image-major numbers), `[rows][dim]`, as one tensor.
    pub fn gather(&mut self, rows: &[u32]) -> Result<Tensor> {
        let out = self.device.alloc(rows.len() * self.dim, "memory bank")?;
        let chunks = match &mut self.embeddings {
            Embeddings::Projected => &self.z,
            Embeddings::Device(chunks) => chunks,
            Embeddings::Dropped => return Err(Error::Limit("the embeddings were not kept".into())),
            Embeddings::Disk(file) => {
                let mut values = vec![0.0_f32; rows.len() * self.dim];
                // In file order, so that the disk reads forward.
                let mut order: Vec<usize> = (0..rows.len()).collect();
                order.sort_by_key(|&i| rows[i]);
                let bytes = self.dim as u64 * 4;
                for i in order {
                    let to = bytemuck::cast_slice_mut(&mut values[i * self.dim..(i + 1) * self.dim]);
                    file.seek(SeekFrom::Start(u64::from(rows[i]) * bytes))
                        .and_then(|_| file.read_exact(to))
                        .map_err(|e| Error::io(std::env::temp_dir(), "reading spooled embeddings", e))?;
                }
                self.device.write(&out, 0, &values);
                return Ok(out);
            }
        };
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
            gather::record(&mut recorder, tensor, &list, pairs.len() as u32, self.dim as u32, &out)?;
            recorder.run()?;
        }
        Ok(out)
    }
}

/// Submits a batch of decoded images through feed and backbone; the embeddings are ready when the device gets there.
/// `name` says which image of the batch an error is about.
pub(super) fn run_backbone(
    device: &Device,
    extractor: &mut Extractor,
    feed: &mut Feed,
    images: &[Image<'_>],
    name: &dyn Fn(usize) -> String,
) -> Result<()> {
    let mut recorder = Recorder::new(device);
    let input = extractor.input().clone();
    for (slot, image) in images.iter().enumerate() {
        feed.record(&mut recorder, image, &input, slot as u32).map_err(|e| match e {
            Error::InvalidOption(reason) => Error::Image {
                path: name(slot).into(),
                reason,
                remedy: "Leave the image out, or choose another resize and crop",
            },
            other => other,
        })?;
    }
    let feeding = recorder.finish()?;
    crate::gpu::Plan::submit_all(&[&feeding, extractor.plan(images.len() as u32)?])?;
    feed.submitted();
    Ok(())
}
