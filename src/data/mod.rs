//! Folder layouts, decoding, noise protocols, and the procedural set.

mod affine;
mod bayer;
mod bits;
mod convert;
mod decode;
pub(crate) mod encode;
mod exclude;
mod file_source;
mod folder;
mod image;
mod layouts;
mod left_out;
mod levels;
pub(crate) mod list;
mod list_files;
pub(crate) mod mask_file;
mod memory;
mod noise;
mod pixel_format;
mod roi;
mod split_csv;
mod spreadsheet;
pub mod synth;
mod test_set;

pub use affine::Affine;
pub use bits::{SeenBits, find_bits};
pub use decode::{
    DecodeOptions, IMAGE_EXTENSIONS, Kind, Note, Picture, SNIFF_BYTES, decode_bytes, decode_file,
    decode_with_notes, inspect_file, sniff,
};
pub use exclude::Exclude;
pub use file_source::FileSource;
pub use folder::TrainSet;
pub use image::{Frame, Image, OwnedImage};
pub use layouts::{Category, Dataset, Layout, OpenOptions};
pub use left_out::{Left, LeftOut, Reason};
pub use levels::Levels;
pub use list_files::{Listing, list_images, why_left_out};
pub use memory::{Images, MemorySource, Named, Pixels};
pub use noise::{NoiseProtocol, Split, SplitSource, TrainEntry, split};
pub use pixel_format::PixelFormat;
pub use roi::{Roi, WithRoi};
pub use spreadsheet::{csv_guarded, csv_unguarded};
pub use test_set::{TestItem, TestSet};

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
    /// Width and height of image `index` in pixels, as [`ImageSource::load`] will have it; the shape of a model's
    /// frame follows from those of the training images. Decodes it unless the source knows better.
    ///
    /// # Errors
    /// As [`ImageSource::load`].
    fn size(&self, index: usize) -> Result<[u32; 2]> {
        self.load(index).map(|image| [image.width, image.height])
    }
    /// The part of every image that is looked at; `None`: all of it. A fit keeps it in the model.
    fn roi(&self) -> Option<&Roi> {
        None
    }
    /// What a user should know of how the images that were loaded so far were read, a line for each topic.
    fn notes(&self) -> Vec<String> {
        Vec::new()
    }
}
