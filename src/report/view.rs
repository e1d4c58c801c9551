//! What a detector sees of an image.

use crate::Result;
use crate::data::OwnedImage;
use crate::steps::input::geometry::resize_shorter_side_geometry;
use crate::steps::input::pixels::{cut, resize_rgb};

/// Brings the shorter side of an image to `resize` pixels, antialiased, and cuts out the centred `crop` x
/// `crop` pixels: what the backbone gets, and the ground that anomaly maps lie on.
///
/// # Errors
/// [`crate::Error::InvalidOption`] where `crop` is 0 or over `resize`, or the sides are too unequal;
/// [`crate::Error::InvalidImage`] where the pixels do not fit the size.
pub fn center_crop(image: &OwnedImage, resize: u32, crop: u32) -> Result<OwnedImage> {
    image.as_image()?;
    let g = resize_shorter_side_geometry(image.width, image.height, resize, crop)?;
    let resized = resize_rgb(&image.pixels, image.width, image.height, g.width, g.height);
    let pixels = cut(&resized, 3, g, crop);
    Ok(OwnedImage { width: crop, height: crop, pixels })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_is_kept() {
        // 12x4: columns 4..8 remain, unscaled.
        let pixels = (0..4).flat_map(|y| (0..12).flat_map(move |x| [x, y, 7])).collect();
        let view = center_crop(&OwnedImage { width: 12, height: 4, pixels }, 4, 2).unwrap();
        assert_eq!((view.width, view.height), (2, 2));
        assert_eq!(view.pixels, [5, 1, 7, 6, 1, 7, 5, 2, 7, 6, 2, 7]);
    }
}
