//! Every step of the method in plain Rust with f64 accumulation: the executable specification of the shaders.

pub mod coreset;
pub mod distance;
pub mod knn;
pub mod lof;
pub mod mahalanobis;
pub mod nearest;
pub mod neighbor;
pub mod quantile;
