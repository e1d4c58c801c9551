//! Resize, crop and normalisation: docs/method.md, section 1.

use crate::Result;
use crate::steps::input::geometry::Framing;
use crate::steps::input::pixels::{check_len, cut, resize_rgb};

/// Brings RGB `[h][w][3]` to the backbone's input `[rows][columns][4]`: `(v - mean) / std` with mean and std
/// in units of 8-bit values (ImageNet's times 255; EfficientNet-Lite: 127 and 128), the fourth channel 0.
///
/// # Errors
/// As [`Framing::place`]; [`crate::Error::InvalidImage`] where `rgb` is not of `w * h * 3`
/// bytes.
pub fn preprocess(
    rgb: &[u8],
    w: u32,
    h: u32,
    framing: Framing,
    mean: [f32; 3],
    std: [f32; 3],
) -> Result<Vec<f32>> {
    let placement = framing.place(w, h)?;
    check_len(rgb, w, h, 3)?;
    let resized = resize_rgb(rgb, w, h, placement.width, placement.height);
    let mut out = Vec::with_capacity(framing.frame[0] as usize * framing.frame[1] as usize * 4);
    for pixel in cut(&resized, 3, placement).chunks_exact(3) {
        for c in 0..3 {
            out.push(((f64::from(pixel[c]) - f64::from(mean[c])) / f64::from(std[c])) as f32);
        }
        out.push(0.0);
    }
    Ok(out)
}
