//! Outlier scores of all training patches, the threshold, and the list of kept patches.

use super::features::Features;
use super::others;
use super::{Progress, Stage};
use crate::bank::spread;
use crate::gpu::{Device, Recorder, Tensor};
use crate::settings::{Discriminator, FitOptions, Group};
use crate::steps::outlier::knn::Knn;
use crate::steps::outlier::lof::{Lof, ScoreMap};
use crate::steps::outlier::mahalanobis::Mahalanobis;
use crate::steps::outlier::nearest::Nearest;
use crate::steps::outlier::others::Others;
use crate::steps::outlier::quantile::{Keep, Quantile};
use crate::{Error, Result};

/// What is known of the training patches.
pub(crate) struct Denoised {
    /// Score of every patch, image-major.
    pub scores: Vec<f32>,
    /// Patches that stay, ascending.
    pub kept: Vec<u32>,
    /// Scores above it were dropped; `None` where no score was computed.
    pub threshold: Option<f32>,
    /// Neighbours that LOF used.
    pub lof_k: Option<u32>,
}

/// Scores every patch against those of other images that `options.group` names, and drops the noisiest share
/// `tau`.
pub(crate) fn denoise(
    device: &Device,
    features: &Features,
    options: &FitOptions,
    progress: &dyn Progress,
) -> Result<Denoised> {
    let total = patches(features)?;
    let _stage = tracing::info_span!("denoise", patches = total).entered();
    if options.discriminator == Discriminator::None {
        let scores = vec![1.0; total as usize];
        let kept = (0..total).filter(|&patch| features.covers(patch)).collect();
        return Ok(Denoised { scores, kept, threshold: None, lof_k: None });
    }
    let (scores, lof_k) = outlier_scores(device, features, options, progress)?;
    if options.discriminator == Discriminator::Auto {
        let scores = features.judged(device.read(&scores)?, lof_k.unwrap_or(1));
        let kept = (0..total).filter(|&patch| features.covers(patch)).collect();
        return Ok(Denoised { scores, kept, threshold: None, lof_k });
    }
    if features.covered.is_some() {
        let scores = features.judged(device.read(&scores)?, lof_k.unwrap_or(1));
        let (threshold, kept) = select_covered(device, features, &scores, options.tau)?;
        return Ok(Denoised { scores, kept, threshold: Some(threshold), lof_k });
    }
    let (threshold, kept) = select(device, &scores, total, 1.0 - options.tau)?;
    Ok(Denoised { scores: device.read(&scores)?, kept, threshold: Some(threshold), lof_k })
}

/// Drops the share `tau` of the patches that are looked at, those with the highest `scores`.
fn select_covered(device: &Device, features: &Features, scores: &[f32], tau: f64) -> Result<(f32, Vec<u32>)> {
    let looked_at: Vec<u32> = (0..scores.len() as u32).filter(|&patch| features.covers(patch)).collect();
    let of_those: Vec<f32> = looked_at.iter().map(|&patch| scores[patch as usize]).collect();
    let on_device = device.upload(&of_those, "outlier scores")?;
    let (threshold, kept) = select(device, &on_device, looked_at.len() as u32, 1.0 - tau)?;
    Ok((threshold, kept.into_iter().map(|at| looked_at[at as usize]).collect()))
}

/// Drops the share `tau` of patches with the highest of the given `scores`.
pub(crate) fn denoise_by(device: &Device, scores: Vec<f32>, tau: f64) -> Result<Denoised> {
    let on_device = device.upload(&scores, "outlier scores")?;
    let (threshold, kept) = select(device, &on_device, scores.len() as u32, 1.0 - tau)?;
    Ok(Denoised { scores, kept, threshold: Some(threshold), lof_k: None })
}

/// What `lof_k` is called where it is lowered.
fn whose_k(options: &FitOptions) -> &'static str {
    match options.discriminator {
        Discriminator::Auto => "the number of other patches that auto compares a patch with (lof-k)",
        _ => "LOF's k",
    }
}

/// Number of training patches.
fn patches(features: &Features) -> Result<u32> {
    let (n, positions) = (features.images, features.positions);
    u32::try_from(n * positions)
        .map_err(|_| Error::Limit(format!("{n} images of {positions} patches are more than 2^32 patches")))
}

/// Groups of `group` values that a block and one dispatch have room for.
fn groups_at_a_time(device: &Device, features: &Features, group: usize) -> usize {
    let most = features.positions.min(device.caps().max_groups as usize);
    ((features.parts.block / 4) as usize / group).clamp(1, most)
}

/// Outlier scores `[images][positions]` by the discriminator of `options` (not `None`), and the neighbours
/// LOF used.
pub(crate) fn outlier_scores(
    device: &Device,
    features: &Features,
    options: &FitOptions,
    progress: &dyn Progress,
) -> Result<(Tensor, Option<u32>)> {
    let (n, positions, r) = (features.images, features.positions, features.r);
    patches(features)?;
    let k = if options.discriminator.is_lof() { options.lof_k } else { 1 };
    // Of one image there are no others, wherever they are.
    if options.group != Group::Position && n > 1 {
        return scores_by_others(device, features, options, progress);
    }
    let width = Knn::width(k, n as u32);
    let lof_k = options.discriminator.is_lof().then_some(width);
    if lof_k.is_some_and(|used| used < k) {
        let whose = whose_k(options);
        progress.notice(&format!("{whose} is lowered from {k} to {width}: there are {n} training images"));
    }
    let scores = device.alloc(n * positions, "outlier scores")?;
    let gaussian = options.discriminator == Discriminator::Gaussian;
    // A group's rows, and its covariance or its lists.
    let group = n * r + if gaussian { r * r } else { n * (2 * width as usize + 1) };
    let block_groups = groups_at_a_time(device, features, group);
    let block = device.alloc(block_groups * n * r, "group block")?;
    let lists = block_groups * n * width.max(1) as usize;
    let (distances, indices, density, factors);
    if gaussian {
        factors = device.alloc(block_groups * r * r, "group factors")?;
        (distances, indices, density) = (factors.clone(), factors.clone(), factors.clone());
    } else {
        distances = device.alloc(lists, "group distances")?;
        indices = device.alloc(lists, "group neighbours")?;
        density = device.alloc(block_groups * n, "group density")?;
        factors = density.clone();
    }
    progress.update(Stage::Denoise, 0, positions as u64);
    features.blocks(&block, block_groups, |mut recorder, p0, here| {
        if progress.cancelled() {
            return Err(Error::Cancelled);
        }
        let (n, r, groups) = (n as u32, r as u32, here as u32);
        let to = ScoreMap { scores: &scores, positions: positions as u32, p0: p0 as u32 };
        if gaussian {
            Mahalanobis { block: &block, factors: &factors, to, groups, n, r }.record(&mut recorder)?;
        } else {
            let (distances, indices) = (&distances, &indices);
            Knn { block: &block, distances, indices, groups, n, r, k }.record(&mut recorder)?;
            if lof_k.is_some() {
                Lof { distances, indices, density: &density, to, groups, n, k }.record(&mut recorder)?;
            } else {
                Nearest { distances, to, groups, n, k }.record(&mut recorder)?;
            }
        }
        recorder.run()?;
        device.wait()?;
        progress.update(Stage::Denoise, (p0 + here) as u64, positions as u64);
        Ok(())
    })?;
    Ok((scores, lof_k))
}

/// The same where patches at other positions count, too.
fn scores_by_others(
    device: &Device,
    features: &Features,
    options: &FitOptions,
    progress: &dyn Progress,
) -> Result<(Tensor, Option<u32>)> {
    options.validate()?;
    let (images, total) = (features.images as u32, patches(features)?);
    let reach = (options.group == Group::Window).then_some(options.window / 2);
    let lof = options.discriminator.is_lof();
    let wanted = if lof { options.lof_k } else { 1 };
    let grid = [features.positions / features.columns, features.columns].map(|side| side as u32);
    let k = Others::width(wanted, images, grid, reach);
    if k < wanted {
        progress.notice(&format!(
            "{} is lowered from {wanted} to {k}: there are no more patches in a corner's window of {images} training images",
            whose_k(options)
        ));
    }
    let lists = others::lists(device, features, reach, k, Stage::Denoise, progress)?;
    let scores = device.alloc(total as usize, "outlier scores")?;
    // One group, whose rows are the patches.
    let to = ScoreMap { scores: &scores, positions: 1, p0: 0 };
    let (distances, indices) = (&lists.distances, &lists.indices);
    let mut recorder = Recorder::new(device);
    if lof {
        let density = device.alloc(total as usize, "density")?;
        Lof { distances, indices, density: &density, to, groups: 1, n: total, k }.record(&mut recorder)?;
    } else {
        Nearest { distances, to, groups: 1, n: total, k }.record(&mut recorder)?;
    }
    recorder.run()?;
    device.wait()?;
    Ok((scores, lof.then_some(k)))
}

/// Distances `[images][positions]` to the farthest of the `lof_k` nearest patches of other images that
/// `options.group` names, whatever the discriminator; the largest float where there are not as many.
pub(crate) fn reaches(
    device: &Device,
    features: &Features,
    options: &FitOptions,
    progress: &dyn Progress,
) -> Result<Vec<f32>> {
    let (n, positions, r) = (features.images, features.positions, features.r);
    if options.group != Group::Position && n > 1 {
        let (images, reach) = (n as u32, (options.group == Group::Window).then_some(options.window / 2));
        let grid = [positions / features.columns, features.columns].map(|side| side as u32);
        let k = Others::width(options.lof_k, images, grid, reach);
        let lists = others::lists(device, features, reach, k, Stage::Distances, progress)?;
        let lists: Vec<f32> = device.read(&lists.distances)?;
        return Ok(lists.chunks_exact(k as usize).map(|list| list[k as usize - 1]).collect());
    }
    let width = Knn::width(options.lof_k, n as u32) as usize;
    if width == 0 {
        return Ok(vec![f32::MAX; n * positions]);
    }
    let group = n * r + n * 2 * width;
    let most = groups_at_a_time(device, features, group);
    let block = device.alloc(most * n * r, "group block")?;
    let distances = device.alloc(most * n * width, "group distances")?;
    let indices = device.alloc(most * n * width, "group neighbours")?;
    let mut far = vec![0.0; n * positions];
    progress.update(Stage::Distances, 0, positions as u64);
    features.blocks(&block, most, |mut recorder, p0, here| {
        if progress.cancelled() {
            return Err(Error::Cancelled);
        }
        let (block, distances, indices) = (&block, &distances, &indices);
        let (groups, n, r, k) = (here as u32, n as u32, r as u32, options.lof_k);
        Knn { block, distances, indices, groups, n, r, k }.record(&mut recorder)?;
        recorder.run()?;
        let lists: Vec<f32> = device.read(distances)?;
        for (row, list) in lists.chunks_exact(width).take(here * n as usize).enumerate() {
            let (group, image) = (row / n as usize, row % n as usize);
            far[image * positions + p0 + group] = list[width - 1];
        }
        progress.update(Stage::Distances, (p0 + here) as u64, positions as u64);
        Ok(())
    })?;
    Ok(far)
}

/// The `q` quantile of the scores, and the patches whose score does not pass it.
fn select(device: &Device, scores: &Tensor, len: u32, q: f64) -> Result<(f32, Vec<u32>)> {
    let state = device.alloc(Quantile::STATE, "quantile state")?;
    let threshold = device.alloc(1, "quantile")?;
    let starts = device.alloc(Keep::starts_len(len), "kept starts")?;
    let kept = device.alloc(len as usize, "kept patches")?;
    let count = device.alloc(1, "kept count")?;
    let mut recorder = Recorder::new(device);
    Quantile { scores, len, q, state: &state, threshold: &threshold }.record(&mut recorder)?;
    Keep { scores, threshold: &threshold, len, starts: &starts, kept: &kept, count: &count }
        .record(&mut recorder)?;
    recorder.run()?;
    let count: Vec<u32> = device.read(&count)?;
    let threshold: Vec<f32> = device.read(&threshold)?;
    let mut list: Vec<u32> = device.read(&kept)?;
    if device.rehearses() {
        let count = (q * f64::from(len)) as usize;
        return Ok((0.0, spread(len as usize, count.max(1)).map(|patch| patch as u32).collect()));
    }
    list.truncate(count[0] as usize);
    if list.is_empty() {
        return Err(Error::InvalidOption(
            "no training patch was kept: the outlier scores are no numbers, since the features are none or too large to \
             compare; check the weights, take precision f32, or another discriminator"
                .into(),
        ));
    }
    Ok((threshold[0], list))
}
