//! Scores of good pictures, and what follows from them: docs/method.md, section 6.

use super::normal::{share_above, upper_point, upper_tail};

/// Scaled median absolute deviations above the median past which a training picture's score, by its logarithm, is
/// not taken for that of a good one: the modified z-score of 3.5 of Iglewicz and Hoaglin (How to Detect and Handle
/// Outliers, 1993).
const OUTLIER: f64 = 3.5;

/// What makes a median absolute deviation that of a normal distribution.
const SCALE: f64 = 1.4826;

/// Scores are the same where they differ, relatively, by less than sums of this many 32-bit terms round to.
const ROUNDING: f64 = 1024.0 * f32::EPSILON as f64;

/// Standard deviations past which the normal tail is moved, so that its values stay within what is computed.
const TAIL: f64 = 8.0;

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let half = values.len() / 2;
    if values.len() % 2 == 1 { values[half] } else { f64::midpoint(values[half - 1], values[half]) }
}

/// The logarithm of a score, which is never negative.
fn log(score: f32) -> f64 {
    f64::from(score.max(f32::MIN_POSITIVE)).ln()
}

/// Median and scaled median absolute deviation of logarithms of scores, which are not empty.
fn centre_and_spread(scores: &[f32]) -> [f64; 2] {
    let logs: Vec<f64> = scores.iter().map(|s| log(*s)).collect();
    let centre = median(logs.clone());
    [centre, SCALE * median(logs.iter().map(|l| (l - centre).abs()).collect())]
}

/// Which of `scores`, all finite, are outliers above the others, as those of pictures with defects are.
pub(crate) fn outliers(scores: &[f32]) -> Vec<bool> {
    if scores.is_empty() {
        return Vec::new();
    }
    let [centre, spread] = centre_and_spread(scores);
    let most = centre + OUTLIER * spread.max(ROUNDING);
    scores.iter().map(|s| log(*s) > most).collect()
}

/// Scores of good pictures, and what follows from them.
#[derive(Clone, Debug)]
pub(crate) struct GoodScores {
    /// Ascending, at least 3, not the same.
    sorted: Vec<f32>,
    /// Of the logarithms.
    centre: f64,
    spread: f64,
}

impl GoodScores {
    /// Of finite `scores`.
    ///
    /// # Errors
    /// Why nothing follows: fewer than 3 scores, or more than half of them the same.
    pub fn new(scores: &[f32]) -> Result<Self, String> {
        let mut sorted = scores.to_vec();
        sorted.sort_by(f32::total_cmp);
        if sorted.len() < 3 {
            return Err(format!("it takes the scores of 3 good images, and there are {}", sorted.len()));
        }
        let [centre, spread] = centre_and_spread(&sorted);
        if spread <= ROUNDING {
            return Err(format!(
                "more than half of the {} good images that were scored have the same score: copies of each other do \
                 not say how much normal images differ",
                sorted.len()
            ));
        }
        Ok(Self { sorted, centre, spread })
    }

    /// The threshold that a share of `target` of good pictures passes, the share's interval where the threshold
    /// is one of the scores.
    pub fn threshold(&self, target: f64) -> (f32, Option<[f64; 2]>) {
        let n = self.sorted.len();
        // Of n + 1 pictures alike, each is as likely the k-th largest: k / (n + 1) are above the k-th of n.
        let k = (target * (n + 1) as f64 + 1e-9).floor() as usize;
        if k > 0 {
            let k = k.min(n);
            return (self.sorted[n - k], Some(share_above(k, n)));
        }
        let (last, moved) = self.last();
        let z = upper_point(target * (n + 1) as f64 * upper_tail(last)) + moved;
        let threshold = (self.centre + z * self.spread).exp() as f32;
        (threshold.clamp(self.sorted[n - 1], f32::MAX), None)
    }

    /// Where the largest score lies in the normal tail, and how far that is moved.
    fn last(&self) -> (f64, f64) {
        let z = self.sorted.last().map_or(0.0, |s| (log(*s) - self.centre) / self.spread);
        (z.min(TAIL), z - z.min(TAIL))
    }

    /// The share of good pictures that score lower than `score`: `i / (n + 1)` at the i-th of n scores, linear
    /// between them and from 0 on, and past the largest by the normal tail.
    pub fn share_below(&self, score: f32) -> f32 {
        let places = (self.sorted.len() + 1) as f64;
        // Of equal scores the last counts.
        let i = self.sorted.partition_point(|s| *s <= score);
        let low = if i == 0 { 0.0 } else { f64::from(self.sorted[i - 1]) };
        let Some(&high) = self.sorted.get(i) else {
            let (last, moved) = self.last();
            let z = (log(score) - self.centre) / self.spread - moved;
            let above = upper_tail(z.max(last)) / upper_tail(last) / places;
            return (1.0 - above) as f32;
        };
        let part = (f64::from(score) - low) / (f64::from(high) - low);
        ((i as f64 + part.max(0.0)) / places) as f32
    }
}
