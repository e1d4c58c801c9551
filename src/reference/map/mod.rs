//! From patch scores to a map in pixels.

pub mod anomaly_map;
