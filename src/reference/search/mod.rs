//! The nearest row of the memory bank, the patch score, and the training images most alike.

pub mod image_distance;
pub mod image_mean;
#[allow(clippy::module_inception, reason = "the search is the step's main kernel")]
pub mod search;
