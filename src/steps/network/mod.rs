//! Layers of the backbone.

pub mod conv;
pub mod depthwise;
pub mod gemm;
pub mod pool;

use crate::gpu::Shader;

/// The kernels of these steps.
pub(super) fn shaders() -> Vec<&'static Shader> {
    vec![&depthwise::DIRECT, &depthwise::TILED, &gemm::DIRECT, &gemm::TILED, &gemm::COOP, &pool::POOL]
}
