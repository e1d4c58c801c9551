//! Ground-truth masks in the geometry of the anomaly maps.

use super::decode::{DecodeOptions, decode_file, list_images};
use crate::Result;
use crate::reference::resize::crop_mask;
use std::path::Path;

/// Reads a mask and brings it to the geometry of a preprocessed image, see [`crop_mask`]: `crop * crop`
/// values, row by row, true for defect pixels. A mask of colour takes the largest channel. A folder stands
/// for the union of all masks in it, as MVTec LOCO has them.
///
/// # Errors
/// Those of [`decode_file`] and [`crop_mask`].
pub fn load_mask(path: impl AsRef<Path>, resize: u32, crop: u32) -> Result<Vec<bool>> {
    let path = path.as_ref();
    if path.is_dir() {
        let mut union = vec![false; crop as usize * crop as usize];
        for part in list_images(path)? {
            for (pixel, marked) in union.iter_mut().zip(load_mask(part, resize, crop)?) {
                *pixel |= marked;
            }
        }
        return Ok(union);
    }
    let image = decode_file(path, &DecodeOptions::default())?;
    let grey: Vec<u8> = image.pixels.chunks_exact(3).map(|p| p[0].max(p[1]).max(p[2])).collect();
    crop_mask(&grey, image.width, image.height, resize, crop)
}
