//! The order of the method: fit, denoise, select, score; nothing about GPUs.

mod at_hand;
mod axes;
mod budget;
pub mod coreset;
mod denoise;
mod features;
mod fit;
mod job;
mod kept;
mod model_file;
mod options;
mod progress;
mod score;
mod source_map;
mod spool;
mod stream;
mod threshold;

#[doc(hidden)]
pub use at_hand::{Fitted, fit_embeddings, score_embeddings};
pub use job::{FitEvent, FitJob};
pub use model_file::{BackboneInfo, Model, ModelInfo, VERSION};
pub use options::{Choice, Compat, Discriminator, Embedding, FitOptions, SETTINGS, Setting, Values};
pub use progress::{Progress, Quiet, Stage};
pub use score::{Profile, Score};
pub use stream::{Busy, Finished, Scores, Stream, Ticket, Waited};

pub(crate) use at_hand::batch_of;
pub(crate) use denoise::{Denoised, denoise, denoise_by, outlier_scores};
pub(crate) use features::{FeatureShape, Features, Projection, embed};
pub(crate) use fit::{Origin, build, coreset_batch};
pub(crate) use score::{bank_axes, head_length};

use crate::Result;
pub use crate::backbone::Precision;
use crate::backbone::{Network, WeightFile, architecture, default_layers};
use crate::cases::{Entry, Then, Use, of_use};
use crate::data::{Image, ImageSource};
use crate::gpu::Device;
use score::Scorer;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A fitted model on a device. `Send + Sync`; calls from several threads take turns on the device.
pub struct Detector {
    model: Model,
    device: Device,
    scorer: Mutex<Scorer>,
}

impl std::fmt::Debug for Detector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Detector").field("info", &self.model.info).finish_non_exhaustive()
    }
}

/// The backbone of a model with its weights.
#[derive(Clone, Debug)]
pub struct Backbone {
    /// Layer table, cut after the last tap.
    pub network: Network,
    /// Weights for it.
    pub weights: WeightFile,
}

impl Backbone {
    /// EfficientNet-Lite0 up to block 10, tapped after blocks 4 and 10; the weights are in the library.
    ///
    /// # Errors
    /// None in practice; the layer names are checked like any others.
    #[cfg(feature = "embedded-weights")]
    pub fn embedded() -> Result<Self> {
        let network = crate::backbone::efficientnet_lite(0).with_taps(&["block4", "block10"])?;
        Ok(Self { network, weights: WeightFile::embedded() })
    }

    /// A weight file: safetensors in f32, f16 or bf16, with the tensor names of torchvision (ResNets), efficientnet_lite_pytorch
    /// (EfficientNet-Lite) or timm (both). `arch` names the architecture, else names and shapes of the tensors tell it (all
    /// but timm's `efficientnet_lite0.ra_in1k`, see [`WeightFile::recognise`]); `layers` are the stages that patches come
    /// from, else [`default_layers`]. The file need not go on after the last of them.
    ///
    /// # Errors
    /// [`crate::Error::Io`] where the file cannot be read, [`crate::Error::Weights`] that lists what is missing,
    /// [`crate::Error::InvalidOption`] for unknown names.
    pub fn open(path: &Path, arch: Option<&str>, layers: Option<&[&str]>) -> Result<Self> {
        Self::from_weights(WeightFile::open(path)?, arch, layers)
    }

    /// [`Backbone::open`] with a file that is in memory.
    ///
    /// # Errors
    /// As [`Backbone::open`].
    pub fn from_weights(weights: WeightFile, arch: Option<&str>, layers: Option<&[&str]>) -> Result<Self> {
        let network = match arch {
            Some(name) => architecture(name)?,
            None => weights.recognise()?,
        };
        let defaults = default_layers(&network);
        let defaults: Vec<&str> = defaults.iter().map(String::as_str).collect();
        let network = network.with_taps(layers.unwrap_or(&defaults))?;
        weights.check(&network)?;
        Ok(Self { network, weights })
    }

    pub(crate) fn info(&self) -> BackboneInfo {
        BackboneInfo {
            arch: self.network.name.clone(),
            layers: self.network.taps.iter().map(|t| t.name.clone()).collect(),
            weights_sha256: self.weights.hash().to_owned(),
        }
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
        Self::new(device, backbone, fit::fit(device, backbone, source, options, progress)?)
    }

    /// The cases that [`Detector::fit`] with these settings and so many images tries first, for tests that no kernel is left out.
    ///
    /// # Errors
    /// [`crate::Error::InvalidOption`] where the crop is too small for the network.
    #[doc(hidden)]
    pub fn self_test_cases(
        device: &Device,
        backbone: &Backbone,
        options: &FitOptions,
        images: usize,
    ) -> Result<Vec<Entry>> {
        let options =
            &FitOptions { embedding: options.embedding_for(&backbone.network.name), ..options.clone() };
        let then = Then::Fit(options, images);
        of_use(device, &Use::new(&backbone.network, options, then)?)
    }

    /// Puts a model that was loaded elsewhere on a device.
    ///
    /// # Errors
    /// [`crate::Error::Model`] where the model was made with another backbone.
    pub fn new(device: &Device, backbone: &Backbone, model: Model) -> Result<Self> {
        let scorer = Scorer::new(device, backbone, &model)?;
        Ok(Self { model, device: device.clone(), scorer: Mutex::new(scorer) })
    }

    /// Reads and checks a model file and puts it on a device.
    ///
    /// # Errors
    /// As [`Model::load`] and [`Detector::new`]; the message names the file.
    pub fn load(device: &Device, backbone: &Backbone, path: &Path) -> Result<Self> {
        Self::new(device, backbone, Model::load(path)?).map_err(|e| match e {
            crate::Error::Model { reason, .. } => crate::Error::Model { path: path.to_owned(), reason },
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

    fn scorer(&self) -> MutexGuard<'_, Scorer> {
        self.scorer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Submits a batch, for [`Detector::finish`].
    fn begin(&self, images: &[Image<'_>]) -> Result<u64> {
        self.scorer().begin(images, &|slot| format!("image {slot}"))
    }

    /// Waits for the scores of a batch.
    fn finish(&self, ticket: u64) -> Result<Vec<Score>> {
        self.scorer().finish(ticket)
    }

    /// Images that [`Detector::begin`] takes at most.
    fn most(&self) -> usize {
        self.scorer().most()
    }

    /// Scores images in memory, in order.
    ///
    /// # Errors
    /// [`crate::Error::InvalidOption`] where an image is too small for the crop, [`crate::Error::Device`] where the
    /// device failed.
    pub fn score(&self, images: &[Image<'_>]) -> Result<Vec<Score>> {
        self.scorer().score(images)
    }

    /// Scores every image of a source in order, decoding on other threads; `f` gets each score with its index.
    ///
    /// # Errors
    /// What the source, the device or `f` says; [`crate::Error::Cancelled`] where `progress` asked to stop.
    pub fn score_source(
        &self,
        source: &dyn ImageSource,
        progress: &dyn Progress,
        f: impl FnMut(usize, Score) -> Result<()>,
    ) -> Result<()> {
        self.scorer().score_source(source, progress, f)
    }

    /// Time of every dispatch that scoring `images` (one batch at most) takes, from GPU timestamps, in order.
    ///
    /// # Errors
    /// As [`Detector::score`]; [`crate::Error::Device`] where the adapter offers no timestamps.
    pub fn profile(&self, images: &[Image<'_>]) -> Result<Profile> {
        self.scorer().profile(images)
    }

    /// What the model was made from and how.
    pub fn info(&self) -> &ModelInfo {
        &self.model.info
    }

    /// The model itself: bank, weights, provenance.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// The device that scores.
    pub fn device(&self) -> &Device {
        &self.device
    }
}
