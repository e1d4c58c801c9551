//! Samples as a file stores them.

use super::{DecodeOptions, bad};
use crate::Result;
use std::path::Path;

/// Samples of a file as stored: no levels, no palette, alpha kept.
#[allow(dead_code, reason = "for readers of masks")]
pub(crate) struct Samples {
    /// Pixels in a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// Samples of a pixel: 1 grey or palette index, 2 grey and alpha, 3 RGB, 4 RGB and alpha.
    pub channels: u32,
    /// `[height][width][channels]`.
    pub values: Vec<u16>,
    /// Bits of a sample that can be set: 1, 2, 4, 8, 10, 12, 14 or 16.
    pub bits: u32,
    /// Whether the values are indices into a palette.
    pub palette: bool,
    /// Whether the last channel is alpha.
    pub alpha: bool,
}

/// Decodes the file at `path` to its samples as stored, turned as EXIF says where `options` ask for it.
///
/// # Errors
/// As [`decode_file`](super::decode_file); besides, floating point and integers of 32 bit are refused.
#[allow(dead_code, reason = "for readers of masks")]
pub(crate) fn decode_samples(path: &Path, options: &DecodeOptions) -> Result<Samples> {
    let bytes = super::read(path, options)?;
    let image = super::decode_image(path, &bytes, options)?;
    use image::DynamicImage as D;
    let wide = |v: Vec<u8>| v.into_iter().map(u16::from).collect();
    let (width, height) = (image.width(), image.height());
    let (channels, bits, values) = match image {
        D::ImageLuma8(i) => (1, 8, wide(i.into_raw())),
        D::ImageLumaA8(i) => (2, 8, wide(i.into_raw())),
        D::ImageRgb8(i) => (3, 8, wide(i.into_raw())),
        D::ImageRgba8(i) => (4, 8, wide(i.into_raw())),
        D::ImageLuma16(i) => (1, 16, i.into_raw()),
        D::ImageLumaA16(i) => (2, 16, i.into_raw()),
        D::ImageRgb16(i) => (3, 16, i.into_raw()),
        D::ImageRgba16(i) => (4, 16, i.into_raw()),
        other => return Err(bad(path, format!("{:?} samples", other.color()), super::CONVERT)),
    };
    Ok(Samples { width, height, channels, values, bits, palette: false, alpha: channels % 2 == 0 })
}
