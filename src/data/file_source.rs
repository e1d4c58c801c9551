//! Image files as a source, and what there is to say of how they are read.

use super::decode::{DecodeOptions, Note, decode_with_notes};
use super::mask_file::shown_size;
use super::{ImageSource, OwnedImage};
use crate::Result;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// Image files, decoded when they are asked for.
#[derive(Clone, Debug)]
pub struct FileSource {
    paths: Vec<PathBuf>,
    options: DecodeOptions,
    notes: FileNotes,
}

impl FileSource {
    /// The files in `paths`, in that order.
    pub fn new(paths: Vec<PathBuf>, options: DecodeOptions) -> Self {
        Self { paths, options, notes: FileNotes::default() }
    }

    /// The files.
    pub fn paths(&self) -> &[PathBuf] {
        &self.paths
    }
}

impl ImageSource for FileSource {
    fn len(&self) -> usize {
        self.paths.len()
    }
    fn name(&self, index: usize) -> String {
        self.paths[index].display().to_string()
    }
    fn load(&self, index: usize) -> Result<Cow<'_, OwnedImage>> {
        self.notes.decode(&self.paths[index], &self.options).map(Cow::Owned)
    }
    /// From the file's header.
    fn size(&self, index: usize) -> Result<[u32; 2]> {
        shown_size(&self.paths[index], &self.options)
    }
    /// With the number of files of each topic, and the first of them.
    fn notes(&self) -> Vec<String> {
        self.notes.lines()
    }
}

/// Notes on files, each topic once; clones share them.
#[derive(Clone, Debug, Default)]
pub(super) struct FileNotes(Arc<Mutex<Topics>>);

/// By topic: the first file in order of paths with its note, and how many there are.
type Topics = BTreeMap<&'static str, BTreeMap<PathBuf, Note>>;

impl FileNotes {
    /// Decodes a file and keeps what there is to say of it.
    pub fn decode(&self, path: &Path, options: &DecodeOptions) -> Result<OwnedImage> {
        let (image, notes) = decode_with_notes(path, options)?;
        if !notes.is_empty() {
            let mut topics = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            for note in notes {
                topics.entry(note.topic()).or_default().insert(path.to_owned(), note);
            }
        }
        Ok(image)
    }

    /// A line for each topic.
    pub fn lines(&self) -> Vec<String> {
        let topics = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let line = |files: &BTreeMap<PathBuf, Note>| {
            let (path, note) = files.first_key_value()?;
            let note = match note {
                // Of dark pictures among bright ones there is nothing to say.
                Note::Depth(_) => match files.values().max()? {
                    Note::Depth(bits) if *bits > 14 => return None,
                    brightest => brightest,
                },
                // Two bits fewer, as the next depth of cameras has them.
                Note::Largest { .. } => match files.values().max()? {
                    Note::Largest { sample, white } if *sample > white / 4 => return None,
                    brightest => brightest,
                },
                other => other,
            };
            let more = match files.len() - 1 {
                0 => String::new(),
                1 => "; so with 1 other file".to_owned(),
                n => format!("; so with {n} other files"),
            };
            Some(format!("{}: {note}{more}", path.display()))
        };
        topics.values().filter_map(line).collect()
    }
}
