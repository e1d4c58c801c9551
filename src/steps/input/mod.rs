//! Pixels to the backbone's input: resize, crop, normalise.

pub mod cover;
pub mod geometry;
pub mod pixels;
pub mod resize;
pub mod taps;

use crate::gpu::Shader;

/// The kernels of these steps.
pub(super) fn shaders() -> Vec<&'static Shader> {
    vec![&resize::ROWS, &resize::COLUMNS]
}
