//! From stages of the backbone to one embedding per patch, and its projection.

pub mod means;
pub mod pooling;
pub mod projection;
pub mod upsampling;

use crate::gpu::Shader;

/// The kernels of these steps.
pub(super) fn shaders() -> Vec<&'static Shader> {
    vec![&means::MEANS, &pooling::POOLING, &upsampling::UPSAMPLING]
}
