//! Standard error: what the program says, and the library's events, as text or one JSON object a line.

mod json;

use softpatch::text::plain_lines;
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use tracing_subscriber::filter::{EnvFilter, filter_fn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt, registry};

/// Target of what the program says itself, whatever is asked of events.
const SAID: &str = "softpatch::program";

static JSON: AtomicBool = AtomicBool::new(false);

/// How standard error is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Lines for people.
    Text,
    /// One JSON object a line, with time, level, target, message, fields and spans; stages with their seconds
    /// as they end.
    Json,
}

/// From now on standard error is written so; to be called once.
pub fn init(format: Format, quiet: bool, verbose: u8) {
    let json = format == Format::Json;
    JSON.store(json, Ordering::Relaxed);
    let level = match (quiet, verbose, json) {
        (true, ..) => "error",
        (false, 0, false) => "softpatch=warn,error",
        // There are no bars: stages are told as they end.
        (false, 0, true) | (false, 1, _) => "softpatch=info,warn",
        (false, ..) => "softpatch=trace,info",
    };
    let mut filter = EnvFilter::try_from_env("SOFTPATCH_LOG").unwrap_or_else(|_| level.into());
    if json {
        let said = format!("{SAID}={}", if quiet { "error" } else { "info" });
        if let Ok(said) = said.parse() {
            filter = filter.add_directive(said);
        }
        registry().with(filter).with(json::Lines).init();
    } else {
        // An error of writing would be said where it cannot be said.
        let lines = fmt::layer().with_writer(std::io::stderr).without_time().log_internal_errors(false);
        // Stages have their bars and lines already.
        registry().with(filter).with(lines.with_filter(filter_fn(|metadata| metadata.is_event()))).init();
    }
}

/// Whether standard error is for programs.
pub fn is_json() -> bool {
    JSON.load(Ordering::Relaxed)
}

/// What went wrong.
pub fn error(text: &str) {
    error_with(text, None);
}

/// What went wrong, and what can be done.
pub fn error_with(text: &str, help: Option<&str>) {
    if is_json() {
        tracing::error!(target: SAID, help, "{text}");
        return;
    }
    write(&format!("error: {}", plain_lines(text)));
    if let Some(help) = help {
        write(&format!("  help: {}", plain_lines(help)));
    }
}

/// A line on standard error. Where nobody can read it, because the disk of a log is full or a pipe is closed,
/// the work goes on without it.
fn write(line: &str) {
    let _ = std::io::stderr().lock().write_all(format!("{line}\n").as_bytes());
}

/// What a user should know that is no error.
pub fn note(text: &str) {
    if is_json() {
        tracing::info!(target: SAID, "{text}");
    } else {
        write(&format!("note: {}", plain_lines(text)));
    }
}

/// What came of the work.
pub fn summary(text: &str) {
    if is_json() {
        tracing::info!(target: SAID, "{text}");
    } else {
        write(text);
    }
}
