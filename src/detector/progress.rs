//! What a long job tells its caller, and how the caller stops it.

use serde::Serialize;

/// A part of a long job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Stage {
    /// Images through the backbone; counted in images.
    Features,
    /// Outlier scores of the training patches; counted in grid positions.
    Denoise,
    /// Distances of the training patches from those of other images, of an audit; counted in grid positions.
    Distances,
    /// Choice of the memory bank; counted in rows.
    Coreset,
    /// What other images vouch for, of the discriminator `auto`; counted in rows of the memory bank.
    Floors,
    /// Scores of training images against the bank without their own rows; counted in images.
    Calibrate,
    /// Scores of images; counted in images.
    Score,
}

impl Stage {
    /// A short English name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Features => "features",
            Self::Denoise => "denoise",
            Self::Distances => "distances",
            Self::Coreset => "coreset",
            Self::Floors => "floors",
            Self::Calibrate => "calibrate",
            Self::Score => "score",
        }
    }
}

/// Receives progress. All methods have defaults that do nothing.
pub trait Progress {
    /// `done` of `total` units of `stage` are finished.
    fn update(&self, stage: Stage, done: u64, total: u64) {
        let _ = (stage, done, total);
    }

    /// Something the user should know that is no error, e.g. that LOF's k was lowered.
    fn notice(&self, message: &str) {
        tracing::warn!("{message}");
    }

    /// Asked between steps: `true` ends the job with [`crate::Error::Cancelled`].
    fn cancelled(&self) -> bool {
        false
    }
}

/// Ignores progress; notices go to `tracing`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Quiet;

impl Progress for Quiet {}
