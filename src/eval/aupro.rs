//! Area under the per-region-overlap curve.

use super::metrics::{Ranking, check_finite, check_lengths, key};
use crate::detector::{NONE, label};
use crate::{Error, Result};

/// The false positive rate up to which [`aupro`] is usually stated.
pub const DEFAULT_FPR_LIMIT: f64 = 0.3;

/// An anomaly map with its ground truth.
#[derive(Clone, Copy, Debug)]
pub struct Map<'a> {
    /// Width in pixels; the height follows.
    pub width: usize,
    /// `height * width` scores, row by row.
    pub scores: &'a [f32],
    /// As many values, true for defect pixels. `None` for a normal image (no pixel is a defect), and for a
    /// defect image whose mask is unknown.
    pub mask: Option<&'a [bool]>,
    /// As many values, true for pixels that count, as a region of interest has it; `None`: all do.
    pub counted: Option<&'a [bool]>,
}

impl Map<'_> {
    /// Whether pixel `i` counts.
    fn counts(&self, i: usize) -> bool {
        self.counted.is_none_or(|counted| counted[i])
    }

    /// Whether a pixel that counts is a defect (`true`) or normal (`false`).
    pub(super) fn has(&self, defect: bool) -> bool {
        (0..self.scores.len()).any(|i| self.counts(i) && self.mask.is_some_and(|mask| mask[i]) == defect)
    }

    /// Whether the sizes agree and all scores are finite.
    pub(super) fn check(&self) -> Result<()> {
        let pixels = self.scores.len();
        if self.width == 0 || pixels == 0 || !pixels.is_multiple_of(self.width) {
            return Err(Error::Metric(format!("{pixels} scores are no map of width {}", self.width)));
        }
        check_lengths(pixels, self.mask.map_or(pixels, <[bool]>::len))?;
        check_lengths(pixels, self.counted.map_or(pixels, <[bool]>::len))?;
        check_finite(self.scores)
    }
}

/// Area under the per-region-overlap curve up to `fpr_limit`, divided by `fpr_limit`, in 0..=1.
///
/// At each threshold, the overlap is the mean over all defect regions of all maps of the share of the
/// region's pixels that score at or above it, and the false positive rate is that of all normal pixels
/// pooled. Regions are the 8-connected components of a mask, as in the evaluation of the MVTec data set
/// (Bergmann et al., IJCV 2021), whose program labels with a 3x3 structure of ones. Every distinct score is a
/// threshold; between two of them, and up to the limit, the curve is linear. A map without a mask counts as
/// normal throughout.
///
/// # Errors
/// [`Error::Metric`] where a map and its mask differ in size, a score is not finite, or there is no normal or
/// no defect pixel; [`Error::InvalidOption`] where `fpr_limit` is not in `0 < fpr_limit <= 1`.
pub fn aupro(maps: &[Map<'_>], fpr_limit: f64) -> Result<f64> {
    PixelRanking::of(maps)?.aupro(fpr_limit)
}

/// The pixels of all maps, ranked, each defect pixel with its region.
pub(super) struct PixelRanking {
    pub(super) ranking: Ranking,
    /// Pixels of each region.
    sizes: Vec<u32>,
}

impl PixelRanking {
    pub(super) fn of(maps: &[Map<'_>]) -> Result<Self> {
        for map in maps {
            map.check()?;
        }
        let defects: usize =
            maps.iter().filter_map(|m| m.mask).map(|mask| mask.iter().filter(|&&d| d).count()).sum();
        let pixels: usize = maps.iter().map(|m| m.scores.len()).sum();
        // Room for all, of which a few may not count.
        let mut ranking =
            Ranking { normal: Vec::with_capacity(pixels - defects), defect: Vec::with_capacity(defects) };
        let mut sizes: Vec<u32> = Vec::new();
        for map in maps {
            let before = sizes.len();
            let regions = map.mask.map(|mask| {
                label(
                    mask.len(),
                    map.width,
                    |i| mask[i] && map.counts(i),
                    |region, _| {
                        sizes.resize(sizes.len().max(before + region + 1), 0);
                        sizes[before + region] += 1;
                    },
                )
            });
            for (i, &score) in map.scores.iter().enumerate().filter(|(i, _)| map.counts(*i)) {
                match regions.as_ref().map_or(NONE, |regions| regions[i]) {
                    NONE => ranking.normal.push(key(score)),
                    region => {
                        ranking.defect.push(u64::from(key(score)) << 32 | (before as u64 + u64::from(region)))
                    }
                }
            }
        }
        Ok(Self { ranking: ranking.sorted("pixel")?, sizes })
    }

    pub(super) fn aupro(&self, fpr_limit: f64) -> Result<f64> {
        if !(fpr_limit > 0.0 && fpr_limit <= 1.0) {
            return Err(Error::InvalidOption(format!(
                "the false positive limit {fpr_limit} is not above 0 and at most 1"
            )));
        }
        let Ranking { normal, defect } = &self.ranking;
        let weight: Vec<f64> =
            self.sizes.iter().map(|&s| 1.0 / (f64::from(s) * self.sizes.len() as f64)).collect();
        let (mut n, mut d) = (0, 0);
        let (mut fpr, mut pro, mut area) = (0.0, 0.0, 0.0);
        while fpr < fpr_limit {
            // The next distinct score; both lists hold at least one sample and `fpr` reaches 1 at the last.
            let key = normal.get(n).copied().max(defect.get(d).map(|v| (v >> 32) as u32));
            let (fpr0, pro0) = (fpr, pro);
            while n < normal.len() && Some(normal[n]) == key {
                n += 1;
            }
            while d < defect.len() && Some((defect[d] >> 32) as u32) == key {
                pro += weight[(defect[d] & u64::from(u32::MAX)) as usize];
                d += 1;
            }
            fpr = n as f64 / normal.len() as f64;
            if fpr > fpr_limit {
                let at_limit = pro0 + (pro - pro0) * (fpr_limit - fpr0) / (fpr - fpr0);
                area += (fpr_limit - fpr0) * (pro0 + at_limit) / 2.0;
            } else {
                area += (fpr - fpr0) * (pro0 + pro) / 2.0;
            }
        }
        Ok((area / fpr_limit).clamp(0.0, 1.0))
    }
}
