//! What a benchmark measures.

use super::cell::Condition;
use crate::data::{DecodeOptions, NoiseProtocol};
use crate::eval::MetricSize;
use crate::methods::Method;
use crate::settings::{FitAspect, FitOptions, Geometry};
use crate::{Error, Result};
use std::path::PathBuf;

/// What is measured.
#[derive(Clone, Debug)]
pub struct BenchOptions {
    /// Methods, in the order of the tables' columns.
    pub methods: Vec<Method>,
    /// Shares of noise.
    pub noise: Vec<f64>,
    /// Protocols for the noise; without noise there is nothing to choose.
    pub protocols: Vec<NoiseProtocol>,
    /// Seeds 0 .. `seeds` are measured.
    pub seeds: u32,
    /// Settings of every fit. Discriminator, soft weights and seed are the cell's.
    pub fit: FitOptions,
    /// The size in which maps and masks are compared; `None`: with the geometry `paper` that of the frame, as
    /// published, else that of the source images.
    pub metric_size: Option<MetricSize>,
    /// How images are decoded; whether they are turned is noted in the cells' settings.
    pub decode: DecodeOptions,
    /// Leave images out that cannot be used, with a note each, instead of stopping.
    pub skip_bad: bool,
    /// Folder with the lists of splits to use, instead of drawing them; named as those that a run writes.
    pub splits: Option<PathBuf>,
    /// Keep the features of a category in `features/` of the output folder until its cells are done, so that
    /// a run that goes on after an interruption does not extract them again. It takes 4 bytes a value on the
    /// disk, of one category at a time; features that pass half of the memory budget are on the disk in any
    /// case.
    pub keep_features: bool,
}

impl Default for BenchOptions {
    /// PatchCore and SoftPatch with LOF; noise 0, 0.05, 0.1 and 0.15; with and without overlap; one seed; the
    /// middle square, as published.
    fn default() -> Self {
        Self {
            methods: vec![Method::PatchCore, Method::ALL[7]],
            noise: vec![0.0, 0.05, 0.1, 0.15],
            protocols: vec![NoiseProtocol::Overlap, NoiseProtocol::NoOverlap],
            seeds: 1,
            fit: FitOptions { geometry: Geometry::Paper, ..FitOptions::default() },
            metric_size: None,
            decode: DecodeOptions::default(),
            skip_bad: false,
            splits: None,
            keep_features: true,
        }
    }
}

impl BenchOptions {
    /// The conditions, in the order of the tables.
    pub fn conditions(&self) -> Vec<Condition> {
        let mut all: Vec<Condition> = Vec::new();
        for &noise in &self.noise {
            let protocols: Vec<Option<NoiseProtocol>> =
                if noise > 0.0 { self.protocols.iter().map(|p| Some(*p)).collect() } else { vec![None] };
            for protocol in protocols {
                let condition = Condition { noise, protocol };
                if !all.contains(&condition) {
                    all.push(condition);
                }
            }
        }
        all
    }

    /// The size in which maps and masks are compared.
    pub fn metric_size(&self) -> MetricSize {
        self.metric_size.unwrap_or(match self.fit.geometry {
            Geometry::Paper => MetricSize::Frame,
            Geometry::Whole => MetricSize::Source,
        })
    }

    /// Checks every setting against its range.
    ///
    /// # Errors
    /// [`Error::InvalidOption`] naming the setting.
    pub fn validate(&self) -> Result<()> {
        self.fit.validate()?;
        for method in &self.methods {
            self.fit.clone().discriminator(method.discriminator()).validate()?;
        }
        let fail = |what: &str| Err(Error::InvalidOption(what.to_owned()));
        if self.fit.fit_aspect == FitAspect::Pad {
            // Most methods compare patches that padding would be among.
            return fail("fit-aspect is pad, which a benchmark does not know; take stretch or crop");
        }
        if self.methods.is_empty() || self.noise.is_empty() || self.seeds == 0 {
            return fail("at least one method, one noise ratio and one seed are needed");
        }
        if self.protocols.is_empty() && self.noise.iter().any(|n| *n > 0.0) {
            return fail("noise needs a protocol: overlap, no-overlap or augmented-overlap");
        }
        if let Some(noise) = self.noise.iter().find(|n| !(0.0..=1.0).contains(*n)) {
            return Err(Error::InvalidOption(format!("the noise ratio {noise} is not in 0..=1")));
        }
        Ok(())
    }
}
