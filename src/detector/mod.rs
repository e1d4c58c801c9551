//! The order of the method: fit, denoise, select, score; nothing about GPUs.

pub mod coreset;
