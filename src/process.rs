//! The process that the library's devices live in. A fork copies the memory of its caller and one of its
//! threads; those of drivers, which work is handed to, are not in the child, and locks that they held stay
//! shut for ever.

use crate::{Error, Result};
use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicU32, Ordering};

/// The process that first asked for adapters or opened a device; 0 is none, which is nobody's number.
static OWNER: AtomicU32 = AtomicU32::new(0);

/// Makes this process the one that the library works in.
///
/// # Errors
/// As [`check`].
pub fn enter() -> Result<()> {
    let _ = OWNER.compare_exchange(0, std::process::id(), Ordering::Relaxed, Ordering::Relaxed);
    check()
}

/// Whether this process is a copy of the one that the library works in.
pub fn is_forked() -> bool {
    let owner = OWNER.load(Ordering::Relaxed);
    owner != 0 && owner != std::process::id()
}

/// Refuses to work in a forked process.
///
/// # Errors
/// [`Error::Device`] in a process that was forked after another one used the library.
pub fn check() -> Result<()> {
    if !is_forked() {
        return Ok(());
    }
    Err(Error::Device(format!(
        "this process was forked from process {}, which had used softpatch before; the driver's threads did not \
         come along. Start workers by spawn or exec, or fork before the first use",
        OWNER.load(Ordering::Relaxed)
    )))
}

/// What is dropped only in the process that made it: in a forked one it is left to the process's end, since
/// dropping it waits for threads that are not there.
#[derive(Debug)]
pub struct OfProcess<T>(ManuallyDrop<T>);

impl<T> OfProcess<T> {
    /// Guards `value`.
    pub fn new(value: T) -> Self {
        Self(ManuallyDrop::new(value))
    }
}

impl<T> Deref for OfProcess<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> DerefMut for OfProcess<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

impl<T> Drop for OfProcess<T> {
    fn drop(&mut self) {
        if !is_forked() {
            // SAFETY: dropped here alone, and never used after it.
            unsafe { ManuallyDrop::drop(&mut self.0) }
        }
    }
}
