//! 8-bit RGB to PNG and JPEG files.

use super::OwnedImage;
use crate::files::write_whole;
use crate::{Error, Result};
use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, ImageEncoder};
use std::path::Path;

/// Writes an image as an 8-bit RGB PNG, whole or not at all.
///
/// # Errors
/// [`Error::InvalidImage`] where the pixels do not match the size, [`Error::Io`] naming `path`.
pub fn write_png(path: &Path, image: &OwnedImage) -> Result<()> {
    write_whole(path, &png_bytes(image)?)
}

/// Writes a mask (`height * width`, row-major) as an 8-bit grey PNG, 255 where set.
///
/// # Errors
/// As [`write_png`].
pub fn write_mask_png(path: &Path, mask: &[bool], width: u32, height: u32) -> Result<()> {
    let pixels: Vec<u8> = mask.iter().map(|&m| if m { 255 } else { 0 }).collect();
    write_whole(path, &encode(&pixels, width, height, ExtendedColorType::L8, 1)?)
}

/// The image as the bytes of an 8-bit RGB PNG.
///
/// # Errors
/// [`Error::InvalidImage`] where the pixels do not match the size.
pub fn png_bytes(image: &OwnedImage) -> Result<Vec<u8>> {
    encode(&image.pixels, image.width, image.height, ExtendedColorType::Rgb8, 3)
}

/// The image as the bytes of a JPEG of `quality` 1 to 100.
///
/// # Errors
/// [`Error::InvalidImage`] where the pixels do not match the size, and beyond 65 535 pixels a side.
pub(crate) fn jpeg_bytes(image: &OwnedImage, quality: u8) -> Result<Vec<u8>> {
    let &OwnedImage { width, height, ref pixels } = image;
    check(pixels, width, height, 3)?;
    let mut out = Vec::new();
    JpegEncoder::new_with_quality(&mut out, quality)
        .write_image(pixels, width, height, ExtendedColorType::Rgb8)
        .map_err(|e| Error::InvalidImage(format!("{width}x{height} cannot be written as JPEG: {e}")))?;
    Ok(out)
}

/// [`png_bytes`] in as few bytes as there is time for.
pub(crate) fn small_png_bytes(image: &OwnedImage) -> Result<Vec<u8>> {
    let OwnedImage { width, height, ref pixels } = *image;
    encode_with(CompressionType::Best, pixels, width, height, ExtendedColorType::Rgb8, 3)
}

fn check(pixels: &[u8], width: u32, height: u32, bytes: usize) -> Result<()> {
    let need = (width as usize).checked_mul(height as usize).and_then(|n| n.checked_mul(bytes));
    if width == 0 || height == 0 || need != Some(pixels.len()) {
        return Err(Error::InvalidImage(format!(
            "{width}x{height} with {bytes} bytes per pixel does not fit {} bytes",
            pixels.len()
        )));
    }
    Ok(())
}

fn encode(
    pixels: &[u8],
    width: u32,
    height: u32,
    colour: ExtendedColorType,
    bytes: usize,
) -> Result<Vec<u8>> {
    encode_with(CompressionType::Fast, pixels, width, height, colour, bytes)
}

fn encode_with(
    compression: CompressionType,
    pixels: &[u8],
    width: u32,
    height: u32,
    colour: ExtendedColorType,
    bytes: usize,
) -> Result<Vec<u8>> {
    check(pixels, width, height, bytes)?;
    let mut out = Vec::new();
    PngEncoder::new_with_quality(&mut out, compression, FilterType::Adaptive)
        .write_image(pixels, width, height, colour)
        .map_err(|e| Error::InvalidImage(format!("{width}x{height} cannot be written as PNG: {e}")))?;
    Ok(out)
}
