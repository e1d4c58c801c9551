//! How unlike the others at its grid position a training patch is, and which ones stay.

pub mod floor;
pub mod group;
pub mod knn;
pub mod lof;
pub mod mahalanobis;
pub mod nearest;
pub mod others;
pub mod quantile;

use crate::gpu::Shader;

/// The kernels of these steps.
pub(super) fn shaders() -> Vec<&'static Shader> {
    vec![
        &group::GATHER,
        &group::CENTRE,
        &group::SHIFT,
        &knn::DIRECT,
        &knn::TILED,
        &lof::DENSITIES,
        &lof::FACTORS,
        &nearest::NEAREST,
        &floor::FLOOR,
        &others::DIRECT,
        &others::TILED,
        &mahalanobis::COVARIANCE_DIRECT,
        &mahalanobis::COVARIANCE_TILED,
        &mahalanobis::CHOLESKY,
        &mahalanobis::MAHALANOBIS,
        &quantile::COUNT,
        &quantile::PICK,
        &quantile::ABOVE,
        &quantile::LERP,
        &quantile::KEEP_COUNT,
        &quantile::KEEP_STARTS,
        &quantile::KEEP_LIST,
    ]
}
