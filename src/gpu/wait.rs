//! Waiting for a device, no longer than it is worth, and the one that takes its place where it is lost.

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
    /// [`DeviceOptions::timeout`](super::DeviceOptions::timeout). What is asked of it is [`Error::Lost`] then; what takes a device or belongs to
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
        if there != ours {
            let (ours, there) = (&ours.adapter, &there.adapter);
            return Err(Error::Lost(format!("{reason}; {ours} is gone, there is {there} now")));
        }
        if let Some(shared) = Arc::get_mut(&mut next.0) {
            shared.successor = self.0.successor.clone();
        }
        tracing::info!("the device was lost ({reason}), and was opened again");
        Ok(next)
    }
}
