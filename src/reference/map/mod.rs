//! From patch scores to a map in pixels.

pub mod anomaly_map;
pub mod source_map;
