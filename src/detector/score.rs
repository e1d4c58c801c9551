//! Scores and anomaly maps of new images.

use super::axes::principal_axes;
use super::features::{run_backbone, stream};
use super::model_file::{Model, ModelInfo};
use super::{Backbone, Progress, Stage};
use crate::backbone::{Extractor, Feed};
use crate::data::{Image, ImageSource};
use crate::gpu::{Device, Plan, Recorder, StepTime, Tensor};
use crate::ops::anomaly_map::AnomalyMap;
use crate::ops::neighbor::{Bank, BankData, Search, SkipOwn};
use crate::{Error, Result};
use std::collections::BTreeMap;

/// The anomaly score of one image.
#[derive(Clone, Debug, PartialEq)]
pub struct Score {
    /// Largest patch score; not bounded above.
    pub score: f32,
    /// Whether `score` passes the model's threshold; `None` where the model has none.
    pub anomalous: Option<bool>,
    /// Rows and columns of the grid of patches.
    pub grid: [u32; 2],
    /// Patch scores, row by row: weight times squared distance to the nearest bank row.
    pub patches: Vec<f32>,
    /// Side of the map in pixels: the crop.
    pub map_side: u32,
    /// Anomaly map of the crop, row by row: the patch scores, upsampled and blurred.
    pub map: Vec<f32>,
}

/// Where the time of scoring goes.
#[derive(Clone, Debug)]
pub struct Profile {
    /// Every dispatch in order.
    pub steps: Vec<StepTime>,
    /// Share of all query-row pairs whose distance was computed in full; the bounds spared the others.
    pub finished_share: f64,
}

/// Most values that rows of a bank are compared by before they are measured: a head and three more.
const MAX_LIFTED: usize = 64;

/// Mean and leading axes of bank rows, as [`Bank::new`] wants them.
pub(crate) fn bank_axes(rows: &[f32], dim: usize) -> (Vec<f32>, Vec<f32>) {
    // A quarter of the values and the tail, in whole vectors: measured at 152 values.
    let lifted = (dim / 4 / 4 * 4).clamp(8, MAX_LIFTED);
    let head = (lifted - 3).min(dim);
    principal_axes(rows, dim, head)
}

/// A bank ready for search on `device`.
pub(crate) fn prepare_bank(device: &Device, model: &Model) -> Result<Bank> {
    let (mean, axes) = bank_axes(&model.bank, model.info.dim as usize);
    let row_image: Vec<u32> = model.provenance.iter().map(|p| p[0]).collect();
    let (rows, weights, row_image) = (&model.bank, &model.weights, &row_image);
    Bank::new(device, &BankData { rows, weights, row_image, mean: &mean, axes: &axes, dim: model.info.dim })
}

/// Features to scores for a batch, with the buffers for it.
pub(crate) struct Stages {
    device: Device,
    grid: [u32; 2],
    crop: u32,
    bank: Bank,
    search: Search,
    map: AnomalyMap,
    scratch: Tensor,
    scores: Tensor,
    top: Tensor,
    maps: Tensor,
}

impl Stages {
    /// Buffers for `batch` images of patches `grid` and maps of `crop` x `crop` pixels.
    pub fn new(device: &Device, bank: Bank, grid: [u32; 2], crop: u32, batch: u32) -> Result<Self> {
        let positions = grid[0] * grid[1];
        let map = AnomalyMap::new(device, grid, [crop; 2])?;
        Ok(Self {
            device: device.clone(),
            grid,
            crop,
            search: bank.search(device, batch * positions)?,
            bank,
            scratch: device.alloc(map.scratch_len(batch), "map scratch")?,
            map,
            scores: device.alloc((batch * positions) as usize, "patch scores")?,
            top: device.alloc(batch as usize, "image scores")?,
            maps: device.alloc((batch * crop * crop) as usize, "anomaly maps")?,
        })
    }

    /// Records embeddings `[images][positions][dim]` to scores and maps.
    pub fn record(&self, recorder: &mut Recorder, embedding: &Tensor, images: u32) -> Result<()> {
        let positions = self.grid[0] * self.grid[1];
        self.bank.record(recorder, &self.search, embedding, images * positions, None)?;
        self.bank.record_scores(recorder, &self.search, images, positions, &self.scores, &self.top)?;
        self.map.record(recorder, &self.scores, &self.scratch, &self.maps, images)
    }

    /// Reads back what was scored.
    pub fn read(&self, count: usize, threshold: Option<f32>) -> Result<Vec<Score>> {
        let positions = self.grid[0] as usize * self.grid[1] as usize;
        let pixels = self.crop as usize * self.crop as usize;
        let top: Vec<f32> = self.device.read(&self.top.slice(0, count))?;
        let scores: Vec<f32> = self.device.read(&self.scores.slice(0, count * positions))?;
        let maps: Vec<f32> = self.device.read(&self.maps.slice(0, count * pixels))?;
        let parts = scores.chunks_exact(positions).zip(maps.chunks_exact(pixels));
        Ok(top
            .iter()
            .zip(parts)
            .map(|(&score, (patches, map))| Score {
                score,
                anomalous: threshold.map(|t| score > t),
                grid: self.grid,
                patches: patches.to_vec(),
                map_side: self.crop,
                map: map.to_vec(),
            })
            .collect())
    }
}

/// The part of a detector that works on the device.
pub(super) struct Scorer {
    device: Device,
    extractor: Extractor,
    feed: Feed,
    stages: Stages,
    plans: BTreeMap<u32, Plan>,
}

impl Scorer {
    pub fn new(device: &Device, backbone: &Backbone, model: &Model) -> Result<Self> {
        let info = &model.info;
        let ours = backbone.info();
        if ours != info.backbone {
            let show = |b: &super::BackboneInfo| {
                format!("{} [{}] sha256 {:.12}", b.arch, b.layers.join(","), b.weights_sha256)
            };
            return Err(Error::Model {
                path: "<memory>".into(),
                reason: format!(
                    "made with the backbone {}, but {} is loaded; give the same weights or fit anew",
                    show(&info.backbone),
                    show(&ours)
                ),
            });
        }
        let bank = prepare_bank(device, model)?;
        let positions = info.grid[0] * info.grid[1];
        let crop = info.options.crop;
        let batch = info.options.batch.min((bank.max_queries(device) / positions).max(1));
        let network = backbone.network.clone();
        let patches = info.options.patches(&network.name);
        let extractor = Extractor::with_patches(
            device,
            network,
            &backbone.weights,
            [crop; 2],
            batch,
            patches,
            info.options.precision,
        )?;
        if extractor.grid() != info.grid || extractor.dim() != info.dim {
            return Err(Error::Model {
                path: "<memory>".into(),
                reason: format!(
                    "its patches are {:?} of {} values, the backbone makes {:?} of {}; fit anew",
                    info.grid,
                    info.dim,
                    extractor.grid(),
                    extractor.dim()
                ),
            });
        }
        let batch = extractor.batch();
        let feed = Feed::new(device, extractor.network(), info.options.resize, crop)?;
        let stages = Stages::new(device, bank, info.grid, crop, batch)?;
        Ok(Self { device: device.clone(), extractor, feed, stages, plans: BTreeMap::new() })
    }

    /// Embeddings of `images` images to scores and maps.
    fn plan(&mut self, images: u32) -> Result<&Plan> {
        if !self.plans.contains_key(&images) {
            let mut recorder = Recorder::new(&self.device);
            self.stages.record(&mut recorder, self.extractor.embedding(), images)?;
            self.plans.insert(images, recorder.finish()?);
        }
        self.plans.get(&images).ok_or_else(|| Error::Device("a plan vanished".into()))
    }

    fn batch(
        &mut self,
        images: &[Image<'_>],
        info: &ModelInfo,
        name: &dyn Fn(usize) -> String,
    ) -> Result<Vec<Score>> {
        let count = images.len();
        run_backbone(&self.device, &mut self.extractor, &mut self.feed, images, name)?;
        self.plan(count as u32)?.submit()?;
        self.stages.read(count, info.threshold)
    }

    /// Runs a batch with a timestamp around every dispatch.
    pub fn profile(&mut self, images: &[Image<'_>]) -> Result<Profile> {
        let count = images.len().min(self.extractor.batch() as usize);
        let mut recorder = Recorder::new(&self.device);
        let input = self.extractor.input().clone();
        for (slot, image) in images[..count].iter().enumerate() {
            self.feed.record(&mut recorder, image, &input, slot as u32)?;
        }
        let feeding = recorder.finish()?;
        self.feed.submitted();
        let mut times = feeding.profile()?;
        times.extend(self.extractor.plan(count as u32)?.profile()?);
        times.extend(self.plan(count as u32)?.profile()?);
        let finished: Vec<u32> = self.device.read(&self.stages.search.finished)?;
        let [h, w] = self.extractor.grid();
        let pairs = count as f64 * f64::from(h * w) * f64::from(self.stages.bank.rows());
        Ok(Profile { steps: times, finished_share: f64::from(finished[0]) / pairs })
    }

    pub fn score(&mut self, images: &[Image<'_>], info: &ModelInfo) -> Result<Vec<Score>> {
        let batch = self.extractor.batch() as usize;
        let mut scores = Vec::with_capacity(images.len());
        for images in images.chunks(batch) {
            let first = scores.len();
            scores.extend(self.batch(images, info, &|slot| format!("image {}", first + slot))?);
        }
        Ok(scores)
    }

    pub fn score_source(
        &mut self,
        source: &dyn ImageSource,
        info: &ModelInfo,
        progress: &dyn Progress,
        mut f: impl FnMut(usize, Score) -> Result<()>,
    ) -> Result<()> {
        let (batch, total) = (self.extractor.batch() as usize, source.len() as u64);
        progress.update(Stage::Score, 0, total);
        stream(source, batch, |start, loaded| {
            if progress.cancelled() {
                return Err(Error::Cancelled);
            }
            let images = loaded.iter().map(|i| i.as_image()).collect::<Result<Vec<_>>>()?;
            for (i, score) in
                self.batch(&images, info, &|slot| source.name(start + slot))?.into_iter().enumerate()
            {
                f(start + i, score)?;
            }
            progress.update(Stage::Score, (start + loaded.len()) as u64, total);
            Ok(())
        })
    }
}

/// Image scores of training images against the bank without their own rows, from embeddings at hand.
pub(super) struct Calibration {
    bank: Bank,
    search: Search,
    scores: Tensor,
    top: Tensor,
    positions: u32,
}

impl Calibration {
    pub fn new(device: &Device, model: &Model) -> Result<Self> {
        let bank = prepare_bank(device, model)?;
        let positions = model.info.grid[0] * model.info.grid[1];
        Ok(Self {
            search: bank.search(device, positions)?,
            bank,
            scores: device.alloc(positions as usize, "patch scores")?,
            top: device.alloc(1, "image score")?,
            positions,
        })
    }

    /// Score of training image `image` with embeddings `x` `[positions][dim]`; infinite where every bank row is its own.
    pub fn score(&self, device: &Device, x: &Tensor, image: u32) -> Result<f32> {
        let mut recorder = Recorder::new(device);
        let skip = SkipOwn { first_image: image, queries_per_image: self.positions };
        self.bank.record(&mut recorder, &self.search, x, self.positions, Some(skip))?;
        self.bank.record_scores(&mut recorder, &self.search, 1, self.positions, &self.scores, &self.top)?;
        recorder.run()?;
        Ok(device.read::<f32>(&self.top)?[0])
    }
}
