//! Ground-truth masks in the geometry of the anomaly maps.

use super::decode::{DecodeOptions, decode_file};
use crate::Result;
use crate::reference::resize::crop_mask;
use std::path::Path;

/// Reads a mask and brings it to the geometry of a preprocessed image, see [`crop_mask`]: `crop * crop` values, row by
/// row, true for defect pixels. A mask of colour takes the largest channel.
///
/// # Errors
/// Those of [`decode_file`] and [`crop_mask`].
pub fn load_mask(path: impl AsRef<Path>, resize: u32, crop: u32) -> Result<Vec<bool>> {
    let image = decode_file(path, &DecodeOptions::default())?;
    let grey: Vec<u8> = image.pixels.chunks_exact(3).map(|p| p[0].max(p[1]).max(p[2])).collect();
    crop_mask(&grey, image.width, image.height, resize, crop)
}
