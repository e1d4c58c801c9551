//! A fitted model: the memory bank with where it comes from, and its file.

mod calibration;
mod file;
mod good_scores;
mod interval;
mod thresholds;

pub use calibration::{Calibration, Rule, Source};
pub use file::VERSION;
pub(crate) use good_scores::GoodScores;

use crate::backbone::BackboneInfo;
use crate::bank::MemoryBank;
use crate::settings::FitOptions;
use crate::steps::input::cover::Cover;
use crate::steps::input::geometry::Framing;
use serde::{Deserialize, Serialize};

/// What a model was made from and how.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelInfo {
    /// Settings of the fit.
    pub options: FitOptions,
    /// Backbone.
    pub backbone: BackboneInfo,
    /// Names of the training images, in order.
    pub images: Vec<String>,
    /// Rows and columns of the grid of patches.
    pub grid: [u32; 2],
    /// Rows and columns of the backbone's input, in pixels: the frame that pictures are brought to.
    #[serde(default)]
    pub frame: [u32; 2],
    /// Share of the frame that is looked at; absent where all of it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub looked_at: Option<f64>,
    /// Values of an embedding.
    pub dim: u32,
    /// Rows of the memory bank.
    pub rows: u32,
    /// Outlier score above which training patches were dropped; absent where none was.
    pub noise_threshold: Option<f32>,
    /// Training patches that were kept.
    pub kept: u64,
    /// Neighbours that LOF really used (fewer than asked for where images are few); absent for others.
    pub lof_k: Option<u32>,
    /// Suggested threshold of the image score, from the training images; absent where they do not say how
    /// much normal images differ.
    pub threshold: Option<f32>,
    /// Why there is no threshold; absent where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_threshold: Option<String>,
    /// Suggested threshold of the values of anomaly maps, from those of the training images; absent where they
    /// do not say, and in files of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pixel_threshold: Option<f32>,
    /// Where the thresholds come from, where a false-alarm rate was asked for; absent: median and deviations
    /// of training pictures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calibration: Option<Calibration>,
    /// Version of the program that made it.
    pub made_by: String,
}

impl ModelInfo {
    /// How pictures come to the model's frame.
    pub fn framing(&self) -> Framing {
        self.options.framing(self.frame)
    }

    /// The threshold of the values of anomaly maps: for pixels, or, where there is none, for images.
    pub fn map_threshold(&self) -> Option<f32> {
        self.pixel_threshold.or(self.threshold)
    }
}

/// Everything a detector needs to score.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    /// Provenance and settings.
    pub info: ModelInfo,
    /// The memory bank.
    pub bank: MemoryBank,
    /// What of the frame is looked at; `None`: all of it.
    pub roi: Option<Cover>,
    /// Training images that were scored against the bank without their own rows.
    pub train_images: Vec<u32>,
    /// Their image scores.
    pub train_scores: Vec<f32>,
    /// Image scores of the good pictures that `info.calibration` is from; empty where there is none.
    pub good_scores: Vec<f32>,
}
