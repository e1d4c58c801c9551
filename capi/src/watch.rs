//! Long work with the caller's callback: how far it is, and whether to go on.

use crate::status::{Failure, SOFTPATCH_CANCELLED};
use softpatch::detector::{Progress, Stage};
use std::ffi::c_void;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Duration;

/// Images through the backbone; counted in images.
pub const SOFTPATCH_STAGE_FEATURES: u32 = 0;
/// Outlier scores of the training patches; counted in grid positions.
pub const SOFTPATCH_STAGE_DENOISE: u32 = 1;
/// Choice of the memory bank; counted in rows.
pub const SOFTPATCH_STAGE_CORESET: u32 = 2;
/// Scores of training images against the bank without their own rows; counted in images.
pub const SOFTPATCH_STAGE_CALIBRATE: u32 = 3;
/// Scores of images, where a model is calibrated by others; counted in images.
pub const SOFTPATCH_STAGE_SCORE: u32 = 4;
/// What other images vouch for, of `SOFTPATCH_DISCRIMINATOR_AUTO`, after the choice of the memory bank;
/// counted in its rows.
pub const SOFTPATCH_STAGE_FLOORS: u32 = 5;
/// Distances of the training patches from those of other images, of an audit; counted in grid positions.
pub const SOFTPATCH_STAGE_DISTANCES: u32 = 6;

/// Hears how far long work is: `done` of `total` units of `stage` (one of `SOFTPATCH_STAGE_*`) are finished.
/// Called on the thread that called, at least ten times a second, also where nothing has changed. Anything
/// but 0 cancels the work.
pub type softpatch_progress_fn =
    Option<unsafe extern "C" fn(user_data: *mut c_void, stage: u32, done: u64, total: u64) -> i32>;

/// How often the callback is called at least.
pub(crate) const HEARTBEAT: Duration = Duration::from_millis(50);

/// A stage, units done and units there are.
pub(crate) type At = (u32, u64, u64);

/// A stage's number.
pub(crate) fn number(stage: Stage) -> u32 {
    match stage {
        Stage::Features => SOFTPATCH_STAGE_FEATURES,
        Stage::Denoise => SOFTPATCH_STAGE_DENOISE,
        Stage::Coreset => SOFTPATCH_STAGE_CORESET,
        Stage::Score => SOFTPATCH_STAGE_SCORE,
        Stage::Floors => SOFTPATCH_STAGE_FLOORS,
        Stage::Distances => SOFTPATCH_STAGE_DISTANCES,
        // What comes last in a fit.
        _ => SOFTPATCH_STAGE_CALIBRATE,
    }
}

/// The caller's callback with what it is given.
pub(crate) struct Watcher {
    pub callback: softpatch_progress_fn,
    pub user_data: *mut c_void,
}

impl Watcher {
    /// Whether the caller wants to go on.
    pub fn tell(&self, (stage, done, total): At) -> bool {
        let Some(callback) = self.callback else { return true };
        // SAFETY: a function of this type by the crate's contract, called on the thread that gave it, before
        // the call to which it was given returns.
        unsafe { callback(self.user_data, stage, done, total) == 0 }
    }
}

pub(crate) fn cancelled() -> Failure {
    Failure::new(SOFTPATCH_CANCELLED, "the progress callback cancelled the work")
}

/// What work on another thread says.
enum Said<T> {
    At(At),
    Notice(String),
    Done(softpatch::Result<T>),
}

/// Says it, and hears whether it is to stop.
struct Teller<T> {
    sender: Sender<Said<T>>,
    stop: Arc<AtomicBool>,
}

impl<T> Progress for Teller<T> {
    // Where nobody listens any more, nothing is to be said.
    fn update(&self, stage: Stage, done: u64, total: u64) {
        let _ = self.sender.send(Said::At((number(stage), done, total)));
    }
    fn notice(&self, message: &str) {
        let _ = self.sender.send(Said::Notice(message.to_owned()));
    }
    fn cancelled(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

/// Does `work` on another thread, while the caller hears of it on this one, from `start` on, and may cancel
/// it; then it ends after the step in progress. The second value is what it had to say.
pub(crate) fn watched<T: Send>(
    watcher: &Watcher,
    start: At,
    work: impl FnOnce(&(dyn Progress + Sync)) -> softpatch::Result<T> + Send,
) -> Result<(T, Vec<String>), Failure> {
    if !watcher.tell(start) {
        return Err(cancelled());
    }
    let stop = Arc::new(AtomicBool::new(false));
    let (mut last, mut notes) = (start, Vec::new());
    let done = std::thread::scope(|scope| {
        let (sender, receiver) = channel();
        let teller = Teller { sender, stop: stop.clone() };
        scope.spawn(move || {
            let done = work(&teller);
            let _ = teller.sender.send(Said::Done(done));
        });
        loop {
            match receiver.recv_timeout(HEARTBEAT) {
                Ok(Said::At(now)) => last = now,
                Ok(Said::Notice(text)) => notes.push(text),
                Ok(Said::Done(done)) => return Some(done),
                Err(RecvTimeoutError::Timeout) => {}
                // It panicked, which the scope passes on.
                Err(RecvTimeoutError::Disconnected) => return None,
            }
            if !stop.load(Ordering::Relaxed) && !watcher.tell(last) {
                stop.store(true, Ordering::Relaxed);
            }
        }
    });
    match done {
        _ if stop.load(Ordering::Relaxed) => Err(cancelled()),
        Some(done) => Ok((done?, notes)),
        None => Err(softpatch::Error::Internal("work ended without a result".into()).into()),
    }
}
