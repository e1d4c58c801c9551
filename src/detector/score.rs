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

/// Largest head of the search bounds, in values.
const MAX_HEAD: usize = 64;

/// A bank ready for search on `device`.
pub(super) fn prepare_bank(device: &Device, model: &Model) -> Result<Bank> {
    let dim = model.info.dim as usize;
    // Measured at 152 values: a quarter is where a longer head costs what it spares.
    let head = (dim / 4).next_multiple_of(4).clamp(4, MAX_HEAD).min(dim / 4 * 4);
    let (mean, axes) = principal_axes(&model.bank, dim, head);
    let row_image: Vec<u32> = model.provenance.iter().map(|p| p[0]).collect();
    let (rows, weights, row_image) = (&model.bank, &model.weights, &row_image);
    Bank::new(device, &BankData { rows, weights, row_image, mean: &mean, axes: &axes, dim: model.info.dim })
}

/// Features to scores for a batch, with the buffers for it.
struct Stages {
    bank: Bank,
    search: Search,
    map: AnomalyMap,
    scratch: Tensor,
    scores: Tensor,
    top: Tensor,
    maps: Tensor,
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
        let extractor = Extractor::new(device, backbone.network.clone(), &backbone.weights, crop, batch)?;
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
        let map = AnomalyMap::new(device, info.grid, [crop; 2])?;
        let stages = Stages {
            search: bank.search(device, batch * positions)?,
            bank,
            scratch: device.alloc(map.scratch_len(batch), "map scratch")?,
            map,
            scores: device.alloc((batch * positions) as usize, "patch scores")?,
            top: device.alloc(batch as usize, "image scores")?,
            maps: device.alloc((batch * crop * crop) as usize, "anomaly maps")?,
        };
        Ok(Self { device: device.clone(), extractor, feed, stages, plans: BTreeMap::new() })
    }

    /// Embeddings of `images` images to scores and maps.
    fn plan(&mut self, images: u32) -> Result<&Plan> {
        if !self.plans.contains_key(&images) {
            let [h, w] = self.extractor.grid();
            let s = &self.stages;
            let mut recorder = Recorder::new(&self.device);
            s.bank.record(&mut recorder, &s.search, self.extractor.embedding(), images * h * w, None)?;
            s.bank.record_scores(&mut recorder, &s.search, images, h * w, &s.scores, &s.top)?;
            s.map.record(&mut recorder, &s.scores, &s.scratch, &s.maps, images)?;
            self.plans.insert(images, recorder.finish()?);
        }
        self.plans.get(&images).ok_or_else(|| Error::Device("a plan vanished".into()))
    }

    fn batch(&mut self, images: &[Image<'_>], info: &ModelInfo) -> Result<Vec<Score>> {
        let count = images.len();
        run_backbone(&self.device, &mut self.extractor, &mut self.feed, images)?;
        self.plan(count as u32)?.submit()?;
        let positions = info.grid[0] as usize * info.grid[1] as usize;
        let side = info.options.crop;
        let pixels = side as usize * side as usize;
        let s = &self.stages;
        let top: Vec<f32> = self.device.read(&s.top.slice(0, count))?;
        let scores: Vec<f32> = self.device.read(&s.scores.slice(0, count * positions))?;
        let maps: Vec<f32> = self.device.read(&s.maps.slice(0, count * pixels))?;
        let parts = scores.chunks_exact(positions).zip(maps.chunks_exact(pixels));
        Ok(top
            .iter()
            .zip(parts)
            .map(|(&score, (patches, map))| Score {
                score,
                anomalous: info.threshold.map(|t| score > t),
                grid: info.grid,
                patches: patches.to_vec(),
                map_side: side,
                map: map.to_vec(),
            })
            .collect())
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
            scores.extend(self.batch(images, info)?);
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
            for (i, score) in self.batch(&images, info)?.into_iter().enumerate() {
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
