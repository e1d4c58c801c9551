//! Ways to find anomalies in embeddings, SoftPatch and what it is compared with, behind one trait.

mod method;
mod padim;
mod plus;
mod softpatch;
mod spade;
mod task;

pub use method::Method;
pub use softpatch::{Fitted, fit_embeddings, score_embeddings};
pub use task::{AnomalyMethod, Embeddings, Scored, Task};

use padim::Padim;
use plus::SoftPatchPlus;
use softpatch::SoftPatch;
use spade::Spade;

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
