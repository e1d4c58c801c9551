//! Resize, crop and normalisation: docs/method.md, section 1.

use crate::Result;
use crate::steps::input::geometry::resize_shorter_side_geometry;
use crate::steps::input::pixels::{check_len, cut, resize_rgb};

/// Brings RGB `[h][w][3]` to the backbone's input `[crop][crop][4]`: `(v - mean) / std` with mean and std in
/// units of 8-bit values (ImageNet's times 255; EfficientNet-Lite: 127 and 128), the fourth channel 0.
///
/// # Errors
/// As [`resize_shorter_side_geometry`]; [`crate::Error::InvalidImage`] where `rgb` is not of `w * h * 3`
/// bytes.
pub fn preprocess(
    rgb: &[u8],
    w: u32,
    h: u32,
    resize: u32,
    crop: u32,
    mean: [f32; 3],
    std: [f32; 3],
) -> Result<Vec<f32>> {
    let geometry = resize_shorter_side_geometry(w, h, resize, crop)?;
    check_len(rgb, w, h, 3)?;
    let resized = resize_rgb(rgb, w, h, geometry.width, geometry.height);
    let mut out = Vec::with_capacity(crop as usize * crop as usize * 4);
    for pixel in cut(&resized, 3, geometry, crop).chunks_exact(3) {
        for c in 0..3 {
            out.push(((f64::from(pixel[c]) - f64::from(mean[c])) / f64::from(std[c])) as f32);
        }
        out.push(0.0);
    }
    Ok(out)
}
