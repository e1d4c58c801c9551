//! SoftPatch+: image scores from one bank, patch scores from another; both denoised by the mean rank of LOF
//! and Gaussian, whose share of the highest rank, plus 1, is the weight.

use super::softpatch::score_test_images;
use super::{AnomalyMethod, Scored, Task};
use crate::Result;
use crate::detector::{Progress, build, denoise_by, outlier_scores};
use crate::settings::{Discriminator, FitOptions, Group};

/// Share of patches that are dropped for the bank of the patch scores.
const MAP_TAU: f64 = 0.5;

pub(super) struct SoftPatchPlus;

impl AnomalyMethod for SoftPatchPlus {
    fn score(&self, task: &mut Task<'_>, options: &FitOptions, progress: &dyn Progress) -> Result<Scored> {
        let device = task.device;
        let mut ranks: Vec<f32> = Vec::new();
        for discriminator in [Discriminator::Lof, Discriminator::Gaussian] {
            // A Gaussian is of a position.
            let gaussian = discriminator == Discriminator::Gaussian;
            let group = if gaussian { Group::Position } else { options.group };
            let options = FitOptions { discriminator, group, ..options.clone() };
            let (scores, _) = outlier_scores(device, task.features(&options)?, &options, progress)?;
            let one = mean_ranks(&device.read::<f32>(&scores)?);
            ranks = if ranks.is_empty() { one } else { ranks.iter().zip(one).map(|(a, b)| a + b).collect() };
        }
        let top = 2.0 * ranks.len() as f32;
        ranks.iter_mut().for_each(|r| *r = 1.0 + *r / top);
        let mut of = |tau: f64| -> Result<Scored> {
            let origin = task.origin();
            let denoised = denoise_by(device, ranks.clone(), tau)?;
            let model = build(device, task.features(options)?, &denoised, origin, options, progress)?;
            score_test_images(task, &model, progress)
        };
        let scores = of(options.tau)?;
        let patches = of(MAP_TAU.max(options.tau))?;
        task.used(options);
        Ok(scores.into_iter().zip(patches).map(|((score, _), (_, patches))| (score, patches)).collect())
    }
}

/// Ranks from 1 up, equal values sharing the mean of theirs.
fn mean_ranks(values: &[f32]) -> Vec<f32> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
    let mut ranks = vec![0.0; values.len()];
    let mut start = 0;
    while start < order.len() {
        let mut end = start + 1;
        while end < order.len() && values[order[end]] == values[order[start]] {
            end += 1;
        }
        // Mean of start + 1 ..= end.
        let rank = (start + 1 + end) as f32 / 2.0;
        order[start..end].iter().for_each(|&i| ranks[i] = rank);
        start = end;
    }
    ranks
}

#[cfg(test)]
mod tests {
    use super::mean_ranks;

    #[test]
    fn equal_values_share_their_rank() {
        assert_eq!(mean_ranks(&[3.0, 1.0, 3.0, 0.5]), [3.5, 2.0, 3.5, 1.0]);
        assert_eq!(mean_ranks(&[7.0; 3]), [2.0; 3]);
    }
}
