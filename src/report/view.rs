//! What a detector sees of an image.

use crate::Result;
use crate::data::OwnedImage;
use crate::steps::input::geometry::Framing;
use crate::steps::input::pixels::{cut, resize_rgb};

/// Brings an image to the frame of a model, antialiased: what the backbone gets, and the ground that the maps
/// of the frame lie on.
///
/// # Errors
/// [`crate::Error::InvalidOption`] as [`Framing::place`]; [`crate::Error::InvalidImage`] where the pixels do
/// not fit the size.
pub fn framed(image: &OwnedImage, framing: Framing) -> Result<OwnedImage> {
    image.as_image()?;
    let placement = framing.place(image.width, image.height)?;
    let resized = resize_rgb(&image.pixels, image.width, image.height, placement.width, placement.height);
    let [height, width] = framing.frame;
    Ok(OwnedImage { width, height, pixels: cut(&resized, 3, placement) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::steps::input::geometry::Way;

    #[test]
    fn the_middle_is_kept() {
        // 12x4: columns 4..8 remain, unscaled.
        let pixels = (0..4).flat_map(|y| (0..12).flat_map(move |x| [x, y, 7])).collect();
        let view = framed(&OwnedImage { width: 12, height: 4, pixels }, Framing::middle(4, 2)).unwrap();
        assert_eq!((view.width, view.height), (2, 2));
        assert_eq!(view.pixels, [5, 1, 7, 6, 1, 7, 5, 2, 7, 6, 2, 7]);
    }

    #[test]
    fn beside_a_picture_its_border_goes_on() {
        let image = OwnedImage { width: 2, height: 1, pixels: vec![1, 1, 1, 9, 9, 9] };
        let view = framed(&image, Framing { frame: [3, 2], way: Way::Pad }).unwrap();
        assert_eq!(view.pixels, [1, 1, 1, 9, 9, 9].repeat(3));
    }
}
