//! softpatch: unsupervised visual anomaly detection that survives dirty training data.
//!
//! Learn what normal parts look like from a few hundred images, a few of which may be defective; then get,
//! for every new image, a score and a map of where it looks wrong. The method is SoftPatch (NeurIPS 2022):
//! patch features of a truncated ImageNet network, an outlier score for every training patch, the noisiest
//! patches dropped, a greedy coreset as memory bank that keeps the scores as soft weights, and the weighted
//! nearest-neighbour distance as anomaly score. Everything between decoded pixels and scores runs as WGSL
//! compute shaders on Vulkan, Metal or DX12.
//!
//! ```
//! # #[cfg(feature = "embedded-weights")] {
//! use softpatch::data::synth::{Defect, Material, render};
//! use softpatch::data::{Image, MemorySource, PixelFormat};
//! use softpatch::{Backbone, Detector, Device, DeviceOptions, FitOptions, Quiet, Size};
//!
//! # fn main() -> softpatch::Result<()> {
//! // Training images: here made by the program; yours come from files (`data::TrainSet`) or from a camera.
//! let good: Vec<_> = (0..8).map(|i| render(Material::Gear, None, i, 96).map(|r| r.0)).collect::<Result<_, _>>()?;
//!
//! let device = Device::open(&DeviceOptions::default())?;
//! let backbone = Backbone::embedded()?;
//! let options = FitOptions { size: Size::Shorter(96), ..FitOptions::default() };
//! let detector = Detector::fit(&device, &backbone, &MemorySource(&good), &options, &Quiet)?;
//!
//! // A frame in memory: pixels, width, height, bytes from row to row, format.
//! let (frame, _) = render(Material::Gear, Some(Defect::Stain), 99, 96)?;
//! let image = Image::new(&frame.pixels, frame.width, frame.height, 3 * 96, PixelFormat::Rgb8)?;
//! let score = &detector.score(&[image])?[0];
//! println!("score {} anomalous {:?}, map of {} pixels", score.score, score.anomalous, score.map.len());
//! assert_eq!(score.map.len(), 96 * 96);
//! # Ok(()) }
//! # main().unwrap();
//! # }
//! ```
//!
//! # Where to look
//! - [`Detector`]: fit, save, load, score; [`FitOptions`]: every setting with the published default.
//! - [`Device`]: adapter choice, or the wgpu device that the application already owns.
//! - [`data`]: decoding, folder layouts, images in memory, noise protocols, the procedural set.
//! - [`detector::Stream`]: frames in, scores out, in order; [`detector::FitJob`]: a fit that can be watched
//!   and left.
//! - [`eval`]: figures of merit and the benchmark; [`report`]: pictures and pages.
//! - [`methods`]: what SoftPatch is compared with, from embeddings at hand; [`model`]: what a model file
//!   holds.
//! - [`files`]: files that appear whole or not at all.
//! - [`low_level`]: kernels, their host side and their specification in plain Rust, without a promise.
//!
//! The program is the package `softpatch-cli`, the C library `softpatch-capi`.
#![warn(missing_docs)]

mod ahead;
pub mod data;
pub mod detector;
mod error;
pub mod eval;
pub mod files;
pub mod low_level;
pub mod methods;
pub mod model;
pub mod report;
mod settings;
pub(crate) mod spool;
pub mod text;
mod workers;

use low_level::{backbone, bank, cases, gpu, process, reference, shapes, steps};

pub use detector::{Backbone, Detector, Discriminator, FitOptions, Geometry, Progress, Quiet, Score, Size};
pub use error::{Error, Result, WrongKernel};
pub use gpu::{AdapterSummary, Device, DeviceOptions, adapters};
