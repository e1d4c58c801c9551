//! Fitting from a folder or from images in memory, with progress and cancellation.

use crate::context::{Context, softpatch_context};
use crate::handles;
use crate::memory::{read_sized, slice, text, write, write_sized};
use crate::model::{Loaded, softpatch_detector};
use crate::score::softpatch_image;
use crate::status::{Failure, SOFTPATCH_CANCELLED, guard, softpatch_status};
use softpatch::Error;
use softpatch::data::{DecodeOptions, ImageSource, OwnedImage, TrainSet};
use softpatch::detector::{Compat, Discriminator, Embedding, FitEvent, FitJob, FitOptions, Stage};
use softpatch::low_level::backbone::Precision;
use std::borrow::Cow;
use std::ffi::{c_char, c_void};
use std::time::{Duration, Instant};

/// Local outlier factor against the patches at the same position.
pub const SOFTPATCH_DISCRIMINATOR_LOF: u32 = 0;
/// Distance to the nearest other patch at the same position.
pub const SOFTPATCH_DISCRIMINATOR_NEAREST: u32 = 1;
/// Mahalanobis distance to the patches at the same position.
pub const SOFTPATCH_DISCRIMINATOR_GAUSSIAN: u32 = 2;
/// No patch is dropped: PatchCore.
pub const SOFTPATCH_DISCRIMINATOR_NONE: u32 = 3;

/// Pooled for ResNets, concatenated for EfficientNet-Lite.
pub const SOFTPATCH_EMBEDDING_AUTO: u32 = 0;
/// 3x3 means of the stages side by side.
pub const SOFTPATCH_EMBEDDING_CONCAT: u32 = 1;
/// 3x3 neighbourhoods, averaged adaptively to `embedding_dim` values.
pub const SOFTPATCH_EMBEDDING_POOLED: u32 = 2;

/// As the method is described.
pub const SOFTPATCH_COMPAT_NONE: u32 = 0;
/// As the published program selects its memory bank, for comparison with it; its runs also have `lof_k` 5.
pub const SOFTPATCH_COMPAT_OFFICIAL: u32 = 1;

/// The backbone stores 32-bit values.
pub const SOFTPATCH_PRECISION_F32: u32 = 0;
/// The backbone stores 16-bit values where the device can, else 32-bit ones; sums are 32-bit.
pub const SOFTPATCH_PRECISION_F16: u32 = 1;

/// Images through the backbone; counted in images.
pub const SOFTPATCH_STAGE_FEATURES: u32 = 0;
/// Outlier scores of the training patches; counted in grid positions.
pub const SOFTPATCH_STAGE_DENOISE: u32 = 1;
/// Choice of the memory bank; counted in rows.
pub const SOFTPATCH_STAGE_CORESET: u32 = 2;
/// Scores of training images against the bank without their own rows; counted in images.
pub const SOFTPATCH_STAGE_CALIBRATE: u32 = 3;

/// Settings of a fit. Fill it with `softpatch_fit_options_init` first, then change what you like.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct softpatch_fit_options {
    /// Size of this struct, set by `softpatch_fit_options_init`.
    pub struct_size: usize,
    /// Share of training patches that is dropped as noise, in [0, 1).
    pub tau: f64,
    /// Rows of the memory bank as a share of all training patches, in (0, 1].
    pub coreset_ratio: f64,
    /// Seed of the projection and of the coreset's start.
    pub seed: u64,
    /// Outlier score of the training patches: one of `SOFTPATCH_DISCRIMINATOR_*`.
    pub discriminator: u32,
    /// Neighbours of the local outlier factor, 1 to 32.
    pub lof_k: u32,
    /// Whether bank rows keep their outlier scores as weights: 0 or 1.
    pub soft_weights: u32,
    /// Values of a projected patch, a multiple of 4 from 4 to 1024.
    pub projection: u32,
    /// The shorter side of an image is brought to this many pixels.
    pub resize: u32,
    /// Side of the centred square that is looked at, in pixels.
    pub crop: u32,
    /// Images that go through the backbone at a time, 1 to 256.
    pub batch: u32,
    /// How the stages of the backbone become one vector: one of `SOFTPATCH_EMBEDDING_*`.
    pub embedding: u32,
    /// Values of a pooled embedding, a multiple of 4 from 64 to 1024.
    pub embedding_dim: u32,
    /// Whose choices are followed where description and published program part: one of `SOFTPATCH_COMPAT_*`.
    pub compat: u32,
    /// Whether images in files are turned as their EXIF orientation says, 0 or 1. Images in memory are taken as they are; the
    /// model records the setting for whoever scores files with it.
    pub exif: u32,
    /// How the backbone stores weights and activations: one of `SOFTPATCH_PRECISION_*`.
    pub precision: u32,
}

/// The sizes that the struct has had. Whoever adds fields at its end adds here the offset of the first of them.
const SIZES: [usize; 1] = [size_of::<softpatch_fit_options>()];

/// Hears how far a fit is: `done` of `total` units of `stage` (one of `SOFTPATCH_STAGE_*`) are finished. Called on the thread
/// that fits, at least ten times a second, also where nothing has changed. Anything but 0 cancels the fit.
pub type softpatch_progress_fn =
    Option<unsafe extern "C" fn(user_data: *mut c_void, stage: u32, done: u64, total: u64) -> i32>;

/// How often the callback is called at least.
const HEARTBEAT: Duration = Duration::from_millis(50);
/// How long a cancelled fit may take to end before it is left to end on its own.
const PATIENCE: Duration = Duration::from_millis(250);

fn defaults() -> softpatch_fit_options {
    let defaults = FitOptions::default();
    softpatch_fit_options {
        struct_size: size_of::<softpatch_fit_options>(),
        tau: defaults.tau,
        coreset_ratio: defaults.coreset_ratio,
        seed: defaults.seed,
        discriminator: SOFTPATCH_DISCRIMINATOR_LOF,
        lof_k: defaults.lof_k,
        soft_weights: u32::from(defaults.soft_weights),
        projection: defaults.projection,
        resize: defaults.resize,
        crop: defaults.crop,
        batch: defaults.batch,
        embedding: SOFTPATCH_EMBEDDING_AUTO,
        embedding_dim: defaults.embedding_dim,
        compat: SOFTPATCH_COMPAT_NONE,
        exif: u32::from(defaults.exif),
        precision: SOFTPATCH_PRECISION_F32,
    }
}

/// Fills `options`, of `size` bytes (`sizeof *options`), with the published defaults.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn softpatch_fit_options_init(
    options: *mut softpatch_fit_options,
    size: usize,
) -> softpatch_status {
    // SAFETY: the caller's pointer, by the crate's contract.
    guard(|| unsafe { write_sized(options, size, &SIZES, defaults(), "options") })
}

fn flag(value: u32, what: &str) -> Result<bool, Failure> {
    match value {
        0 => Ok(false),
        1 => Ok(true),
        other => Err(Failure::argument(format!("{what} is {other}, it must be 0 or 1"))),
    }
}

/// # Safety
/// `options` is null or good for one struct.
unsafe fn fit_options(options: *const softpatch_fit_options, memory: u64) -> Result<FitOptions, Failure> {
    let o = if options.is_null() {
        defaults()
    } else {
        // SAFETY: passed on.
        unsafe { read_sized(options, &SIZES, defaults(), "options") }?
    };
    let discriminator = match o.discriminator {
        SOFTPATCH_DISCRIMINATOR_LOF => Discriminator::Lof,
        SOFTPATCH_DISCRIMINATOR_NEAREST => Discriminator::Nearest,
        SOFTPATCH_DISCRIMINATOR_GAUSSIAN => Discriminator::Gaussian,
        SOFTPATCH_DISCRIMINATOR_NONE => Discriminator::None,
        other => return Err(Failure::argument(format!("discriminator is {other}, it must be 0 to 3"))),
    };
    let embedding = match o.embedding {
        SOFTPATCH_EMBEDDING_AUTO => Embedding::Auto,
        SOFTPATCH_EMBEDDING_CONCAT => Embedding::Concat,
        SOFTPATCH_EMBEDDING_POOLED => Embedding::Pooled,
        other => return Err(Failure::argument(format!("embedding is {other}, it must be 0 to 2"))),
    };
    let compat = match o.compat {
        SOFTPATCH_COMPAT_NONE => Compat::None,
        SOFTPATCH_COMPAT_OFFICIAL => Compat::Official,
        other => return Err(Failure::argument(format!("compat is {other}, it must be 0 or 1"))),
    };
    let precision = match o.precision {
        SOFTPATCH_PRECISION_F32 => Precision::F32,
        SOFTPATCH_PRECISION_F16 => Precision::F16,
        other => return Err(Failure::argument(format!("precision is {other}, it must be 0 or 1"))),
    };
    let options = FitOptions {
        discriminator,
        tau: o.tau,
        lof_k: o.lof_k,
        coreset_ratio: o.coreset_ratio,
        soft_weights: flag(o.soft_weights, "soft_weights")?,
        embedding,
        embedding_dim: o.embedding_dim,
        compat,
        projection: o.projection,
        seed: o.seed,
        resize: o.resize,
        crop: o.crop,
        batch: o.batch,
        exif: flag(o.exif, "exif")?,
        precision,
        memory,
    };
    options.validate()?;
    Ok(options)
}

/// Images that a fit owns.
struct Owned(Vec<OwnedImage>);

impl ImageSource for Owned {
    fn len(&self) -> usize {
        self.0.len()
    }
    fn name(&self, index: usize) -> String {
        format!("<memory>[{index}]")
    }
    fn load(&self, index: usize) -> softpatch::Result<Cow<'_, OwnedImage>> {
        Ok(Cow::Borrowed(&self.0[index]))
    }
}

/// The caller's callback with what it is given.
struct Watcher {
    callback: softpatch_progress_fn,
    user_data: *mut c_void,
}

impl Watcher {
    /// Whether the caller wants to go on.
    fn tell(&self, (stage, done, total): (u32, u64, u64)) -> bool {
        let Some(callback) = self.callback else { return true };
        // SAFETY: a function of this type by the crate's contract, called on the thread that gave it, before the call
        // to which it was given returns.
        unsafe { callback(self.user_data, stage, done, total) == 0 }
    }
}

fn fit(
    context: &Context,
    source: impl ImageSource + Send + 'static,
    options: &FitOptions,
    watcher: &Watcher,
) -> Result<Loaded, Failure> {
    let cancelled = || Failure::new(SOFTPATCH_CANCELLED, "the progress callback cancelled the fit");
    let mut last = (SOFTPATCH_STAGE_FEATURES, 0, source.len() as u64);
    if !watcher.tell(last) {
        return Err(cancelled());
    }
    let job = FitJob::start(&context.device, &context.backbone, source, options)?;
    loop {
        match job.next_event(HEARTBEAT) {
            Some(FitEvent::Update { stage, done, total }) => {
                let stage = match stage {
                    Stage::Features => SOFTPATCH_STAGE_FEATURES,
                    Stage::Denoise => SOFTPATCH_STAGE_DENOISE,
                    Stage::Coreset => SOFTPATCH_STAGE_CORESET,
                    // What comes last in a fit.
                    _ => SOFTPATCH_STAGE_CALIBRATE,
                };
                last = (stage, done, total);
            }
            Some(FitEvent::Notice(text)) => tracing::warn!("{text}"),
            None if job.is_finished() => break,
            _ => {}
        }
        if !watcher.tell(last) {
            job.cancel();
            let since = Instant::now();
            while !job.is_finished() && since.elapsed() < PATIENCE {
                std::thread::sleep(Duration::from_millis(5));
            }
            context.leave(job);
            return Err(cancelled());
        }
    }
    let detector = job.wait().map_err(|e| match e {
        Error::Cancelled => cancelled(),
        other => other.into(),
    })?;
    Ok(Loaded::new(detector))
}

/// Learns what normal looks like from the images in a folder (`folder/train` where that exists, else all below `folder`), a
/// few of which may be defective.
///
/// `options` may be null for the defaults, `progress` may be null; `user_data` is passed to it. A fit that the callback cancels
/// returns `SOFTPATCH_CANCELLED` within half a second; what it was computing ends in the background.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn softpatch_fit_folder(
    context: softpatch_context,
    folder: *const c_char,
    options: *const softpatch_fit_options,
    progress: softpatch_progress_fn,
    user_data: *mut c_void,
    detector: *mut softpatch_detector,
) -> softpatch_status {
    guard(|| {
        // SAFETY: the caller's pointers, by the crate's contract.
        unsafe { write(detector, 0, "detector") }?;
        let context = handles::get::<Context>(context)?;
        // SAFETY: as above.
        let (folder, options) = unsafe { (text(folder, "folder")?, fit_options(options, context.memory)?) };
        let decode = DecodeOptions { exif_orientation: options.exif, ..DecodeOptions::default() };
        let source = TrainSet::open(folder)?.source(decode);
        let made = fit(&context, source, &options, &Watcher { callback: progress, user_data })?;
        // SAFETY: as above.
        unsafe { write(detector, handles::insert(made), "detector") }
    })
}

/// As `softpatch_fit_folder`, from `count` images in memory, which are copied first.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn softpatch_fit_images(
    context: softpatch_context,
    images: *const softpatch_image,
    count: usize,
    options: *const softpatch_fit_options,
    progress: softpatch_progress_fn,
    user_data: *mut c_void,
    detector: *mut softpatch_detector,
) -> softpatch_status {
    guard(|| {
        // SAFETY: the caller's pointers, by the crate's contract.
        unsafe { write(detector, 0, "detector") }?;
        let context = handles::get::<Context>(context)?;
        // SAFETY: as above.
        let (images, options) =
            unsafe { (slice(images, count, "images")?, fit_options(options, context.memory)?) };
        let owned = images
            .iter()
            .enumerate()
            // SAFETY: as above.
            .map(|(i, image)| unsafe { image.borrow(&format!("images[{i}]")) }.map(|i| i.to_rgb8()))
            .collect::<Result<Vec<_>, _>>()?;
        let made = fit(&context, Owned(owned), &options, &Watcher { callback: progress, user_data })?;
        // SAFETY: as above.
        unsafe { write(detector, handles::insert(made), "detector") }
    })
}
