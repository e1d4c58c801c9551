//! Ground-truth masks in the geometry of the anomaly maps.

use crate::Result;
use crate::data::{DecodeOptions, decode_file, list_images};
use crate::steps::input::geometry::resize_shorter_side_geometry;
use crate::steps::input::pixels::{check_len, cut, resize_gray};
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
        for part in list_images(path)?.images {
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

/// Brings a defect mask `[h][w]` to `[crop][crop]`, by the geometry of the image: true for defect pixels.
///
/// A hard mask (0 and one other value, or class numbers below 128) is first brought to 0 and 255, and a pixel
/// is a defect where its resized value is still 255: all that it covers was marked, as in the published
/// evaluation, which truncates to whole numbers. A soft mask (other grey values) is a defect where the
/// resized value is at least half of 255.
///
/// # Errors
/// As [`resize_shorter_side_geometry`]; [`crate::Error::InvalidImage`] where `gray` is not of `w * h` bytes.
pub fn crop_mask(gray: &[u8], w: u32, h: u32, resize: u32, crop: u32) -> Result<Vec<bool>> {
    let geometry = resize_shorter_side_geometry(w, h, resize, crop)?;
    check_len(gray, w, h, 1)?;
    let largest = gray.iter().copied().max().unwrap_or(0);
    let hard = largest < 128 || gray.iter().all(|&v| v == 0 || v == largest);
    let gray: Vec<u8> = gray.iter().map(|&v| if hard && v != 0 { 255 } else { v }).collect();
    let resized = resize_gray(&gray, w, h, geometry.width, geometry.height);
    let threshold = if hard { 255 } else { 128 };
    Ok(cut(&resized, 1, geometry, crop).into_iter().map(|v| v >= threshold).collect())
}
