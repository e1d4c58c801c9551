//! Fitting from a folder or from images in memory, with progress and cancellation.

use crate::context::{Context, softpatch_context};
use crate::fit_options::{fit_options, folder_options, roi, softpatch_fit_options};
use crate::handles;
use crate::memory::{slice, text, write};
use crate::model::{Loaded, softpatch_detector};
use crate::score::softpatch_image;
use crate::status::{Failure, SOFTPATCH_CANCELLED, guard, softpatch_status};
use softpatch::Error;
use softpatch::data::{ImageSource, OwnedImage, TrainSet, WithRoi};
use softpatch::detector::{FitEvent, FitJob, FitOptions, Stage};
use std::borrow::Cow;
use std::ffi::{c_char, c_void};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// Images through the backbone; counted in images.
pub const SOFTPATCH_STAGE_FEATURES: u32 = 0;
/// Outlier scores of the training patches; counted in grid positions.
pub const SOFTPATCH_STAGE_DENOISE: u32 = 1;
/// Choice of the memory bank; counted in rows.
pub const SOFTPATCH_STAGE_CORESET: u32 = 2;
/// Scores of training images against the bank without their own rows; counted in images.
pub const SOFTPATCH_STAGE_CALIBRATE: u32 = 3;

/// Hears how far a fit is: `done` of `total` units of `stage` (one of `SOFTPATCH_STAGE_*`) are finished.
/// Called on the thread that fits, at least ten times a second, also where nothing has changed. Anything but
/// 0 cancels the fit.
pub type softpatch_progress_fn =
    Option<unsafe extern "C" fn(user_data: *mut c_void, stage: u32, done: u64, total: u64) -> i32>;

/// How often the callback is called at least.
const HEARTBEAT: Duration = Duration::from_millis(50);
/// How long a cancelled fit may take to end before it is left to end on its own.
const PATIENCE: Duration = Duration::from_millis(250);

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
        // SAFETY: a function of this type by the crate's contract, called on the thread that gave it, before
        // the call to which it was given returns.
        unsafe { callback(self.user_data, stage, done, total) == 0 }
    }
}

fn cancelled() -> Failure {
    Failure::new(SOFTPATCH_CANCELLED, "the progress callback cancelled the fit")
}

/// Settles the significant bits of `paths` on another thread, so that the caller hears of it and may cancel.
fn settle_bits(
    options: &mut FitOptions,
    paths: &[PathBuf],
    watcher: &Watcher,
) -> Result<Option<String>, Failure> {
    let start = (SOFTPATCH_STAGE_FEATURES, 0, paths.len() as u64);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (sender, receiver) = channel();
        let stop = &stop;
        scope.spawn(move || {
            let go_on = |_| match stop.load(Ordering::Relaxed) {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            };
            sender.send(options.settle_bits(paths, go_on))
        });
        loop {
            match receiver.recv_timeout(HEARTBEAT) {
                Ok(said) => return said.map_err(Failure::from),
                Err(RecvTimeoutError::Timeout) if watcher.tell(start) => {}
                Err(RecvTimeoutError::Timeout) => {
                    stop.store(true, Ordering::Relaxed);
                    return Err(cancelled());
                }
                // It panicked, which the scope passes on.
                Err(RecvTimeoutError::Disconnected) => return Ok(None),
            }
        }
    })
}

fn fit(
    context: &Context,
    source: impl ImageSource + Send + 'static,
    options: &FitOptions,
    watcher: &Watcher,
    mut notes: Vec<String>,
) -> Result<Loaded, Failure> {
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
            Some(FitEvent::Notice(text)) => notes.push(text),
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
    notes.iter().for_each(|note| tracing::warn!("{note}"));
    Ok(Loaded::fitted(detector, notes))
}

/// Learns what normal looks like from the images in a folder, a few of which may be defective: the training
/// images of a data set in a known layout, or all of a folder of images. `SOFTPATCH_CHOICE` where nothing
/// says which of them are good; `layout`, `take` and `all` of the options say so.
///
/// `options` may be null for the defaults, `progress` may be null; `user_data` is passed to it. A fit that
/// the callback cancels returns `SOFTPATCH_CANCELLED` within half a second; what it was computing ends in the
/// background.
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
        let (folder, roi, (mut options, open)) =
            unsafe { (text(folder, "folder")?, roi(options)?, folder_options(options, context.memory)?) };
        let set = TrainSet::open_with(folder, &open)?;
        let mut notes = set.notes.clone();
        notes.extend(set.left_out.to_string().lines().map(|line| format!("left out: {line}")));
        let watcher = Watcher { callback: progress, user_data };
        notes.extend(settle_bits(&mut options, &set.paths, &watcher)?);
        let source = WithRoi::new(set.source(options.decode()), roi);
        let made = fit(&context, source, &options, &watcher, notes)?;
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
        let (images, roi, options) = unsafe {
            (slice(images, count, "images")?, roi(options)?, fit_options(options, context.memory)?)
        };
        let owned = images
            .iter()
            .enumerate()
            // SAFETY: as above.
            .map(|(i, image)| unsafe { image.borrow(&format!("images[{i}]")) }.map(|i| i.to_rgb8()))
            .collect::<Result<Vec<_>, _>>()?;
        let made = fit(
            &context,
            WithRoi::new(Owned(owned), roi),
            &options,
            &Watcher { callback: progress, user_data },
            Vec::new(),
        )?;
        // SAFETY: as above.
        unsafe { write(detector, handles::insert(made), "detector") }
    })
}
