//! Image files on their way into the library.

use softpatch::data::{FileSource, ImageSource, OwnedImage};
use softpatch::detector::{Detector, Framing, Way};
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
    /// Whether an image of some width and height is scored.
    check: Box<dyn Fn(u32, u32) -> Result<()> + Send + Sync>,
    /// Whether each picture is kept for [`Files::take_picture`].
    keep: bool,
    on_error: OnError,
    damaged: Mutex<BTreeMap<usize, Error>>,
    /// By their headers, until they are read.
    sizes: Mutex<HashMap<usize, [u32; 2]>>,
    pictures: Mutex<HashMap<usize, OwnedImage>>,
    /// Those of another shape than the frame's, with their sizes.
    odd: Mutex<BTreeMap<usize, [u32; 2]>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Files {
    /// Files that `detector` looks at.
    ///
    /// # Errors
    /// As [`Detector::size_check`].
    pub fn new(paths: Vec<PathBuf>, detector: &Detector, keep: bool, on_error: OnError) -> Result<Self> {
        let info = detector.info();
        let (source, framing) = (FileSource::new(paths, info.options.decode()), info.framing());
        let (damaged, sizes) = (Mutex::default(), Mutex::default());
        let (pictures, odd) = (Mutex::default(), Mutex::default());
        let check = Box::new(detector.size_check()?);
        Ok(Self { source, framing, check, keep, on_error, damaged, sizes, pictures, odd })
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
        // Before it takes the memory, where its header tells; who loads it says what else is wrong with it.
        let size = self.header(index);
        lock(&self.sizes).remove(&index);
        if let Ok([width, height]) = size {
            self.check(index, width, height)?;
        }
        let image = self.source.load(index)?.into_owned();
        self.check(index, image.width, image.height)?;
        let size = [image.width, image.height];
        if !self.framing.is_alike(size) {
            lock(&self.odd).insert(index, size);
        }
        if self.keep {
            lock(&self.pictures).insert(index, image.clone());
        }
        Ok(image)
    }

    /// Width and height of image `index`, by its header.
    fn header(&self, index: usize) -> Result<[u32; 2]> {
        if let Some(size) = lock(&self.sizes).get(&index) {
            return Ok(*size);
        }
        let size = self.source.size(index)?;
        lock(&self.sizes).insert(index, size);
        Ok(size)
    }

    /// Refuses an image that is not scored for its size.
    fn check(&self, index: usize, width: u32, height: u32) -> Result<()> {
        (self.check)(width, height).map_err(|error| match error {
            Error::InvalidOption(reason) => Error::Image {
                path: self.paths()[index].clone(),
                reason,
                remedy: "Leave it out, or cut it into pieces nearer to a square",
            },
            other => other,
        })
    }
}

impl ImageSource for Files {
    fn len(&self) -> usize {
        self.source.len()
    }

    fn name(&self, index: usize) -> String {
        self.source.name(index)
    }

    /// Of what stands in for a file, too.
    fn size(&self, index: usize) -> Result<[u32; 2]> {
        let [width, height] = self.header(index)?;
        let stands_in = self.on_error == OnError::Skip && (self.check)(width, height).is_err();
        Ok(if stands_in { [1; 2] } else { [width, height] })
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = self.source.notes();
        let odd = lock(&self.odd);
        if let Some((&first, [width, height])) = odd.first_key_value() {
            let how = match self.framing.way {
                Way::Pad => "padded",
                Way::Cut => "cut, and not looked at beside the frame",
                _ => "stretched",
            };
            let [rows, columns] = self.framing.frame;
            notes.push(format!(
                "{} of {} images differ from the aspect of the model's frame, {columns}x{rows}, by more than a tenth, such \
                 as {} ({width}x{height}): they are {how}",
                odd.len(),
                self.len(),
                self.name(first)
            ));
        }
        notes
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
