//! Thresholds for a wanted false-alarm rate, from scores of good pictures alone.

use super::Model;
use super::calibration::{Calibration, Rule, Source};
use super::edit::EditKind;
use super::good_scores::{GoodScores, outliers};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// What a calibration replaced.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Replaced {
    /// [`ModelInfo::threshold`](super::ModelInfo::threshold) before.
    pub threshold: Option<f32>,
    /// [`ModelInfo::no_threshold`](super::ModelInfo::no_threshold) before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_threshold: Option<String>,
    /// [`ModelInfo::pixel_threshold`](super::ModelInfo::pixel_threshold) before.
    pub pixel_threshold: Option<f32>,
    /// [`ModelInfo::calibration`](super::ModelInfo::calibration) before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calibration: Option<Calibration>,
    /// [`Model::good_scores`] before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub good_scores: Vec<f32>,
}

impl Model {
    /// Sets the thresholds to those that a share of `target_fpr` of good pictures passes, and says so in
    /// `info.calibration`: of image scores from `scores`, of maps from `peaks`, the largest value of the
    /// frame's map of each picture; pictures without a map leave `peaks` empty, and the model without a
    /// threshold of pixels. It is an edit of the model, which [`Model::undo`] takes back. Whoever wrote
    /// `scores` down stands for it that the pictures are good.
    ///
    /// # Errors
    /// [`Error::InvalidOption`] where `target_fpr` is not 0.0001 to 0.5, a score is no finite number, or
    /// there are fewer than 3 or more than half are the same.
    pub fn calibrate(&mut self, scores: &[f32], peaks: &[f32], target_fpr: f64) -> Result<()> {
        if !(0.0001..=0.5).contains(&target_fpr) {
            return Err(Error::InvalidOption(format!(
                "target-fpr is {target_fpr}, it must be 0.0001 to 0.5"
            )));
        }
        if let Some(wrong) = scores.iter().chain(peaks).find(|s| !s.is_finite()) {
            return Err(Error::InvalidOption(format!("a score of a good image is {wrong}")));
        }
        let info = &self.info;
        let before = Replaced {
            threshold: info.threshold,
            no_threshold: info.no_threshold.clone(),
            pixel_threshold: info.pixel_threshold,
            calibration: info.calibration.clone(),
            good_scores: self.good_scores.clone(),
        };
        self.set_thresholds(scores, peaks, target_fpr, Source::Labelled).map_err(Error::InvalidOption)?;
        self.info.replaced.push(before);
        self.note(EditKind::Calibrate, format!("{} good pictures", scores.len()), [0, 0]);
        Ok(())
    }

    /// The thresholds as they were.
    pub(super) fn put_back(&mut self, before: Replaced) {
        let Replaced { threshold, no_threshold, pixel_threshold, calibration, good_scores } = before;
        self.good_scores = good_scores;
        let info = &mut self.info;
        (info.threshold, info.pixel_threshold) = (threshold, pixel_threshold);
        (info.no_threshold, info.calibration) = (no_threshold, calibration);
    }

    /// The same with scores of training pictures, of which outliers are left out.
    pub(crate) fn calibrate_by_training(
        &mut self,
        scores: &[f32],
        peaks: &[f32],
        target_fpr: f64,
    ) -> Result<(), String> {
        self.set_thresholds(scores, peaks, target_fpr, Source::Training)
    }

    fn set_thresholds(
        &mut self,
        scores: &[f32],
        peaks: &[f32],
        target_fpr: f64,
        source: Source,
    ) -> Result<(), String> {
        let mut out = vec![false; scores.len()];
        if source == Source::Training {
            for (of, wrong) in
                [outliers(scores), outliers(peaks)].into_iter().flat_map(|o| o.into_iter().enumerate())
            {
                out[of] |= wrong;
            }
        }
        let taken = |values: &[f32]| -> Vec<f32> {
            values.iter().zip(&out).filter(|(_, out)| !**out).map(|(v, _)| *v).collect()
        };
        let taken_scores = taken(scores);
        let (threshold, interval) = GoodScores::new(&taken_scores)?.threshold(target_fpr);
        let info = &mut self.info;
        info.threshold = Some(threshold);
        info.no_threshold = None;
        info.pixel_threshold = GoodScores::new(&taken(peaks)).ok().map(|peaks| peaks.threshold(target_fpr).0);
        info.calibration = Some(Calibration {
            target_fpr,
            source,
            rule: if interval.is_some() { Rule::OrderStatistic } else { Rule::Extrapolated },
            good: taken_scores.len() as u32,
            left_out: (scores.len() - taken_scores.len()) as u32,
            // As many digits as a file gives back.
            interval: interval.map(|sides| sides.map(|side| (side * 1e8).round() / 1e8)),
        });
        self.good_scores = taken_scores;
        Ok(())
    }

    /// The scores of good pictures that it knows: those that it was calibrated by, else those of its training
    /// pictures but for outliers.
    pub(crate) fn goods(&self) -> Option<GoodScores> {
        if !self.good_scores.is_empty() {
            return GoodScores::new(&self.good_scores).ok();
        }
        let scores = &self.train_scores;
        let good: Vec<f32> =
            scores.iter().zip(outliers(scores)).filter(|(_, o)| !o).map(|(s, _)| *s).collect();
        GoodScores::new(&good).ok()
    }
}
