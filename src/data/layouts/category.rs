//! One category of a data set.

use crate::data::test_set::TestSet;
use crate::{Error, Result};
use std::path::PathBuf;

/// One kind of object or texture: what to fit on, and what to test on. Either may be empty; who needs one
/// asks by [`require_train`](Self::require_train) or [`require_test`](Self::require_test).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Category {
    /// Name, unique in its data set.
    pub name: String,
    /// Its folder.
    pub root: PathBuf,
    /// Normal images, sorted. Empty where there is none, and where nothing says which images are normal.
    pub train: Vec<PathBuf>,
    /// Labelled images.
    pub test: TestSet,
    /// What a user should know about the choice of training images: what was held out, and the like.
    pub notes: Vec<String>,
    pub(super) no_train: Option<Problem>,
    pub(super) no_test: Option<Problem>,
}

/// Why a part of a category is missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    pub path: PathBuf,
    pub reason: String,
    /// Whether the caller can decide it, by `all` or `take`.
    pub choice: bool,
}

impl Problem {
    fn error(&self) -> Error {
        let (path, reason) = (self.path.clone(), self.reason.clone());
        if self.choice { Error::Choice { path, reason } } else { Error::Dataset { path, reason } }
    }
}

impl Category {
    /// The images to fit on, at least one.
    ///
    /// # Errors
    /// [`Error::Choice`] where nothing says which images are good, with what is there and how to decide;
    /// [`Error::Dataset`] where there is no such image, with what was looked for.
    pub fn require_train(&self) -> Result<&[PathBuf]> {
        match &self.no_train {
            Some(problem) => Err(problem.error()),
            None if self.train.is_empty() => Err(Error::Dataset {
                path: self.root.clone(),
                reason: format!("{}: there is no normal image to fit on", self.name),
            }),
            None => Ok(&self.train),
        }
    }

    /// The labelled images, at least one.
    ///
    /// # Errors
    /// [`Error::Choice`] where nothing says which images are good, [`Error::Dataset`] where there is no
    /// labelled image, with what was looked for.
    pub fn require_test(&self) -> Result<&TestSet> {
        match &self.no_test {
            Some(problem) => Err(problem.error()),
            None if self.test.items.is_empty() => Err(Error::Dataset {
                path: self.root.clone(),
                reason: format!("{}: there is no image to test on", self.name),
            }),
            None => Ok(&self.test),
        }
    }

    /// The labelled images, good ones and defects: figures of images need both.
    ///
    /// # Errors
    /// As [`require_test`](Self::require_test); [`Error::Dataset`] where all images are good, or all defects.
    pub fn require_both(&self) -> Result<&TestSet> {
        let set = self.require_test()?;
        let defects = set.items.iter().filter(|item| item.is_defect()).count();
        let (all, missing) = match defects {
            0 => ("good", "defects"),
            n if n == set.items.len() => ("defects", "good ones"),
            _ => return Ok(set),
        };
        Err(Error::Dataset {
            path: self.root.clone(),
            reason: format!(
                "{}: the image figures are not defined: all {} test images are {all}, and there are no {missing}",
                self.name,
                set.items.len()
            ),
        })
    }
}
