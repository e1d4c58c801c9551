//! Thresholds of a model from its training images, each against the bank without its own rows.

use super::features::Features;
use super::leave_one_out::LeaveOneOut;
use super::threshold::{robust_threshold, sample};
use super::top_scores::TopScores;
use super::{Progress, Stage};
use crate::bank::Bank;
use crate::gpu::Device;
use crate::model::{Calibration, Model, Rule};
use crate::{Error, Result};

/// Images that are named where several are meant.
const NAMED: usize = 3;

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
    let info = &model.info;
    let (target, memory) = (info.options.target_fpr, features.left(info.options.memory));
    let all = features.images as u32;
    let _stage = tracing::info_span!("calibrate", images = all).entered();
    let whole: Vec<u32> = if target > 0.0 { (0..all).collect() } else { sample(features.images) };
    let mut done = 0;
    let mut go_on = |more: usize| {
        progress.update(Stage::Calibrate, done, all.into());
        done += more as u64;
        if progress.cancelled() { Err(Error::Cancelled) } else { Ok(()) }
    };
    let mut scored = Vec::with_capacity(whole.len());
    let by_maps = LeaveOneOut::new(device, bank, features, [info.grid, info.frame], memory)?;
    for images in whole.chunks(by_maps.together()) {
        go_on(images.len())?;
        scored.extend(images.iter().copied().zip(by_maps.score(images)?));
    }
    drop(by_maps);
    scored.retain(|(_, [score, _])| score.is_finite());
    let scores: Vec<f32> = scored.iter().map(|(_, [score, _])| *score).collect();
    let peaks: Vec<f32> = scored.iter().map(|(_, [_, peak])| *peak).collect();

    let mut known: Vec<(u32, f32)> = scored.iter().map(|(image, [score, _])| (*image, *score)).collect();
    if whole.len() < features.images {
        let others = TopScores::new(device, bank, &model.bank, features, memory)?;
        for [start, end] in gaps(&whole, all) {
            for first in (start..end).step_by(others.together()) {
                let count = others.together().min((end - first) as usize);
                go_on(count)?;
                known.extend((first..).zip(others.score(first, count)?));
            }
        }
        known.retain(|(_, score)| score.is_finite());
        known.sort_unstable_by_key(|(image, _)| *image);
    }
    progress.update(Stage::Calibrate, all.into(), all.into());
    (model.train_images, model.train_scores) = known.into_iter().unzip();
    set_thresholds(model, target, [&scores, &peaks], progress);
    Ok(())
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
