//! Folder layouts, decoding, noise protocols, and the procedural set.

mod affine;
mod bits;
mod convert;
mod decode;
pub(crate) mod encode;
mod folder;
mod image;
mod layouts;
mod levels;
pub(crate) mod list;
mod memory;
mod noise;
mod split_csv;
pub mod synth;

pub use affine::Affine;
pub use bits::{SeenBits, find_bits};
pub use decode::{
    DecodeOptions, FileSource, IMAGE_EXTENSIONS, Kind, Note, Picture, SNIFF_BYTES, decode_bytes, decode_file,
    decode_with_notes, inspect_file, list_images, sniff,
};
#[allow(unused_imports, reason = "for readers of masks")]
pub(crate) use decode::{Samples, decode_samples};
pub use folder::{TestItem, TestSet, TrainSet};
pub use image::{Frame, Image, OwnedImage, PixelFormat};
pub use layouts::{Category, Dataset, Layout};
pub use levels::Levels;
pub use memory::{Images, MemorySource, Named, Pixels};
pub use noise::{NoiseProtocol, Split, SplitSource, TrainEntry, split};

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
