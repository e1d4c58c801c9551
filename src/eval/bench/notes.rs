//! What a run has to say beside its figures, and what it does without.

use crate::Error;
use crate::data::Category;
use crate::detector::{Progress, Stage};
use std::cell::RefCell;
use std::collections::HashSet;
use std::path::PathBuf;

/// Takes images that cannot be used out of a category; whether there were any.
pub(super) fn leave_out(category: &mut Category, bad: &[(usize, Error)]) -> bool {
    let path_of = |error: &Error| match error {
        Error::Image { path, .. } | Error::Io { path, .. } => Some(path.clone()),
        _ => None,
    };
    let bad: HashSet<PathBuf> = bad.iter().filter_map(|(_, error)| path_of(error)).collect();
    let before = category.clone();
    category.train.retain(|path| !bad.contains(path));
    category.test.items.retain(|item| !bad.contains(&item.path));
    *category != before
}

/// Keeps notices as notes.
pub(super) struct Noted<'a> {
    pub progress: &'a dyn Progress,
    pub notes: RefCell<Vec<String>>,
}

impl Progress for Noted<'_> {
    fn update(&self, stage: Stage, done: u64, total: u64) {
        self.progress.update(stage, done, total);
    }
    fn notice(&self, message: &str) {
        self.notes.borrow_mut().push(message.to_owned());
    }
    fn cancelled(&self) -> bool {
        self.progress.cancelled()
    }
}
