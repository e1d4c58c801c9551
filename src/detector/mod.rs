//! The order of the method: fit, denoise, select, score; nothing about GPUs.

mod features;
mod model_file;
mod options;
mod progress;

pub use model_file::{BackboneInfo, Model, ModelInfo, VERSION};
pub use options::{Discriminator, FitOptions};
pub use progress::{Progress, Quiet, Stage};
