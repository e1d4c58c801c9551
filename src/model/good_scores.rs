//! Scores of good pictures, and what follows from them: docs/method.md, section 6.

use super::interval::share_above;

/// Share of good pictures that the rule for outliers loses, where the logarithms of scores have the Gumbel
/// distribution: less than what rates are asked for.
const LOST: f64 = 0.001;

/// Scores are the same where they differ, relatively, by less than sums of this many 32-bit terms round to.
const ROUNDING: f64 = 1024.0 * f32::EPSILON as f64;

/// Where a share of `above` of a Gumbel distribution begins, in its scales above its mode.
fn gumbel(above: f64) -> f64 {
    -(-(-above).ln_1p()).ln()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let half = values.len() / 2;
    if values.len() % 2 == 1 { values[half] } else { f64::midpoint(values[half - 1], values[half]) }
}

/// The logarithm of a score, which is never negative.
fn log(score: f32) -> f64 {
    f64::from(score.max(f32::MIN_POSITIVE)).ln()
}

/// Median of the logarithms of scores, which are not empty, and their scale by the upper half, as of a Gumbel
/// distribution: a score is the largest of many, and lies above the median more often than below it by as
/// much.
fn centre_and_scale(scores: &[f32]) -> [f64; 2] {
    let logs: Vec<f64> = scores.iter().map(|s| log(*s)).collect();
    let centre = median(logs.clone());
    let upper = median(logs.iter().map(|l| l - centre).filter(|d| *d >= 0.0).collect());
    [centre, upper / (gumbel(0.25) - gumbel(0.5))]
}

/// Which of `scores`, all finite, are outliers above the others, as those of pictures with defects are.
pub(crate) fn outliers(scores: &[f32]) -> Vec<bool> {
    if scores.is_empty() {
        return Vec::new();
    }
    let [centre, scale] = centre_and_scale(scores);
    let most = centre + (gumbel(LOST) - gumbel(0.5)) * scale.max(ROUNDING);
    scores.iter().map(|s| log(*s) > most).collect()
}

/// Scores of good pictures, and what follows from them.
#[derive(Clone, Debug)]
pub(crate) struct GoodScores {
    /// Ascending, at least 3, not the same.
    sorted: Vec<f32>,
    /// Of the logarithms.
    scale: f64,
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
        let [_, scale] = centre_and_scale(&sorted);
        if scale <= ROUNDING {
            return Err(format!(
                "more than half of the {} good images that were scored have the same score: copies of each other do \
                 not say how much normal images differ",
                sorted.len()
            ));
        }
        Ok(Self { sorted, scale })
    }

    /// The threshold that a share of `target` of good pictures passes, the share's interval where the
    /// threshold is one of the scores.
    pub fn threshold(&self, target: f64) -> (f32, Option<[f64; 2]>) {
        let n = self.sorted.len();
        // Of n + 1 pictures alike, each is as likely the k-th largest: k / (n + 1) are above the k-th of n.
        let k = (target * (n + 1) as f64 + 1e-9).floor() as usize;
        if k > 0 {
            let k = k.min(n);
            return (self.sorted[n - k], Some(share_above(k, n)));
        }
        // The tail above the largest falls by its scale.
        let beyond = -self.scale * (target * (n + 1) as f64).ln();
        let threshold = (log(self.sorted[n - 1]) + beyond).exp() as f32;
        (threshold.clamp(self.sorted[n - 1], f32::MAX), None)
    }

    /// The share of good pictures that score lower than `score`: `i / (n + 1)` at the i-th of n scores,
    /// linear between them and from 0 on, and past the largest by an exponential
    /// tail of their logarithms.
    pub fn share_below(&self, score: f32) -> f32 {
        let places = (self.sorted.len() + 1) as f64;
        // Of equal scores the last counts.
        let i = self.sorted.partition_point(|s| *s <= score);
        let low = if i == 0 { 0.0 } else { f64::from(self.sorted[i - 1]) };
        let Some(&high) = self.sorted.get(i) else {
            let beyond = (log(score) - log(low as f32)) / self.scale;
            return (1.0 - (-beyond).exp() / places) as f32;
        };
        let part = (f64::from(score) - low) / (f64::from(high) - low);
        ((i as f64 + part.max(0.0)) / places) as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Calibration;
    use rand::{Rng, SeedableRng};

    /// Scores whose logarithms have the Gumbel distribution of mode 1 and scale 0.3.
    fn draws(rng: &mut rand_chacha::ChaCha8Rng, n: usize) -> Vec<f32> {
        (0..n).map(|_| (1.0 + 0.3 * gumbel(rng.random_range(1e-12..1.0))).exp() as f32).collect()
    }

    /// The share of that distribution above a value.
    fn above(scales: f64) -> f64 {
        -(-(-scales).exp()).exp_m1()
    }

    fn rng(seed: u64) -> rand_chacha::ChaCha8Rng {
        rand_chacha::ChaCha8Rng::seed_from_u64(seed)
    }

    #[test]
    fn the_threshold_is_the_kth_largest() {
        let scores: Vec<f32> = (1..=99).map(|i| i as f32).collect();
        let good = GoodScores::new(&scores).unwrap();
        for (target, threshold) in [(0.01, 99.0), (0.05, 95.0), (0.0599, 95.0), (0.1, 90.0), (0.5, 50.0)] {
            let (found, interval) = good.threshold(target);
            assert_eq!(found, threshold, "{target}");
            let [low, high] = interval.unwrap();
            let k = (100.0 - threshold) as f64 / 100.0;
            assert!(low < k && k < high, "{target}");
        }
        assert_eq!(good.threshold(0.009).1, None);
        assert_eq!([0.01, 0.05, 0.5, 0.003].map(Calibration::needed), [99, 19, 1, 333]);
    }

    /// Of draws alike, as many pass the threshold as is wanted at most, and the interval holds the true
    /// share.
    #[test]
    fn rates_are_as_wanted() {
        let mut rng = rng(3);
        for (n, target) in [(60, 0.05), (40, 0.1), (200, 0.01)] {
            let (mut mean, mut held, runs) = (0.0, 0, 1000);
            for _ in 0..runs {
                let (threshold, interval) = GoodScores::new(&draws(&mut rng, n)).unwrap().threshold(target);
                let true_rate = above((f64::from(threshold).ln() - 1.0) / 0.3);
                mean += true_rate / f64::from(runs);
                let [low, high] = interval.unwrap();
                held += i32::from((low..=high).contains(&true_rate));
            }
            let k = (target * (n + 1) as f64).floor();
            let expected = k / (n + 1) as f64;
            // Four deviations of the mean of Beta values.
            let error = 4.0 * (expected / (n + 2) as f64 / f64::from(runs)).sqrt();
            assert!((mean - expected).abs() < error, "{n} {target}: {mean} for {expected}");
            assert!((f64::from(held) / f64::from(runs) - 0.95).abs() < 0.028, "{n} {target}: {held}");
        }
    }

    /// With too few for a rate, the threshold lies above them all, and nearer to the truth than a factor of 4
    /// of the rate, where logarithms are as
    /// assumed.
    #[test]
    fn too_few_are_extrapolated() {
        let mut rng = rng(5);
        let (mut rates, runs) = (Vec::new(), 400);
        for _ in 0..runs {
            let scores = draws(&mut rng, 40);
            let (threshold, interval) = GoodScores::new(&scores).unwrap().threshold(0.002);
            assert!(interval.is_none() && scores.iter().all(|s| *s < threshold));
            rates.push(above((f64::from(threshold).ln() - 1.0) / 0.3));
        }
        let middle = median(rates);
        assert!((0.0005..0.008).contains(&middle), "{middle}");
    }

    #[test]
    fn outliers_are_left_out_and_others_are_not() {
        let mut scores = draws(&mut rng(9), 300);
        let few = outliers(&scores).iter().filter(|o| **o).count();
        assert!(few <= 2, "{few} of 300");
        // Of a tenth that is defective, all are found.
        scores.iter_mut().step_by(10).for_each(|s| *s += 90.0);
        let found = outliers(&scores);
        assert!(found.iter().step_by(10).all(|o| *o));
        assert!(outliers(&[]).is_empty() && outliers(&[2.0; 5]) == [false; 5]);
    }

    #[test]
    fn shares_rise_and_meet_the_thresholds() {
        let scores = draws(&mut rng(11), 49);
        let good = GoodScores::new(&scores).unwrap();
        assert_eq!(good.share_below(0.0), 0.0);
        let mut last = 0.0;
        for i in 0..3000 {
            let share = good.share_below(i as f32 * 0.01);
            assert!((last..=1.0).contains(&share), "{i}: {share} after {last}");
            last = share;
        }
        assert!(last > 0.99 && good.share_below(1e6) > 0.9999 && good.share_below(f32::INFINITY) == 1.0);
        // Measured rates and extrapolated ones alike.
        for target in [0.5, 0.1, 0.02, 0.01, 0.001] {
            let share = f64::from(good.share_below(good.threshold(target).0));
            assert!((share - (1.0 - target)).abs() < 1e-4, "{target}: {share}");
        }
        // Of one picture far from all others, the tail begins there.
        let far = GoodScores::new(&[1.0, 1.1, 1.2, 1.3, 1e30]).unwrap();
        assert!(far.threshold(0.01).0 > 1e30 && far.share_below(2e30) > far.share_below(1e30));
    }

    #[test]
    fn without_a_spread_nothing_follows() {
        for (scores, says) in
            [(&[1.0, 2.0][..], "there are 2"), (&[2.0, 2.0, 2.0, 7.0], "more than half of the 4")]
        {
            let why = GoodScores::new(scores).unwrap_err();
            assert!(why.contains(says), "{why}");
        }
    }
}
