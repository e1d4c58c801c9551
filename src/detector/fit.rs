//! Fit: features, outlier scores, memory bank, threshold.

use super::calibrate::calibrate;
use super::cover::Covers;
use super::denoise::{Denoised, denoise};
use super::estimate::Estimate;
use super::features::Features;
use super::floors::floors;
use super::frame::frame_of;
use super::patch_store::Place;
use super::persist::Share;
use super::score::Scorer;
use super::{Progress, Stage};
use crate::backbone::{Backbone, BackboneInfo, Extractor, Feed};
use crate::bank::{Bank, Choice, MemoryBank, Removed, Start, Vectors, select};
use crate::cases::{Then, Use, self_test};
use crate::data::ImageSource;
use crate::gpu::Device;
use crate::model::{MADE_BY, Model, ModelInfo};
use crate::settings::{Compat, Discriminator, FitOptions, picks};
use crate::steps::coreset::samples::start_samples;
use crate::steps::coreset::{Chunk, CoresetShape};
use crate::steps::input::cover::Cover;
use crate::{Error, Result};
use std::ops::ControlFlow;
use std::time::Instant;

/// Makes a model from training images (docs/method.md, sections 1 to 5), and what scores by it.
pub(super) fn fit(
    device: &Device,
    backbone: &Backbone,
    source: &dyn ImageSource,
    options: &FitOptions,
    progress: &dyn Progress,
) -> Result<(Model, Scorer)> {
    // A model says which embedding it was made with, not that it was left open.
    let options = &FitOptions { embedding: options.embedding_for(&backbone.network.name), ..options.clone() };
    let Prepared { mut extractor, feed, features, origin } =
        prepare(device, backbone, source, options, true, progress)?;
    // The bank takes the place of the activations, until there are images to score.
    extractor.rest();
    let Learnt { model, bank, .. } = learn(device, features, origin, options, progress)?;
    let scorer = Scorer::new(device, &model, (extractor, feed), bank, Share::of(options))?;
    Ok((model, scorer))
}

/// The features of training images, and what made them.
pub(super) struct Prepared {
    extractor: Extractor,
    feed: Feed,
    /// Features of all images.
    pub features: Features,
    /// What they come from.
    pub origin: Origin,
}

/// Brings training images to their features; `bank`: to choose a memory bank from them, which has to fit.
pub(super) fn prepare(
    device: &Device,
    backbone: &Backbone,
    source: &dyn ImageSource,
    options: &FitOptions,
    bank: bool,
    progress: &dyn Progress,
) -> Result<Prepared> {
    check_source(source, options)?;
    let frame = frame_of(&backbone.network, options, source, progress)?;
    let extraction = options.extraction(&backbone.network.name, frame);
    let mut extractor = Extractor::with(device, backbone.network.clone(), &backbone.weights, extraction)?;
    let what = Use::new(&backbone.network, options, frame, Then::Fit(options, source.len()))?;
    self_test(device, &what, &|| progress.cancelled())?;
    let grid = extractor.grid();
    let patches = source.len() as u64 * u64::from(grid[0] * grid[1]);
    if bank {
        check_bank(device, patches, extractor.dim(), options)?;
    }
    let mut feed = Feed::new(device, extractor.network(), options.framing(frame))?;
    let covers = Covers::new(source, options.framing(frame), grid)?;
    let mut features = Features::extract(device, &mut extractor, &mut feed, source, options, progress)?;
    if let Some(covered) = covers.patches {
        check_covered(options)?;
        features.cover(covered)?;
    }
    let images = (0..source.len()).map(|i| source.name(i)).collect();
    let origin = Origin { backbone: backbone.info(), images, grid, frame, roi: covers.roi };
    Ok(Prepared { extractor, feed, features, origin })
}

/// Refuses settings that are out of range, and images that nothing is learned from.
pub(super) fn check_source(source: &dyn ImageSource, options: &FitOptions) -> Result<()> {
    options.validate()?;
    if source.is_empty() {
        return Err(Error::InvalidOption("there are no training images".into()));
    }
    if source.len() == 1 && options.discriminator != Discriminator::None {
        return Err(Error::InvalidOption(format!(
            "{} is the only training image, and the discriminator {} compares images with each other; add \
             images, \
             or use the discriminator none",
            source.name(0),
            options.discriminator
        )));
    }
    Ok(())
}

/// Refuses settings that have no meaning where patches are left out.
pub(super) fn check_covered(options: &FitOptions) -> Result<()> {
    let (what, instead) = match (options.discriminator, options.compat) {
        (Discriminator::Gaussian, _) => ("the discriminator gaussian", "take lof or nearest"),
        (_, Compat::Official) => ("compat official", "leave it out"),
        _ => return Ok(()),
    };
    Err(Error::InvalidOption(format!(
        "{what} knows no patches that are left out, as padding and regions of interest do; {instead}"
    )))
}

/// What became of features.
pub(crate) struct Learnt {
    /// The model with its threshold.
    pub model: Model,
    /// Its bank on the device.
    pub bank: Bank,
    /// Outlier score of every training patch, image by image.
    pub outlier: Vec<f32>,
    /// Patches that were kept, ascending.
    pub kept: Vec<u32>,
}

/// From features to a model: docs/method.md, sections 4 to 6.
pub(crate) fn learn(
    device: &Device,
    mut features: Features,
    origin: Origin,
    options: &FitOptions,
    progress: &dyn Progress,
) -> Result<Learnt> {
    let denoised = denoise(device, &features, options, progress)?;
    let no_numbers = denoised.scores.iter().filter(|score| score.is_nan()).count();
    if no_numbers > 0 {
        progress.notice(&format!(
            "{no_numbers} of {} training patches are no numbers and teach nothing: check the weights, or take precision f32",
            denoised.scores.len()
        ));
    }
    let mut model = build(device, &mut features, &denoised, origin, options, progress)?;
    let bank = model.bank.prepare(device)?;
    calibrate(device, &features, &mut model, &bank, progress)?;
    Ok(Learnt { model, bank, outlier: denoised.scores, kept: denoised.kept })
}

/// Refuses a memory bank that will not fit one binding before the long work rather than after it.
pub(crate) fn check_bank(device: &Device, patches: u64, dim: u32, options: &FitOptions) -> Result<()> {
    let kept = if options.discriminator.drops() { 1.0 - options.tau } else { 1.0 };
    let share = options.coreset_ratio.min(kept);
    let bytes = share * patches as f64 * f64::from(dim) * 4.0;
    let most = device.caps().max_binding as f64;
    if bytes > most {
        return Err(Error::Limit(format!(
            "a memory bank of {:.0} rows of {dim} values needs {:.0} MiB, the device binds at most {:.0} \
             MiB; use a \
             coreset ratio of at most {:.4}",
            share * patches as f64,
            bytes / f64::from(1 << 20),
            most / f64::from(1 << 20),
            (share * most / bytes * 1e4).floor() / 1e4
        )));
    }
    Ok(())
}

/// The embeddings of the patches `rows`, without those that are no numbers, which nothing would be near to.
fn numbers(
    features: &Features,
    rows: Vec<u32>,
    images: &[String],
    progress: &dyn Progress,
) -> Result<(Vec<u32>, Vec<f32>)> {
    let values = features.gather(&rows)?;
    let dim = features.dim;
    let is_number: Vec<bool> =
        values.chunks_exact(dim).map(|row| row.iter().all(|v| v.is_finite())).collect();
    let Some(first) = is_number.iter().position(|number| !number) else { return Ok((rows, values)) };
    let wrong = is_number.iter().filter(|number| !**number).count();
    let said = format!(
        "{wrong} of {} patches chosen for the memory bank are no numbers, such as one of {}: check the weights, or take \
         precision f32",
        rows.len(),
        images.get(rows[first] as usize / features.positions).map_or("an image", String::as_str)
    );
    if wrong == rows.len() {
        return Err(Error::InvalidOption(said));
    }
    progress.notice(&format!("{said}; they are left out"));
    let kept = |i: &usize| is_number[*i];
    let values =
        (0..rows.len()).filter(kept).flat_map(|i| values[i * dim..][..dim].iter().copied()).collect();
    let rows = (0..rows.len()).filter(kept).map(|i| rows[i]).collect();
    Ok((rows, values))
}

/// What became of the training patches, for a model's description.
#[derive(Clone, Copy, Debug)]
pub(super) struct Judged {
    /// Outlier score above which patches were dropped.
    pub threshold: Option<f32>,
    /// Patches that stayed.
    pub kept: u64,
    /// Neighbours that LOF used.
    pub lof_k: Option<u32>,
}

/// What a model is made from, for its description.
pub(crate) struct Origin {
    /// Backbone.
    pub backbone: BackboneInfo,
    /// Names of the training images.
    pub images: Vec<String>,
    /// Rows and columns of the grid of patches.
    pub grid: [u32; 2],
    /// Rows and columns of the frame in pixels.
    pub frame: [u32; 2],
    /// What of the frame is looked at.
    pub roi: Option<Cover>,
}

/// Chooses `picks` of the patches `kept` by greedy k-centre over their projected vectors, in the order chosen;
/// `onward` from a bank that they have these distances from.
pub(super) fn choose(
    device: &Device,
    features: &Features,
    (kept, picks): (&[u32], u32),
    onward: Option<&[f32]>,
    options: &FitOptions,
    progress: &dyn Progress,
) -> Result<Vec<u32>> {
    let patches = features.images * features.positions;
    let official = options.compat == Compat::Official;
    let chunks: Vec<Chunk<'_>> = match &features.z.place {
        Place::Disk(_) => Vec::new(),
        Place::Device(chunks) => (chunks.tensors.iter().enumerate())
            .map(|(c, rows)| Chunk {
                rows,
                first_row: (c * chunks.rows) as u32,
                len: (rows.len() / features.r) as u32,
            })
            .collect(),
    };
    let vectors = match &features.z.place {
        Place::Device(_) => Vectors::Device(&chunks),
        Place::Disk(spool) => {
            let piece = (features.parts.piece / 4) as usize / features.r;
            Vectors::Stream { source: spool, rows: patches as u32, piece: piece as u32 }
        }
    };
    let open = if official { patches } else { kept.len() };
    let table = device.caps().max_binding.min(features.parts.table);
    let streamed = matches!(vectors, Vectors::Stream { .. });
    let shape = CoresetShape::new(open as u32, features.r as u32, picks, table, streamed);
    let samples: Vec<u32> = start_samples(open, options.seed).into_iter().map(|s| s as u32).collect();
    progress.update(Stage::Coreset, 0, picks.into());
    let mut estimate = Estimate::new(shape);
    let watch = |p: crate::steps::coreset::Progress| {
        progress.update(Stage::Coreset, p.picked.into(), picks.into());
        if let Some(said) = estimate.after(Instant::now(), p.batches) {
            progress.notice(&said);
        }
        if progress.cancelled() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let (start, samples) = match onward {
        Some(distances) => (Start::Onward(distances), vec![0]),
        None if official => (Start::Official, samples),
        None => (Start::Kept, samples),
    };
    let choice = Choice { shape, vectors, kept, samples: &samples, start };
    let stage = tracing::info_span!("coreset", rows = picks, patches = kept.len());
    let selection = stage.in_scope(|| select(device, choice, watch))?.ok_or(Error::Cancelled)?;
    drop(stage);
    progress.update(Stage::Coreset, picks.into(), picks.into());
    tracing::info!(
        "coreset: {} batches, {:.2} % of the distances computed",
        selection.progress.batches,
        100.0 * selection.progress.distances as f64 / (kept.len() as f64 * f64::from(picks))
    );
    Ok(selection.picks)
}

/// Selects the memory bank from the kept patches (docs/method.md, section 5); the model has no threshold yet.
pub(crate) fn build(
    device: &Device,
    features: &mut Features,
    denoised: &Denoised,
    origin: Origin,
    options: &FitOptions,
    progress: &dyn Progress,
) -> Result<Model> {
    let wanted = picks(options, features.looked_at());
    let picks = wanted.min(denoised.kept.len()) as u32;
    if (picks as usize) < wanted {
        progress
            .notice(&format!("the memory bank has {picks} rows, not {wanted}: no more patches were kept"));
    }
    if options.compat == Compat::Official {
        features.reproject(options.seed.wrapping_add(1))?;
    }
    let picks = choose(device, features, (&denoised.kept, picks), None, options, progress)?;
    let (rows, values) = numbers(features, picks, &origin.images, progress)?;
    let auto = options.discriminator == Discriminator::Auto;
    let weight =
        |row: &u32| if options.soft_weights && !auto { denoised.scores[*row as usize].max(0.0) } else { 1.0 };
    let (positions, columns) = (features.positions as u32, origin.grid[1]);
    let place = |row: &u32| [row / positions, row % positions / columns, row % positions % columns];
    let mut bank = MemoryBank {
        rows: values,
        weights: rows.iter().map(weight).collect(),
        floors: Vec::new(),
        provenance: rows.iter().map(place).collect(),
        index: None,
    };
    if auto {
        bank.floors = floors(device, features, &rows, &mut bank, &denoised.scores, options.memory, progress)?;
    }
    let judged =
        Judged { threshold: denoised.threshold, kept: denoised.kept.len() as u64, lof_k: denoised.lof_k };
    Ok(describe(options, features.dim as u32, origin, judged, bank))
}

/// A model by its parts, without thresholds; the frame's region of interest is `origin`'s.
pub(super) fn describe(
    options: &FitOptions,
    dim: u32,
    origin: Origin,
    judged: Judged,
    bank: MemoryBank,
) -> Model {
    let Origin { backbone, images, grid, frame, roi } = origin;
    let Judged { threshold, kept, lof_k } = judged;
    Model {
        info: ModelInfo {
            options: options.clone(),
            backbone,
            images,
            grid,
            frame,
            looked_at: roi.as_ref().map(Cover::share),
            dim,
            rows: bank.weights.len() as u32,
            noise_threshold: threshold,
            kept,
            lof_k,
            threshold: None,
            no_threshold: None,
            pixel_threshold: None,
            calibration: None,
            made_by: MADE_BY.to_owned(),
            history: Vec::new(),
            replaced: Vec::new(),
        },
        bank,
        roi,
        train_images: Vec::new(),
        train_scores: Vec::new(),
        good_scores: Vec::new(),
        references: None,
        removed: Removed::default(),
    }
}
