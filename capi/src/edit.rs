//! Model files: what they hold, and edits of them without a new fit.

use crate::context::{Context, softpatch_context};
use crate::explain::picture;
use crate::fit_options::softpatch_fit_options;
use crate::handles;
use crate::memory::{optional_text, slice, text};
use crate::score::softpatch_image;
use crate::status::{Failure, guard, softpatch_status};
use crate::texts::{clear, clear_optional, give, give_optional, softpatch_text};
use crate::training::folder_options;
use serde::Serialize;
use serde_json::json;
use softpatch::data::{FileSource, Image, TrainSet};
use softpatch::detector::{DENY_AT_MOST, Detector, Edit, Mended, Model};
use softpatch::model::ModelFile;
use softpatch::{Error, Result};
use std::ffi::c_char;
use std::path::Path;

/// Where an edited model is to go; null: into its own file.
///
/// # Safety
/// `output` is null or a text that ends with a zero byte.
pub(crate) unsafe fn output_of<'a>(output: *const c_char) -> Result<Option<&'a Path>, Failure> {
    // SAFETY: passed on.
    Ok(unsafe { optional_text(output, "output") }?.map(Path::new))
}

/// What the library calls an option is here what the model can do.
fn of_model(path: &str) -> impl Fn(Error) -> Error {
    move |error| match error {
        Error::InvalidOption(reason) | Error::Model { reason, .. } => {
            Error::Model { path: path.into(), reason }
        }
        other => other,
    }
}

/// A model file on a context's device.
pub(crate) fn detector_of(context: &Context, file: &ModelFile, path: &str) -> Result<Detector> {
    Detector::new(&context.device, &context.backbone, file.model()?).map_err(of_model(path))
}

/// What an edit did.
#[derive(Serialize)]
struct Edited {
    model: String,
    rows: u32,
    edit: Edit,
}

/// What an edit by a picture did.
#[derive(Serialize)]
struct MendedFile {
    model: String,
    rows: u32,
    threshold: Option<f32>,
    #[serde(flatten)]
    mended: Mended,
}

/// All that the model file `model` says of itself, as `softpatch model MODEL info --json` prints it: what
/// `softpatch_detector_info_json` has, and `settings` (texts by name), `rows_of_images` (of the memory bank,
/// in the order of `images`), `fingerprint`, `references` (those of `softpatch_model_keep_references`, or
/// null) and `history`. No device is needed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn softpatch_model_info_json(
    model: *const c_char,
    json: *mut softpatch_text,
) -> softpatch_status {
    guard(|| {
        // SAFETY: the caller's pointers, by the crate's contract.
        unsafe { clear(json) }?;
        // SAFETY: as above.
        let document = Model::load(Path::new(unsafe { text(model, "model") }?))?.document()?;
        // SAFETY: as above.
        unsafe { give(&document, json) }
    })
}

/// The edits of the model file `model`, the first one first, as a JSON array of objects: `what`
/// ("remove-image", "allow", "deny" or "calibrate"), `image` (of "calibrate": how many good ones), `seconds`
/// (since 1970), `removed` and `added` (rows of the memory bank), `made_by`, `fingerprint` (after it).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn softpatch_model_history_json(
    model: *const c_char,
    json: *mut softpatch_text,
) -> softpatch_status {
    guard(|| {
        // SAFETY: the caller's pointers, by the crate's contract.
        unsafe { clear(json) }?;
        // SAFETY: as above.
        let history = Model::load(Path::new(unsafe { text(model, "model") }?))?.info.history;
        // SAFETY: as above.
        unsafe { give(&history, json) }
    })
}

/// Edits a model file that needs no device.
///
/// # Safety
/// The pointers are the caller's.
unsafe fn edit(
    model: *const c_char,
    output: *const c_char,
    json: *mut softpatch_text,
    change: impl FnOnce(&ModelFile, &mut Model) -> Result<Edit>,
) -> Result<(), Failure> {
    // SAFETY: passed on, here and below.
    unsafe { clear_optional(json) }?;
    let (path, output) = unsafe { (text(model, "model")?, output_of(output)?) };
    let file = ModelFile::open(Path::new(path), output)?;
    let mut model = file.model()?;
    let edit = change(&file, &mut model).map_err(of_model(path))?;
    let rows = model.info.rows;
    let model = file.save(&model)?.display().to_string();
    unsafe { give_optional(&Edited { model, rows, edit }, json) }
}

/// Takes what was learned from the training image `name` out of the memory bank of the model file `model`.
/// The name is one of `images` of `softpatch_model_info_json`, or the end of its path where only one ends so.
///
/// As every edit, this writes the model to `output`, whole or not at all; null: into its own file, but not
/// over an edit that was made meanwhile (`SOFTPATCH_MODEL`). Thresholds stay, detectors that have it loaded
/// are as they were, and `softpatch_model_undo` takes it back. `json` may be null; else it is an object:
/// `model` (the file written), `rows` (of the bank), and `edit`, as the history has it.
/// `SOFTPATCH_MODEL` where the edit cannot be made, and says why.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn softpatch_model_remove_image(
    model: *const c_char,
    name: *const c_char,
    output: *const c_char,
    json: *mut softpatch_text,
) -> softpatch_status {
    guard(|| {
        // SAFETY: the caller's pointers, by the crate's contract.
        unsafe {
            clear_optional(json)?;
            let name = text(name, "name")?;
            edit(model, output, json, |_, model| model.remove_image(name))
        }
    })
}

/// Takes the last edit of the model file `model` back, bit by bit. The rest as in
/// `softpatch_model_remove_image`; `edit` is what was taken back. References that were kept after that edit
/// are gone.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn softpatch_model_undo(
    model: *const c_char,
    output: *const c_char,
    json: *mut softpatch_text,
) -> softpatch_status {
    // SAFETY: the caller's pointers, by the crate's contract.
    guard(|| unsafe { edit(model, output, json, ModelFile::undo) })
}

/// What the two edits by a picture are given.
struct Given {
    context: softpatch_context,
    model: *const c_char,
    name: *const c_char,
    image: *const softpatch_image,
    region: *const u32,
    output: *const c_char,
    json: *mut softpatch_text,
}

/// # Safety
/// The pointers are the caller's.
unsafe fn mend(
    given: &Given,
    change: impl FnOnce(&mut Detector, &str, &Image<'_>, Option<[u32; 4]>) -> Result<Mended>,
) -> Result<(), Failure> {
    // SAFETY: passed on, here and below.
    unsafe { clear_optional(given.json) }?;
    let context = handles::get::<Context>(given.context)?;
    let (path, name) = unsafe { (text(given.model, "model")?, text(given.name, "name")?) };
    let output = unsafe { output_of(given.output) }?;
    let region = match given.region.is_null() {
        true => None,
        false => unsafe { slice(given.region, 4, "region") }?.try_into().ok(),
    };
    let file = ModelFile::open(Path::new(path), output)?;
    let mut detector = detector_of(&context, &file, path)?;
    let image = unsafe { picture(given.image, name, &detector.info().options.decode()) }?;
    let mended = change(&mut detector, name, &image.as_image()?, region).map_err(of_model(path))?;
    let (rows, threshold) = (detector.info().rows, detector.info().threshold);
    let model = file.save(detector.model())?.display().to_string();
    unsafe { give_optional(&MendedFile { model, rows, threshold, mended }, given.json) }
}

/// Takes a false alarm for normal: the patches of an image that pass the threshold, or those that `region`
/// (x, y, width, height in pixels of the image; null: none) touches, become rows of the memory bank of the
/// model file `model`, under the image's `name`. Where `image` is null, `name` is its file.
///
/// The rest as in `softpatch_model_remove_image`; `json` has also `threshold`, the image's scores `before`
/// and `after`, `was_anomalous`, `anomalous`, `peak` ([x, y], where it scores highest now) and `rows_of`,
/// empty here.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn softpatch_model_allow(
    context: softpatch_context,
    model: *const c_char,
    name: *const c_char,
    image: *const softpatch_image,
    region: *const u32,
    output: *const c_char,
    json: *mut softpatch_text,
) -> softpatch_status {
    guard(|| {
        let given = Given { context, model, name, image, region, output, json };
        // SAFETY: the caller's pointers, by the crate's contract.
        unsafe { mend(&given, |detector, name, image, region| detector.allow(name, image, region)) }
    })
}

/// Finds a defect that was missed: the rows of the memory bank of the model file `model` that excuse it are
/// taken out, those of `region` or of what scores highest. At most the share `at_most` of the bank goes,
/// between 0 and 1; 0 is the usual one, 0.02. Where it takes more, nothing is changed.
///
/// The rest as in `softpatch_model_allow`; `rows_of` are the training images that rows were taken from,
/// [name, rows], whose own scores may rise.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn softpatch_model_deny(
    context: softpatch_context,
    model: *const c_char,
    name: *const c_char,
    image: *const softpatch_image,
    region: *const u32,
    at_most: f64,
    output: *const c_char,
    json: *mut softpatch_text,
) -> softpatch_status {
    guard(|| {
        // SAFETY: the caller's pointers, by the crate's contract, here and below.
        unsafe { clear_optional(json) }?;
        let at_most = if at_most == 0.0 { DENY_AT_MOST } else { at_most };
        if !(at_most > 0.0 && at_most < 1.0) {
            return Err(Failure::argument(format!("at_most is {at_most}, it must lie between 0 and 1")));
        }
        let given = Given { context, model, name, image, region, output, json };
        unsafe { mend(&given, |detector, name, image, region| detector.deny(name, image, region, at_most)) }
    })
}

/// Keeps up to 8 images of `folder` in the model file `model` with their scores on this device, for
/// `softpatch_detector_verify`: of the training images that the model knows, else of the others. Whoever has
/// the model can look at them. Of `options`, which may be null, `layout`, `take` and `all` say how the folder
/// is read. `output` and `json`, with `model`, `references` (how many are kept) and `bytes`, as in
/// `softpatch_model_remove_image`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn softpatch_model_keep_references(
    context: softpatch_context,
    model: *const c_char,
    folder: *const c_char,
    options: *const softpatch_fit_options,
    output: *const c_char,
    json: *mut softpatch_text,
) -> softpatch_status {
    guard(|| {
        // SAFETY: the caller's pointers, by the crate's contract, here and below.
        unsafe { clear_optional(json) }?;
        let context = handles::get::<Context>(context)?;
        let (path, folder, output, (_, how)) = unsafe {
            (
                text(model, "model")?,
                text(folder, "folder")?,
                output_of(output)?,
                folder_options(options, context.memory)?,
            )
        };
        let set = TrainSet::open_with(folder, &how.open)?;
        let file = ModelFile::open(Path::new(path), output)?;
        let mut detector = detector_of(&context, &file, path)?;
        let source = FileSource::new(set.paths, detector.info().options.decode());
        let references = detector.keep_references(&source).map_err(of_model(path))?;
        let bytes = detector.model().references.as_ref().map_or(0, |kept| kept.bytes());
        let model = file.save(detector.model())?.display().to_string();
        let document = json!({ "model": model, "references": references, "bytes": bytes });
        unsafe { give_optional(&document, json) }
    })
}

/// Leaves the pictures of `softpatch_model_keep_references` out of the model file `model`, whose pixels are
/// then in it no more; `softpatch_detector_verify` has nothing to go by until others are kept. `output` and
/// `json`, with `model` alone, as in `softpatch_model_remove_image`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn softpatch_model_forget_references(
    model: *const c_char,
    output: *const c_char,
    json: *mut softpatch_text,
) -> softpatch_status {
    guard(|| {
        // SAFETY: the caller's pointers, by the crate's contract, here and below.
        unsafe { clear_optional(json) }?;
        let (path, output) = unsafe { (text(model, "model")?, output_of(output)?) };
        let file = ModelFile::open(Path::new(path), output)?;
        let mut model = file.model()?;
        model.references = None;
        let document = json!({ "model": file.save(&model)?.display().to_string() });
        unsafe { give_optional(&document, json) }
    })
}
