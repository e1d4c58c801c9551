//! Scores and anomaly maps of new images.

use super::features::{run_backbone, stream};
use super::{Backbone, Progress, Stage};
use crate::backbone::{Extractor, Feed};
use crate::bank::{Bank, Maps, SearchBuffers};
use crate::cases::{Then, Use, self_test};
use crate::data::{Image, ImageSource};
use crate::gpu::{Device, Plan, Readback, Recorder, StepTime, Submission, Tensor};
use crate::model::Model;
use crate::steps::search::search::SkipOwn;
use crate::{Error, Result};
use std::collections::{BTreeMap, VecDeque};

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

/// Features to scores for a batch, with the buffers for it.
pub(crate) struct Stages {
    grid: [u32; 2],
    crop: u32,
    bank: Bank,
    search: SearchBuffers,
    maps: Maps,
    top: Tensor,
    /// Results on their way back: image scores, patch scores, maps.
    sets: [Readback; SETS],
}

/// Batches in flight at most: one with the device while the next is packed and queued. Only what goes back needs a set a
/// batch; the device's own buffers are used in the queue's order.
pub(crate) const SETS: usize = 2;

impl Stages {
    /// Buffers for `batch` images of patches `grid` and maps of `crop` x `crop` pixels.
    pub fn new(device: &Device, bank: Bank, grid: [u32; 2], crop: u32, batch: u32) -> Result<Self> {
        let positions = grid[0] * grid[1];
        let [top, scores, maps] = Self::words(grid, crop, batch as usize);
        let set = || Readback::new(device, top + scores + maps, "results");
        Ok(Self {
            grid,
            crop,
            search: bank.search(device, batch * positions)?,
            bank,
            maps: Maps::new(device, grid, [crop; 2], batch as usize)?,
            top: device.alloc(top, "image scores")?,
            sets: [set()?, set()?],
        })
    }

    /// Words of the results of `count` images.
    fn words(grid: [u32; 2], crop: u32, count: usize) -> [usize; 3] {
        [1, grid[0] as usize * grid[1] as usize, crop as usize * crop as usize].map(|words| count * words)
    }

    /// Records embeddings `[images][positions][dim]` to scores and maps, and on into set `set`.
    pub fn record(&self, recorder: &mut Recorder, embedding: &Tensor, images: u32, set: usize) -> Result<()> {
        let positions = self.grid[0] * self.grid[1];
        self.bank.record(recorder, &self.search, embedding, images * positions, None)?;
        self.bank.record_scores(recorder, &self.search, [images, positions], &self.maps.scores, &self.top)?;
        self.maps.record(recorder, images)?;
        let mut to = 0;
        let words = Self::words(self.grid, self.crop, images as usize);
        for (tensor, words) in [&self.top, &self.maps.scores, &self.maps.maps].into_iter().zip(words) {
            recorder.copy_back(tensor, words, &self.sets[set], to);
            to += words;
        }
        Ok(())
    }

    /// Reads what `submission` scored and brought to set `set`.
    pub fn read(
        &self,
        submission: &Submission,
        set: usize,
        count: usize,
        threshold: Option<f32>,
    ) -> Result<Vec<Score>> {
        let [tops, scores, _] = Self::words(self.grid, self.crop, count);
        let [_, positions, pixels] = Self::words(self.grid, self.crop, 1);
        let words = self.sets[set].read(submission)?;
        let top: Vec<f32> = words.words(0..tops);
        let (scores, maps) = (tops, tops + scores);
        Ok(top
            .into_iter()
            .enumerate()
            .map(|(i, score)| Score {
                score,
                anomalous: threshold.map(|t| score > t),
                grid: self.grid,
                patches: words.words(scores + i * positions..scores + (i + 1) * positions),
                map_side: self.crop,
                map: words.words(maps + i * pixels..maps + (i + 1) * pixels),
            })
            .collect())
    }
}

/// A batch that was submitted.
struct Flight {
    ticket: u64,
    set: usize,
    count: usize,
    submission: Submission,
}

/// The part of a detector that works on the device.
pub(super) struct Scorer {
    device: Device,
    extractor: Extractor,
    feed: Feed,
    stages: Stages,
    threshold: Option<f32>,
    /// By images and set.
    plans: BTreeMap<(u32, usize), Plan>,
    /// Oldest first.
    flights: VecDeque<Flight>,
    /// Results that nobody has asked for yet.
    landed: BTreeMap<u64, Result<Vec<Score>>>,
    next: u64,
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
        let patches = info.options.patches(&backbone.network.name);
        self_test(device, &Use::new(&backbone.network, &info.options, Then::Score)?)?;
        let bank = model.bank.on_device(device)?;
        let positions = info.grid[0] * info.grid[1];
        let crop = info.options.crop;
        let batch = info.options.batch.min((bank.max_queries(device) / positions).max(1));
        let network = backbone.network.clone();
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
        Ok(Self {
            device: device.clone(),
            extractor,
            feed,
            stages,
            threshold: info.threshold,
            plans: BTreeMap::new(),
            flights: VecDeque::new(),
            landed: BTreeMap::new(),
            next: 0,
        })
    }

    /// Images that [`Scorer::begin`] takes at most.
    pub fn most(&self) -> usize {
        self.extractor.batch() as usize
    }

    /// Embeddings of `images` images to scores and maps in set `set`.
    fn plan(&mut self, images: u32, set: usize) -> Result<&Plan> {
        if !self.plans.contains_key(&(images, set)) {
            let mut recorder = Recorder::new(&self.device);
            self.stages.record(&mut recorder, self.extractor.embedding(), images, set)?;
            self.plans.insert((images, set), recorder.finish()?);
        }
        self.plans.get(&(images, set)).ok_or_else(|| Error::Internal("a plan vanished".into()))
    }

    /// Packs and submits a batch without waiting for it; [`Scorer::finish`] has its scores. Where as many batches are in flight
    /// as there are sets, the oldest is waited for.
    pub fn begin(&mut self, images: &[Image<'_>], name: &dyn Fn(usize) -> String) -> Result<u64> {
        if self.flights.len() >= SETS {
            self.land();
        }
        // In turn: the batch that may be in flight has the other one.
        let set = (self.next % SETS as u64) as usize;
        let count = images.len();
        self.plan(count as u32, set)?;
        let Some(plan) = self.plans.get(&(count as u32, set)) else {
            return Err(Error::Internal("a plan vanished".into()));
        };
        let submission = run_backbone(&mut self.extractor, &mut self.feed, images, name, &[plan])?;
        let ticket = self.next;
        self.next += 1;
        self.flights.push_back(Flight { ticket, set, count, submission });
        Ok(ticket)
    }

    /// Waits for the oldest batch in flight.
    fn land(&mut self) {
        if let Some(Flight { ticket, set, count, submission }) = self.flights.pop_front() {
            self.landed.insert(ticket, self.stages.read(&submission, set, count, self.threshold));
        }
    }

    /// The scores of a batch that was begun, once.
    pub fn finish(&mut self, ticket: u64) -> Result<Vec<Score>> {
        loop {
            if let Some(scores) = self.landed.remove(&ticket) {
                return scores;
            }
            if self.flights.is_empty() {
                return Err(Error::Internal("a batch vanished".into()));
            }
            self.land();
        }
    }

    /// Runs a batch with a timestamp around every dispatch.
    pub fn profile(&mut self, images: &[Image<'_>]) -> Result<Profile> {
        while !self.flights.is_empty() {
            self.land();
        }
        let count = images.len().min(self.extractor.batch() as usize);
        let input = self.extractor.input().clone();
        for (slot, image) in images[..count].iter().enumerate() {
            self.feed.push(image, &input, slot as u32)?;
        }
        let mut times = Vec::new();
        for plan in self.feed.take() {
            times.extend(plan.profile()?);
        }
        times.extend(self.extractor.plan(count as u32)?.profile()?);
        times.extend(self.plan(count as u32, 0)?.profile()?);
        let finished: Vec<u32> = self.device.read(&self.stages.search.finished)?;
        let [h, w] = self.extractor.grid();
        let pairs = count as f64 * f64::from(h * w) * f64::from(self.stages.bank.rows());
        Ok(Profile { steps: times, finished_share: f64::from(finished[0]) / pairs })
    }

    pub fn score(&mut self, images: &[Image<'_>]) -> Result<Vec<Score>> {
        let batch = self.most();
        let mut scores = Vec::with_capacity(images.len());
        let mut flying = None;
        for (i, images) in images.chunks(batch).enumerate() {
            let begun = self.begin(images, &|slot| format!("image {}", i * batch + slot));
            let before = flying.take().map_or(Ok(Vec::new()), |before| self.finish(before));
            match (before, begun) {
                (Ok(before), Ok(ticket)) => {
                    scores.extend(before);
                    flying = Some(ticket);
                }
                (Err(error), begun) => {
                    // Nobody else asks for these.
                    let _ = begun.and_then(|ticket| self.finish(ticket));
                    return Err(error);
                }
                (Ok(_), Err(error)) => return Err(error),
            }
        }
        if let Some(last) = flying {
            scores.extend(self.finish(last)?);
        }
        Ok(scores)
    }

    pub fn score_source(
        &mut self,
        source: &dyn ImageSource,
        progress: &dyn Progress,
        mut f: impl FnMut(usize, Score) -> Result<()>,
    ) -> Result<()> {
        let (batch, total) = (self.most(), source.len() as u64);
        progress.update(Stage::Score, 0, total);
        let mut hand_over = |scorer: &mut Self, (start, ticket): (usize, u64)| {
            let scores = scorer.finish(ticket)?;
            let done = (start + scores.len()) as u64;
            scores.into_iter().enumerate().try_for_each(|(i, score)| f(start + i, score))?;
            progress.update(Stage::Score, done, total);
            Ok(())
        };
        let mut flying = None;
        let mut stopped = false;
        let streamed = stream(source, batch, |start, loaded| {
            if progress.cancelled() {
                return Err(Error::Cancelled);
            }
            let images = loaded.iter().map(|i| i.as_image()).collect::<Result<Vec<_>>>()?;
            let begun = self.begin(&images, &|slot| source.name(start + slot));
            let before: Option<(usize, u64)> = flying.take();
            let failed = begun.map(|ticket| flying = Some((start, ticket))).err();
            if let Some(before) = before {
                hand_over(self, before).inspect_err(|_| stopped = true)?;
            }
            failed.map_or(Ok(()), Err)
        });
        match flying {
            // Images before a bad one have their scores; a caller that stopped wants no more.
            Some((_, ticket)) if stopped => {
                let _ = self.finish(ticket);
                streamed
            }
            Some(last) => {
                let last = hand_over(self, last);
                streamed.and(last)
            }
            None => streamed,
        }
    }
}

/// Image scores of training images against the bank without their own rows, from embeddings at hand.
pub(super) struct Calibration {
    bank: Bank,
    search: SearchBuffers,
    scores: Tensor,
    top: Tensor,
    positions: u32,
}

impl Calibration {
    pub fn new(device: &Device, model: &Model) -> Result<Self> {
        let bank = model.bank.on_device(device)?;
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
        self.bank.record_scores(&mut recorder, &self.search, [1, self.positions], &self.scores, &self.top)?;
        recorder.run()?;
        Ok(device.read::<f32>(&self.top)?[0])
    }
}
