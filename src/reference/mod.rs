//! Every step of the method in plain Rust with f64 accumulation: the executable specification of the shaders.
//!
//! Activations are NHWC in plain slices. A slice whose length does not fit its shape panics: this code checks others.

pub mod anomaly_map;
pub mod conv;
pub mod depthwise;
pub mod gemm;
pub mod patch;
pub mod pool;
pub mod projection;
pub mod resample;
pub mod resize;

pub mod coreset;
pub mod distance;
pub mod image_distance;
pub mod image_mean;
pub mod knn;
pub mod lof;
pub mod mahalanobis;
pub mod nearest;
pub mod neighbor;
pub mod padim;
pub mod quantile;
pub mod spade;
