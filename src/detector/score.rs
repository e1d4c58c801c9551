//! Scores and anomaly maps of new images.

use super::cover::Looking;
use super::ingest::{decode_ahead, run_backbone};
use super::patch_scorer::{Batch, Examined, Nearest, PatchScorer, SETS, Score, Want, queries};
use super::{Progress, Stage};
use crate::backbone::{Backbone, BackboneInfo, Extraction, Extractor, Feed};
use crate::bank::Bank;
use crate::cases::{Then, Use, self_test};
use crate::data::{Image, ImageSource};
use crate::gpu::{Device, Plan, Recorder, StepTime, Submission, Tensor};
use crate::model::Model;
use crate::steps::input::geometry::Framing;
use crate::steps::search::search::SkipOwn;
use crate::{Error, Result};
use std::collections::VecDeque;
use std::collections::btree_map::{BTreeMap, Entry};
use std::ops::Range;

/// Where the time of scoring goes.
#[derive(Clone, Debug)]
pub struct Profile {
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
    device: Device,
    extractor: Extractor,
    feed: Feed,
    /// What of images is looked at.
    pub covers: Looking,
    scorer: PatchScorer,
    /// Images of a batch at most.
    batch: u32,
    memory: u64,
    framing: Framing,
    threshold: Option<f32>,
    /// By batch, and rows of the grid.
    plans: BTreeMap<(Batch, [u32; 2]), Plan>,
    /// Oldest first.
    flights: VecDeque<Flight>,
    /// Results that nobody has asked for yet.
    landed: BTreeMap<u64, Result<Vec<Score>>>,
    next: u64,
}

impl Scorer {
    /// Scores by `bank`, which `model` has on the device, what `feed` and `extractor` make of
    /// images.
    pub fn new(device: &Device, model: &Model, extractor: Extractor, feed: Feed, bank: Bank) -> Result<Self> {
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
        let (positions, memory) = (info.grid[0] * info.grid[1], info.options.memory);
        let batch = PatchScorer::images(device, &bank, positions, extractor.batch(), memory);
        Ok(Self {
            device: device.clone(),
            scorer: PatchScorer::new(device, bank, [info.grid, info.frame], batch, memory)?,
            extractor,
            feed,
            covers: Looking::new(info.framing(), info.grid, model.roi.clone()),
            batch,
            memory,
            framing: info.framing(),
            threshold: info.threshold,
            plans: BTreeMap::new(),
            flights: VecDeque::new(),
            landed: BTreeMap::new(),
            next: 0,
        })
    }

    /// The same for a model that was loaded.
    pub fn of_model(device: &Device, backbone: &Backbone, model: &mut Model) -> Result<Self> {
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
        let (options, network) = (&info.options, &backbone.network);
        self_test(device, &Use::new(network, options, info.frame, Then::Score)?, &|| false)?;
        let bank = model.bank.prepare(device)?;
        let positions = info.grid[0] * info.grid[1];
        let batch = PatchScorer::images(device, &bank, positions, options.batch, options.memory);
        let extraction = Extraction { batch, ..options.extraction(&network.name, info.frame) };
        let extractor = Extractor::with(device, network.clone(), &backbone.weights, extraction)?;
        let feed = Feed::new(device, extractor.network(), info.framing())?;
        Self::new(device, model, extractor, feed, bank)
    }

    /// Scores by `bank`, a bank of the same backbone and frame, from now on.
    pub fn set_bank(&mut self, bank: Bank) -> Result<()> {
        while !self.flights.is_empty() {
            self.land();
        }
        let ([h, w], device, memory) = (self.extractor.grid(), &self.device, self.memory);
        let batch = PatchScorer::images(device, &bank, h * w, self.extractor.batch(), memory);
        self.scorer = PatchScorer::new(device, bank, [[h, w], self.framing.frame], batch, memory)?;
        self.batch = batch;
        self.plans.clear();
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
        let Self { device, scorer, extractor, feed, plans, .. } = self;
        let (embedding, mut last) = (extractor.embedding().clone(), None);
        run_backbone(extractor, feed, images, name, |feed, features, piece| {
            let scores = plan(plans, device, scorer, &embedding, &piece.rows, batch)?;
            last = Some(feed.submit(&[features, scores])?);
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
        Ok(Profile { steps: times, finished_share: f64::from(finished[0]) / pairs })
    }

    /// The embeddings of an image, and the bank row nearest to each; not one of training image `without`.
    pub fn examine(&mut self, image: &Image<'_>, without: Option<u32>) -> Result<Examined> {
        while !self.flights.is_empty() {
            self.land();
        }
        let Self { device, extractor, feed, covers, scorer, memory, .. } = self;
        let (grid, dim) = (extractor.grid(), extractor.dim());
        let positions = grid[0] * grid[1];
        let bank = &scorer.bank;
        let most = queries(device, bank, [1, positions], *memory);
        let search = bank.search(device, most, positions)?;
        if let Some(looked_at) = covers.of(std::iter::once([image.width(), image.height()]))? {
            search.cover(device, &looked_at);
        }
        let skip = without.map(|first_image| SkipOwn { first_image, queries_per_image: positions });
        let embedding = extractor.embedding().clone();
        let (mut embeddings, mut nearest) = (Vec::new(), Vec::new());
        let name = |_: usize| "the image".to_owned();
        run_backbone(extractor, feed, std::slice::from_ref(image), &name, |feed, features, piece| {
            feed.submit(&[features])?;
            let (first, count) = (piece.rows.start * grid[1], piece.rows.len() as u32 * grid[1]);
            for start in (0..count).step_by(most as usize) {
                let here = most.min(count - start);
                let x = embedding.slice((start * dim) as usize, (here * dim) as usize);
                let mut recorder = Recorder::new(device);
                bank.record(&mut recorder, &search, &x, first + start..first + start + here, skip)?;
                recorder.run()?;
                embeddings.extend(device.read::<f32>(&x)?);
                let best: Vec<[u32; 2]> = device.read(&search.best.slice(0, 2 * here as usize))?;
                // What is not looked at is at distance 0 from no row.
                if without.is_none() && best.iter().any(|[distance, row]| *row == u32::MAX && *distance != 0)
                {
                    let reason = "patches of the image are no numbers, so that nothing is near to them";
                    return Err(Error::Device(reason.into()));
                }
                nearest.extend(best.into_iter().map(Nearest::of));
            }
            Ok(())
        })?;
        Ok(Examined { grid, dim, embeddings, nearest })
    }

    /// The bank row nearest to the embedding `x` that is of none of the training images `without`;
    /// `row_image` has those of all rows.
    pub fn nearest_without(
        &mut self,
        x: &[f32],
        without: &[u32],
        row_image: &[u32],
    ) -> Result<Option<Nearest>> {
        let Self { device, scorer, .. } = self;
        let search = scorer.bank.search(device, 1, 1)?;
        let x = device.upload(x, "embedding of a patch")?;
        let skip = Some(SkipOwn { first_image: 0, queries_per_image: 1 });
        // What is left out becomes image 0, which the search skips.
        let labels: Vec<u32> = row_image.iter().map(|image| u32::from(!without.contains(image))).collect();
        scorer.bank.label(device, &labels);
        let mut recorder = Recorder::new(device);
        let recorded = scorer.bank.record(&mut recorder, &search, &x, 0..1, skip);
        let best =
            recorded.and_then(|()| recorder.run()).and_then(|()| device.read::<[u32; 2]>(&search.best));
        scorer.bank.label(device, row_image);
        Ok(best?.first().copied().and_then(Nearest::of))
    }

    pub fn score(&mut self, images: &[Image<'_>], want: Want) -> Result<Vec<Score>> {
        let batch = self.most();
        let mut scores = Vec::with_capacity(images.len());
        let mut flying = None;
        for (i, images) in images.chunks(batch).enumerate() {
            let begun = self.begin(images, want, &|slot| format!("image {}", i * batch + slot));
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
        want: Want,
        progress: &dyn Progress,
        mut f: impl FnMut(usize, Score) -> Result<()>,
    ) -> Result<()> {
        let (batch, total) = (self.most(), source.len() as u64);
        let _stage = tracing::info_span!("score", images = total).entered();
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
        let check = self.feed.check();
        let streamed = decode_ahead(source, batch, &check, progress, |start, loaded| {
            if progress.cancelled() {
                return Err(Error::Cancelled);
            }
            let images = loaded.iter().map(|i| i.as_image()).collect::<Result<Vec<_>>>()?;
            let begun = self.begin(&images, want, &|slot| source.name(start + slot));
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
