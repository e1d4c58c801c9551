//! The order of the method: fit, denoise, select, score; nothing about GPUs.

mod audit;
mod calibrate;
mod cells;
mod collector;
mod cover;
mod denoise;
mod estimate;
mod examine;
mod explain;
mod explain_document;
mod features;
mod fit;
mod floors;
mod frame;
mod host;
mod ingest;
mod job;
mod kept;
mod leave_one_out;
mod lookup;
mod mend;
mod others;
mod patch_scorer;
mod patch_store;
mod persist;
mod plan;
mod probe;
mod progress;
mod projection;
mod regions;
mod score;
mod score_source;
pub mod shards;
mod source_map;
mod stream;
mod threshold;
mod top_scores;
mod verify;
mod within;

pub use crate::settings::{
    Choice, Compat, Discriminator, Embedding, FitAspect, FitOptions, Geometry, Group, SETTINGS, Setting,
    SettingOf, Size, Values,
};
pub use audit::{Audit, AuditImage, Contaminated, NoisyRegion};
pub use explain::{ExplainedPlace, Explanation, Neighbour, PatchOver};
pub use explain_document::TrainingPictures;
pub use job::{FitEvent, FitJob};
pub use kept::KeptPictures;
pub use mend::{DENY_AT_MOST, Mended};
pub use patch_scorer::{Examined, Nearest, Score, Want};
pub use plan::{FitPlan, PlannedStage};
pub use probe::Probe;
pub use progress::{Progress, Quiet, Stage};
pub use regions::{Region, regions};
pub use score::Profile;
pub use stream::{Busy, Finished, Scores, Stream, Ticket, Waited};
pub use verify::{Checked, Verification};

pub(crate) use denoise::{denoise, denoise_by, outlier_scores};
pub(crate) use features::Features;
pub(crate) use fit::{Learnt, Origin, build, check_bank, learn};
pub(crate) use frame::frame_of;
pub(crate) use ingest::{Together, embed};
pub(crate) use patch_scorer::{Batch, PatchScorer};
pub(crate) use persist::persist;
pub(crate) use projection::Projection;
pub(crate) use regions::{NONE, label};

pub use crate::backbone::Precision;
pub use crate::backbone::{Backbone, BackboneInfo};
use crate::bank::SourceMaps;
use crate::cases::{Entry, Then, Use, of_use};
use crate::data::{Image, ImageSource, Roi};
use crate::gpu::Device;
use crate::model::GoodScores;
pub use crate::model::{
    Calibration, Edit, EditKind, MadeOn, Model, ModelInfo, Reference, References, Replaced, Rule, Source,
    VERSION,
};
pub use crate::steps::input::cover::Cover;
pub use crate::steps::input::geometry::{Framing, Placement, Way};
use crate::{Error, Result, process};
use persist::{Share, Tries};
use score::Scorer;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};

/// A fitted model on a device. `Send + Sync`; calls from several threads take turns on the device.
///
/// It belongs to its process, as its [`Device`] does: start workers by spawn or exec, not by fork.
///
/// ```
/// # #[cfg(feature = "embedded-weights")] {
/// # use softpatch::data::synth::{Material, render};
/// use softpatch::data::MemorySource;
/// use softpatch::detector::Want;
/// use softpatch::{Backbone, Detector, Device, DeviceOptions, FitOptions, Quiet, Size};
///
/// # fn main() -> softpatch::Result<()> {
/// # let folder = tempfile::tempdir().unwrap();
/// # let good = (0..8).map(|i| render(Material::Gear, None, i, 96).map(|r| r.0)).collect::<Result<Vec<_>, _>>()?;
/// let (device, backbone) = (Device::open(&DeviceOptions::default())?, Backbone::embedded()?);
/// let options = FitOptions::default().size(Size::Shorter(96));
/// // `good` are images in memory; a folder is opened by `data::TrainSet`.
/// let detector = Detector::fit(&device, &backbone, &MemorySource(&good), &options, &Quiet)?;
/// let file = folder.path().join("part.safetensors");
/// detector.save(&file)?;
///
/// let detector = Detector::load(&device, &backbone, &file)?;
/// let score = detector.score_one(&good[0].as_image()?, Want::Source)?;
/// assert_eq!(score.map.len(), 96 * 96);
/// assert_eq!(score.anomalous, detector.info().threshold.map(|t| score.score > t));
/// # Ok(()) }
/// # main().unwrap();
/// # }
/// ```
pub struct Detector {
    model: Model,
    device: Device,
    /// For another device, where this one is lost.
    backbone: Backbone,
    scorer: Mutex<Scorer>,
    maps: Mutex<SourceMaps>,
    /// What of the frame is looked at; apart from `scorer`, which is locked while scores are handed out.
    cover: RwLock<Option<Cover>>,
    /// Scores of good pictures.
    good: Option<GoodScores>,
}

impl std::fmt::Debug for Detector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Detector").field("info", &self.model.info).finish_non_exhaustive()
    }
}

impl Detector {
    /// Learns what normal looks like from `source`, a few of whose images may be defective.
    ///
    /// # Errors
    /// [`crate::Error::InvalidOption`] for settings out of range, what `source` says of its images,
    /// [`crate::Error::Limit`] where the features do not fit the device or the budget,
    /// [`crate::Error::Cancelled`] where `progress` asked to stop.
    pub fn fit(
        device: &Device,
        backbone: &Backbone,
        source: &dyn ImageSource,
        options: &FitOptions,
        progress: &dyn Progress,
    ) -> Result<Self> {
        process::check()?;
        let (mut model, scorer) = persist(device, options, progress, |device, options| {
            fit::fit(device, backbone, source, options, progress)
        })?;
        // What it was made with less of has no part in it.
        (model.info.options.batch, model.info.options.memory) = (options.batch, options.memory);
        Self::of(device, backbone, model, scorer)
    }

    /// The cases that [`Detector::fit`] with these settings, a frame of these rows and columns, and so many
    /// images tries first, for tests that no kernel is left out.
    ///
    /// # Errors
    /// [`crate::Error::InvalidOption`] where the frame is too small for the network.
    #[doc(hidden)]
    pub fn self_test_cases(
        device: &Device,
        backbone: &Backbone,
        options: &FitOptions,
        frame: [u32; 2],
        images: usize,
    ) -> Result<Vec<Entry>> {
        let options =
            &FitOptions { embedding: options.embedding_for(&backbone.network.name), ..options.clone() };
        let then = Then::Fit(options, images);
        of_use(device, &Use::new(&backbone.network, options, frame, then)?)
    }

    /// Puts a model that was loaded elsewhere on a device.
    ///
    /// # Errors
    /// [`crate::Error::Model`] where the model was made with another backbone.
    pub fn new(device: &Device, backbone: &Backbone, model: Model) -> Result<Self> {
        process::check()?;
        let options = model.info.options.clone();
        Self::on(device, backbone, model, &options)
    }

    /// The same, to score within `memory` bytes, device and host together, whatever the model was fitted in:
    /// fewer images at a time, frames in bands of rows, smaller pieces of searches and maps, with the same
    /// scores. Weights, driver and buffers of a fixed size come on top (docs/architecture.md, Memory).
    ///
    /// # Errors
    /// As [`Detector::new`]; [`crate::Error::Limit`] where the bank and the least that scoring takes pass it,
    /// with what would do.
    pub fn within(device: &Device, backbone: &Backbone, model: Model, memory: u64) -> Result<Self> {
        process::check()?;
        within::check(&device.current()?, backbone, &model, memory)?;
        let options = model.info.options.clone().memory(memory);
        Self::on(device, backbone, model, &options)
    }

    fn on(device: &Device, backbone: &Backbone, mut model: Model, options: &FitOptions) -> Result<Self> {
        let scorer = persist(device, options, &Quiet, |device, options| {
            Scorer::of_model(device, backbone, &mut model, Share::of(options))
        })?;
        Self::of(device, backbone, model, scorer)
    }

    fn of(device: &Device, backbone: &Backbone, model: Model, scorer: Scorer) -> Result<Self> {
        let strip = SourceMaps::STRIP.min((scorer.share.memory / 128) as usize);
        let maps = SourceMaps::new(&scorer.device, model.info.grid, strip)?;
        let cover = RwLock::new(model.roi.clone());
        let (scorer, maps) = (Mutex::new(scorer), Mutex::new(maps));
        let (device, backbone) = (device.clone(), backbone.clone());
        Ok(Self { good: model.goods(), model, device, backbone, scorer, maps, cover })
    }

    /// Reads and checks a model file and puts it on a device.
    ///
    /// # Errors
    /// As [`Model::load`] and [`Detector::new`]; the message names the file.
    pub fn load(device: &Device, backbone: &Backbone, path: &Path) -> Result<Self> {
        process::check()?;
        Self::new(device, backbone, Model::load(path)?).map_err(|e| match e {
            Error::Model { reason, .. } => Error::Model { path: path.to_owned(), reason },
            other => other,
        })
    }

    /// Writes the model whole or not at all.
    ///
    /// # Errors
    /// [`crate::Error::Io`] with the path.
    pub fn save(&self, path: &Path) -> Result<()> {
        self.model.save(path)
    }

    fn scorer(&self) -> Result<MutexGuard<'_, Scorer>> {
        // In a forked process, whoever holds the lock may not be there.
        process::check()?;
        Ok(self.scorer.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Runs `work` on what scores; once more where the device was lost, and with less at a time where its memory
    /// is out.
    fn with_scorer<T>(&self, mut work: impl FnMut(&mut Scorer) -> Result<T>) -> Result<T> {
        let (mut scorer, mut tries) = (self.scorer()?, Tries::default());
        loop {
            match work(&mut scorer) {
                Err(error) => self.renew(&mut scorer, &mut tries, error, &Quiet)?,
                done => return done,
            }
        }
    }

    /// Brings what scores to a device that works, after `error`.
    fn renew(
        &self,
        scorer: &mut Scorer,
        tries: &mut Tries,
        error: Error,
        progress: &dyn Progress,
    ) -> Result<()> {
        let mut again = tries.after(error, scorer.share)?;
        loop {
            progress.notice(&again.said);
            let device = scorer.device.current()?;
            match scorer.move_to(&device, &self.backbone, &self.model, again.share) {
                Err(error) => again = tries.after(error, again.share)?,
                moved => return moved,
            }
        }
    }

    /// Whether an image of some width and height will be scored, as a function that outlives this borrow: it comes to the
    /// frame, and its pixels fit the memory. A header tells the size before an image takes that memory.
    ///
    /// The function's error is [`crate::Error::InvalidOption`] with the reason.
    ///
    /// # Errors
    /// [`crate::Error::Device`] in a process that was forked off.
    pub fn size_check(&self) -> Result<impl Fn(u32, u32) -> Result<()> + Send + Sync + use<>> {
        Ok(self.scorer()?.size_check())
    }

    /// Submits a batch, for [`Detector::finish`].
    fn begin(&self, images: &[Image<'_>], want: Want) -> Result<u64> {
        self.scorer()?.begin(images, want, &|slot| format!("image {slot}"))
    }

    /// Waits for the scores of a batch.
    fn finish(&self, ticket: u64, want: Want) -> Result<Vec<Score>> {
        let scores = self.scorer()?.finish(ticket)?;
        scores.into_iter().map(|score| self.complete(score, want)).collect()
    }

    /// Images that [`Detector::begin`] takes at most.
    fn most(&self) -> Result<usize> {
        Ok(self.scorer()?.most())
    }

    /// Scores images in memory, in order, with the maps of their frames.
    ///
    /// # Errors
    /// [`crate::Error::InvalidOption`] where an image is too long and thin for the frame,
    /// [`crate::Error::Device`] where the device failed.
    pub fn score(&self, images: &[Image<'_>]) -> Result<Vec<Score>> {
        self.score_with(images, Want::Maps)
    }

    /// [`Detector::score_with`] of one image.
    ///
    /// # Errors
    /// As [`Detector::score`].
    pub fn score_one(&self, image: &Image<'_>, want: Want) -> Result<Score> {
        let mut scores = self.score_with(std::slice::from_ref(image), want)?;
        scores.pop().ok_or_else(|| Error::Internal("an image without a score".into()))
    }

    /// Scores images in memory, in order, with as much as is wanted: maps in the pixels of the images, maps
    /// of their frames, or none, which then cost nothing.
    ///
    /// # Errors
    /// As [`Detector::score`].
    pub fn score_with(&self, images: &[Image<'_>], want: Want) -> Result<Vec<Score>> {
        let scores = self.with_scorer(|scorer| scorer.score(images, want, &|i| format!("image {i}")))?;
        scores.into_iter().map(|score| self.complete(score, want)).collect()
    }

    /// Ignores what lies outside `kept` in all images that are scored from now on, besides what the model's
    /// own region of interest leaves out; `None` ends that. See [`Roi::load_ignored`].
    ///
    /// # Errors
    /// [`crate::Error::InvalidOption`] where nothing would be looked at any more.
    pub fn keep_to(&self, kept: Option<&Roi>) -> Result<()> {
        let mut scorer = self.scorer()?;
        scorer.covers.set_kept(kept)?;
        *self.cover.write().unwrap_or_else(PoisonError::into_inner) = scorer.covers.within().cloned();
        Ok(())
    }

    /// The share of good parts that score lower than `score`, 0 to 1 and rising with it: by the scores of the
    /// model's good pictures (those that it was calibrated by, else its training pictures, each against the
    /// bank without its own rows and without outliers), `i / (n + 1)` at the i-th of n, linear between them,
    /// and past the largest by an exponential tail of their logarithms. `None` where these are fewer than 3
    /// or do not differ.
    pub fn calibrated(&self, score: f32) -> Option<f32> {
        self.good.as_ref().map(|good| good.share_below(score))
    }

    /// What of the model's frame is looked at; `None`: all of it.
    pub fn cover(&self) -> Option<Cover> {
        self.cover.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Scores every image of a source in order, decoding on other threads; `f` gets each score with its
    /// index.
    ///
    /// # Errors
    /// What the source, the device or `f` says; [`crate::Error::Cancelled`] where `progress` asked to stop.
    pub fn score_source(
        &self,
        source: &dyn ImageSource,
        want: Want,
        progress: &dyn Progress,
        mut f: impl FnMut(usize, Score) -> Result<()>,
    ) -> Result<()> {
        let done = |index, score| f(index, self.complete(score, want)?);
        let mut tries = Tries::default();
        let mut renew = |scorer: &mut Scorer, error| self.renew(scorer, &mut tries, error, progress);
        self.scorer()?.score_source(source, want, progress, &mut renew, done)
    }

    /// Time of every dispatch that scoring `images` (one batch at most) takes, from GPU timestamps, in order.
    ///
    /// # Errors
    /// As [`Detector::score`]; [`crate::Error::Device`] where the adapter offers no timestamps.
    pub fn profile(&self, images: &[Image<'_>]) -> Result<Profile> {
        self.scorer()?.profile(images)
    }

    /// What the model was made from and how.
    pub fn info(&self) -> &ModelInfo {
        &self.model.info
    }

    /// The model itself: bank, weights, provenance.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// The device that it was made on. Where that was lost, another one scores.
    pub fn device(&self) -> &Device {
        &self.device
    }
}
