//! Ways to find anomalies in embeddings, SoftPatch and what it is compared with, behind one trait.

mod method;
mod padim;
mod plus;
mod softpatch;
mod spade;
mod task;

pub use method::Method;
pub use softpatch::{Fitted, fit_embeddings, score_embeddings};
pub use task::{Embeddings, Task};

use crate::Result;
use crate::detector::{FitOptions, Progress};
use padim::Padim;
use plus::SoftPatchPlus;
use softpatch::SoftPatch;
use spade::Spade;

/// Image score and anomaly map, row by row, of every test image.
pub type Scored = Vec<(f32, Vec<f32>)>;

/// A way to find anomalies: learns from the training images of a task and scores its test images.
pub trait AnomalyMethod: Sync {
    /// Scores and maps of the test images, in order.
    ///
    /// # Errors
    /// What the embeddings, the device or the memory budget say; [`crate::Error::Cancelled`] where `progress` asked to
    /// stop.
    fn score(&self, task: &mut Task<'_>, options: &FitOptions, progress: &dyn Progress) -> Result<Scored>;
}

impl Method {
    /// What does it; a method's own settings (discriminator, weights) come with the options of the fit.
    pub fn implementation(self) -> &'static dyn AnomalyMethod {
        match self {
            Self::PatchCore | Self::SoftPatch { .. } => &SoftPatch,
            Self::SoftPatchPlus => &SoftPatchPlus,
            Self::Spade => &Spade,
            Self::Padim => &Padim,
        }
    }
}
