//! What is behind a score: how good parts score, what an image was compared with, whether the model is the
//! approved one.

use crate::handles;
use crate::memory::{optional_text, read, write};
use crate::model::{Loaded, softpatch_detector};
use crate::score::softpatch_image;
use crate::status::{Failure, SOFTPATCH_MODEL, guard, softpatch_status};
use crate::texts::{clear, give, softpatch_text};
use softpatch::data::{DecodeOptions, OwnedImage, decode_file, list_images};
use softpatch::detector::TrainingPictures;
use std::ffi::c_char;
use std::path::Path;

/// An image in memory, or where there is none, the file at `path`.
///
/// # Safety
/// `image` is null or good for one struct, and what is in it for as many bytes as it says.
pub(crate) unsafe fn picture(
    image: *const softpatch_image,
    path: &str,
    decode: &DecodeOptions,
) -> Result<OwnedImage, Failure> {
    if image.is_null() {
        return Ok(decode_file(Path::new(path), decode)?);
    }
    // SAFETY: passed on, here and below.
    let image = unsafe { read(image, "image") }?;
    Ok(unsafe { image.borrow("image") }?.to_rgb8())
}

/// The share of good parts that score lower than `score`, 0 to 1: by the scores of the good images that the
/// model was calibrated by, else of its training images, and past the largest by their tail. Not a number
/// where these are fewer than 3, or do not differ.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn softpatch_detector_calibrated(
    detector: softpatch_detector,
    score: f32,
    share: *mut f32,
) -> softpatch_status {
    guard(|| {
        let loaded = handles::get::<Loaded>(detector)?;
        let known = loaded.detector.calibrated(score).unwrap_or(f32::NAN);
        // SAFETY: the caller's pointer, by the crate's contract.
        unsafe { write(share, known, "share") }
    })
}

/// Why an image has its score: the worst of its patches, `places` at most (1 to 9), each beside the training
/// patches that it is nearest to, `neighbours` at most (1 to 9). The image is in memory, and `path` null; or
/// `image` is null, and `path` names a file. `images` is a folder to look for the training images in; null:
/// none is opened.
///
/// `json` is what `softpatch explain --json` prints: `model` and `image` (files, or null), `size` ([width,
/// height]), `score`, `threshold` (or null), `anomalous`, `over` (the patches above the threshold, worst
/// first: `at` ([row, column] of the grid), `bbox` ([x, y, width, height] in pixels of the image), `score`),
/// `allow` (the command that allows them; null where there are none, or where no text stands for a name), and
/// `places`, worst first: `at`, `bbox`, `score`, `above_threshold` (or null), `patches` (those above the
/// threshold that are connected with it), and `neighbours`, nearest first: `row` (of the bank), `image` (its
/// number), `name`, `at`, `distance` (squared), `weight`, `score` (weight times distance), `path` and `bbox`
/// (of the training image; null where it was not found).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn softpatch_detector_explain(
    detector: softpatch_detector,
    path: *const c_char,
    image: *const softpatch_image,
    places: u32,
    neighbours: u32,
    images: *const c_char,
    json: *mut softpatch_text,
) -> softpatch_status {
    guard(|| {
        // SAFETY: the caller's pointers, by the crate's contract.
        unsafe { clear(json) }?;
        let loaded = handles::get::<Loaded>(detector)?;
        let detector = &*loaded.detector;
        // SAFETY: as above.
        let (path, images) = unsafe { (optional_text(path, "path")?, optional_text(images, "images")?) };
        for (value, what) in [(places, "places"), (neighbours, "neighbours")] {
            if !(1..=9).contains(&value) {
                return Err(Failure::argument(format!("{what} is {value}, it must be 1 to 9")));
            }
        }
        match (path, image.is_null()) {
            (None, true) => return Err(Failure::null("path, with image,")),
            (Some(_), false) => return Err(Failure::argument("path and image are both set")),
            _ => {}
        }
        // SAFETY: as above.
        let picture = unsafe { picture(image, path.unwrap_or(""), &detector.info().options.decode()) }?;
        let files = images.map(list_images).transpose()?.map_or_else(Vec::new, |listed| listed.images);
        let explained = detector.explain(&picture.as_image()?, places as usize, neighbours as usize)?;
        let pictures = TrainingPictures::find(detector, &explained, &files)?;
        let document = explained.document(&pictures, loaded.path.as_deref(), path.map(Path::new));
        // SAFETY: as above.
        unsafe { give(&document, json) }
    })
}

/// Scores the reference pictures that the model keeps (`softpatch_model_keep_references`; `softpatch fit`
/// keeps some) on this device, and compares with what they scored where the model was approved.
/// `SOFTPATCH_MODEL` where it keeps none; that the scores differ is no error.
///
/// `json` is an object: `ok` (bank and thresholds are those that were approved, and no score differs by more
/// than `bound`, relative), `count`, `largest_difference`, `bound`, `rank_changes`, `verdict_flips`,
/// `same_bank`, `same_thresholds`, `edits` (since the approval, taken back for the comparison), `approved_on`
/// and `here_on` (`version`, `adapter`, `backend`, `driver`), `fingerprint`, and `pictures` (`name`,
/// `approved`, `here`, `difference`, `was_anomalous`, `anomalous`, `was_peak`, `peak`, and `edited`: the
/// score by the bank as edited, or null).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn softpatch_detector_verify(
    detector: softpatch_detector,
    json: *mut softpatch_text,
) -> softpatch_status {
    guard(|| {
        // SAFETY: the caller's pointers, by the crate's contract.
        unsafe { clear(json) }?;
        let loaded = handles::get::<Loaded>(detector)?;
        let found = loaded.detector.verify().map_err(|error| {
            let none = loaded.detector.model().references.is_none();
            let failure = Failure::from(error);
            if none { Failure { code: SOFTPATCH_MODEL, ..failure } } else { failure }
        })?;
        // SAFETY: as above.
        unsafe { give(&found.document(), json) }
    })
}
