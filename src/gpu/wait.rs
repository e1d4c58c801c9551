//! Waiting for a device, no longer than it is worth, and the one that takes its place where it is lost.

use super::caps::Caps;
use super::device::Device;
use super::health::{Numbered, lock};
use crate::{Error, Result, process};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

impl Device {
    /// Waits for all submitted work, or for all up to `last`.
    pub(super) fn wait_for(&self, last: Option<&Numbered>) -> Result<()> {
        process::check()?;
        let health = &self.0.health;
        health.check()?;
        let timeout = health.timeout;
        let up_to = last.map_or_else(|| health.submissions.load(Ordering::Relaxed), |(number, _)| *number);
        let mut ended = health.ended.load(Ordering::Relaxed);
        loop {
            let submission_index = last.map(|(_, index)| index.clone());
            let silent = health.is_silent.load(Ordering::Relaxed);
            let answer = match silent {
                true => Err(wgpu::PollError::Timeout),
                false => self.polled(wgpu::PollType::Wait { submission_index, timeout: Some(timeout) })?,
            };
            match answer {
                Ok(_) => break,
                Err(wgpu::PollError::Timeout) if !silent && self.ended()? > ended => {
                    ended = health.ended.load(Ordering::Relaxed);
                }
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
        if !self.is_lost() {
            health.ended(up_to);
        }
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

    /// Number of the last submission that has ended by now.
    fn ended(&self) -> Result<u64> {
        let health = &self.0.health;
        loop {
            let next = lock(&health.pending).front().cloned();
            let Some((number, index)) = next else { break };
            let timeout = Some(Duration::ZERO);
            if self.polled(wgpu::PollType::Wait { submission_index: Some(index), timeout })?.is_err() {
                break;
            }
            health.ended(number);
        }
        Ok(health.ended.load(Ordering::Relaxed))
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
    /// [`DeviceOptions::timeout`](super::DeviceOptions::timeout). What is asked of it is [`Error::Lost`] then;
    /// what takes a device or belongs to one ([`crate::Detector`]) opens the adapter again and goes on with that.
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
        let mut successor = lock(&self.0.successor);
        let alive = successor.upgrade().map(Self).filter(|next| !next.is_lost());
        let next = match alive {
            Some(next) => next,
            None => self.reopened(reason)?,
        };
        let next =
            if next.tuning() == self.tuning() { next } else { next.with_tuning(self.tuning().clone())? };
        // The one that is kept by whoever asked.
        *successor = Arc::downgrade(&next.0);
        Ok(next)
    }

    /// The same adapter, opened once more.
    fn reopened(&self, reason: &str) -> Result<Self> {
        let options = self.0.health.options.as_ref().ok_or_else(|| {
            Error::Lost(format!("{reason}; it is the application's own, which has to bring another"))
        })?;
        let mut next = Self::open(options)?;
        let (ours, there) = (self.caps(), next.caps());
        let named = |caps: &Caps| [caps.adapter.clone(), caps.driver.clone()];
        if there != ours {
            let ([ours, by], [there, now]) = (named(ours), named(there));
            return Err(Error::Lost(format!(
                "{reason}; {there} by {now}, with its limits, is not {ours} by {by}, which there was"
            )));
        }
        if let Some(shared) = Arc::get_mut(&mut next.0) {
            shared.successor = self.0.successor.clone();
        }
        tracing::info!("the device was lost ({reason}), and was opened again");
        Ok(next)
    }
}
