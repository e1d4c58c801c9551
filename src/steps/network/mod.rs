//! Layers of the backbone.

pub mod conv;
pub mod depthwise;
pub mod gemm;
pub mod pool;
