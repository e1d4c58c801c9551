//! Unsupervised visual anomaly detection that survives dirty training data: SoftPatch (Jiang et al., NeurIPS 2022) as
//! hand-written WGSL compute shaders on wgpu.
//!
//! ```
//! use softpatch::data::MemorySource;
//! use softpatch::data::synth::{Defect, Material, render};
//! use softpatch::detector::{Backbone, Quiet};
//! use softpatch::gpu::DeviceOptions;
//! use softpatch::{Detector, Device, FitOptions};
//!
//! fn main() -> softpatch::Result<()> {
//!     // Painted parts stand in for your camera: 8-bit RGB, rows without gaps.
//!     let paint = |defect, seed| render(Material::Metal, defect, seed, 96).map(|(image, _mask)| image);
//!     let good = (0..8).map(|seed| paint(None, seed)).collect::<softpatch::Result<Vec<_>>>()?;
//!
//!     let device = Device::open(&DeviceOptions::default())?;
//!     let options = FitOptions { resize: 96, crop: 96, ..FitOptions::default() };
//!     let detector = Detector::fit(&device, &Backbone::embedded()?, &MemorySource(&good), &options, &Quiet)?;
//!
//!     let (sound, dented) = (paint(None, 8)?, paint(Some(Defect::Dent), 9)?);
//!     let scores = detector.score(&[sound.as_image()?, dented.as_image()?])?;
//!     assert!(scores[1].score > scores[0].score);
//!     // Where: `map` holds `map_side * map_side` values, row by row.
//!     assert_eq!(scores[1].map.len(), 96 * 96);
//!     Ok(())
//! }
//! ```
#![warn(missing_docs)]

pub mod backbone;
pub mod data;
pub mod detector;
pub mod doctor;
mod error;
pub mod eval;
pub mod gpu;
pub mod ops;
pub mod reference;
pub mod report;

pub use detector::{Detector, FitOptions};
pub use error::{Error, Result};
pub use gpu::Device;
