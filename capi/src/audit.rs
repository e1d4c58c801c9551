//! Which training images look contaminated, before a model is made of them.

use crate::context::{Context, softpatch_context};
use crate::fit_options::softpatch_fit_options;
use crate::handles;
use crate::status::{guard, softpatch_status};
use crate::texts::{Noted, clear, give, softpatch_text};
use crate::training::Training;
use crate::watch::{SOFTPATCH_STAGE_FEATURES, Watcher, softpatch_progress_fn, watched};
use softpatch::data::ImageSource;
use softpatch::detector::Audit;
use std::ffi::{c_char, c_void};

/// Ranks the training images of a folder by how contaminated they look, as `softpatch_fit_folder` with the
/// same options would judge their patches; no model is made.
///
/// `json` is an object: `grid` and `frame` ([rows, columns]), `noise_threshold`, `lof_k`, `contaminated`
/// (`limit` of the suspicion or null, `count`, `at_least`, `at_most`: an estimate), `images`, the most
/// suspicious first, each with `index`, `name`, `size` ([width, height]), `suspicion`, `suspect`, `dropped`
/// (share of its patches that a fit would drop), `peak` ([x, y]) and `regions` (`bbox` [x, y, width, height],
/// `patches`, `peak`, `contour`), and `notes`, what there was to say. `options` and `progress` may be null;
/// cancelled, it returns after the step in progress.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn softpatch_audit(
    context: softpatch_context,
    folder: *const c_char,
    options: *const softpatch_fit_options,
    progress: softpatch_progress_fn,
    user_data: *mut c_void,
    json: *mut softpatch_text,
) -> softpatch_status {
    guard(|| {
        // SAFETY: the caller's pointers, by the crate's contract.
        unsafe { clear(json) }?;
        let context = handles::get::<Context>(context)?;
        let watcher = Watcher { callback: progress, user_data };
        // SAFETY: as above.
        let Training { options, source, mut notes } =
            unsafe { Training::open(folder, options, context.memory, &watcher) }?;
        let start = (SOFTPATCH_STAGE_FEATURES, 0, source.len() as u64);
        let (document, said) = watched(&watcher, start, |progress| {
            Audit::of(&context.device, &context.backbone, &source, &options, progress)
        })?;
        notes.extend(said);
        // SAFETY: as above.
        unsafe { give(&Noted { document, notes }, json) }
    })
}
