//! From stages of the backbone to one embedding per patch, and its projection.

pub mod means;
pub mod projection;
pub mod upsampling;
