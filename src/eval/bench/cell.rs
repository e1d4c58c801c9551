//! One measurement: a category, a method, a condition and a seed. Each is a file of its own.

use crate::data::NoiseProtocol;
use crate::detector::BackboneInfo;
use crate::eval::{MetricSize, Report};
use crate::settings::FitOptions;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};

/// Raised where the meaning of a cell changes.
const VERSION: u32 = 1;

/// How dirty the training images are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Condition {
    /// Share of noise.
    pub noise: f64,
    /// What becomes of the noise; `None` without noise.
    pub protocol: Option<NoiseProtocol>,
}

impl Condition {
    /// `noise 0`, `noise 0.1 overlap` and so on.
    pub fn name(&self) -> String {
        match self.protocol {
            None => format!("noise {}", self.noise),
            Some(protocol) => format!("noise {} {}", self.noise, protocol_name(protocol)),
        }
    }
}

/// `no-overlap`, `overlap` or `augmented-overlap`.
pub fn protocol_name(protocol: NoiseProtocol) -> &'static str {
    match protocol {
        NoiseProtocol::NoOverlap => "no-overlap",
        NoiseProtocol::Overlap => "overlap",
        NoiseProtocol::AugmentedOverlap => "augmented-overlap",
    }
}

/// The protocol of that name.
///
/// # Errors
/// [`Error::InvalidOption`] naming the three.
pub fn protocol_of(name: &str) -> Result<NoiseProtocol> {
    let all = [NoiseProtocol::NoOverlap, NoiseProtocol::Overlap, NoiseProtocol::AugmentedOverlap];
    all.into_iter().find(|p| protocol_name(*p) == name).ok_or_else(|| {
        Error::InvalidOption(format!(
            "there is no protocol {name}; there are no-overlap, overlap and augmented-overlap"
        ))
    })
}

/// All that a measurement depends on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CellSettings {
    version: u32,
    /// Category.
    pub category: String,
    /// Method's name.
    pub method: String,
    /// Share of noise.
    pub noise: f64,
    /// Protocol's name; empty without noise.
    pub protocol: String,
    /// Seed of the split, the projection and the coreset.
    pub seed: u64,
    /// SHA-256 of the split's list.
    pub split: String,
    /// SHA-256 of the sizes of the split's images and of what its masks hold; empty where none is a file.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub files: String,
    /// Settings of the fit; batch and memory, which change nothing, are 0.
    pub fit: FitOptions,
    /// The size in which maps and masks were compared.
    #[serde(default = "frame", skip_serializing_if = "is_frame")]
    pub metric_size: MetricSize,
    /// Backbone.
    pub backbone: BackboneInfo,
    /// Adapter that computed it.
    pub adapter: String,
}

/// What cells have that do not say.
fn frame() -> MetricSize {
    MetricSize::Frame
}

fn is_frame(size: &MetricSize) -> bool {
    *size == frame()
}

impl CellSettings {
    #[allow(clippy::too_many_arguments, reason = "each is a part of the key")]
    pub(super) fn new(
        category: &str,
        method: &str,
        condition: Condition,
        seed: u64,
        [split, files]: [String; 2],
        fit: &FitOptions,
        metric_size: MetricSize,
        backbone: BackboneInfo,
        adapter: &str,
    ) -> Self {
        Self {
            version: VERSION,
            category: category.to_owned(),
            method: method.to_owned(),
            noise: condition.noise,
            protocol: condition.protocol.map_or("", protocol_name).to_owned(),
            seed,
            split,
            files,
            fit: FitOptions { batch: 0, memory: 0, ..fit.clone() },
            metric_size,
            backbone,
            adapter: adapter.to_owned(),
        }
    }

    /// Name of the cell's file without its extension.
    pub(super) fn key(&self) -> Result<String> {
        let text = serde_json::to_vec(self)
            .map_err(|e| Error::InvalidOption(format!("settings that cannot be written down: {e}")))?;
        Ok(format!("{:x}", Sha256::digest(text))[..32].to_owned())
    }

    /// The condition.
    pub fn condition(&self) -> Condition {
        Condition { noise: self.noise, protocol: protocol_of(&self.protocol).ok() }
    }
}

/// A scored test image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CellImage {
    /// The image.
    pub path: PathBuf,
    /// The kind of defect; `None` for a good image.
    pub defect: Option<String>,
    /// Its score.
    pub score: f32,
}

/// A finished measurement.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    /// What it was made from.
    pub settings: CellSettings,
    /// Training images, noise among them.
    pub train: usize,
    /// Noise among the training images.
    pub noise_images: usize,
    /// Figures of merit.
    pub report: Report,
    /// What else is worth knowing.
    pub notes: Vec<String>,
    /// The test images.
    pub images: Vec<CellImage>,
    /// Example pictures (image, overlay) beside the cell's file.
    pub examples: Vec<String>,
    /// Seconds from features to figures. Not part of any result file.
    pub seconds: f64,
}

impl Cell {
    /// Reads a cell; `None` where there is none of these settings, a damaged file among them.
    pub(super) fn read(file: &Path, settings: &CellSettings) -> Option<Self> {
        let cell: Self = serde_json::from_slice(&std::fs::read(file).ok()?).ok()?;
        // A floating-point number may come back a digit off: the key stands for the settings.
        (cell.settings.category == settings.category && cell.settings.method == settings.method)
            .then_some(cell)
    }

    pub(super) fn write(&self, file: &Path) -> Result<()> {
        let text =
            serde_json::to_vec(self).map_err(|e| Error::InvalidOption(format!("{}: {e}", file.display())))?;
        crate::files::write_whole(file, &text)
    }
}
