//! Images of the `image` crate (version 0.25).

use super::{Image, OwnedImage, PixelFormat};
use crate::{Error, Result};
use image::{DynamicImage, GrayImage, ImageBuffer, Luma, Rgb, RgbImage, Rgba, RgbaImage};

/// Grey of 16 bit.
type Gray16Image = ImageBuffer<Luma<u16>, Vec<u16>>;
/// Colour of 16 bit.
type Rgb16Image = ImageBuffer<Rgb<u16>, Vec<u16>>;
/// Colour of 16 bit with alpha.
type Rgba16Image = ImageBuffer<Rgba<u16>, Vec<u16>>;

/// As [`decode_file`](super::decode_file) makes it of a file with these pixels.
pub(super) fn to_rgb8(image: DynamicImage) -> Result<OwnedImage, String> {
    let narrow = |v: u16| ((u32::from(v) + 128) / 257) as u8;
    let (width, height) = (image.width(), image.height());
    let pixels = match image {
        DynamicImage::ImageRgb8(i) => return Ok(i.into()),
        DynamicImage::ImageLuma8(i) => return Ok(i.into()),
        DynamicImage::ImageLumaA8(i) => i.pixels().flat_map(|p| [p.0[0]; 3]).collect(),
        DynamicImage::ImageRgba8(i) => i.pixels().flat_map(|p| [p.0[0], p.0[1], p.0[2]]).collect(),
        DynamicImage::ImageLuma16(i) => i.pixels().flat_map(|p| [narrow(p.0[0]); 3]).collect(),
        DynamicImage::ImageLumaA16(i) => i.pixels().flat_map(|p| [narrow(p.0[0]); 3]).collect(),
        DynamicImage::ImageRgb16(i) => i.pixels().flat_map(|p| p.0.map(narrow)).collect(),
        DynamicImage::ImageRgba16(i) => {
            i.pixels().flat_map(|p| [narrow(p.0[0]), narrow(p.0[1]), narrow(p.0[2])]).collect()
        }
        other => return Err(format!("{:?} pixels are not supported", other.color())),
    };
    Ok(OwnedImage { width, height, pixels })
}

impl From<RgbImage> for OwnedImage {
    /// Takes the pixels over.
    fn from(image: RgbImage) -> Self {
        let (width, height) = image.dimensions();
        let mut pixels = image.into_raw();
        // The buffer may be larger than its image.
        pixels.truncate(width as usize * height as usize * 3);
        Self { width, height, pixels }
    }
}

impl From<&RgbImage> for OwnedImage {
    fn from(image: &RgbImage) -> Self {
        image.clone().into()
    }
}

impl From<GrayImage> for OwnedImage {
    fn from(image: GrayImage) -> Self {
        (&image).into()
    }
}

impl From<&GrayImage> for OwnedImage {
    /// Repeats grey in the three channels.
    fn from(image: &GrayImage) -> Self {
        let (width, height) = image.dimensions();
        Self { width, height, pixels: image.pixels().flat_map(|p| [p.0[0]; 3]).collect() }
    }
}

impl TryFrom<DynamicImage> for OwnedImage {
    type Error = Error;

    /// The same pixels as [`decode_file`](super::decode_file) gives: grey is repeated, alpha is dropped,
    /// 16-bit values become `(v + 128) / 257`.
    ///
    /// # Errors
    /// [`Error::InvalidImage`] for floating point, which has no fixed range.
    fn try_from(image: DynamicImage) -> Result<Self> {
        to_rgb8(image)
            .map_err(|e| Error::InvalidImage(format!("{e}; convert them to 8 or 16 bit per channel")))
    }
}

impl TryFrom<&DynamicImage> for OwnedImage {
    type Error = Error;

    /// # Errors
    /// [`Error::InvalidImage`] for floating point, which has no fixed range.
    fn try_from(image: &DynamicImage) -> Result<Self> {
        image.clone().try_into()
    }
}

impl<'a> TryFrom<&'a GrayImage> for Image<'a> {
    type Error = Error;

    /// # Errors
    /// [`Error::InvalidImage`] where there is no pixel.
    fn try_from(image: &'a GrayImage) -> Result<Self> {
        let stride = image.width() as usize;
        Self::new(image.as_raw(), image.width(), image.height(), stride, PixelFormat::Gray8)
    }
}

impl<'a> TryFrom<&'a Gray16Image> for Image<'a> {
    type Error = Error;

    /// # Errors
    /// [`Error::InvalidImage`] where there is no pixel.
    fn try_from(image: &'a Gray16Image) -> Result<Self> {
        let (bytes, stride) = (bytemuck::cast_slice(image.as_raw()), image.width() as usize * 2);
        Self::new(bytes, image.width(), image.height(), stride, PixelFormat::Gray16)
    }
}

impl<'a> TryFrom<&'a RgbImage> for Image<'a> {
    type Error = Error;

    /// # Errors
    /// [`Error::InvalidImage`] where there is no pixel.
    fn try_from(image: &'a RgbImage) -> Result<Self> {
        let stride = image.width() as usize * 3;
        Self::new(image.as_raw(), image.width(), image.height(), stride, PixelFormat::Rgb8)
    }
}

impl<'a> TryFrom<&'a RgbaImage> for Image<'a> {
    type Error = Error;

    /// Alpha is ignored.
    ///
    /// # Errors
    /// [`Error::InvalidImage`] where there is no pixel.
    fn try_from(image: &'a RgbaImage) -> Result<Self> {
        let stride = image.width() as usize * 4;
        Self::new(image.as_raw(), image.width(), image.height(), stride, PixelFormat::Rgba8)
    }
}

impl<'a> TryFrom<&'a Rgb16Image> for Image<'a> {
    type Error = Error;

    /// # Errors
    /// [`Error::InvalidImage`] where there is no pixel.
    fn try_from(image: &'a Rgb16Image) -> Result<Self> {
        let (bytes, stride) = (bytemuck::cast_slice(image.as_raw()), image.width() as usize * 6);
        Self::new(bytes, image.width(), image.height(), stride, PixelFormat::Rgb16)
    }
}

impl<'a> TryFrom<&'a Rgba16Image> for Image<'a> {
    type Error = Error;

    /// Alpha is ignored.
    ///
    /// # Errors
    /// [`Error::InvalidImage`] where there is no pixel.
    fn try_from(image: &'a Rgba16Image) -> Result<Self> {
        let (bytes, stride) = (bytemuck::cast_slice(image.as_raw()), image.width() as usize * 8);
        Self::new(bytes, image.width(), image.height(), stride, PixelFormat::Rgba16)
    }
}

impl<'a> TryFrom<&'a DynamicImage> for Image<'a> {
    type Error = Error;

    /// Borrows the pixels.
    ///
    /// # Errors
    /// [`Error::InvalidImage`] where there is no pixel, and for kinds that no [`PixelFormat`] stands for:
    /// grey with alpha, floating point.
    fn try_from(image: &'a DynamicImage) -> Result<Self> {
        match image {
            DynamicImage::ImageLuma8(i) => i.try_into(),
            DynamicImage::ImageLuma16(i) => i.try_into(),
            DynamicImage::ImageRgb8(i) => i.try_into(),
            DynamicImage::ImageRgba8(i) => i.try_into(),
            DynamicImage::ImageRgb16(i) => i.try_into(),
            DynamicImage::ImageRgba16(i) => i.try_into(),
            other => Err(Error::InvalidImage(format!(
                "{:?} pixels cannot be borrowed; make an OwnedImage of them",
                other.color()
            ))),
        }
    }
}
