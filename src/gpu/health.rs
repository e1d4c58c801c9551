//! Whether a device still answers, and the one that takes its place where it does not.

use super::device::Device;
use super::faults::Faults;
use super::options::DeviceOptions;
use crate::{Error, Result, process};
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

/// How long a device may work on one submission where nobody says otherwise.
const PATIENCE: Duration = Duration::from_secs(30);

/// Number of a submission on its device, and what wgpu knows it by.
pub(super) type Numbered = (u64, wgpu::SubmissionIndex);

/// What is known of a wgpu device's state; shared by devices that differ in tile sizes alone.
pub(super) struct Health {
    /// How it was lost.
    lost: OnceLock<String>,
    /// The first error of a call that returns none.
    unheard: Mutex<Option<Error>>,
    /// Submissions that were not seen to end, oldest first.
    pending: Mutex<VecDeque<Numbered>>,
    timeout: Duration,
    pub faults: Option<Arc<Faults>>,
    /// Answers nothing on purpose.
    pub is_silent: AtomicBool,
    /// How it was opened; `None`: by the application.
    options: Option<DeviceOptions>,
    successor: Mutex<Option<Device>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Health {
    /// Of a device that was opened by these options, or by the application.
    pub fn new(options: Option<&DeviceOptions>) -> Arc<Self> {
        Arc::new(Self {
            lost: OnceLock::new(),
            unheard: Mutex::default(),
            pending: Mutex::default(),
            timeout: options.and_then(|o| o.timeout).unwrap_or(PATIENCE),
            is_silent: AtomicBool::new(false),
            faults: options.and_then(|o| o.faults.clone()),
            options: options.cloned(),
            successor: Mutex::default(),
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
    fn lose(&self, reason: String) {
        let _ = self.lost.set(reason);
    }

    /// Refuses to go on with a device that is lost, or after an error that nobody was there to hear.
    pub fn check(&self) -> Result<()> {
        if let Some(reason) = self.lost.get() {
            return Err(Error::Lost(reason.clone()));
        }
        lock(&self.unheard).take().map_or(Ok(()), Err)
    }

    /// Keeps an error for the next call that can return one.
    pub fn keep(&self, error: Error) {
        lock(&self.unheard).get_or_insert(error);
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

impl Device {
    /// Waits for all submitted work, or for all up to `last`.
    pub(super) fn wait_for(&self, last: Option<&Numbered>) -> Result<()> {
        process::check()?;
        let health = &self.0.health;
        health.check()?;
        let timeout = health.timeout;
        let up_to = last.map_or(u64::MAX, |(number, _)| *number);
        loop {
            let submission_index = last.map(|(_, index)| index.clone());
            let silent = health.is_silent.load(Ordering::Relaxed);
            let answer = match silent {
                true => Err(wgpu::PollError::Timeout),
                false => self.polled(wgpu::PollType::Wait { submission_index, timeout: Some(timeout) })?,
            };
            match answer {
                Ok(_) => break,
                Err(wgpu::PollError::Timeout) if !silent && self.progressed(up_to)? => {}
                Err(wgpu::PollError::Timeout) => {
                    health.lose(format!("it has answered nothing for {timeout:?}"));
                    // Whoever drops a device waits for it.
                    std::mem::forget((self.0.wgpu.clone(), self.0.queue.clone()));
                    break;
                }
                Err(error) => {
                    return Err(self.failed(Error::Device(format!("waiting for the device: {error}"))));
                }
            }
        }
        lock(&health.pending).retain(|(number, _)| *number > up_to);
        health.check()
    }

    /// That the device is lost, where it is; else `error`. On a lost device everything is invalid, and of a
    /// submission's number nothing is known.
    pub(super) fn failed(&self, error: Error) -> Error {
        let timeout = Some(self.0.health.timeout);
        // It is said once what was submitted has ended.
        let _ = self.polled(wgpu::PollType::Wait { submission_index: None, timeout });
        self.0.health.lost.get().map_or(error, |reason| Error::Lost(reason.clone()))
    }

    /// Whether a submission ended since the last look, of those up to number `up_to`.
    fn progressed(&self, up_to: u64) -> Result<bool> {
        let mut any = false;
        loop {
            let Some((number, index)) = lock(&self.0.health.pending).front().cloned() else { return Ok(any) };
            let timeout = Some(Duration::ZERO);
            let look = wgpu::PollType::Wait { submission_index: Some(index), timeout };
            if number > up_to || self.polled(look)?.is_err() {
                return Ok(any);
            }
            any = true;
            lock(&self.0.health.pending).retain(|(other, _)| *other > number);
        }
    }

    /// wgpu panics where a driver says that the device is lost while it is waited for.
    fn polled(&self, how: wgpu::PollType) -> Result<Result<wgpu::PollStatus, wgpu::PollError>> {
        catch_unwind(AssertUnwindSafe(|| self.0.wgpu.poll(how))).map_err(|panic| {
            let error = Error::from_panic(&*panic);
            self.0.health.lose(error.to_string());
            self.0.health.check().err().unwrap_or(error)
        })
    }

    /// Whether the device was lost: reset by its driver, taken out, destroyed, or silent for longer than
    /// [`DeviceOptions::timeout`]. What is asked of it is [`Error::Lost`] then; what takes a device or belongs to
    /// one ([`crate::Detector`]) opens the adapter again and goes on with that.
    pub fn is_lost(&self) -> bool {
        self.0.health.lost.get().is_some()
    }

    /// This device or, where it was lost, the one that was opened in its place, now or before.
    ///
    /// # Errors
    /// [`Error::Lost`] where it is the application's own, or its adapter is not there any more.
    pub(crate) fn current(&self) -> Result<Self> {
        process::check()?;
        let health = &self.0.health;
        let Some(reason) = health.lost.get() else { return Ok(self.clone()) };
        let mut successor = lock(&health.successor);
        let next = match &*successor {
            Some(next) => next.current()?,
            None => {
                let options = health.options.as_ref().ok_or_else(|| {
                    Error::Lost(format!("{reason}; it is the application's own, which has to bring another"))
                })?;
                let next = Self::open(options)?;
                let ours = self.caps();
                if next.caps() != ours {
                    let there = &next.caps().adapter;
                    return Err(Error::Lost(format!(
                        "{reason}; {} is gone, there is {there} now",
                        ours.adapter
                    )));
                }
                tracing::warn!("the device was lost ({reason}), and was opened again");
                next
            }
        };
        *successor = Some(next.clone());
        drop(successor);
        if next.tuning() == self.tuning() { Ok(next) } else { next.with_tuning(self.tuning().clone()) }
    }
}
