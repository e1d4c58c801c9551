//! Folder layouts, decoding, noise protocols, and the procedural set.

mod image;
pub mod synth;

pub use image::{Image, OwnedImage, PixelFormat};

use crate::Result;
use std::borrow::Cow;

/// A list of images that can be loaded in any order and from several threads: files, or pixels in memory.
pub trait ImageSource: Sync {
    /// Number of images.
    fn len(&self) -> usize;
    /// Whether there is no image.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Name of image `index` for messages and provenance, usually its path.
    fn name(&self, index: usize) -> String;
    /// Decodes image `index`.
    fn load(&self, index: usize) -> Result<Cow<'_, OwnedImage>>;
}
