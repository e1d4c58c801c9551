//! What a fit will take, found by going through it on a device that only counts.

use super::Stage;
use super::cover::Covers;
use super::features::Features;
use super::fit::{Learnt, check_bank, check_covered, check_source, learn};
use super::frame::frame_of;
use super::host::HostNeeds;
use super::ingest::{Together, largest_of};
use super::persist::Share;
use super::progress::Progress;
use super::score::Scorer;
use super::{Detector, Origin, Want};
use crate::backbone::{Backbone, Extractor, Feed};
use crate::data::{Image, ImageSource, PixelFormat};
use crate::gpu::Device;
use crate::settings::{FitOptions, ON_TOP, picks};
use crate::{Result, process};
use serde::Serialize;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

/// What a stage of a fit takes, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct PlannedStage {
    /// The stage.
    pub stage: Stage,
    /// Buffers on the device that are alive at once, at most.
    pub device: u64,
    /// Memory of the host beyond what the program has anyway, at most.
    pub host: u64,
}

impl PlannedStage {
    /// Device and host together.
    pub fn together(&self) -> u64 {
        self.device + self.host
    }
}

/// What a fit will take, before it runs: [`Detector::plan`].
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct FitPlan {
    /// Training images.
    pub images: usize,
    /// Width and height of the largest.
    pub largest: [u32; 2],
    /// Rows and columns of the frame in pixels.
    pub frame: [u32; 2],
    /// Rows and columns of the grid of patches.
    pub grid: [u32; 2],
    /// Training patches that are looked at.
    pub patches: u64,
    /// Values of an embedding.
    pub dim: u32,
    /// Rows of the memory bank.
    pub rows: u32,
    /// Images that go through the backbone at a time.
    pub batch: u32,
    /// Bands of rows in which an image goes through the backbone; 1: it goes as a whole.
    pub bands: usize,
    /// What the stages take, in their order; the last is the first batch that is scored.
    pub stages: Vec<PlannedStage>,
    /// The projected vectors wait in a temporary file.
    pub vectors_on_disk: bool,
    /// The embeddings wait in a temporary file.
    pub embeddings_on_disk: bool,
    /// Bytes of these files.
    pub disk: u64,
    /// Bytes of the model file, without pictures that it keeps.
    pub model: u64,
    /// The budget, in bytes.
    pub memory: u64,
    /// Bytes of the backbone's weights on the device: in `stages`, and on top of the budget.
    pub weights: u64,
    /// Bytes of working buffers, in `stages`, that come on top of the budget: they have this size whatever
    /// grows.
    pub working: u64,
}

impl FitPlan {
    /// The stage that takes most.
    pub fn largest_stage(&self) -> Option<&PlannedStage> {
        self.stages.iter().max_by_key(|stage| stage.together())
    }

    /// Bytes of device buffers that are alive at once, at most.
    pub fn device(&self) -> u64 {
        self.stages.iter().map(|stage| stage.device).max().unwrap_or(0)
    }

    /// Bytes of the host's memory at most, beyond what the program has anyway.
    pub fn host(&self) -> u64 {
        self.stages.iter().map(|stage| stage.host).max().unwrap_or(0)
    }

    /// Bytes of device and host together at most.
    pub fn together(&self) -> u64 {
        self.largest_stage().map_or(0, PlannedStage::together)
    }

    /// Bytes that count against the budget: all but weights and working buffers.
    pub fn counted(&self) -> u64 {
        self.together().saturating_sub(self.weights + self.working)
    }
}

impl Detector {
    /// What [`Detector::fit`] with the same arguments will take: memory of its stages, temporary files, the
    /// model file. The fit is gone through with the code that does it, on a device that counts buffers and
    /// makes none; of the images, sizes alone are read, and nothing is computed. Device buffers are those of the
    /// fit, byte by byte, but for what depends on what the images show; the host's memory is an estimate.
    ///
    /// # Errors
    /// As [`Detector::fit`]; [`crate::Error::Limit`], above all, where it would not fit the device or the
    /// budget, with what to do.
    pub fn plan(
        device: &Device,
        backbone: &Backbone,
        source: &dyn ImageSource,
        options: &FitOptions,
        progress: &dyn Progress,
    ) -> Result<FitPlan> {
        process::check()?;
        plan(&device.rehearsal(), backbone, source, options, progress)
    }
}

/// Notes how much of the device each stage has.
struct Watch<'a> {
    device: &'a Device,
    progress: &'a dyn Progress,
    /// The stage at hand.
    now: Cell<Stage>,
    /// What stages had, in their order.
    peaks: RefCell<BTreeMap<u8, (Stage, u64)>>,
}

impl Watch<'_> {
    fn enter(&self, stage: Stage) {
        let before = self.now.replace(stage);
        let mut peaks = self.peaks.borrow_mut();
        let (_, most) = peaks.entry(before as u8).or_insert((before, 0));
        *most = (*most).max(self.device.take_peak());
    }
}

impl Progress for Watch<'_> {
    fn update(&self, stage: Stage, _: u64, _: u64) {
        self.enter(stage);
    }

    // What there is to say of images that were not looked at is no news.
    fn notice(&self, _: &str) {}

    fn cancelled(&self) -> bool {
        self.progress.cancelled()
    }
}

fn plan(
    device: &Device,
    backbone: &Backbone,
    source: &dyn ImageSource,
    options: &FitOptions,
    progress: &dyn Progress,
) -> Result<FitPlan> {
    let options = &FitOptions { embedding: options.embedding_for(&backbone.network.name), ..options.clone() };
    check_source(source, options)?;
    let frame = frame_of(&backbone.network, options, source, progress)?;
    let framing = options.framing(frame);
    let extraction = options.extraction(&backbone.network.name, frame);
    let mut extractor = Extractor::with(device, backbone.network.clone(), &backbone.weights, extraction)?;
    let (grid, dim) = (extractor.grid(), extractor.dim());
    let all = source.len() as u64 * u64::from(grid[0] * grid[1]);
    check_bank(device, all, dim, options)?;
    let mut feed = Feed::new(device, extractor.network(), framing)?;
    let covers = Covers::new(source, framing, grid)?;
    let (now, peaks) = (Cell::new(Stage::Features), RefCell::default());
    let watch = Watch { device, progress, now, peaks };
    let sizes = sizes_of(source, progress)?;
    largest_of(source, options.memory)?;
    for &size in &sizes {
        for piece in extractor.pieces().iter().filter(|piece| !piece.input.is_empty()) {
            feed.make_room(size, &piece.input)?;
        }
    }
    let largest = sizes.iter().copied().max_by_key(|&[w, h]| u64::from(w) * u64::from(h)).unwrap_or([1; 2]);
    let pixels = u64::from(largest[0]) * u64::from(largest[1]);
    let mut features = Features::rehearse(device, &mut extractor, (source.len(), pixels), options)?;
    if let Some(covered) = covers.patches {
        check_covered(options)?;
        features.cover(covered)?;
    }
    let [vectors_on_disk, embeddings_on_disk] = features.on_disk();
    let [batch, bands] = [extractor.batch() as usize, extractor.pieces().len()];
    let patches = features.looked_at();
    let rows = picks(options, patches);
    let mut host = HostNeeds {
        pixels,
        images: source.len() as u64,
        pictures: [features.together(&extractor, options), Together::to_score(batch, options.memory)]
            .map(|together| together.count(pixels).min(source.len() as u64)),
        batch: batch.min(source.len()) as u64,
        made: extractor.embedding().len() as u64 / u64::from(dim),
        frame: u64::from(frame[0]) * u64::from(frame[1]),
        patches: all,
        projected: features.r as u64,
        dim: dim.into(),
        rows: rows as u64,
        parts: features.parts,
        on_disk: [vectors_on_disk, embeddings_on_disk],
    };
    let disk = features.disk_bytes();
    extractor.rest();
    let images = (0..source.len()).map(|i| source.name(i)).collect();
    let origin = Origin { backbone: backbone.info(), images, grid, frame, roi: covers.roi };
    let Learnt { model, bank, .. } = learn(device, features, origin, options, &watch)?;
    host.rows = u64::from(model.info.rows);
    let model_bytes = model.to_bytes()?.len() as u64;
    watch.enter(Stage::Score);
    let mut scorer = Scorer::new(device, &model, (extractor, feed), bank, Share::of(options))?;
    score(&mut scorer, batch.min(source.len()), largest)?;
    watch.enter(Stage::Score);
    // With the textures that they are read from, which the plans have made.
    let weights = scorer.extractor.weight_bytes();
    let stages = watch.peaks.into_inner().into_values();
    let stages = stages.map(|(stage, device)| PlannedStage { stage, device, host: host.of(stage) });
    Ok(FitPlan {
        images: source.len(),
        largest,
        frame,
        grid,
        patches: patches as u64,
        dim,
        rows: model.info.rows,
        batch: batch as u32,
        bands,
        stages: stages.collect(),
        vectors_on_disk,
        embeddings_on_disk,
        disk,
        model: model_bytes,
        memory: options.memory,
        weights,
        working: ON_TOP,
    })
}

/// The sizes that images have, each once.
fn sizes_of(source: &dyn ImageSource, progress: &dyn Progress) -> Result<Vec<[u32; 2]>> {
    let mut sizes = std::collections::BTreeSet::new();
    for image in 0..source.len() {
        if progress.cancelled() {
            return Err(crate::Error::Cancelled);
        }
        // Whoever loads an image says what is wrong with it.
        sizes.extend(source.size(image).ok().filter(|size| size[0] > 0 && size[1] > 0));
    }
    Ok(sizes.into_iter().collect())
}

/// Submits a batch of pictures of a size, as scoring does.
pub(super) fn score(scorer: &mut Scorer, batch: usize, [width, height]: [u32; 2]) -> Result<()> {
    let grey = vec![0_u8; width as usize * height as usize];
    let image = Image::new(&grey, width, height, width as usize, PixelFormat::Gray8)?;
    let images = vec![image; batch.min(scorer.most())];
    scorer.begin(&images, Want::Maps, &|slot| format!("image {slot}")).map(drop)
}
