//! Every shader against the plain-Rust reference, and the reference against golden values of other programs.

#[path = "../common/mod.rs"]
mod common;

mod amd;
mod backbone;
mod bands;
mod cases;
mod coreset;
mod floor;
mod group;
mod image_distance;
mod knn;
mod limits;
mod lof;
mod mahalanobis;
mod nearest;
mod neighbor;
mod others;
mod pooled;
mod precision;
mod quantile;
mod reference_backbone;
mod reference_denoise;
mod reference_ops;
mod resize;
mod shaders;
mod source_map;
mod tile_bits;
