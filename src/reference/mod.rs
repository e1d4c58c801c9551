//! Every step of the method in plain Rust with f64 accumulation: the executable specification of the shaders.
//!
//! Tensors are plain slices with explicit sizes, row-major, activations in NHWC order. Values come in and go out as f32;
//! everything between is f64. Shapes are the caller's duty: a slice whose length does not fit its sizes panics.

pub mod anomaly_map;
pub mod conv;
pub mod coreset;
pub mod depthwise;
pub mod gemm;
pub mod knn;
pub mod lof;
pub mod mahalanobis;
pub mod nearest;
pub mod neighbor;
pub mod patch;
pub mod pool;
pub mod projection;
pub mod quantile;
pub mod random;
pub mod resample;
pub mod resize;

/// Squared Euclidean distance of two vectors of one length: the sum of squared differences, in order, in f64.
fn squared_distance(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum()
}

/// Refuses a slice that does not have the product of `sizes` values.
#[track_caller]
fn check_len(what: &str, values: &[f32], sizes: &[usize]) {
    assert_eq!(values.len(), sizes.iter().product::<usize>(), "{what}: sizes {sizes:?}");
}
