//! From patch scores to a map in pixels.

pub mod anomaly_map;
pub mod source_map;

use crate::gpu::Shader;

/// The kernels of these steps.
pub(super) fn shaders() -> Vec<&'static Shader> {
    vec![&anomaly_map::ANOMALY_MAP]
}
