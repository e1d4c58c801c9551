//! Ctrl-c.
//!
//! What has nothing in hand that a stop would spoil leaves ctrl-c to the system, which ends the program at
//! once; files are written whole or not at all even so. What has says [`catch_interrupts`], and from then on
//! asks.

use super::failure::{EXIT_INTERRUPTED, Outcome};
use super::log;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

/// Set by ctrl-c once [`catch_interrupts`] was called.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Whether somebody asks.
static AWAITED: AtomicBool = AtomicBool::new(false);

/// From now on ctrl-c ends the job that [`Bars`](super::progress::Bars) watches after the step in progress,
/// so that a file is written whole or not at all; a second one ends the program at once.
pub fn catch_interrupts(quiet: bool) {
    static CAUGHT: Once = Once::new();
    AWAITED.store(true, Ordering::SeqCst);
    CAUGHT.call_once(|| {
        let caught = ctrlc::set_handler(move || {
            if INTERRUPTED.swap(true, Ordering::SeqCst) || !AWAITED.load(Ordering::SeqCst) {
                std::process::exit(EXIT_INTERRUPTED.into());
            }
            if !quiet {
                log::note("stopping after this step; ctrl-c again stops at once");
            }
        });
        if let Err(error) = caught {
            tracing::debug!("ctrl-c ends the program at once: {error}");
        }
    });
}

/// From now on ctrl-c ends the program at once: what comes takes a while, and nobody asks.
///
/// # Errors
/// Where it was pressed already.
pub fn release_interrupts() -> Outcome {
    AWAITED.store(false, Ordering::SeqCst);
    if interrupted() { Err(softpatch::Error::Cancelled.into()) } else { Ok(()) }
}

/// Whether ctrl-c was pressed.
pub fn interrupted() -> bool {
    INTERRUPTED.load(Ordering::SeqCst)
}
