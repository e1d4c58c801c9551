//! What a threshold makes of labelled images.

use serde::{Deserialize, Serialize};

/// False alarms and misses at a threshold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verdicts {
    /// Scores above it are anomalous.
    pub threshold: f32,
    /// Good images.
    pub good: usize,
    /// Those that are called anomalous.
    pub false_alarms: usize,
    /// Their share of the good images, in 0..=1; `None` where there are none.
    pub false_alarm_rate: Option<f64>,
    /// Images that show a defect.
    pub defects: usize,
    /// Those that are called normal.
    pub misses: usize,
    /// Their share of the defects, in 0..=1; `None` where there are none.
    pub miss_rate: Option<f64>,
}

impl Verdicts {
    /// Counts what `threshold` makes of `scores`; `labels` are true for defects.
    ///
    /// ```
    /// use softpatch::eval::Verdicts;
    /// let (scores, labels) = ([0.1, 0.4, 0.3, 0.8], [false, false, true, true]);
    /// let at = Verdicts::at(0.35, &scores, &labels);
    /// assert_eq!((at.false_alarms, at.misses, at.miss_rate), (1, 1, Some(0.5)));
    /// ```
    pub fn at(threshold: f32, scores: &[f32], labels: &[bool]) -> Self {
        let count = |label: bool, above: bool| {
            scores.iter().zip(labels).filter(|(s, l)| **l == label && (**s > threshold) == above).count()
        };
        let (false_alarms, misses) = (count(false, true), count(true, false));
        let (good, defects) = (false_alarms + count(false, false), misses + count(true, true));
        let share = |part: usize, of: usize| (of > 0).then(|| part as f64 / of as f64);
        Self {
            threshold,
            good,
            false_alarms,
            false_alarm_rate: share(false_alarms, good),
            defects,
            misses,
            miss_rate: share(misses, defects),
        }
    }
}

/// In a sentence.
impl std::fmt::Display for Verdicts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let rate = |share: Option<f64>| share.map_or(String::new(), |s| format!(" ({:.1} %)", 100.0 * s));
        write!(
            f,
            "at the threshold {:.4}: {} of {} good images are called anomalous{}, {} of {} defects are missed{}",
            self.threshold,
            self.false_alarms,
            self.good,
            rate(self.false_alarm_rate),
            self.misses,
            self.defects,
            rate(self.miss_rate)
        )
    }
}
