//! Thresholds of a model from its training images, each against the bank without its own rows.

use super::features::Features;
use super::leave_one_out::LeaveOneOut;
use super::threshold::{robust_threshold, sample};
use super::top_scores::TopScores;
use super::{Progress, Stage};
use crate::bank::{Bank, MemoryBank};
use crate::gpu::Device;
use crate::model::{Calibration, Model, ModelInfo, Rule};
use crate::settings::FitOptions;
use crate::{Error, Result};
use std::ops::Range;

/// Images that are named where several are meant.
const NAMED: usize = 3;

/// What a training image scores against the bank without its own rows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Left {
    /// Its number among the images of the features.
    pub image: u32,
    /// Its score; infinite where every row of the bank is its own.
    pub score: f32,
    /// The largest value of its map, where that was made.
    pub peak: Option<f32>,
}

/// Scores all training images against the bank without their own rows, and sets the thresholds: of image
/// scores, and of the values of maps, by the same rule from the largest value of each map. Maps are made of a
/// sample alone, unless a false-alarm rate is asked for.
pub(super) fn calibrate(
    device: &Device,
    features: &Features,
    model: &mut Model,
    bank: &Bank,
    progress: &dyn Progress,
) -> Result<()> {
    let whole = with_maps(0..features.images as u32, features.images, &model.info.options);
    let left = leave_one_out(device, features, &model.info, (bank, &model.bank), &whole, progress)?;
    finish(model, left, progress);
    Ok(())
}

/// Those of the images `range` of `all` of which maps are made, ascending.
pub(super) fn with_maps(range: Range<u32>, all: usize, options: &FitOptions) -> Vec<u32> {
    if options.target_fpr > 0.0 {
        return range.collect();
    }
    sample(all).into_iter().filter(|image| range.contains(image)).collect()
}

/// All images of `features` against `bank`, which has `rows`, without the rows of each, in order; `whole` with
/// their maps.
pub(super) fn leave_one_out(
    device: &Device,
    features: &Features,
    info: &ModelInfo,
    (bank, rows): (&Bank, &MemoryBank),
    whole: &[u32],
    progress: &dyn Progress,
) -> Result<Vec<Left>> {
    let (all, memory) = (features.images as u32, features.left(info.options.memory));
    let _stage = tracing::info_span!("calibrate", images = all).entered();
    let mut done = 0;
    let mut go_on = |more: usize| {
        progress.update(Stage::Calibrate, done, all.into());
        done += more as u64;
        if progress.cancelled() { Err(Error::Cancelled) } else { Ok(()) }
    };
    let mut left = Vec::with_capacity(features.images);
    let by_maps = LeaveOneOut::new(device, bank, features, [info.grid, info.frame], memory)?;
    for images in whole.chunks(by_maps.together()) {
        go_on(images.len())?;
        let scored = images.iter().zip(by_maps.score(images)?);
        left.extend(scored.map(|(&image, [score, peak])| Left { image, score, peak: Some(peak) }));
    }
    drop(by_maps);
    if whole.len() < features.images {
        let others = TopScores::new(device, bank, rows, features, memory)?;
        for [start, end] in gaps(whole, all) {
            for first in (start..end).step_by(others.together()) {
                let count = others.together().min((end - first) as usize);
                go_on(count)?;
                let scored = (first..).zip(others.score(first, count)?);
                left.extend(scored.map(|(image, score)| Left { image, score, peak: None }));
            }
        }
        left.sort_unstable_by_key(|left| left.image);
    }
    progress.update(Stage::Calibrate, all.into(), all.into());
    Ok(left)
}

/// Sets thresholds of a model that has none by its training images, in order.
pub(super) fn finish(model: &mut Model, mut left: Vec<Left>, progress: &dyn Progress) {
    left.retain(|left| left.score.is_finite());
    let whole: Vec<(f32, f32)> = left.iter().filter_map(|left| Some((left.score, left.peak?))).collect();
    let (scores, peaks): (Vec<f32>, Vec<f32>) = whole.into_iter().unzip();
    (model.train_images, model.train_scores) = left.iter().map(|left| (left.image, left.score)).unzip();
    let target = model.info.options.target_fpr;
    set_thresholds(model, target, [&scores, &peaks], progress);
}

/// What is not in `taken`, ascending, of `0 .. all`: first and end of each run.
fn gaps(taken: &[u32], all: u32) -> impl Iterator<Item = [u32; 2]> {
    let starts = std::iter::once(0).chain(taken.iter().map(|t| t + 1));
    starts.zip(taken.iter().copied().chain([all])).map(|(start, end)| [start, end]).filter(|[s, e]| s < e)
}

fn set_thresholds(model: &mut Model, target: f64, [scores, peaks]: [&[f32]; 2], progress: &dyn Progress) {
    let set = if target > 0.0 {
        model.calibrate_by_training(scores, peaks, target)
    } else {
        // What keeps one from being found keeps the other, and is said once.
        model.info.pixel_threshold = robust_threshold(peaks).ok();
        robust_threshold(scores).map(|threshold| model.info.threshold = Some(threshold))
    };
    match (set, &model.info.calibration) {
        (Err(why), _) => {
            progress.notice(&format!("no threshold, so scores come without a verdict: {why}"));
            model.info.no_threshold = Some(why);
        }
        (Ok(()), Some(calibration)) => tell(model, calibration, progress),
        _ => {}
    }
}

/// Says what a reader of the thresholds should know.
fn tell(model: &Model, calibration: &Calibration, progress: &dyn Progress) {
    let &Calibration { target_fpr, good, left_out, .. } = calibration;
    if left_out > 0 {
        let mut worst: Vec<(f32, u32)> =
            model.train_scores.iter().copied().zip(model.train_images.iter().copied()).collect();
        worst.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        let names = worst.iter().take(NAMED.min(left_out as usize));
        let names: Vec<&str> = names.map(|(_, image)| model.info.images[*image as usize].as_str()).collect();
        progress.notice(&format!(
            "{left_out} of {} training images score like defects, and the threshold is without them: {}{}",
            left_out + good,
            if left_out as usize > NAMED { "such as " } else { "" },
            names.join(", ")
        ));
    }
    if calibration.rule == Rule::Extrapolated {
        progress.notice(&format!(
            "a false-alarm rate of {target_fpr} takes {} good images to measure, and there are {good}: the threshold is \
             an extrapolation of their scores",
            Calibration::needed(target_fpr)
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_what_is_not_taken() {
        let of = |taken: &[u32], all| gaps(taken, all).collect::<Vec<_>>();
        assert_eq!(of(&[0, 3, 4, 7], 10), [[1, 3], [5, 7], [8, 10]]);
        assert_eq!(of(&[0, 1, 2], 3), [[0; 2]; 0]);
        assert_eq!(of(&[1], 2), [[0, 1]]);
    }
}
