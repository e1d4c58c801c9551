//! Pixels to the backbone's input: resize, crop, normalise.

pub mod geometry;
pub mod pixels;
pub mod resize;
pub mod taps;
