//! Pixels to the backbone's input: resize, crop, normalise.

pub mod resize;
