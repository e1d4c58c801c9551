//! Whether a picture is one that a model keeps of its training pictures.

use super::Detector;
use super::verify::{decoded, smaller};
use crate::Result;
use crate::data::OwnedImage;

/// The training pictures that a model keeps ([`Detector::keep_references`]), in pixels: those that another
/// picture is known to be, whatever its path.
#[derive(Clone, Debug, Default)]
pub struct KeptPictures(Vec<(String, OwnedImage)>);

impl Detector {
    /// The pictures that the model keeps and has rows of. A few at most: of a training picture that is not
    /// kept nothing tells.
    ///
    /// # Errors
    /// [`crate::Error::Model`] where they are damaged.
    pub fn kept_pictures(&self) -> Result<KeptPictures> {
        let kept = self.model.references.iter().flat_map(|kept| &kept.pictures);
        let trained = kept.filter(|picture| self.info().images.contains(&picture.name));
        trained.map(|p| Ok((p.name.clone(), decoded(p)?))).collect::<Result<_>>().map(KeptPictures)
    }
}

impl KeptPictures {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Name in the model of the one that was kept of `picture`, which is decoded with the model's settings;
    /// `None`: it is another picture, pixel by pixel.
    ///
    /// # Errors
    /// [`crate::Error::InvalidImage`] where the pixels do not fit the size.
    pub fn find(&self, picture: &OwnedImage) -> Result<Option<&str>> {
        picture.as_image()?;
        let mut made: Vec<OwnedImage> = Vec::new();
        for (name, kept) in &self.0 {
            let size = [kept.width, kept.height];
            // A picture is kept as it is, or smaller.
            if kept == picture {
                return Ok(Some(name));
            }
            if size[0] > picture.width || size[1] > picture.height || size == [picture.width, picture.height]
            {
                continue;
            }
            if !made.iter().any(|small| [small.width, small.height] == size) {
                made.push(smaller(picture, size)?);
            }
            if made.contains(kept) {
                return Ok(Some(name));
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_is_known_as_it_is_kept() {
        let picture = |width: u32, height: u32, more: u32| {
            let value = |i: u32| ((i * 7 + more) % 251) as u8;
            OwnedImage { width, height, pixels: (0..3 * width * height).map(value).collect() }
        };
        let (large, small) = (picture(40, 20, 0), picture(12, 9, 3));
        let kept = KeptPictures(vec![
            ("small".to_owned(), small.clone()),
            ("large".to_owned(), smaller(&large, [16, 8]).unwrap()),
        ]);
        assert_eq!(kept.find(&large).unwrap(), Some("large"));
        assert_eq!(kept.find(&small).unwrap(), Some("small"));
        for other in [picture(40, 20, 1), picture(12, 9, 4), picture(3, 3, 0)] {
            assert_eq!(kept.find(&other).unwrap(), None);
        }
        assert!(kept.find(&OwnedImage { width: 9, height: 9, pixels: Vec::new() }).is_err());
    }
}
