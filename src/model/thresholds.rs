//! Thresholds for a wanted false-alarm rate, from scores of good pictures alone.

use super::Model;
use super::calibration::{Calibration, Rule, Source};
use super::good_scores::{GoodScores, outliers};
use crate::{Error, Result};

impl Model {
    /// Sets the thresholds to those that a share of `target_fpr` of good pictures passes, and says so in
    /// `info.calibration`: of image scores from `scores`, of maps from `peaks`, the largest value of the
    /// frame's map of each picture; pictures without a map leave `peaks` empty, and the model without a
    /// threshold of pixels. Whoever wrote `scores` down stands for it that the pictures are good.
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
        self.set_thresholds(scores, peaks, target_fpr, Source::Labelled).map_err(Error::InvalidOption)
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
