//! A fit on a thread of its own, for callers that must stay responsive.

use super::{Backbone, Detector, Progress, Stage};
use crate::data::ImageSource;
use crate::gpu::Device;
use crate::process::{self, OfProcess};
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

/// A fit that runs on its own thread. Dropping it cancels it and waits for the step in progress. In a process
/// that is forked meanwhile it is finished, with an error.
///
/// ```
/// # #[cfg(feature = "embedded-weights")] {
/// # use softpatch::data::synth::{Material, render};
/// use softpatch::data::MemorySource;
/// use softpatch::detector::{FitEvent, FitJob};
/// use softpatch::{Backbone, Device, DeviceOptions, FitOptions, Size};
/// use std::time::Duration;
///
/// # fn main() -> softpatch::Result<()> {
/// # let good = (0..8).map(|i| render(Material::Gear, None, i, 96).map(|r| r.0)).collect::<Result<Vec<_>, _>>()?;
/// let (device, backbone) = (Device::open(&DeviceOptions::default())?, Backbone::embedded()?);
/// let options = FitOptions::default().size(Size::Shorter(96));
/// let job = FitJob::start(&device, &backbone, MemorySource(good), &options)?;
/// while !job.is_finished() {
///     // A window stays responsive here; `job.cancel()` ends it.
///     if let Some(FitEvent::Update { stage, done, total }) = job.next_event(Duration::from_millis(50)) {
///         println!("{}: {done} of {total}", stage.name());
///     }
/// }
/// let detector = job.wait()?;
/// assert_eq!(detector.info().images.len(), 8);
/// # Ok(()) }
/// # main().unwrap();
/// # }
/// ```
#[derive(Debug)]
pub struct FitJob {
    events: OfProcess<Receiver<FitEvent>>,
    cancelled: Arc<AtomicBool>,
    worker: OfProcess<Option<JoinHandle<Result<Detector>>>>,
}

impl FitJob {
    /// Starts a fit, as [`Detector::fit`] does.
    ///
    /// # Errors
    /// [`Error::Limit`] where the system gives no thread, [`Error::Device`] where the device is that of the
    /// process which this one was forked from; what the fit itself says comes from
    /// [`FitJob::wait`].
    pub fn start(
        device: &Device,
        backbone: &Backbone,
        source: impl ImageSource + Send + 'static,
        options: &FitOptions,
    ) -> Result<Self> {
        process::check()?;
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
        Ok(Self { events: OfProcess::new(events), cancelled, worker: OfProcess::new(Some(worker)) })
    }

    /// The next event, waiting for it up to `timeout`; `None` where none came, or the fit is over.
    pub fn next_event(&self, timeout: Duration) -> Option<FitEvent> {
        if process::is_forked() { None } else { self.events.recv_timeout(timeout).ok() }
    }

    /// Whether [`FitJob::wait`] will return at once.
    pub fn is_finished(&self) -> bool {
        process::is_forked() || self.worker.as_ref().is_none_or(JoinHandle::is_finished)
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
        process::check()?;
        match self.worker.take().map(JoinHandle::join) {
            Some(Ok(result)) => result,
            Some(Err(panic)) => Err(Error::from_panic(&*panic)),
            None => Err(Error::Internal("a fit without a worker".into())),
        }
    }
}

impl Drop for FitJob {
    fn drop(&mut self) {
        if process::is_forked() {
            return;
        }
        self.cancel();
        if let Some(worker) = self.worker.take() {
            // Its result is not wanted any more.
            let _ = worker.join();
        }
    }
}
