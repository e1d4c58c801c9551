//! The calls of a fit in shards that make the model.

use super::plan::ShardPlan;
use super::steps::looked_at;
use super::{check_len, product};
use crate::backbone::Backbone;
use crate::bank::MemoryBank;
use crate::detector::calibrate::{Left, finish, leave_one_out, with_maps};
use crate::detector::features::{Embeddings, Features};
use crate::detector::fit::{Judged, Origin, describe};
use crate::detector::persist::persist;
use crate::detector::{Progress, Quiet};
use crate::gpu::Device;
use crate::model::Model;
use crate::settings::FeatureShape;
use crate::{Error, Result, process};

/// The patches that were chosen for the memory bank, and what became of the others.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ShardRows {
    /// Names of the training images of all shards, in order.
    pub images: Vec<String>,
    /// `[rows][dim]` embeddings, in the order chosen.
    pub embeddings: Vec<f32>,
    /// `[rows]` outlier scores.
    pub scores: Vec<f32>,
    /// `[rows][2]`: number of the image, and grid position.
    pub places: Vec<[u32; 2]>,
    /// Outlier score above which patches were dropped; `None` where none was.
    pub threshold: Option<f32>,
    /// Patches that were kept.
    pub kept: u64,
    /// Neighbours that LOF used.
    pub lof_k: Option<u32>,
}

/// What a training image scores against the bank without its own rows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LeftOut {
    /// Its score; infinite where every row of the bank is its own.
    pub score: f32,
    /// The largest value of its map; not a number where none was made: thresholds need those of a sample.
    pub peak: f32,
}

impl ShardPlan {
    /// The model of the rows that were chosen; it has no threshold yet.
    ///
    /// # Errors
    /// [`Error::InvalidOption`] where an array has another size, a row is no number, or a place is none of the plan's;
    /// [`Error::Limit`] where the bank does not fit the device.
    pub fn model(&self, device: &Device, rows: ShardRows) -> Result<Model> {
        process::check()?;
        let ShardRows { images, embeddings, scores, places, threshold, kept, lof_k } = rows;
        let count = places.len();
        check_len("images", images.len(), Some(self.images as usize))?;
        check_len("scores", scores.len(), Some(count))?;
        check_len("embeddings", embeddings.len(), product(&[count.max(1), self.dim as usize]))?;
        let wrong = |row: usize, why: &str| Err(Error::InvalidOption(format!("row {row} of the bank {why}")));
        if let Some(at) = embeddings.iter().position(|v| !v.is_finite()) {
            return wrong(at / self.dim as usize, "is no number");
        }
        if let Some(at) = scores.iter().position(|s| !s.is_finite()) {
            return wrong(at, "has an outlier score that is no number");
        }
        let positions = self.positions() as u32;
        if let Some(at) = places.iter().position(|[i, p]| *i >= self.images || *p >= positions) {
            return wrong(at, "comes from no patch of the plan");
        }
        let weight = |score: &f32| if self.options.soft_weights { score.max(0.0) } else { 1.0 };
        let mut bank = MemoryBank {
            weights: scores.iter().map(weight).collect(),
            rows: embeddings,
            floors: Vec::new(),
            provenance: places.iter().map(|[i, p]| [*i, p / self.grid[1], p % self.grid[1]]).collect(),
            index: None,
        };
        persist(device, &self.options, &Quiet, |device, _| bank.prepare(device).map(drop))?;
        let (grid, frame, roi) = (self.grid, self.frame, self.roi.clone());
        let origin = Origin { backbone: self.backbone.clone(), images, grid, frame, roi };
        Ok(describe(&self.options, self.dim, origin, Judged { threshold, kept, lof_k }, bank))
    }

    /// Scores the images of a shard, of which `first` is the number of the first, by their embeddings
    /// `[images][positions][dim]` against the bank of `model` without the rows of each.
    ///
    /// # Errors
    /// As [`ShardPlan::outlier_scores`].
    pub fn leave_one_out(
        &self,
        device: &Device,
        backbone: &Backbone,
        model: &Model,
        embeddings: &[f32],
        first: u32,
        progress: &dyn Progress,
    ) -> Result<Vec<LeftOut>> {
        process::check()?;
        let (positions, dim) = (self.positions(), self.dim as usize);
        let images = embeddings.len() / positions / dim;
        check_len("embeddings", embeddings.len(), product(&[images, positions, dim]))?;
        if images as u64 + u64::from(first) > u64::from(self.images) {
            return Err(Error::InvalidOption(format!(
                "images {first} to {} are more than the {} of the plan",
                first as usize + images,
                self.images
            )));
        }
        if model.info.dim != self.dim || model.info.grid != self.grid {
            return Err(Error::InvalidOption("the model is not the plan's".to_owned()));
        }
        if images == 0 {
            return Ok(Vec::new());
        }
        // Images are numbered from the shard's first one on; rows of other shards are of none of them.
        let mut bank = model.bank.clone();
        bank.provenance.iter_mut().for_each(|[image, ..]| *image = image.wrapping_sub(first));
        let whole = with_maps(first..first + images as u32, self.images as usize, &self.options);
        let whole: Vec<u32> = whole.into_iter().map(|image| image - first).collect();
        let shape = FeatureShape { images, positions, columns: self.grid[1] as usize, dim };
        let left = persist(device, &self.options, progress, |device, options| {
            self.ready(device, backbone, options, images, progress)?;
            let mut features = Features::at_hand(device, shape, embeddings, Embeddings::Projected, options)?;
            features.covered = looked_at(embeddings, dim);
            let ready = bank.on_device(device)?;
            leave_one_out(device, &features, &model.info, (&ready, &bank), &whole, progress)
        })?;
        Ok(left
            .into_iter()
            .map(|left| LeftOut { score: left.score, peak: left.peak.unwrap_or(f32::NAN) })
            .collect())
    }

    /// Sets the thresholds of `model` by what all its training images score, in order.
    ///
    /// # Errors
    /// [`Error::InvalidOption`] where they are not as many as the plan's images.
    pub fn finish(&self, model: &mut Model, left: &[LeftOut], progress: &dyn Progress) -> Result<()> {
        check_len("scores", left.len(), Some(self.images as usize))?;
        let of = |(image, left): (u32, &LeftOut)| Left {
            image,
            score: left.score,
            peak: Some(left.peak).filter(|peak| !peak.is_nan()),
        };
        finish(model, (0..).zip(left).map(of).collect(), progress);
        Ok(())
    }
}
