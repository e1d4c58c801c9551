//! Ranking metrics of a two-class score, exact for ties: equal scores are one threshold, never an order.

use crate::{Error, Result};
use rayon::slice::ParallelSliceMut;

/// The F1 score at its best threshold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BestF1 {
    /// `2 tp / (2 tp + fp + fn)`, in 0..=1.
    pub f1: f64,
    /// A score at or above this counts as a defect. Of several equally good thresholds, the highest.
    pub threshold: f32,
}

/// A point of the ROC curve.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RocPoint {
    /// A score at or above this counts as a defect; infinity for the first point.
    pub threshold: f32,
    /// Share of the normal samples that count as defects, in 0..=1.
    pub false_positive_rate: f64,
    /// Share of the defects that are found, in 0..=1.
    pub true_positive_rate: f64,
}

/// Area under the ROC curve: the probability that a defect scores higher than a normal sample, ties counting
/// half. `labels` are true for defects.
///
/// # Errors
/// [`Error::Metric`] where the lengths differ, a score is not finite, or one class is missing.
///
/// ```
/// let (scores, labels) = ([0.1, 0.4, 0.3, 0.8], [false, false, true, true]);
/// assert_eq!(softpatch::eval::auroc(&scores, &labels)?, 0.75);
/// # Ok::<(), softpatch::Error>(())
/// ```
pub fn auroc(scores: &[f32], labels: &[bool]) -> Result<f64> {
    Ok(Ranking::of(scores, labels)?.auroc())
}

/// Average precision: the sum of `(recall_n - recall_{n-1}) * precision_n` over falling thresholds, without
/// interpolation, as scikit-learn's `average_precision_score` defines it. `labels` are true for defects.
///
/// # Errors
/// As [`auroc`].
pub fn average_precision(scores: &[f32], labels: &[bool]) -> Result<f64> {
    Ok(Ranking::of(scores, labels)?.average_precision())
}

/// The largest F1 score over all thresholds. `labels` are true for defects.
///
/// # Errors
/// As [`auroc`].
pub fn best_f1(scores: &[f32], labels: &[bool]) -> Result<BestF1> {
    Ok(Ranking::of(scores, labels)?.best_f1())
}

/// The ROC curve from (0, 0) to (1, 1), one point for each distinct score. `labels` are true for defects.
///
/// # Errors
/// As [`auroc`].
pub fn roc_curve(scores: &[f32], labels: &[bool]) -> Result<Vec<RocPoint>> {
    Ok(Ranking::of(scores, labels)?.roc_curve())
}

/// Scores sorted from high to low, the two classes apart: 4 bytes for a normal sample, 8 for a defect.
pub(super) struct Ranking {
    /// Keys of the normal samples.
    pub(super) normal: Vec<u32>,
    /// `key << 32 | region` of the defects; the region is 0 where there are none.
    pub(super) defect: Vec<u64>,
}

/// How many samples have one score. See [`Ranking::steps`].
struct Step {
    key: u32,
    defects: u64,
    normals: u64,
}

impl Ranking {
    pub(super) fn of(scores: &[f32], labels: &[bool]) -> Result<Self> {
        check_lengths(scores.len(), labels.len())?;
        check_finite(scores)?;
        let mut ranking = Self { normal: Vec::new(), defect: Vec::new() };
        for (&score, &label) in scores.iter().zip(labels) {
            if label {
                ranking.defect.push(u64::from(key(score)) << 32);
            } else {
                ranking.normal.push(key(score));
            }
        }
        ranking.sorted("sample")
    }

    /// Sorts what was pushed; `what` names a sample in the message for a missing class.
    pub(super) fn sorted(mut self, what: &str) -> Result<Self> {
        if self.normal.is_empty() || self.defect.is_empty() {
            let missing = if self.normal.is_empty() { "normal" } else { "defect" };
            return Err(Error::Metric(format!(
                "there is no {missing} {what}, and both classes are needed to rank them"
            )));
        }
        self.normal.par_sort_unstable_by(|a, b| b.cmp(a));
        self.defect.par_sort_unstable_by(|a, b| b.cmp(a));
        Ok(self)
    }

    /// The distinct scores from high to low.
    fn steps(&self) -> impl Iterator<Item = Step> {
        let (mut n, mut d) = (0, 0);
        std::iter::from_fn(move || {
            let key_n = self.normal.get(n).copied();
            let key_d = self.defect.get(d).map(|v| (v >> 32) as u32);
            let key = key_n.max(key_d)?;
            let (n0, d0) = (n, d);
            while self.normal.get(n) == Some(&key) {
                n += 1;
            }
            while self.defect.get(d).is_some_and(|v| (v >> 32) as u32 == key) {
                d += 1;
            }
            Some(Step { key, defects: (d - d0) as u64, normals: (n - n0) as u64 })
        })
    }

    pub(super) fn auroc(&self) -> f64 {
        // Twice the number of (normal, defect) pairs in the right order, in whole numbers.
        let (mut above, mut pairs) = (0u64, 0u128);
        for step in self.steps() {
            pairs += u128::from(step.normals) * u128::from(2 * above + step.defects);
            above += step.defects;
        }
        pairs as f64 / (2.0 * self.normal.len() as f64 * self.defect.len() as f64)
    }

    pub(super) fn average_precision(&self) -> f64 {
        let (mut tp, mut fp, mut sum) = (0u64, 0u64, 0.0);
        for step in self.steps() {
            tp += step.defects;
            fp += step.normals;
            sum += step.defects as f64 * (tp as f64 / (tp + fp) as f64);
        }
        sum / self.defect.len() as f64
    }

    pub(super) fn best_f1(&self) -> BestF1 {
        let (mut tp, mut fp) = (0u64, 0u64);
        let mut best = BestF1 { f1: -1.0, threshold: f32::INFINITY };
        for step in self.steps() {
            tp += step.defects;
            fp += step.normals;
            let f1 = 2.0 * tp as f64 / (tp + fp + self.defect.len() as u64) as f64;
            if f1 > best.f1 {
                best = BestF1 { f1, threshold: score(step.key) };
            }
        }
        best
    }

    fn roc_curve(&self) -> Vec<RocPoint> {
        let (mut tp, mut fp) = (0u64, 0u64);
        let first = RocPoint { threshold: f32::INFINITY, false_positive_rate: 0.0, true_positive_rate: 0.0 };
        let rest = self.steps().map(|step| {
            tp += step.defects;
            fp += step.normals;
            RocPoint {
                threshold: score(step.key),
                false_positive_rate: fp as f64 / self.normal.len() as f64,
                true_positive_rate: tp as f64 / self.defect.len() as f64,
            }
        });
        std::iter::once(first).chain(rest).collect()
    }
}

/// An integer that orders as finite scores do, with -0 equal to 0.
pub(super) fn key(score: f32) -> u32 {
    let bits = (score + 0.0).to_bits();
    if bits >> 31 == 1 { !bits } else { bits | 1 << 31 }
}

/// The score of a [`key`].
fn score(key: u32) -> f32 {
    f32::from_bits(if key >> 31 == 1 { key & !(1 << 31) } else { !key })
}

pub(super) fn check_finite(scores: &[f32]) -> Result<()> {
    match scores.iter().position(|s| !s.is_finite()) {
        Some(i) => {
            Err(Error::Metric(format!("score {i} is {}, and only finite scores can be ranked", scores[i])))
        }
        None => Ok(()),
    }
}

pub(super) fn check_lengths(scores: usize, labels: usize) -> Result<()> {
    if scores != labels {
        return Err(Error::Metric(format!("{scores} scores for {labels} labels")));
    }
    Ok(())
}
