//! Scores and anomaly maps of new images.

use super::cover::Looking;
use super::ingest::{Together, run_backbone};
use super::patch_scorer::{Batch, PatchScorer, SETS, Score, Want};
use super::persist::{Share, Tries};
use crate::backbone::{Backbone, BackboneInfo, Extraction, Extractor, Feed};
use crate::bank::Bank;
use crate::cases::{Then, Use, self_test};
use crate::data::Image;
use crate::gpu::{Device, Plan, Recorder, Recurring, StepTime, Submission, Tensor};
use crate::model::Model;
use crate::settings::FitOptions;
use crate::steps::input::geometry::Framing;
use crate::{Error, Result};
use std::collections::btree_map::{BTreeMap, Entry};
use std::collections::{BTreeSet, VecDeque};
use std::ops::Range;
use std::sync::Arc;

/// Where the time of scoring goes.
#[derive(Clone, Debug)]
pub struct Profile {
    /// Images that were looked at: no more than the device takes at once.
    pub images: usize,
    /// Every dispatch in order.
    pub steps: Vec<StepTime>,
    /// Share of all query-row pairs whose distance was computed in full; the bounds spared the others.
    pub finished_share: f64,
}

/// A batch that was submitted.
struct Flight {
    ticket: u64,
    batch: Batch,
    /// Width and height of each image.
    sizes: Vec<[u32; 2]>,
    submission: Submission,
}

/// The part of a detector that works on the device.
pub(super) struct Scorer {
    pub(super) device: Device,
    pub(super) extractor: Extractor,
    pub(super) feed: Feed,
    /// What of images is looked at.
    pub covers: Looking,
    pub(super) scorer: PatchScorer,
    /// Images of a batch at most.
    batch: u32,
    /// What was asked for.
    pub(super) share: Share,
    framing: Framing,
    threshold: Option<f32>,
    /// By batch, and rows of the grid.
    plans: BTreeMap<(Batch, [u32; 2]), Plan>,
    recurring: Recurring,
    /// Oldest first.
    flights: VecDeque<Flight>,
    /// Results that nobody has asked for yet.
    landed: BTreeMap<u64, Result<Vec<Score>>>,
    /// Batches that were in flight on a device that is no more.
    fallen: BTreeSet<u64>,
    next: u64,
}

impl Scorer {
    /// Whether an image of some width and height will be scored.
    pub fn size_check(&self) -> impl Fn(u32, u32) -> Result<()> + Send + Sync + use<> {
        let (frame, memory) = (self.feed.check(), Together::to_score(self.most(), self.share.memory));
        move |width, height| memory.check(width, height).and_then(|()| frame(width, height))
    }

    /// Scores by `bank`, which `model` has on the device, what `feed` and `extractor` make of
    /// images.
    pub fn new(
        device: &Device,
        model: &Model,
        (extractor, feed): (Extractor, Feed),
        bank: Bank,
        share: Share,
    ) -> Result<Self> {
        let info = &model.info;
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
        let positions = info.grid[0] * info.grid[1];
        let batch = PatchScorer::images(device, &bank, positions, extractor.batch(), share.memory);
        Ok(Self {
            device: device.clone(),
            scorer: PatchScorer::new(device, bank, [info.grid, info.frame], batch, share.memory)?,
            extractor,
            feed,
            covers: Looking::new(info.framing(), info.grid, model.roi.clone()),
            batch,
            share,
            framing: info.framing(),
            threshold: info.threshold,
            plans: BTreeMap::new(),
            recurring: Recurring::new(),
            flights: VecDeque::new(),
            landed: BTreeMap::new(),
            fallen: BTreeSet::new(),
            next: 0,
        })
    }

    /// The same for a model that was loaded.
    pub fn of_model(device: &Device, backbone: &Backbone, model: &mut Model, share: Share) -> Result<Self> {
        let info = &model.info;
        let ours = backbone.info();
        if ours != info.backbone {
            let show = |b: &BackboneInfo| {
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
        let what = Use::new(&backbone.network, &info.options, info.frame, Then::Score)?;
        self_test(device, &what, &|| false)?;
        let bank = model.bank.prepare(device)?;
        Self::on(device, backbone, model, bank, share)
    }

    /// The same by `bank`, which is the model's.
    pub fn on(device: &Device, backbone: &Backbone, model: &Model, bank: Bank, share: Share) -> Result<Self> {
        let (info, network) = (&model.info, &backbone.network);
        let options = FitOptions { batch: share.batch, memory: share.memory, ..info.options.clone() };
        let positions = info.grid[0] * info.grid[1];
        let batch = PatchScorer::images(device, &bank, positions, share.batch, share.memory);
        let extraction = Extraction { batch, ..options.extraction(&network.name, info.frame) };
        let extractor = Extractor::with(device, network.clone(), &backbone.weights, extraction)?;
        let feed = Feed::new(device, extractor.network(), info.framing())?;
        Self::new(device, model, (extractor, feed), bank, share)
    }

    /// Goes on on another device, or with another share: with all that was landed, and without what was in
    /// flight.
    pub fn move_to(
        &mut self,
        device: &Device,
        backbone: &Backbone,
        model: &Model,
        share: Share,
    ) -> Result<()> {
        // Room for what comes.
        self.plans.clear();
        self.recurring.clear();
        self.extractor.rest();
        let bank = model.bank.on_device(device)?;
        let mut next = Self::on(device, backbone, model, bank, share)?;
        next.covers =
            std::mem::replace(&mut self.covers, Looking::new(next.framing, next.extractor.grid(), None));
        next.covers.renewed();
        next.next = self.next;
        next.fallen = self.flights.drain(..).map(|flight| flight.ticket).collect();
        for (ticket, landed) in std::mem::take(&mut self.landed) {
            if landed.as_ref().is_err_and(Tries::mend) {
                next.fallen.insert(ticket);
            } else {
                next.landed.insert(ticket, landed);
            }
        }
        next.fallen.append(&mut self.fallen);
        *self = next;
        Ok(())
    }

    /// Whether a batch was in flight on a device that is no more.
    pub fn is_fallen(&self, ticket: u64) -> bool {
        self.fallen.contains(&ticket)
    }

    /// Scores by `bank`, a bank of the same backbone and frame, from now on.
    pub fn set_bank(&mut self, bank: Bank) -> Result<()> {
        self.land_all();
        let ([h, w], device, memory) = (self.extractor.grid(), &self.device, self.share.memory);
        let batch = PatchScorer::images(device, &bank, h * w, self.extractor.batch(), memory);
        self.scorer = PatchScorer::new(device, bank, [[h, w], self.framing.frame], batch, memory)?;
        self.batch = batch;
        self.plans.clear();
        self.recurring.clear();
        Ok(())
    }

    /// Images that [`Scorer::begin`] takes at most.
    pub fn most(&self) -> usize {
        self.batch as usize
    }

    /// Packs and submits a batch without waiting for it; [`Scorer::finish`] has its scores. Where as many
    /// batches are in flight as there are sets, the oldest is waited for.
    pub fn begin(&mut self, images: &[Image<'_>], want: Want, name: &dyn Fn(usize) -> String) -> Result<u64> {
        if self.flights.len() >= SETS {
            self.land();
        }
        // In turn: the batch that may be in flight has the other one.
        let set = (self.next % SETS as u64) as usize;
        let batch = Batch { images: images.len() as u32, set, want: want.of_batch() };
        let looked_at = self.covers.of(images.iter().map(|i| [i.width(), i.height()]))?;
        if let Some(looked_at) = looked_at {
            self.scorer.search.cover(&self.device, &looked_at);
        }
        self.scorer.prepare(batch.want)?;
        let Self { device, scorer, extractor, feed, plans, recurring, .. } = self;
        let (embedding, mut last) = (extractor.embedding().clone(), None);
        run_backbone(extractor, feed, images, name, |feed, features, piece| {
            let scores = plan(plans, device, scorer, &embedding, &piece.rows, batch)?;
            let pushed = feed.take();
            let all: Vec<&Plan> = pushed.iter().map(Arc::as_ref).chain([features, scores]).collect();
            last = Some(recurring.submit(&all)?);
            Ok(())
        })?;
        let submission = last.ok_or_else(|| Error::Internal("a batch of no pieces".into()))?;
        let ticket = self.next;
        self.next += 1;
        let sizes = images.iter().map(|image| [image.width(), image.height()]).collect();
        self.flights.push_back(Flight { ticket, batch, sizes, submission });
        Ok(ticket)
    }

    /// Waits for the oldest batch in flight.
    fn land(&mut self) {
        if let Some(Flight { ticket, batch, sizes, submission }) = self.flights.pop_front() {
            let place = |size: [u32; 2]| Ok((size, self.framing.place(size[0], size[1])?));
            let places: Result<Vec<_>> = sizes.into_iter().map(place).collect();
            let read = places.and_then(|places| {
                self.scorer.read(&submission, batch, self.threshold, (&places, self.covers.within()))
            });
            self.landed.insert(ticket, read);
        }
    }

    /// The scores of a batch that was begun, once.
    pub fn finish(&mut self, ticket: u64) -> Result<Vec<Score>> {
        loop {
            if let Some(scores) = self.landed.remove(&ticket) {
                return scores;
            }
            if self.fallen.remove(&ticket) {
                return Err(Error::Lost("a batch was with it".into()));
            }
            if self.flights.is_empty() {
                return Err(Error::Internal("a batch vanished".into()));
            }
            self.land();
        }
    }

    /// Waits for all batches in flight.
    pub fn land_all(&mut self) {
        while !self.flights.is_empty() {
            self.land();
        }
    }

    /// Runs a batch with a timestamp around every dispatch.
    pub fn profile(&mut self, images: &[Image<'_>]) -> Result<Profile> {
        self.land_all();
        let count = images.len().min(self.batch as usize);
        let batch = Batch { images: count as u32, set: 0, want: Want::Maps };
        self.scorer.prepare(batch.want)?;
        let Self { device, scorer, extractor, feed, plans, .. } = self;
        let (embedding, mut times) = (extractor.embedding().clone(), Vec::new());
        let name = |slot: usize| format!("image {slot}");
        run_backbone(extractor, feed, &images[..count], &name, |feed, features, piece| {
            for plan in feed.take() {
                times.extend(plan.profile()?);
            }
            times.extend(features.profile()?);
            times.extend(plan(plans, device, scorer, &embedding, &piece.rows, batch)?.profile()?);
            Ok(())
        })?;
        let finished: Vec<u32> = self.device.read(&self.scorer.search.finished)?;
        let [h, w] = self.extractor.grid();
        let pairs = count as f64 * f64::from(h * w) * f64::from(self.scorer.bank.rows());
        let finished_share = f64::from(finished[0]) / pairs;
        Ok(Profile { images: count, steps: times, finished_share })
    }

    /// Scores images; `name` says which one an error is about.
    pub fn score(
        &mut self,
        images: &[Image<'_>],
        want: Want,
        name: &dyn Fn(usize) -> String,
    ) -> Result<Vec<Score>> {
        let batch = self.most();
        let mut scores = Vec::with_capacity(images.len());
        let mut flying = None;
        for (i, images) in images.chunks(batch).enumerate() {
            let begun = self.begin(images, want, &|slot| name(i * batch + slot));
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
}

/// The plan from the embeddings of rows of the grid to what is wanted of a batch, recorded once.
fn plan<'a>(
    plans: &'a mut BTreeMap<(Batch, [u32; 2]), Plan>,
    device: &Device,
    scorer: &PatchScorer,
    embedding: &Tensor,
    rows: &Range<u32>,
    batch: Batch,
) -> Result<&'a Plan> {
    Ok(match plans.entry((batch, [rows.start, rows.end])) {
        Entry::Occupied(plan) => plan.into_mut(),
        Entry::Vacant(place) => {
            let mut recorder = Recorder::new(device);
            scorer.record(&mut recorder, embedding, rows, batch)?;
            place.insert(recorder.finish()?)
        }
    })
}
