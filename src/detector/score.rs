//! Scores and anomaly maps of new images.

use super::model_file::{Model, ModelInfo};
use super::{Backbone, Progress};
use crate::data::{Image, ImageSource};
use crate::gpu::Device;
use crate::{Error, Result};

/// The anomaly score of one image.
#[derive(Clone, Debug, PartialEq)]
pub struct Score {
    /// Largest patch score; not bounded above.
    pub score: f32,
    /// Whether `score` passes the model's threshold; `None` where the model has none.
    pub anomalous: Option<bool>,
    /// Rows and columns of the grid of patches.
    pub grid: [u32; 2],
    /// Patch scores, row by row.
    pub patches: Vec<f32>,
    /// Side of the map in pixels: the crop.
    pub map_side: u32,
    /// Anomaly map of the crop, row by row: the patch scores, upsampled and blurred.
    pub map: Vec<f32>,
}

/// The part of a detector that works on the device.
pub(super) struct Scorer;

impl Scorer {
    pub fn new(_device: &Device, _backbone: &Backbone, _model: &Model) -> Result<Self> {
        Err(Error::Device("not there yet".into()))
    }

    pub fn score(&mut self, _images: &[Image<'_>], _info: &ModelInfo) -> Result<Vec<Score>> {
        Err(Error::Device("not there yet".into()))
    }

    pub fn score_source(
        &mut self,
        _source: &dyn ImageSource,
        _info: &ModelInfo,
        _progress: &dyn Progress,
        _f: impl FnMut(usize, Score) -> Result<()>,
    ) -> Result<()> {
        Err(Error::Device("not there yet".into()))
    }
}
