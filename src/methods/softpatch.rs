//! SoftPatch and, without a discriminator, PatchCore; from embeddings at hand: no images, no backbone.

use super::task::batch_of;
use super::{AnomalyMethod, Scored, Task};
use crate::backbone::BackboneInfo;
use crate::detector::{
    Batch, Features, Learnt, Origin, PatchScorer, Progress, Projection, Score, Stage, Want, build,
    check_bank, denoise, learn,
};
use crate::gpu::{Device, Plan, Recorder};
use crate::model::Model;
use crate::settings::FeatureShape;
use crate::settings::{FitOptions, Geometry};
use crate::steps::input::geometry::{Framing, Way};
use crate::{Error, Result};
use std::collections::BTreeMap;

/// SoftPatch with the discriminator of the options; PatchCore without one.
pub(super) struct SoftPatch;

impl AnomalyMethod for SoftPatch {
    fn score(&self, task: &mut Task<'_>, options: &FitOptions, progress: &dyn Progress) -> Result<Scored> {
        let model = model(task, options, progress)?;
        score_test_images(task, &model, progress)
    }
}

/// The model of a fit, without a threshold.
fn model(task: &mut Task<'_>, options: &FitOptions, progress: &dyn Progress) -> Result<Model> {
    let (mut model, weights) = match task.last.take() {
        Some((discriminator, model, weights)) if discriminator == options.discriminator => (model, weights),
        _ => {
            let (device, origin) = (task.device, task.origin());
            let features = task.features(options)?;
            let denoised = denoise(device, features, options, progress)?;
            let soft = FitOptions { soft_weights: true, ..options.clone() };
            let model = build(device, features, &denoised, origin, &soft, progress)?;
            task.used(options);
            let weights = model.bank.weights.clone();
            (model, weights)
        }
    };
    model.bank.weights = if options.soft_weights { weights.clone() } else { vec![1.0; weights.len()] };
    task.last = Some((options.discriminator, model.clone(), weights));
    Ok(model)
}

/// Scores the test images of a task against a bank.
pub(super) fn score_test_images(
    task: &mut Task<'_>,
    model: &Model,
    progress: &dyn Progress,
) -> Result<Scored> {
    let total = task.test.len();
    let mut out = Vec::with_capacity(total);
    let (embeddings, test) = (&mut *task.embeddings, &task.test);
    let load = |i: usize, slot: &mut [f32]| embeddings.load(test[i], slot);
    score_embeddings(task.device, model, total, Want::Scores, load, |score| {
        out.push((score.score, score.patches));
        progress.update(Stage::Score, out.len() as u64, total as u64);
        if progress.cancelled() { Err(Error::Cancelled) } else { Ok(()) }
    })?;
    Ok(out)
}

/// What a fit from embeddings found.
#[derive(Clone, Debug)]
pub struct Fitted {
    /// The model; its backbone is nameless, so that no detector takes it.
    pub model: Model,
    /// Outlier score of every training patch, image by image.
    pub outlier: Vec<f32>,
    /// Patches that were kept, ascending.
    pub kept: Vec<u32>,
}

/// [`crate::Detector::fit`] after the backbone: `embeddings` `[images][positions of grid][dim]`.
///
/// # Errors
/// As there; [`Error::InvalidOption`] where the sizes do not fit together.
pub fn fit_embeddings(
    device: &Device,
    embeddings: &[f32],
    grid: [u32; 2],
    dim: u32,
    options: &FitOptions,
    progress: &dyn Progress,
) -> Result<Fitted> {
    options.validate()?;
    let positions = grid[0] as usize * grid[1] as usize;
    let image = positions * dim as usize;
    if image == 0 || embeddings.is_empty() || !embeddings.len().is_multiple_of(image) {
        return Err(Error::InvalidOption(format!(
            "{} values are not whole images of {positions} patches of {dim}",
            embeddings.len()
        )));
    }
    let shape = FeatureShape {
        images: embeddings.len() / image,
        positions,
        columns: grid[1] as usize,
        dim: dim as usize,
    };
    check_bank(device, (shape.images * positions) as u64, dim, options)?;
    let projection = Projection::random(shape.dim, options);
    let batch = batch_of(device, image, options);
    let load = |i: usize, out: &mut [f32]| {
        out.copy_from_slice(&embeddings[i * image..][..image]);
        Ok(())
    };
    let features = Features::from_embeddings(device, shape, projection.as_ref(), batch, options, load)?;
    let backbone = BackboneInfo { arch: String::new(), layers: Vec::new(), weights_sha256: String::new() };
    let images = (0..shape.images).map(|i| format!("embeddings {i}")).collect();
    // Eight pixels a patch, as the backbones have it.
    let frame = match options.geometry {
        Geometry::Paper => [options.crop; 2],
        Geometry::Whole => grid.map(|side| 8 * side),
    };
    let origin = Origin { backbone, images, grid, frame, roi: None };
    let Learnt { model, outlier, kept, .. } = learn(device, features, origin, options, progress)?;
    Ok(Fitted { model, outlier, kept })
}

/// Scores `images` images by `model`: `load` fills `[positions][dim]` of each, `f` gets in order what is
/// wanted.
///
/// # Errors
/// What `load` and `f` say; [`Error::Limit`] where a buffer passes what the device binds.
pub fn score_embeddings(
    device: &Device,
    model: &Model,
    images: usize,
    want: Want,
    mut load: impl FnMut(usize, &mut [f32]) -> Result<()>,
    mut f: impl FnMut(Score) -> Result<()>,
) -> Result<()> {
    let info = &model.info;
    let positions = info.grid[0] * info.grid[1];
    let image = positions as usize * info.dim as usize;
    let bank = model.bank.on_device(device)?;
    let memory = info.options.memory;
    let batch = batch_of(device, image, &info.options) as u32;
    let batch = PatchScorer::images(device, &bank, positions, batch, memory) as usize;
    let mut scorer = PatchScorer::new(device, bank, [info.grid, info.frame], batch as u32, memory)?;
    // The pictures are not at hand: the frame stands in for them.
    let want = if want == Want::Source { Want::Maps } else { want };
    scorer.prepare(want)?;
    let x = device.alloc(batch * image, "embeddings at hand")?;
    let mut values = vec![0.0_f32; batch * image];
    let mut plans: BTreeMap<usize, Plan> = BTreeMap::new();
    let [height, width] = info.frame;
    let whole = Framing { frame: info.frame, way: Way::Stretch }.place(width, height)?;
    let places = vec![([width, height], whole); batch];
    for start in (0..images).step_by(batch) {
        let count = batch.min(images - start);
        for (i, slot) in values.chunks_exact_mut(image).take(count).enumerate() {
            load(start + i, slot)?;
        }
        device.write(&x, 0, &values[..count * image]);
        let of = Batch { images: count as u32, set: 0, want };
        if let std::collections::btree_map::Entry::Vacant(slot) = plans.entry(count) {
            let mut recorder = Recorder::new(device);
            scorer.record(&mut recorder, &x, &(0..info.grid[0]), of)?;
            slot.insert(recorder.finish()?);
        }
        let submission = Plan::submit_for(&[&plans[&count]])?;
        scorer
            .read(&submission, of, info.threshold, (&places, model.roi.as_ref()))?
            .into_iter()
            .try_for_each(&mut f)?;
    }
    Ok(())
}
