//! Fitting from a folder or from images in memory, with progress and cancellation.

use crate::context::{Context, softpatch_context};
use crate::fit_options::{fit_options, roi, softpatch_fit_options};
use crate::handles;
use crate::memory::{slice, write};
use crate::model::{Loaded, softpatch_detector};
use crate::score::softpatch_image;
use crate::status::{Failure, guard, softpatch_status};
use crate::training::Training;
use crate::watch::{HEARTBEAT, SOFTPATCH_STAGE_FEATURES, Watcher, cancelled, number, softpatch_progress_fn};
use softpatch::Error;
use softpatch::data::{ImageSource, OwnedImage, WithRoi};
use softpatch::detector::{FitEvent, FitJob, FitOptions};
use std::borrow::Cow;
use std::ffi::{c_char, c_void};
use std::time::{Duration, Instant};

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
                last = (number(stage), done, total);
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
/// says which of them are good; `layout`, `take` and `all` of the options say so, and `exclude` what is left out.
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
        let watcher = Watcher { callback: progress, user_data };
        // SAFETY: as above.
        let Training { options, source, notes } =
            unsafe { Training::open(folder, options, context.memory, &watcher) }?;
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
