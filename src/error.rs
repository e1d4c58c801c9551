//! The one error type of the crate. Every variant says what went wrong, where, and what the caller can do.

use std::path::{Path, PathBuf};

/// Result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong, by what the caller can do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or folder could not be read or written.
    #[error("{}: {action} failed: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What was tried, e.g. `reading`.
        action: &'static str,
        /// The operating system's answer.
        source: std::io::Error,
    },
    /// A file that should hold an image does not, or holds a damaged one.
    #[error("{}: not a readable image: {reason}. {remedy}", path.display())]
    Image {
        /// The file.
        path: PathBuf,
        /// What the decoder found.
        reason: String,
        /// What the caller can do.
        remedy: &'static str,
    },
    /// A folder does not hold what a data set needs.
    #[error("{}: {reason}", path.display())]
    Dataset {
        /// The folder or list file.
        path: PathBuf,
        /// What is missing and how it should look.
        reason: String,
    },
    /// Nothing says which images of a folder are good, so that fitting on them is for the caller to decide.
    #[error("{}: {reason}", path.display())]
    Choice {
        /// The folder.
        path: PathBuf,
        /// What is there, what would be taken, and how to decide.
        reason: String,
    },
    /// Some of the images of a source, or of the masks of a set, cannot be used; nothing came of the others.
    #[error("{}", list_bad(*total, bad))]
    BadImages {
        /// Images of the source.
        total: usize,
        /// Number of each bad image in the source, and what is wrong with it; at least one, ascending.
        bad: Vec<(usize, Error)>,
    },
    /// Pixels in memory do not have the size or layout that they claim.
    #[error("invalid image in memory: {0}")]
    InvalidImage(String),
    /// A setting is out of its range, or settings contradict each other.
    #[error("invalid option: {0}")]
    InvalidOption(String),
    /// A model file is damaged, of another version, or not a model at all.
    #[error("{}: {reason}", path.display())]
    Model {
        /// The file, or `<memory>`.
        path: PathBuf,
        /// What is wrong and what the caller can do.
        reason: String,
    },
    /// A weights file does not fit the backbone.
    #[error("{}: {reason}", path.display())]
    Weights {
        /// The file, or `<embedded>`.
        path: PathBuf,
        /// What is missing or of the wrong shape.
        reason: String,
    },
    /// A figure of merit is not defined for these scores and labels.
    #[error("metric: {0}")]
    Metric(String),
    /// No usable adapter, or the device refused its work.
    #[error("device: {0}")]
    Device(String),
    /// The device was lost, or answers nothing.
    #[error("the device was lost: {0}")]
    Lost(String),
    /// The device has no memory left.
    #[error("the device is out of memory: {0}")]
    Memory(String),
    /// A kernel that was going to be used gives wrong answers on this adapter; nothing was computed with it.
    #[error("self-test: {0}")]
    SelfTest(Box<WrongKernel>),
    /// The work does not fit the device's limits or the memory budget.
    #[error("limit: {0}")]
    Limit(String),
    /// Something in the library broke: please report it.
    #[error("internal error: {0}")]
    Internal(String),
    /// The caller asked to stop.
    #[error("cancelled")]
    Cancelled,
}

/// Every bad image in a line of its own.
fn list_bad(total: usize, bad: &[(usize, Error)]) -> String {
    let lines: Vec<String> = bad.iter().map(|(_, e)| format!("\n  {e}")).collect();
    format!("{} of {total} files cannot be used:{}", bad.len(), lines.concat())
}

impl Error {
    /// What a caught panic said: for the C library, which lets none across its border.
    #[doc(hidden)]
    pub fn from_panic(panic: &(dyn std::any::Any + Send)) -> Self {
        let text = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
        Self::Internal(text.unwrap_or_else(|| "a panic without a message".into()))
    }

    /// Wraps an [`std::io::Error`] with the path and the action it belongs to.
    pub fn io(path: impl AsRef<Path>, action: &'static str, source: std::io::Error) -> Self {
        Self::Io { path: path.as_ref().to_owned(), action, source }
    }
}

/// A case of a kernel whose answer is wrong on an adapter.
#[derive(Clone, Debug, PartialEq)]
pub struct WrongKernel {
    /// Pipelines that took part, with their flags.
    pub kernels: Vec<String>,
    /// Kernel family and shape.
    pub case: String,
    /// What of the method stands on it.
    pub used_by: &'static str,
    /// Largest difference from the plain-Rust reference.
    pub error: f64,
    /// Difference that rounding explains.
    pub allowed: f64,
    /// Adapter, backend and driver.
    pub adapter: String,
    /// What the owner of the adapter can do.
    pub remedy: String,
}

impl std::fmt::Display for WrongKernel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { kernels, case, used_by, error, allowed, adapter, remedy } = self;
        write!(
            f,
            "{case} is off by {error:.2e} where rounding explains {allowed:.2e}, on {adapter}. It stands \
             behind {used_by}; \
             nothing was computed. Kernels: {}. To do: {remedy}",
            kernels.join(", ")
        )
    }
}
