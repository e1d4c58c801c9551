//! What a watch that was stopped in the middle had begun: the same images get the same places for their
//! files, and what a file of regions has of them goes.

use super::journal::text_of;
use serde::{Deserialize, Serialize};
use softpatch::data::csv_guarded;
use std::collections::{BTreeMap, HashSet};
use std::path::Path;

/// What is said of an image in the journal before files are written for it.
#[derive(Serialize, Deserialize)]
struct Said {
    /// Its path as results have it.
    shown: String,
    /// The files that it gets beside the results.
    files: Vec<String>,
    /// The file of regions, and its length before.
    regions: Option<(String, u64)>,
}

/// Of one image: its path as the journal has it and as results have it, the files that it gets, and the file
/// of regions with its length.
pub type Of<'a> = (String, &'a str, &'a [&'a Path], Option<(&'a Path, u64)>);

/// As a line of the journal has it.
pub fn said((path, shown, files, regions): Of<'_>) -> (String, serde_json::Value) {
    let files = files.iter().map(|file| text_of(file)).collect();
    let regions = regions.map(|(file, length)| (text_of(file), length));
    let said = Said { shown: csv_guarded(shown).into_owned(), files, regions };
    (path, serde_json::to_value(said).unwrap_or_default())
}

/// Images that were begun and are not done.
#[derive(Default)]
pub struct Begun(Vec<Said>);

impl Begun {
    /// From what the journal has; what it does not understand it passes over.
    pub fn from_journal(begun: &BTreeMap<String, String>) -> Self {
        Self(begun.values().filter_map(|said| serde_json::from_str(said).ok()).collect())
    }

    #[cfg(test)]
    pub fn of<'a>(images: impl IntoIterator<Item = Of<'a>>) -> Self {
        Self(images.into_iter().map(|of| serde_json::from_value(said(of).1).unwrap()).collect())
    }

    /// The places of their files, as texts: what lies there is half done.
    pub fn files(&self) -> HashSet<String> {
        self.0.iter().flat_map(|said| said.files.iter().cloned()).collect()
    }

    /// From where on a file of regions may have lines of them.
    pub fn regions_from(&self, file: &str) -> Option<u64> {
        let of = self.0.iter().filter_map(|said| said.regions.as_ref());
        of.filter(|(name, _)| name == file).map(|(_, length)| *length).min()
    }

    /// Whether the line with this path at byte `at` of a file of regions is of one of them.
    pub fn has_line(&self, path: &str, at: u64) -> bool {
        let begun =
            |said: &Said| said.shown == path && said.regions.as_ref().is_some_and(|(_, from)| at >= *from);
        self.0.iter().any(begun)
    }
}
