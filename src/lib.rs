//! softpatch: unsupervised visual anomaly detection that survives dirty training data.
#![warn(missing_docs)]

pub mod backbone;
pub mod data;
pub mod detector;
mod error;
pub mod eval;
pub mod ffi;
pub mod gpu;
pub mod ops;
pub mod reference;
pub mod report;

pub use error::{Error, Result};
