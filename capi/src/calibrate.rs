//! Thresholds of a model for a wanted false-alarm rate, from good images that it was not fitted on.

use crate::context::{Context, softpatch_context};
use crate::edit::{detector_of, output_of};
use crate::fit_options::softpatch_fit_options;
use crate::handles;
use crate::memory::text;
use crate::status::{guard, softpatch_status};
use crate::texts::{Noted, clear_optional, give_optional, softpatch_text};
use crate::training::folder_options;
use crate::watch::{SOFTPATCH_STAGE_SCORE, Watcher, softpatch_progress_fn, watched};
use serde::Serialize;
use softpatch::data::{FileSource, ImageSource};
use softpatch::eval::{Calibrated, CalibrationSet};
use softpatch::model::ModelFile;
use std::ffi::{c_char, c_void};
use std::path::Path;

#[derive(Serialize)]
struct Document {
    model: String,
    #[serde(flatten)]
    found: Calibrated,
}

/// Sets the thresholds of the model file `model` to those that a share of good images passes, by the images
/// of `folder`: a folder of good ones, or a labelled set, whose good ones count. None may be a training image
/// of the model (`SOFTPATCH_DATASET`): those are known by their paths, and by their pixels where the model
/// keeps them. The model is written to `output`, whole or not at all; null: into its own file. Detectors that
/// have it loaded are as they were. It is an edit in the history, which `softpatch_model_undo` takes back.
///
/// Of `options`, `target_fpr` is the rate; 0, as null for `options`, is the rate that the model was fitted
/// for, else 0.05. `layout`, `take` and `all` say how the folder is read; nothing else counts.
///
/// `json` may be null; else it is an object: `model` (the file written), `threshold`, `pixel_threshold`,
/// `calibration` (`target_fpr`, `source`, `rule`, `good`, `left_out`, `interval`: what the true rate lies in,
/// with a confidence of 95 %), `at_threshold` (`good`, `false_alarms`, `defects`, `misses`, ...), `best_f1`
/// and `best_f1_threshold` (null without defects), and `notes`, what there was to say. `progress` may be
/// null; it hears of `SOFTPATCH_STAGE_SCORE`, and cancels after the step in progress, before anything is
/// written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn softpatch_model_calibrate(
    context: softpatch_context,
    model: *const c_char,
    folder: *const c_char,
    options: *const softpatch_fit_options,
    output: *const c_char,
    progress: softpatch_progress_fn,
    user_data: *mut c_void,
    json: *mut softpatch_text,
) -> softpatch_status {
    guard(|| {
        // SAFETY: the caller's pointers, by the crate's contract.
        unsafe { clear_optional(json) }?;
        let context = handles::get::<Context>(context)?;
        // SAFETY: as above.
        let (model, folder, output, (options, how)) = unsafe {
            (
                text(model, "model")?,
                text(folder, "folder")?,
                output_of(output)?,
                folder_options(options, context.memory)?,
            )
        };
        let set = CalibrationSet::open(folder, &how.open)?;
        let mut notes = set.notes.clone();
        notes.extend(set.left_out.to_string().lines().map(|line| format!("left out: {line}")));
        let file = ModelFile::open(Path::new(model), output)?;
        let detector = detector_of(&context, &file, model)?;
        notes.extend(set.check_apart(&detector)?);
        let source = FileSource::new(set.paths(), detector.info().options.decode());
        let start = (SOFTPATCH_STAGE_SCORE, 0, source.len() as u64);
        let (scored, said) = watched(&Watcher { callback: progress, user_data }, start, |progress| {
            set.score(&detector, &source, progress, |_| true)
        })?;
        notes.extend(said.into_iter().chain(source.notes()));
        let rate = Some(options.target_fpr).filter(|rate| *rate > 0.0);
        let (model, found) = set.calibrate(detector.model(), &scored, rate)?;
        let to = file.save(&model)?;
        notes.extend(found.notes.iter().cloned());
        let document = Document { model: to.display().to_string(), found };
        // SAFETY: as above.
        unsafe { give_optional(&Noted { document, notes }, json) }
    })
}
