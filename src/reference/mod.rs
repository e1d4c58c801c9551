//! Every step of the method in plain Rust with f64 accumulation: the executable specification of the shaders.
//!
//! Activations are NHWC in plain slices. A slice whose length does not fit its shape panics: this code checks
//! others.

pub mod coreset;
pub mod distance;
pub mod input;
pub mod map;
pub mod methods;
pub mod network;
pub mod outlier;
pub mod patches;
pub mod search;
