//! Thresholds for image scores and for maps from those of the training images.

use super::features::Features;
use super::patch_scorer::{largest, queries};
use crate::Result;
use crate::bank::{Bank, Maps, SearchBuffers};
use crate::gpu::{Device, Recorder, Tensor};
use crate::steps::search::search::SkipOwn;

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

/// Training images against the bank without their own rows, from embeddings at hand.
pub(super) struct Calibration<'a> {
    device: Device,
    bank: &'a Bank,
    features: &'a Features,
    search: SearchBuffers,
    /// Embeddings of as many patches as are searched at a time.
    x: Tensor,
    most: u32,
    scores: Tensor,
    maps: Maps,
    top: Tensor,
}

impl<'a> Calibration<'a> {
    /// Buffers for images of `features`, which have patches `grid` and frames of `frame` pixels.
    pub fn new(
        device: &Device,
        bank: &'a Bank,
        features: &'a Features,
        [grid, frame]: [[u32; 2]; 2],
        memory: u64,
    ) -> Result<Self> {
        let positions = features.positions as u32;
        let most = queries(device, bank, [1, positions], memory);
        Ok(Self {
            device: device.clone(),
            search: bank.search(device, most, positions)?,
            x: device.alloc(most as usize * features.dim, "embeddings of an image")?,
            bank,
            features,
            most,
            scores: device.alloc(positions as usize, "patch scores")?,
            maps: Maps::new(device, grid, frame, 1)?,
            top: device.alloc(1, "image score")?,
        })
    }

    /// Leaves out the patches that `looked_at` has as false, of the images that are scored from now on.
    pub fn cover(&self, looked_at: &[bool]) {
        self.search.cover(&self.device, looked_at);
    }

    /// Score of training image `image`, and the largest value of its map; infinite where every bank row is its
    /// own.
    pub fn score(&self, image: u32) -> Result<[f32; 2]> {
        let positions = self.features.positions as u32;
        let skip = SkipOwn { first_image: image, queries_per_image: positions };
        for first in (0..positions).step_by(self.most as usize) {
            let count = self.most.min(positions - first);
            let patch = image as usize * positions as usize + first as usize;
            self.features.load(patch, count as usize, &self.x)?;
            let mut recorder = Recorder::new(&self.device);
            let queries = first..first + count;
            self.bank.record(&mut recorder, &self.search, &self.x, queries, Some(skip))?;
            let sizes = [1, count, first];
            self.bank.record_scores(&mut recorder, &self.search, sizes, &self.scores, &self.top)?;
            recorder.run()?;
        }
        let mut recorder = Recorder::new(&self.device);
        self.maps.record(&mut recorder, &self.scores, 1)?;
        recorder.run()?;
        let score = self.device.read::<f32>(&self.top)?[0];
        let map: Vec<f32> = self.device.read(&self.maps.maps)?;
        // Of a map with infinite scores some sums are no numbers.
        Ok([score, if score.is_finite() { map[largest(&map)] } else { score }])
    }
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
    }
}
