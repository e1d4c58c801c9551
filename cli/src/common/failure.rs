//! Why a subcommand ends early, what is said of it, and the exit status.

use super::log;
use std::error::Error as _;
use std::io::ErrorKind;
use std::process::ExitCode;

/// Exit status of a program that ctrl-c ended.
pub const EXIT_INTERRUPTED: u8 = 130;

/// Exit status of a program that did all but what could not be read.
pub const EXIT_LEFT_OUT: u8 = 3;

/// The number of an input/output error on Unix, which has no [`ErrorKind`].
const EIO: i32 = 5;

/// Why a subcommand ends early.
#[derive(Debug)]
pub enum Failure {
    /// The command line or the configuration is wrong: exit status 2.
    Usage(String),
    /// The work failed: exit status 1.
    Failed(softpatch::Error),
    /// Standard output could not be written.
    Output(std::io::Error),
    /// Standard output is a pipe that nobody reads any more.
    ReaderGone,
    /// The work failed and all is said.
    Reported,
    /// The work is done but for some images, which are named: exit status 3.
    LeftOut,
}

/// How a subcommand ends.
pub type Outcome<T = ()> = Result<T, Failure>;

impl From<softpatch::Error> for Failure {
    fn from(error: softpatch::Error) -> Self {
        Self::Failed(error)
    }
}

impl From<std::io::Error> for Failure {
    /// Only writes to standard output are converted: all other input and output is the library's, with a
    /// path.
    fn from(error: std::io::Error) -> Self {
        if error.kind() == ErrorKind::BrokenPipe { Self::ReaderGone } else { Self::Output(error) }
    }
}

/// Says what went wrong, if anything did.
pub fn exit(outcome: Outcome) -> ExitCode {
    match outcome {
        // Whoever read our output has seen enough: `softpatch score ... | head` is no failure.
        Ok(()) | Err(Failure::ReaderGone) => ExitCode::SUCCESS,
        Err(Failure::Usage(message)) => {
            log::error(&message);
            ExitCode::from(2)
        }
        Err(Failure::Failed(error @ softpatch::Error::Cancelled)) => {
            print_error(&error);
            ExitCode::from(EXIT_INTERRUPTED)
        }
        Err(Failure::Failed(error)) => {
            print_error(&error);
            ExitCode::FAILURE
        }
        Err(Failure::Output(error)) => {
            let full = error.kind() == ErrorKind::StorageFull;
            let remedy = full.then_some("free some space; what was printed before is not all");
            log::error_with(&format!("writing to standard output failed: {error}"), remedy);
            ExitCode::FAILURE
        }
        Err(Failure::Reported) => ExitCode::FAILURE,
        Err(Failure::LeftOut) => ExitCode::from(EXIT_LEFT_OUT),
    }
}

/// An error with what caused it.
pub fn message(error: &softpatch::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        // Most messages hold their cause already.
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

/// `error:` with what caused it and what can be done, on standard error.
pub fn print_error(error: &softpatch::Error) {
    log::error_with(&message(error), remedy(error));
}

/// What to do about errors that do not say so themselves.
fn remedy(error: &softpatch::Error) -> Option<&'static str> {
    match error {
        softpatch::Error::Io { source, action, .. } => match source.kind() {
            ErrorKind::NotFound if action.contains("writ") => Some("folders for output must exist"),
            ErrorKind::NotFound => Some("check the path"),
            ErrorKind::PermissionDenied => Some("check who may read or write it"),
            ErrorKind::StorageFull => Some("free some space or write elsewhere"),
            ErrorKind::QuotaExceeded => Some("free some space or write elsewhere: the quota is used up"),
            ErrorKind::ReadOnlyFilesystem => Some("write elsewhere, or mount the file system for writing"),
            ErrorKind::IsADirectory => Some("name a file, this is a folder"),
            ErrorKind::StaleNetworkFileHandle => Some("the share was taken away; mount it again"),
            _ if cfg!(unix) && source.raw_os_error() == Some(EIO) => {
                Some("the disk or the share fails: look into the system's log, and use another")
            }
            _ => None,
        },
        softpatch::Error::Dataset { reason, .. } if reason.starts_with("there is no such folder") => {
            Some("check the path")
        }
        softpatch::Error::Lost(_) => Some(
            "look at the system's log for what its driver says, update the driver, see that the card is cooled and \
             powered; where the device is only slow, give it time: --device-timeout",
        ),
        softpatch::Error::Device(_) => {
            Some("`softpatch devices` lists the adapters, `softpatch doctor` checks one")
        }
        _ => None,
    }
}
