//! A fitted model: the memory bank with where it comes from, and its file.

mod calibration;
mod described;
mod edit;
mod file;
mod good_scores;
mod interval;
mod outputs;
mod references;
mod thresholds;

pub use calibration::{Calibration, Rule, Source};
pub(crate) use edit::MADE_BY;
pub use edit::{Edit, EditKind};
pub use file::VERSION;
pub(crate) use good_scores::GoodScores;
pub use outputs::{ModelFile, check_model_file, check_output_file};
pub use references::{KEPT, MOST_BYTES, MadeOn, Reference, References, sampled};
pub use thresholds::Replaced;

use crate::backbone::BackboneInfo;
use crate::bank::{MemoryBank, Removed};
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
    /// Names of the training images, in order, and after them those of allowed ones.
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
    /// What was done to it since, the first edit first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<Edit>,
    /// The thresholds that each [`EditKind::Calibrate`] of the history replaced, for
    /// [`Model::undo`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub replaced: Vec<Replaced>,
}

impl ModelInfo {
    /// How pictures come to the model's frame.
    pub fn framing(&self) -> Framing {
        self.options.framing(self.frame)
    }

    /// Names of the images that are no training images, but were allowed since.
    pub fn allowed(&self) -> impl Iterator<Item = &String> {
        self.history.iter().filter(|edit| edit.what == EditKind::Allow).map(|edit| &edit.image)
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
    /// Pictures with their scores that tell whether it scores the same elsewhere; `None` where none were kept.
    pub references: Option<References>,
    /// Rows that edits took out of the bank, in the order of the edits.
    pub removed: Removed,
}

impl Model {
    /// Whether the parts are of one model.
    fn fits_together(&self) -> bool {
        let (info, bank) = (&self.info, &self.bank);
        let (rows, dim) = (info.rows as usize, info.dim as usize);
        let removed = &self.removed;
        let sizes = bank.rows.len() == rows * dim
            && [bank.weights.len(), bank.provenance.len()] == [rows; 2]
            && removed.rows.len() == removed.len() * dim
            && [removed.provenance.len(), removed.at.len()] == [removed.len(); 2]
            && self.train_images.len() == self.train_scores.len();
        let floors = [bank.floors.len(), removed.floors.len()];
        let floored = floors == [rows, removed.len()] || floors == [0; 2];
        let parts = [&bank.rows, &bank.weights, &removed.rows, &removed.weights];
        let values = parts.into_iter().chain([&self.train_scores, &self.good_scores]);
        let mut floors = bank.floors.iter().chain(&removed.floors);
        let finite = values.flatten().all(|v| v.is_finite()) && floors.all(|f| f.is_finite() && *f >= 0.0);
        let known = bank.provenance.iter().chain(&removed.provenance).all(|[image, y, x]| {
            (*image as usize) < info.images.len() && *y < info.grid[0] && *x < info.grid[1]
        });
        let taken: u64 = info.history.iter().map(|edit| u64::from(edit.removed)).sum();
        let calibrated = info.history.iter().filter(|edit| edit.what == EditKind::Calibrate).count();
        let replaced = info.replaced.len() == calibrated
            && info.replaced.iter().flat_map(|r| &r.good_scores).all(|score| score.is_finite());
        let indexed = bank.index.as_ref().is_none_or(|index| index.fits(rows));
        let same_rows = taken == removed.len() as u64;
        rows > 0 && dim > 0 && sizes && floored && finite && known && indexed && replaced && same_rows
    }
}
