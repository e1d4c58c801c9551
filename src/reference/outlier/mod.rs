//! How unlike the others at its grid position a training patch is, and which ones stay.

pub mod floor;
pub mod knn;
pub mod lof;
pub mod mahalanobis;
pub mod nearest;
pub mod others;
pub mod quantile;
