//! The nearest row of the memory bank, the patch score, and the training images most alike.

pub mod image_distance;
pub mod image_mean;
pub mod lift;
pub mod patch_score;
#[allow(clippy::module_inception, reason = "the search is the step's main kernel")]
pub mod search;

use crate::gpu::Shader;

/// The kernels of these steps.
pub(super) fn shaders() -> Vec<&'static Shader> {
    vec![
        &image_distance::IMAGE_DISTANCE,
        &image_mean::IMAGE_MEAN,
        &lift::LIFT,
        &patch_score::PATCH_SCORE,
        &search::BOXES_DIRECT,
        &search::BOXES_TILED,
        &search::SEARCH_DIRECT,
        &search::SEARCH,
    ]
}
