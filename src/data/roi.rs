//! A region of interest: which part of every picture is looked at.

use super::decode::DecodeOptions;
use super::mask_file::read_marks;
use super::{ImageSource, OwnedImage};
use crate::{Error, Result};
use std::borrow::Cow;
use std::path::Path;

/// A region of interest, a mask of any size that is laid over every picture as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roi {
    width: u32,
    height: u32,
    /// `[height][width]`, true where pictures are looked at.
    inside: Vec<bool>,
}

impl Roi {
    /// A region of `width` x `height` pixels, row by row, true where pictures are looked at.
    ///
    /// # Errors
    /// [`Error::InvalidImage`] where the values are not as many, or nothing is looked at.
    pub fn new(width: u32, height: u32, inside: Vec<bool>) -> Result<Self> {
        if inside.is_empty() || inside.len() as u64 != u64::from(width) * u64::from(height) {
            let reason = format!("a region of {width}x{height} does not have {} values", inside.len());
            return Err(Error::InvalidImage(reason));
        }
        if !inside.contains(&true) {
            return Err(Error::InvalidImage("a region in which nothing is looked at".to_owned()));
        }
        Ok(Self { width, height, inside })
    }

    /// Reads a mask file: pictures are looked at where it is white, at least half as bright as its brightest
    /// pixel.
    ///
    /// # Errors
    /// [`Error::Image`] where it cannot be read, or nothing is white.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        Self::read(path.as_ref(), |white| white)
    }

    /// Reads a mask file that says what is not looked at: where it is white.
    ///
    /// # Errors
    /// [`Error::Image`] where it cannot be read, or all of it is white.
    pub fn load_ignored(path: impl AsRef<Path>) -> Result<Self> {
        Self::read(path.as_ref(), |white| !white)
    }

    fn read(path: &Path, is_inside: impl Fn(bool) -> bool) -> Result<Self> {
        let marks = read_marks(path, &DecodeOptions::default())?;
        let largest = marks.values.iter().copied().max().unwrap_or(0);
        let white = |v: u16| v > 0 && u32::from(v) * 2 >= u32::from(largest);
        let inside = marks.values.iter().map(|v| is_inside(white(*v))).collect();
        Self::new(marks.width, marks.height, inside).map_err(|_| Error::Image {
            path: path.to_owned(),
            reason: "with this mask nothing is looked at".to_owned(),
            remedy: "A region of interest is white where pictures are looked at, an ignored one where they are not",
        })
    }

    /// Width and height in pixels.
    pub fn size(&self) -> [u32; 2] {
        [self.width, self.height]
    }

    /// Whether pictures are looked at in the region's pixel (`x`, `y`).
    ///
    /// # Panics
    /// Where that lies outside the region's size.
    pub fn is_inside(&self, x: u32, y: u32) -> bool {
        assert!(x < self.width && y < self.height, "({x}, {y}) in {}x{}", self.width, self.height);
        self.inside[y as usize * self.width as usize + x as usize]
    }
}

/// The images of a source, with a region of interest, or none, that a fit keeps in its model.
#[derive(Clone, Debug)]
pub struct WithRoi<S> {
    source: S,
    roi: Option<Roi>,
}

impl<S: ImageSource> WithRoi<S> {
    /// `source`, looked at in `roi`; `None`: all over.
    pub fn new(source: S, roi: Option<Roi>) -> Self {
        Self { source, roi }
    }
}

impl<S: ImageSource> ImageSource for WithRoi<S> {
    fn len(&self) -> usize {
        self.source.len()
    }
    fn name(&self, index: usize) -> String {
        self.source.name(index)
    }
    fn load(&self, index: usize) -> Result<Cow<'_, OwnedImage>> {
        self.source.load(index)
    }
    fn size(&self, index: usize) -> Result<[u32; 2]> {
        self.source.size(index)
    }
    fn roi(&self) -> Option<&Roi> {
        self.roi.as_ref()
    }
    fn notes(&self) -> Vec<String> {
        self.source.notes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_are_read_and_turned_round() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, values: &[u8]| {
            let path = folder.path().join(name);
            image::GrayImage::from_raw(3, 1, values.to_vec()).unwrap().save(&path).unwrap();
            path
        };
        let seen = |roi: Roi| (0..3).map(|x| roi.is_inside(x, 0)).collect::<Vec<_>>();
        for white in [1, 40, 255] {
            let path = file("white.png", &[white, 0, white]);
            assert_eq!(seen(Roi::load(&path).unwrap()), [true, false, true]);
            assert_eq!(seen(Roi::load_ignored(&path).unwrap()), [false, true, false]);
        }
        assert_eq!(seen(Roi::load(file("grey.png", &[127, 128, 255])).unwrap()), [false, true, true]);
        let error = Roi::load(file("black.png", &[0; 3])).unwrap_err().to_string();
        assert!(error.contains("black.png") && error.contains("nothing is looked at"), "{error}");
        assert!(Roi::load_ignored(file("all.png", &[255; 3])).is_err());
        assert!(Roi::new(2, 2, vec![true; 3]).is_err() && Roi::new(0, 0, Vec::new()).is_err());
    }
}
