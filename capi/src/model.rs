//! Detectors: saving, loading, and what is known about them.

use crate::context::{Context, softpatch_context};
use crate::handles;
use crate::memory::{check, copy_out, copy_text, optional_text, slice, text, write};
use crate::status::{Failure, SOFTPATCH_INTERNAL, guard, softpatch_status};
use serde::Serialize;
use softpatch::data::Roi;
use softpatch::detector::{Detector, Model, ModelInfo};
use std::ffi::c_char;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A fitted model on a device. 0 is none.
pub type softpatch_detector = u64;

pub(crate) struct Loaded {
    pub detector: Arc<Detector>,
    /// What the fit had to say; empty for a model that was loaded.
    notes: Vec<String>,
    /// The file that it was loaded from.
    pub path: Option<PathBuf>,
}

impl handles::Handled for Loaded {
    const KIND: &'static str = "detector";
}

impl Loaded {
    pub fn new(detector: Detector) -> Self {
        Self::fitted(detector, Vec::new())
    }

    pub fn fitted(detector: Detector, notes: Vec<String>) -> Self {
        Self { detector: Arc::new(detector), notes, path: None }
    }
}

/// A model with what its fit had to say.
#[derive(Serialize)]
struct Described<'a> {
    #[serde(flatten)]
    info: &'a ModelInfo,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    notes: &'a [String],
}

/// Figures of a model.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct softpatch_model_info {
    /// Training patches that were kept.
    pub kept: u64,
    /// Rows of the grid of patches.
    pub grid_rows: u32,
    /// Columns of the grid of patches.
    pub grid_columns: u32,
    /// Rows of the frame that pictures are brought to, in pixels.
    pub frame_rows: u32,
    /// Columns of the frame.
    pub frame_columns: u32,
    /// Values of an embedding.
    pub dim: u32,
    /// Rows of the memory bank.
    pub bank_rows: u32,
    /// Training images.
    pub images: u32,
    /// Images that are scored at a time at most.
    pub batch: u32,
    /// 1 where there is a threshold, else 0.
    pub has_threshold: u32,
    /// Scores above it are anomalous.
    pub threshold: f32,
}

/// Writes the model to a file, whole or not at all.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn softpatch_detector_save(
    detector: softpatch_detector,
    path: *const c_char,
) -> softpatch_status {
    guard(|| {
        let loaded = handles::get::<Loaded>(detector)?;
        // SAFETY: the caller's pointer, by the crate's contract.
        let path = unsafe { text(path, "path") }?;
        Ok(loaded.detector.save(Path::new(path))?)
    })
}

/// Copies the bytes of the model's file to `buffer` and their number to `needed`. `needed` may be null; a
/// null `buffer` with capacity 0 only asks for the number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn softpatch_detector_to_bytes(
    detector: softpatch_detector,
    buffer: *mut u8,
    capacity: usize,
    needed: *mut usize,
) -> softpatch_status {
    guard(|| {
        let loaded = handles::get::<Loaded>(detector)?;
        let bytes = loaded.detector.model().to_bytes()?;
        // SAFETY: the caller's pointers, by the crate's contract.
        unsafe { copy_out(&bytes, buffer, capacity, needed) }
    })
}

/// Reads and checks a model file and puts it on the context's device.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn softpatch_detector_load(
    context: softpatch_context,
    path: *const c_char,
    detector: *mut softpatch_detector,
) -> softpatch_status {
    guard(|| {
        // SAFETY: the caller's pointers, by the crate's contract.
        unsafe { write(detector, 0, "detector") }?;
        let context = handles::get::<Context>(context)?;
        // SAFETY: as above.
        let path = unsafe { text(path, "path") }?;
        let made = Detector::load(&context.device, &context.backbone, Path::new(path))?;
        let made = Loaded { path: Some(path.into()), ..Loaded::new(made) };
        // SAFETY: as above.
        unsafe { write(detector, handles::insert(made), "detector") }
    })
}

/// As `softpatch_detector_load`, from the bytes of a model file.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn softpatch_detector_load_bytes(
    context: softpatch_context,
    bytes: *const u8,
    len: usize,
    detector: *mut softpatch_detector,
) -> softpatch_status {
    guard(|| {
        // SAFETY: the caller's pointers, by the crate's contract.
        unsafe { write(detector, 0, "detector") }?;
        let context = handles::get::<Context>(context)?;
        check(bytes, "bytes")?;
        // SAFETY: as above.
        let bytes = unsafe { slice(bytes, len, "bytes") }?;
        let made = Detector::new(
            &context.device,
            &context.backbone,
            Model::from_bytes(bytes, Path::new("<memory>"))?,
        )?;
        // SAFETY: as above.
        unsafe { write(detector, handles::insert(Loaded::new(made)), "detector") }
    })
}

/// Frees a detector. Streams made with it live on.
#[unsafe(no_mangle)]
pub extern "C" fn softpatch_detector_free(detector: softpatch_detector) -> softpatch_status {
    guard(|| handles::remove::<Loaded>(detector).map(drop))
}

/// Leaves out of all images that are scored from now on what is white in the mask file `path`, which is laid
/// over every image, besides what the model does not look at; null ends that. Streams of this detector score
/// alike.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn softpatch_detector_ignore(
    detector: softpatch_detector,
    path: *const c_char,
) -> softpatch_status {
    guard(|| {
        let loaded = handles::get::<Loaded>(detector)?;
        // SAFETY: the caller's pointer, by the crate's contract.
        let kept = unsafe { optional_text(path, "path") }?.map(Roi::load_ignored).transpose()?;
        Ok(loaded.detector.keep_to(kept.as_ref())?)
    })
}

/// Figures of the model.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn softpatch_detector_info(
    detector: softpatch_detector,
    info: *mut softpatch_model_info,
) -> softpatch_status {
    guard(|| {
        let loaded = handles::get::<Loaded>(detector)?;
        let from = loaded.detector.info();
        let figures = softpatch_model_info {
            kept: from.kept,
            grid_rows: from.grid[0],
            grid_columns: from.grid[1],
            frame_rows: from.frame[0],
            frame_columns: from.frame[1],
            dim: from.dim,
            bank_rows: from.rows,
            images: u32::try_from(from.images.len()).unwrap_or(u32::MAX),
            batch: from.options.batch,
            has_threshold: u32::from(from.threshold.is_some()),
            threshold: from.threshold.unwrap_or(f32::INFINITY),
        };
        // SAFETY: the caller's pointer, by the crate's contract.
        unsafe { write(info, figures, "info") }
    })
}

/// All that is known about the model (settings, backbone, training images, ...) as a JSON object; after a
/// fit, `notes` is the list of what it had to say: what was left out of a folder, how files were read, ...
///
/// Copies the text with its zero byte to `buffer` and the number of bytes to `needed`. `needed` may be null;
/// a null `buffer` with capacity 0 only asks for the number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn softpatch_detector_info_json(
    detector: softpatch_detector,
    buffer: *mut c_char,
    capacity: usize,
    needed: *mut usize,
) -> softpatch_status {
    guard(|| {
        let loaded = handles::get::<Loaded>(detector)?;
        let info = Described { info: loaded.detector.info(), notes: &loaded.notes };
        let json =
            serde_json::to_string(&info).map_err(|e| Failure::new(SOFTPATCH_INTERNAL, e.to_string()))?;
        // SAFETY: the caller's pointers, by the crate's contract.
        unsafe { copy_text(&json, buffer, capacity, needed) }
    })
}
