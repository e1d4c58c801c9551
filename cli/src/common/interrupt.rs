//! Ctrl-c.

use super::failure::EXIT_INTERRUPTED;
use super::log;
use std::sync::atomic::{AtomicBool, Ordering};

/// Set by ctrl-c once [`catch_interrupts`] was called.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// From now on ctrl-c ends the job that [`Bars`] watches after the step in progress, so that a file is
/// written whole or not at all; a second one ends the program at once.
pub fn catch_interrupts(quiet: bool) {
    let caught = ctrlc::set_handler(move || {
        if INTERRUPTED.swap(true, Ordering::Relaxed) {
            std::process::exit(EXIT_INTERRUPTED.into());
        }
        if !quiet {
            log::note("stopping after this step; ctrl-c again stops at once");
        }
    });
    if let Err(error) = caught {
        tracing::debug!("ctrl-c ends the program at once: {error}");
    }
}

/// Whether ctrl-c was pressed.
pub fn interrupted() -> bool {
    INTERRUPTED.load(Ordering::Relaxed)
}
