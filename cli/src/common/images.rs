//! Image files on their way into the library.

use softpatch::data::{FileSource, ImageSource, OwnedImage};
use softpatch::detector::{Framing, ModelInfo};
use softpatch::{Error, Result};
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What becomes of images that cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum OnError {
    /// Nothing is done, all of them are named, and the exit status is 1.
    Stop,
    /// They are named and left out, and the exit status is 3.
    Skip,
}

/// Files that are scored whatever state they are in: one that does not decode is noted and stood in for by a
/// single grey pixel, whose score the caller throws away. With [`OnError::Stop`] it is an error.
pub struct Files {
    source: FileSource,
    framing: Framing,
    /// Whether each picture is kept for [`Files::take_picture`].
    keep: bool,
    on_error: OnError,
    damaged: Mutex<BTreeMap<usize, Error>>,
    pictures: Mutex<HashMap<usize, OwnedImage>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Files {
    /// Files that the model of `info` looks at.
    pub fn new(paths: Vec<PathBuf>, info: &ModelInfo, keep: bool, on_error: OnError) -> Self {
        let (source, framing) = (FileSource::new(paths, info.options.decode()), info.framing());
        let (damaged, pictures) = (Mutex::default(), Mutex::default());
        Self { source, framing, keep, on_error, damaged, pictures }
    }

    /// The files.
    pub fn paths(&self) -> &[PathBuf] {
        self.source.paths()
    }

    /// The error of image `index`, once.
    pub fn take_error(&self, index: usize) -> Option<Error> {
        lock(&self.damaged).remove(&index)
    }

    /// The picture of image `index`, once.
    pub fn take_picture(&self, index: usize) -> Option<OwnedImage> {
        lock(&self.pictures).remove(&index)
    }

    fn read(&self, index: usize) -> Result<OwnedImage> {
        let image = self.source.load(index)?.into_owned();
        check_shape(&self.paths()[index], &image, self.framing)?;
        if self.keep {
            lock(&self.pictures).insert(index, image.clone());
        }
        Ok(image)
    }
}

impl ImageSource for Files {
    fn len(&self) -> usize {
        self.source.len()
    }

    fn name(&self, index: usize) -> String {
        self.source.name(index)
    }

    fn size(&self, index: usize) -> Result<[u32; 2]> {
        self.source.size(index)
    }

    fn notes(&self) -> Vec<String> {
        self.source.notes()
    }

    fn load(&self, index: usize) -> Result<Cow<'_, OwnedImage>> {
        let image = match self.read(index) {
            Err(error) if self.on_error == OnError::Skip => {
                lock(&self.damaged).insert(index, error);
                OwnedImage { width: 1, height: 1, pixels: vec![127; 3] }
            }
            other => other?,
        };
        Ok(Cow::Owned(image))
    }
}

/// Refuses an image whose sides are so unequal that it does not come to the frame.
fn check_shape(path: &std::path::Path, image: &OwnedImage, framing: Framing) -> Result<()> {
    framing.place(image.width, image.height).map(drop).map_err(|e| Error::Image {
        path: path.to_owned(),
        reason: e.to_string(),
        remedy: "Cut it into pieces nearer to a square",
    })
}
