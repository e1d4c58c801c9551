//! A fit on a thread of its own, for callers that must stay responsive.

use super::{Backbone, Detector, Progress, Stage};
use crate::data::ImageSource;
use crate::gpu::Device;
use crate::settings::FitOptions;
use crate::{Error, Result};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// What a running fit says.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FitEvent {
    /// `done` of `total` units of `stage` are finished.
    Update {
        /// Part of the fit.
        stage: Stage,
        /// Units that are finished.
        done: u64,
        /// Units there are.
        total: u64,
    },
    /// Something the user should know that is no error.
    Notice(String),
}

struct Reporter {
    events: Sender<FitEvent>,
    cancelled: Arc<AtomicBool>,
}

impl Progress for Reporter {
    fn update(&self, stage: Stage, done: u64, total: u64) {
        // Nobody listens any more where the receiver is gone.
        let _ = self.events.send(FitEvent::Update { stage, done, total });
    }
    fn notice(&self, message: &str) {
        let _ = self.events.send(FitEvent::Notice(message.to_owned()));
    }
    fn cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }
}

/// A fit that runs on its own thread. Dropping it cancels it and waits for the step in progress.
#[derive(Debug)]
pub struct FitJob {
    events: Receiver<FitEvent>,
    cancelled: Arc<AtomicBool>,
    worker: Option<JoinHandle<Result<Detector>>>,
}

impl FitJob {
    /// Starts a fit, as [`Detector::fit`] does.
    ///
    /// # Errors
    /// [`Error::Limit`] where the system gives no thread; what the fit itself says comes from
    /// [`FitJob::wait`].
    pub fn start(
        device: &Device,
        backbone: &Backbone,
        source: impl ImageSource + Send + 'static,
        options: &FitOptions,
    ) -> Result<Self> {
        let (sender, events) = channel();
        let cancelled = Arc::new(AtomicBool::new(false));
        let reporter = Reporter { events: sender, cancelled: cancelled.clone() };
        let (device, backbone, options) = (device.clone(), backbone.clone(), options.clone());
        let work = move || {
            catch_unwind(AssertUnwindSafe(|| Detector::fit(&device, &backbone, &source, &options, &reporter)))
                .unwrap_or_else(|panic| Err(Error::from_panic(&*panic)))
        };
        let worker = std::thread::Builder::new()
            .name("softpatch-fit".into())
            .spawn(work)
            .map_err(|e| Error::Limit(format!("no thread for the fit: {e}")))?;
        Ok(Self { events, cancelled, worker: Some(worker) })
    }

    /// The next event, waiting for it up to `timeout`; `None` where none came, or the fit is over.
    pub fn next_event(&self, timeout: Duration) -> Option<FitEvent> {
        self.events.recv_timeout(timeout).ok()
    }

    /// Whether [`FitJob::wait`] will return at once.
    pub fn is_finished(&self) -> bool {
        self.worker.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Asks the fit to stop. It ends with [`Error::Cancelled`] after the step in progress (a batch of images,
    /// a block of groups); nothing has to wait for that.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    /// Waits for the end.
    ///
    /// # Errors
    /// As [`Detector::fit`]; [`Error::Internal`] where it panicked.
    pub fn wait(mut self) -> Result<Detector> {
        match self.worker.take().map(JoinHandle::join) {
            Some(Ok(result)) => result,
            Some(Err(panic)) => Err(Error::from_panic(&*panic)),
            None => Err(Error::Internal("a fit without a worker".into())),
        }
    }
}

impl Drop for FitJob {
    fn drop(&mut self) {
        self.cancel();
        if let Some(worker) = self.worker.take() {
            // Its result is not wanted any more.
            let _ = worker.join();
        }
    }
}
