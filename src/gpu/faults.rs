//! Faults of a device on purpose, for tests that what is above survives them.

use crate::{Error, Result};
use std::sync::atomic::{AtomicU64, Ordering};

/// When a device is lost, falls silent, or has no more memory. Counted over all devices that are opened by the
/// same options, one in the place of another.
#[doc(hidden)]
#[derive(Debug, Default)]
pub struct Faults {
    /// Numbers of submissions, from 1, after which the device is lost.
    pub lose: Vec<u64>,
    /// Numbers of submissions that are not answered.
    pub silent: Vec<u64>,
    /// Bytes of buffers that fit.
    pub memory: Option<u64>,
    submissions: AtomicU64,
}

/// Environment variable that puts faults into every device that is opened.
const VARIABLE: &str = "SOFTPATCH_FAULTS";

impl Faults {
    /// From words like `lose=3,9`, `silent=5` and `memory=64000000`.
    ///
    /// # Errors
    /// [`Error::InvalidOption`] with the word that is none.
    pub fn parse(text: &str) -> Result<Self> {
        let mut faults = Self::default();
        for word in text.split_whitespace() {
            let unknown = || Error::InvalidOption(format!("{VARIABLE}: {word} is no fault"));
            let (name, values) = word.split_once('=').ok_or_else(unknown)?;
            let numbers = values.split(',').map(str::parse).collect::<Result<Vec<u64>, _>>();
            let numbers = numbers.map_err(|_| unknown())?;
            match (name, &numbers[..]) {
                ("lose", _) => faults.lose = numbers,
                ("silent", _) => faults.silent = numbers,
                ("memory", [bytes]) => faults.memory = Some(*bytes),
                _ => return Err(unknown()),
            }
        }
        Ok(faults)
    }

    /// What the environment asks for.
    ///
    /// # Errors
    /// As [`Faults::parse`].
    pub(super) fn from_env() -> Result<Option<Self>> {
        std::env::var(VARIABLE).ok().map(|text| Self::parse(&text)).transpose()
    }

    /// Submissions so far.
    pub fn submissions(&self) -> u64 {
        self.submissions.load(Ordering::Relaxed)
    }

    /// Counts a submission; whether the device is to be lost after it, and whether it answers nothing any more.
    pub(super) fn submitted(&self) -> (bool, bool) {
        let number = self.submissions.fetch_add(1, Ordering::Relaxed) + 1;
        (self.lose.contains(&number), self.silent.contains(&number))
    }
}
