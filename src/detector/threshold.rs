//! Thresholds for image scores and for maps from those of the training images.

/// Training images that are scored for the threshold.
pub(super) const SAMPLE: usize = 32;

/// Median absolute deviations above the median that still count as normal: three standard deviations of a
/// normal distribution, of which the median absolute deviation is 1 / 1.4826.
const DEVIATIONS: f32 = 3.0 * 1.4826;

/// Scores are the same where they differ, relatively, by less than sums of this many 32-bit terms round to.
const ROUNDING: f32 = 1024.0 * f32::EPSILON;

/// Median plus three (scaled) median absolute deviations of the finite `scores`: unlike the largest score or
/// a mean, a few contaminated training images do not move it.
///
/// # Errors
/// Why there is none: fewer than 3 scores, or more than half of them the same. Then nothing says how far
/// normal images lie from each other; a threshold without a spread calls every new image anomalous.
pub(super) fn robust_threshold(scores: &[f32]) -> Result<f32, String> {
    let finite: Vec<f32> = scores.iter().copied().filter(|s| s.is_finite()).collect();
    if finite.len() < 3 {
        return Err(format!(
            "it takes the scores of 3 training images against the others, and there are {}",
            finite.len()
        ));
    }
    let centre = median(finite.clone());
    let spread = median(finite.iter().map(|s| (s - centre).abs()).collect());
    if spread <= ROUNDING * centre {
        let same = finite.iter().filter(|s| (*s - centre).abs() <= ROUNDING * centre).count();
        return Err(format!(
            "{same} of the {} training images that were scored have the same score, {centre}: copies of each \
             other do not say how much normal images differ",
            finite.len()
        ));
    }
    Ok(centre + DEVIATIONS * spread)
}

fn median(mut values: Vec<f32>) -> f32 {
    values.sort_by(f32::total_cmp);
    let half = values.len() / 2;
    if values.len() % 2 == 1 { values[half] } else { (values[half - 1] + values[half]) / 2.0 }
}

/// Up to [`SAMPLE`] of `images` image numbers, evenly spread.
pub(super) fn sample(images: usize) -> Vec<u32> {
    let count = images.min(SAMPLE);
    (0..count).map(|i| (i * images / count) as u32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_outliers_do_not_move_it() {
        let mut scores: Vec<f32> = (0..30).map(|i| 1.0 + 0.01 * i as f32).collect();
        let clean = robust_threshold(&scores).unwrap();
        scores[3] = 1000.0;
        scores[17] = f32::INFINITY;
        let dirty = robust_threshold(&scores).unwrap();
        assert!(clean > 1.3 && dirty < 1.1 * clean, "{clean} {dirty}");
    }

    #[test]
    fn without_a_spread_there_is_none_and_it_says_why() {
        for (scores, says) in [
            (&[][..], "there are 0"),
            (&[1.0, 2.0], "there are 2"),
            (&[1.0, 2.0, f32::INFINITY], "there are 2"),
            (&[0.0; 10], "10 of the 10 training images that were scored have the same score, 0:"),
            (&[0.0, 0.0, 0.0, 1.5, 1.7], "3 of the 5 training"),
            (&[2.0, 2.000_01, 1.999_99, 7.0, 2.0], "4 of the 5 training"),
        ] {
            let why = robust_threshold(scores).unwrap_err();
            assert!(why.contains(says), "{scores:?}: {why}");
        }
        assert!(robust_threshold(&[1.0, 1.1, 1.3]).is_ok());
    }

    #[test]
    fn the_sample_is_spread_and_distinct() {
        assert_eq!(sample(3), [0, 1, 2]);
        let many = sample(1000);
        assert_eq!(many.len(), SAMPLE);
        assert!(many.windows(2).all(|w| w[0] < w[1]) && many[SAMPLE - 1] < 1000);
        assert!(many[SAMPLE - 1] > 900, "it reaches to the last images");
    }
}
