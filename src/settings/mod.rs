//! Settings of a fit, and what of it fits the memory.

mod budget;
mod choice;
mod depth;
mod framing;
mod options;
mod setting;
mod size;
mod unsaid;

pub(crate) use budget::{
    BOUND_IMAGES, BOUND_ROWS, COPIES, FeatureShape, Layout, ON_TOP, PATCH_ON_HOST, PICTURES, Parts,
    coreset_batch, picks,
};
pub use choice::{Choice, Compat, Discriminator, Embedding, FitAspect, Geometry, Group};
pub use options::{FitOptions, SETTINGS, Setting};
pub use setting::{SettingOf, Values};
pub(crate) use size::MOST;
pub use size::Size;
