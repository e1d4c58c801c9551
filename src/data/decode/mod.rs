//! Image files to 8-bit RGB.

mod kind;
mod samples;

use super::convert::to_rgb8;
use super::{ImageSource, Levels, OwnedImage};
use crate::{Error, Result};
use image::metadata::Orientation;
use image::{ColorType, DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits};
use std::borrow::Cow;
use std::io::Cursor;
use std::path::{Path, PathBuf};

pub use kind::{Kind, SNIFF_BYTES, sniff};
pub(crate) use samples::{Samples, decode_samples};

/// Extensions that [`list_images`](super::list_images) takes for images, in lower case; case does not matter
/// in file names. What
/// is inside a file is found out from its content, never from its extension.
pub const IMAGE_EXTENSIONS: &[&str] = &["png", "jpg", "jpeg", "bmp", "tif", "tiff", "webp"];

const CONVERT: &str = "Convert it to a PNG, JPEG, BMP, TIFF or WebP file with 8 or 16 bit per channel";
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

/// Decodes a PNG, JPEG, BMP, TIFF or WebP file to 8-bit RGB.
///
/// Grey is repeated in the three channels, palettes are resolved, alpha is ignored (dropped, not blended),
/// 16-bit values become `(v + 128) / 257`. Colour profiles and gamma are not applied. Of a file with several
/// images the first is taken. TIFF with a palette, with grey and alpha, or with samples of 32 bit is refused.
/// A file cut off before its last pixel is refused; damage in the middle of a file only where its format can
/// tell, which JPEG mostly cannot.
///
/// # Errors
/// [`Error::Image`] where the file is missing, empty, a folder, not an image, of an unsupported kind
/// (floating point among them), cut off, or larger than `max_pixels`; [`Error::Io`] where it cannot be read.
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
    // The decoders are other people's code on untrusted bytes: a panic in one is a bad file, not the end of a
    // run.
    std::panic::catch_unwind(|| decode(name, bytes, options))
        .unwrap_or_else(|_| Err(bad(name, "the decoder broke down on it", DAMAGED)))
}

fn decode(name: &Path, bytes: &[u8], options: &DecodeOptions) -> Result<OwnedImage> {
    to_rgb8(decode_image(name, bytes, options)?).map_err(|reason| bad(name, reason, CONVERT))
}

fn decode_image(name: &Path, bytes: &[u8], options: &DecodeOptions) -> Result<DynamicImage> {
    if bytes.is_empty() {
        return Err(bad(name, "the file is empty (0 bytes)", DAMAGED));
    }
    let Ok(format) = image::guess_format(bytes) else {
        return Err(bad(name, "its content is that of no known image format", CONVERT));
    };
    if !format.reading_enabled() {
        return Err(bad(name, format!("{format:?} files are not supported"), CONVERT));
    }
    if format == ImageFormat::Jpeg && !jpeg_is_complete(bytes) {
        // The decoder fills the missing part with grey and says nothing.
        return Err(bad(name, "the JPEG data ends too early", DAMAGED));
    }
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(options.max_pixels.saturating_mul(8).saturating_add(64 << 20));
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(|e| from_image_error(name, e, options))?;

    let (width, height) = decoder.dimensions();
    if width == 0 || height == 0 {
        return Err(bad(name, format!("{width}x{height} has no pixels"), DAMAGED));
    }
    if u64::from(width) * u64::from(height) > options.max_pixels {
        return Err(too_large(name, format!("{width}x{height}"), options));
    }
    if matches!(decoder.color_type(), ColorType::Rgb32F | ColorType::Rgba32F) {
        return Err(bad(name, "floating-point samples have no fixed range", CONVERT));
    }
    let orientation = if options.exif_orientation {
        // A broken EXIF block says nothing about the pixels.
        decoder.orientation().unwrap_or(Orientation::NoTransforms)
    } else {
        Orientation::NoTransforms
    };
    let mut image = DynamicImage::from_decoder(decoder).map_err(|e| from_image_error(name, e, options))?;
    image.apply_orientation(orientation);
    Ok(image)
}

/// Whether the marker segments and the entropy-coded data run up to an end-of-image marker of the main image
/// (those of embedded thumbnails lie inside segments and are jumped over).
fn jpeg_is_complete(bytes: &[u8]) -> bool {
    let mut at = 2;
    loop {
        let Some(marker) = bytes.get(at..).and_then(|rest| rest.iter().position(|&b| b == 0xff)) else {
            return false;
        };
        at += marker + 1;
        match bytes.get(at) {
            None => return false,
            Some(0xd9) => return true,
            Some(0xff) => {} // fill byte: this one may start a marker
            Some(0x00 | 0x01 | 0xd0..=0xd8) => at += 1, // stuffed byte or a marker without content
            Some(_) => match bytes.get(at + 1..at + 3) {
                Some(length) => at += 1 + usize::from(u16::from_be_bytes([length[0], length[1]])),
                None => return false,
            },
        }
    }
}

/// Image files, decoded when they are asked for.
#[derive(Clone, Debug)]
pub struct FileSource {
    paths: Vec<PathBuf>,
    options: DecodeOptions,
}

impl FileSource {
    /// The files in `paths`, in that order.
    pub fn new(paths: Vec<PathBuf>, options: DecodeOptions) -> Self {
        Self { paths, options }
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
        decode_file(&self.paths[index], &self.options).map(Cow::Owned)
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

fn from_image_error(path: &Path, error: ImageError, options: &DecodeOptions) -> Error {
    match error {
        ImageError::Unsupported(e) => bad(path, e.to_string(), CONVERT),
        ImageError::Limits(e) => too_large(path, e, options),
        ImageError::IoError(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => {
            bad(path, "the data ends too early", DAMAGED)
        }
        other => bad(path, other.to_string().trim_end_matches('.'), DAMAGED),
    }
}
