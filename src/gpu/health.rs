//! Whether a device still answers.

use super::faults::Faults;
use super::options::DeviceOptions;
use crate::{Error, Result};
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::ThreadId;
use std::time::Duration;

/// How long a device may work on one submission where nobody says otherwise.
const PATIENCE: Duration = Duration::from_secs(30);

/// Number of a submission on its device, and what wgpu knows it by.
pub(super) type Numbered = (u64, wgpu::SubmissionIndex);

/// What is known of a wgpu device's state; shared by devices that differ in tile sizes alone.
pub(super) struct Health {
    /// How it was lost.
    pub lost: OnceLock<String>,
    /// The first error of a call that returns none, by the thread that called.
    unheard: Mutex<HashMap<ThreadId, Error>>,
    /// Submissions that were not seen to end, oldest first.
    pub pending: Mutex<VecDeque<Numbered>>,
    /// Submissions so far.
    pub submissions: AtomicU64,
    /// Number of the last submission that was seen to end, whoever looked.
    pub ended: AtomicU64,
    pub timeout: Duration,
    pub faults: Option<Arc<Faults>>,
    /// Answers nothing on purpose.
    pub is_silent: AtomicBool,
    /// How it was opened; `None`: by the application.
    pub options: Option<DeviceOptions>,
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Health {
    /// Of a device that was opened by these options, or by the application.
    pub fn new(options: Option<&DeviceOptions>) -> Arc<Self> {
        Arc::new(Self {
            lost: OnceLock::new(),
            unheard: Mutex::default(),
            pending: Mutex::default(),
            submissions: AtomicU64::new(0),
            ended: AtomicU64::new(0),
            timeout: options.and_then(|o| o.timeout).unwrap_or(PATIENCE),
            is_silent: AtomicBool::new(false),
            faults: options.and_then(|o| o.faults.clone()),
            options: options.cloned(),
        })
    }

    /// Hears from wgpu when the device is lost. Not of an application's device: it may listen itself.
    pub fn listen(this: &Arc<Self>, device: &wgpu::Device) {
        let health = Arc::downgrade(this);
        device.set_device_lost_callback(move |reason, message| {
            if let Some(health) = health.upgrade() {
                health.lose(format!("{reason:?} {message}").trim().to_lowercase());
            }
        });
        let health = Arc::downgrade(this);
        // Without a handler, an error outside of all scopes is a panic.
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
            if let Some(health) = health.upgrade() {
                health.keep(match error {
                    wgpu::Error::OutOfMemory { .. } => Error::Memory(error.to_string()),
                    _ => Error::Device(error.to_string()),
                });
            }
        }));
    }

    /// The first reason stays.
    pub fn lose(&self, reason: String) {
        let _ = self.lost.set(reason);
    }

    /// Refuses to go on with a device that is lost, or after an error that nobody was there to hear.
    pub fn check(&self) -> Result<()> {
        if let Some(reason) = self.lost.get() {
            return Err(Error::Lost(reason.clone()));
        }
        let mut unheard = lock(&self.unheard);
        if unheard.is_empty() {
            return Ok(());
        }
        unheard.remove(&std::thread::current().id()).map_or(Ok(()), Err)
    }

    /// Keeps an error for this thread's next call that can return one.
    pub fn keep(&self, error: Error) {
        lock(&self.unheard).entry(std::thread::current().id()).or_insert(error);
    }

    /// Notes that all submissions up to number `last` have ended.
    pub fn ended(&self, last: u64) {
        self.ended.fetch_max(last, Ordering::Relaxed);
        lock(&self.pending).retain(|(number, _)| *number > last);
    }

    /// Notes a submission.
    pub fn submitted(&self, (number, index): Numbered) {
        let mut pending = lock(&self.pending);
        // Those that nobody waits for, such as uploads.
        if pending.len() >= 1024 {
            pending.pop_front();
        }
        pending.push_back((number, index));
    }
}
