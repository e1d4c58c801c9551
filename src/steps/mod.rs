//! Host side of each kernel family: checks shapes, chooses the variant, records.
//!
//! A step never submits, never reads back, and allocates nothing: the caller brings every tensor.

mod checks;
pub mod coreset;
pub mod input;
pub mod map;
pub mod network;
pub mod outlier;
pub mod patches;
pub mod search;
pub mod tuning;

pub(crate) use checks::{check, texels};

use crate::gpu::Shader;

/// The kernels of all steps.
pub fn shaders() -> Vec<&'static Shader> {
    let folders = [
        input::shaders(),
        network::shaders(),
        patches::shaders(),
        outlier::shaders(),
        coreset::shaders(),
        search::shaders(),
        map::shaders(),
    ];
    folders.concat()
}
