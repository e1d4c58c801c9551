//! Which part of an image is looked at, and in which size: docs/method.md, section 1.

use crate::{Error, Result};

/// Longest side of a resized image: a table of taps is made for all of it, of which the crop keeps a few.
const LONGEST: u64 = 1 << 20;

/// Size after the resize and where the crop starts in it, in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// Width after the resize.
    pub width: u32,
    /// Height after the resize.
    pub height: u32,
    /// First column of the crop.
    pub left: u32,
    /// First row of the crop.
    pub top: u32,
}

/// Geometry of a resize of the shorter side to `resize`, then a centred crop of `crop` x `crop`.
///
/// The longer side is `resize * long / short` rounded down; the offset is `(side - crop) / 2`, halves to the
/// even number: as torchvision's `Resize(resize)` and `CenterCrop(crop)`.
///
/// # Errors
/// [`Error::InvalidOption`] where a size is 0, the crop is larger than the resized image (torchvision would
/// pad), or the resized image has a side of more than 2^20 pixels.
pub fn resize_shorter_side_geometry(w: u32, h: u32, resize: u32, crop: u32) -> Result<Geometry> {
    if w == 0 || h == 0 || resize == 0 || crop == 0 {
        return Err(Error::InvalidOption(format!(
            "image {w}x{h}, resize {resize}, crop {crop}: sizes must be positive"
        )));
    }
    if crop > resize {
        return Err(Error::InvalidOption(format!(
            "crop {crop} is larger than the resized shorter side {resize}"
        )));
    }
    let long = u64::from(resize) * u64::from(w.max(h)) / u64::from(w.min(h));
    if long > LONGEST {
        return Err(Error::InvalidOption(format!(
            "an image of {w}x{h} is too long and thin: its shorter side becomes {resize}, and the longer one would be \
             {long}"
        )));
    }
    let (width, height) = if w <= h { (resize, long as u32) } else { (long as u32, resize) };
    let offset = |side: u32| (f64::from(side - crop) / 2.0).round_ties_even() as u32;
    Ok(Geometry { width, height, left: offset(width), top: offset(height) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn geometry_is_torchvision_s() {
        let at = |w, h| {
            let g = resize_shorter_side_geometry(w, h, 256, 224).unwrap();
            [g.width, g.height, g.left, g.top]
        };
        assert_eq!(at(1024, 1024), [256, 256, 16, 16]);
        // 256 * 1000 / 700 = 365.7 -> 365; (365 - 224) / 2 = 70.5 -> 70
        assert_eq!(at(1000, 700), [365, 256, 70, 16]);
        // 256 * 1004 / 700 = 367.2 -> 367; (367 - 224) / 2 = 71.5 -> 72
        assert_eq!(at(700, 1004), [256, 367, 16, 72]);
        assert!(matches!(resize_shorter_side_geometry(9, 9, 64, 65), Err(Error::InvalidOption(_))));
        assert!(matches!(resize_shorter_side_geometry(u32::MAX, 1, 64, 64), Err(Error::InvalidOption(_))));
    }
}
