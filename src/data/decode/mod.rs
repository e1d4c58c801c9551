//! Image files to 8-bit RGB.

mod bmp;
mod gif;
mod jpeg;
mod kind;
mod library;
mod picture;
mod png;
mod pnm;
mod raster;
mod samples;
mod tiff;

use super::{Levels, OwnedImage};
use crate::{Error, Result};
use kind::Container;
use raster::{Fault, Raster};
use std::io::Read;
use std::path::Path;

pub(super) use kind::by_suffix;
pub use kind::{Kind, SNIFF_BYTES, sniff};
pub use picture::{Note, Picture};
pub(crate) use samples::Samples;

/// Extensions that [`list_images`](super::list_images) takes for images whatever is inside, in lower case;
/// case does not matter in file names. What is inside a file is found out from its content, never from its
/// extension.
pub const IMAGE_EXTENSIONS: &[&str] = &[
    "png", "jpg", "jpeg", "jfif", "jpe", "bmp", "dib", "tif", "tiff", "webp", "gif", "pbm", "pgm", "ppm",
    "pnm", "qoi",
];

const CONVERT: &str = "Convert it to a PNG, TIFF or ordinary JPEG file with 8 or 16 bit per channel";
const DAMAGED: &str = "The file is damaged or was cut off: copy or export it again, or leave it out";

/// How files are decoded.
#[derive(Clone, Debug, PartialEq)]
pub struct DecodeOptions {
    /// Turn and mirror the image as its EXIF orientation says. Off by default: pixels as they are stored, as
    /// the published programs read them, and as ground-truth masks are usually drawn.
    pub exif_orientation: bool,
    /// Largest `width * height` that is decoded; a larger one is refused from its header, before memory is
    /// taken.
    pub max_pixels: u64,
    /// What becomes black and white of samples of more than 8 bit.
    pub levels: Levels,
}

impl Default for DecodeOptions {
    fn default() -> Self {
        Self { exif_orientation: false, max_pixels: 400_000_000, levels: Levels::Found }
    }
}

/// Decodes an image file to 8-bit RGB: JPEG, PNG, BMP, TIFF and BigTIFF, WebP, GIF, QOI, PBM, PGM, PPM, PAM.
/// The content counts, not the name.
///
/// Grey is repeated in the three channels, palettes are resolved, alpha is ignored (dropped, not blended),
/// CMYK becomes RGB without a profile. Samples of more than 8 bit become 8 as [`DecodeOptions::levels`] says,
/// at first `(v + 128) / 257` for 16. Colour profiles and gamma are not applied. Of several pages or frames
/// the first is taken. [`decode_with_notes`] says what of this was done.
///
/// A file cut off before its last pixel is refused, whatever ends it; damage in the middle of a file where
/// its format can tell.
///
/// # Errors
/// [`Error::Image`] where the file is missing, empty, a folder, not an image, of an unsupported kind (which
/// is named), cut off, or larger than `max_pixels`, and where the levels do not fit its samples: floating
/// point and integers of 32 bit need a range, and a value past [`Levels::Bits`] is an error. [`Error::Io`]
/// where it cannot be read.
pub fn decode_file(path: impl AsRef<Path>, options: &DecodeOptions) -> Result<OwnedImage> {
    let path = path.as_ref();
    decode_bytes(path, &read(path, options)?, options)
}

/// The content of the file at `path`.
fn read(path: &Path, options: &DecodeOptions) -> Result<Vec<u8>> {
    let meta = match std::fs::metadata(path) {
        Ok(meta) => meta,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            return Err(bad(path, "there is no such file", "Check the path"));
        }
        Err(e) => return Err(Error::io(path, "reading", e)),
    };
    if meta.is_dir() {
        return Err(bad(path, "it is a folder", "Name a file, or list the folder's images"));
    }
    if !meta.is_file() {
        return Err(bad(path, "it is a device or a pipe", "Name a regular file"));
    }
    // No format here needs more than 8 bytes per pixel; the rest is room for metadata.
    let largest = options.max_pixels.saturating_mul(8).saturating_add(64 << 20);
    if meta.len() > largest {
        return Err(too_large(path, format!("the file has {} bytes", meta.len()), options));
    }
    std::fs::read(path).map_err(|e| Error::io(path, "reading", e))
}

/// Decodes the content of an image file, as [`decode_file`] does; `name` stands for the file in messages.
///
/// # Errors
/// As [`decode_file`].
pub fn decode_bytes(name: impl AsRef<Path>, bytes: &[u8], options: &DecodeOptions) -> Result<OwnedImage> {
    let name = name.as_ref();
    guarded(name, || rgb8(name, raster(name, bytes, options)?, options))
}

/// Decodes as [`decode_file`] does, and says what a user should know of how the file was read.
///
/// # Errors
/// As [`decode_file`].
pub fn decode_with_notes(path: impl AsRef<Path>, options: &DecodeOptions) -> Result<(OwnedImage, Vec<Note>)> {
    let path = path.as_ref();
    let raster = guarded(path, || raster(path, &read(path, options)?, options))?;
    let mut notes = raster.picture.notes.clone();
    let is_deep = raster.picture.is_deep() && !matches!(raster.colour, raster::Colour::Palette(_));
    if options.levels == Levels::Found && is_deep && raster.picture.tagged_bits.is_none() {
        let largest = raster.largest().unwrap_or(0);
        notes.push(Note::Depth(u32::BITS - largest.leading_zeros()));
    }
    notes.extend(raster.level_note(options.levels));
    let turned = options.exif_orientation || !(2..=8).contains(&raster.picture.orientation);
    notes.extend((!turned).then_some(Note::NotTurned));
    Ok((rgb8(path, raster, options)?, notes))
}

/// What the header of the file at `path` says. No pixels are decoded, so damage among them stays unnoticed,
/// and of alpha it is not said whether it is constant.
///
/// # Errors
/// As [`decode_file`], where the header shows the cause.
pub fn inspect_file(path: impl AsRef<Path>, options: &DecodeOptions) -> Result<Picture> {
    let path = path.as_ref();
    guarded(path, || {
        if let Some(picture) = start_says(path) {
            return Ok(picture);
        }
        let bytes = read(path, options)?;
        let container = container(path, &bytes)?;
        container.header(&bytes).map_err(|fault| error(path, fault, options))
    })
}

/// The header by the first bytes of a JPEG or PNG, where they hold it: sets have thousands of such files.
fn start_says(path: &Path) -> Option<Picture> {
    // Room for an EXIF block, the largest of the segments before a JPEG's frame.
    const START: u64 = 80 << 10;
    if !std::fs::metadata(path).ok()?.is_file() {
        return None;
    }
    let mut start = Vec::new();
    std::fs::File::open(path).ok()?.take(START).read_to_end(&mut start).ok()?;
    let container = sniff(&start)?.container?;
    matches!(container, Container::Jpeg | Container::Png).then(|| container.header(&start).ok()).flatten()
}

/// Decodes the file at `path` to its samples as stored, turned as EXIF says where `options` ask for it.
///
/// # Errors
/// As [`decode_file`]; besides, floating point and integers of 32 bit are refused.
pub(crate) fn decode_samples(path: &Path, options: &DecodeOptions) -> Result<Samples> {
    let raster = guarded(path, || raster(path, &read(path, options)?, options))?;
    Samples::new(raster).map_err(|fault| error(path, fault, options))
}

/// What a file says of its depth.
pub(super) struct Depth {
    /// Bits by tags; 16 where they say that values fill the range.
    pub tagged: Option<u32>,
    /// The largest value, where no tag made that needless.
    pub largest: Option<u32>,
}

/// Depth of the file at `path`; none where its samples are not integers of 9 to 16 bit.
pub(super) fn depth(path: &Path, options: &DecodeOptions) -> Result<Option<Depth>> {
    guarded(path, || {
        if start_says(path).is_some_and(|header| !header.is_deep()) {
            return Ok(None);
        }
        let bytes = read(path, options)?;
        let container = container(path, &bytes)?;
        let header = container.header(&bytes).map_err(|fault| error(path, fault, options))?;
        if !header.is_deep() {
            return Ok(None);
        }
        // Whether a PNG's samples are scaled up to 16 bit, its pixels tell.
        if header.tagged_bits.is_some() && container != Container::Png {
            return Ok(Some(Depth { tagged: header.tagged_bits, largest: None }));
        }
        let raster = raster(path, &bytes, options)?;
        let tagged = header.tagged_bits.map(|_| raster.picture.tagged_bits.unwrap_or(16));
        let deep = !matches!(raster.colour, raster::Colour::Palette(_));
        Ok(deep.then(|| Depth { tagged, largest: raster.largest() }))
    })
}

/// The decoders are other people's code on untrusted bytes: a panic in one is a bad file, not the end of a
/// run.
fn guarded<T>(name: &Path, work: impl FnOnce() -> Result<T>) -> Result<T> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(work))
        .unwrap_or_else(|_| Err(bad(name, "the decoder broke down on it", DAMAGED)))
}

fn raster(name: &Path, bytes: &[u8], options: &DecodeOptions) -> Result<Raster> {
    let decoded = container(name, bytes)?.decode(bytes, options.max_pixels);
    let mut raster = decoded.map_err(|fault| error(name, fault, options))?;
    raster.note_alpha();
    if options.exif_orientation && (2..=8).contains(&raster.picture.orientation) {
        raster.turn(raster.picture.orientation);
    }
    Ok(raster)
}

fn rgb8(name: &Path, raster: Raster, options: &DecodeOptions) -> Result<OwnedImage> {
    raster.into_rgb8(options.levels).map_err(|fault| error(name, fault, options))
}

fn container(name: &Path, bytes: &[u8]) -> Result<Container> {
    if bytes.is_empty() {
        return Err(bad(name, "the file is empty (0 bytes)", DAMAGED));
    }
    let kind = sniff(bytes).or_else(|| kind::by_suffix(name));
    let kind = kind.ok_or_else(|| bad(name, "its content is that of no known image format", CONVERT))?;
    kind.container
        .ok_or_else(|| bad(name, format!("it is {}, which is not supported", kind.with_article()), CONVERT))
}

impl Container {
    fn header(self, bytes: &[u8]) -> raster::Read<Picture> {
        match self {
            Self::Bmp => bmp::header(bytes),
            Self::Gif => gif::header(bytes),
            Self::Jpeg => jpeg::header(bytes),
            Self::Png => png::header(bytes),
            Self::Pnm => pnm::header(bytes),
            Self::Qoi => library::qoi_header(bytes),
            Self::Tiff => tiff::header(bytes),
            Self::WebP => library::webp_header(bytes),
        }
    }

    fn decode(self, bytes: &[u8], max_pixels: u64) -> raster::Read<Raster> {
        match self {
            Self::Bmp => bmp::decode(bytes, max_pixels),
            Self::Gif => gif::decode(bytes, max_pixels),
            Self::Jpeg => jpeg::decode(bytes, max_pixels),
            Self::Png => png::decode(bytes, max_pixels),
            Self::Pnm => pnm::decode(bytes, max_pixels),
            Self::Qoi => library::qoi(bytes, max_pixels),
            Self::Tiff => tiff::decode(bytes, max_pixels),
            Self::WebP => library::webp(bytes, max_pixels),
        }
    }
}

fn bad(path: &Path, reason: impl Into<String>, remedy: &'static str) -> Error {
    Error::Image { path: path.to_owned(), reason: reason.into(), remedy }
}

fn too_large(path: &Path, what: impl std::fmt::Display, options: &DecodeOptions) -> Error {
    bad(
        path,
        format!("{what}, the limit is {} pixels", options.max_pixels),
        "Scale the image down, or raise `DecodeOptions::max_pixels`",
    )
}

fn error(path: &Path, fault: Fault, options: &DecodeOptions) -> Error {
    match fault {
        Fault::Unsupported(what) => bad(path, format!("it is {what}, which is not supported"), CONVERT),
        Fault::Damaged(reason) => bad(path, reason, DAMAGED),
        Fault::TooLarge(what) => too_large(path, what, options),
        Fault::Levels(reason, remedy) => bad(path, reason, remedy),
    }
}
