//! The whole method, its data and its figures.

#[path = "../common/mod.rs"]
mod common;

mod arrows;
mod audit;
mod bands;
mod bench;
mod calibrate;
mod compat;
mod data;
mod edits;
mod end_to_end;
mod explain;
mod floors;
mod folder;
mod golden_method;
mod groups;
mod hostile;
mod layouts;
mod lost;
mod masks;
mod memory;
mod mend;
mod metrics;
mod noise;
mod numbers;
mod pictures;
mod pixels;
mod plan;
mod region;
mod report;
mod resnet;
mod results;
mod same_bits;
mod security;
mod self_test;
mod shards;
mod soak;
mod synth;
mod timm;
mod tree;
mod weights;
