//! Pixels in memory.

use super::PixelFormat;
use super::bayer::demosaic;
use crate::{Error, Result};

/// A borrowed image: rows of pixels, `stride` bytes apart. Images of the `image` crate, version 0.25, become
/// one by `TryFrom`.
///
/// ```
/// use softpatch::data::{Image, PixelFormat};
///
/// // Two rows of two grey pixels, each with two bytes of padding.
/// let buffer = [10, 20, 0, 0, 30, 40, 0, 0];
/// let image = Image::new(&buffer, 2, 2, 4, PixelFormat::Gray8)?;
/// assert_eq!(image.row(1), [30, 40]);
///
/// // Too short a buffer is refused.
/// assert!(Image::new(&buffer[..5], 2, 2, 4, PixelFormat::Gray8).is_err());
///
/// let photo = image::RgbImage::from_pixel(3, 2, image::Rgb([200, 100, 0]));
/// assert_eq!(Image::try_from(&photo)?.row(0)[..3], [200, 100, 0]);
/// # Ok::<(), softpatch::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Image<'a> {
    pixels: &'a [u8],
    width: u32,
    height: u32,
    stride: usize,
    format: PixelFormat,
}

impl<'a> Image<'a> {
    /// Borrows `height` rows of `width` pixels, `stride` bytes apart.
    ///
    /// # Errors
    /// [`Error::InvalidImage`] where a side is 0 (1 for a Bayer mosaic), `stride` is smaller than a row,
    /// `pixels` is too short, or a value of 10, 12 or 14 bit is larger than those have.
    pub fn new(
        pixels: &'a [u8],
        width: u32,
        height: u32,
        stride: usize,
        format: PixelFormat,
    ) -> Result<Self> {
        if width == 0 || height == 0 {
            return Err(Error::InvalidImage(format!("{width}x{height} has no pixels")));
        }
        if format.red().is_some() && width.min(height) < 2 {
            return Err(Error::InvalidImage(format!(
                "{width}x{height} is no Bayer mosaic: it takes two rows and two columns at least"
            )));
        }
        let row = format.row_bytes(width);
        if stride < row {
            return Err(Error::InvalidImage(format!(
                "stride {stride} is smaller than a row of {width} pixels of {format:?} ({row} bytes)"
            )));
        }
        let need = stride.checked_mul(height as usize - 1).and_then(|n| n.checked_add(row));
        if need.is_none_or(|need| pixels.len() < need) {
            return Err(Error::InvalidImage(format!(
                "{width}x{height} {format:?} with stride {stride} needs {} bytes, {} are there",
                need.map_or_else(|| "more than addressable".to_owned(), |n| n.to_string()),
                pixels.len()
            )));
        }
        let image = Self { pixels, width, height, stride, format };
        match format.largest().and_then(|largest| image.beyond(largest)) {
            None => Ok(image),
            Some((x, y, value)) => Err(Error::InvalidImage(format!(
                "column {x} of row {y} is {value}, {format:?} has values up to {}; give the format of the \
                 camera's number of bits, values in this machine's byte order",
                format.largest().unwrap_or_default()
            ))),
        }
    }

    /// Column, row and value of the first pixel of two bytes above `largest`, which is a power of two less 1.
    fn beyond(&self, largest: u16) -> Option<(usize, u32, u16)> {
        let values = |y| {
            let (pairs, _) = self.row(y).as_chunks();
            pairs.iter().map(|pair| u16::from_ne_bytes(*pair))
        };
        // All bits of a row at once: as fast as memory is.
        let y = (0..self.height).find(|y| values(*y).fold(0, |all, v| all | v) > largest)?;
        values(y).enumerate().find(|(_, v)| *v > largest).map(|(x, v)| (x, y, v))
    }

    /// Width in pixels.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Height in pixels.
    pub fn height(&self) -> u32 {
        self.height
    }

    /// Order and depth of the values of a pixel.
    pub fn format(&self) -> PixelFormat {
        self.format
    }

    /// The bytes of row `y`, without the gap after it.
    ///
    /// # Panics
    /// Where the row lies outside the image.
    pub fn row(&self, y: u32) -> &'a [u8] {
        assert!(y < self.height, "row {y} of {}", self.height);
        &self.pixels[y as usize * self.stride..][..self.format.row_bytes(self.width)]
    }

    /// A copy in 8-bit RGB.
    pub fn to_rgb8(&self) -> OwnedImage {
        let mut pixels = Vec::with_capacity(self.width as usize * self.height as usize * 3);
        let mut words = vec![0; self.width as usize];
        for y in 0..self.height {
            self.pack_row(y, 0, &mut words);
            pixels.extend(words.iter().flat_map(|w| [*w as u8, (w >> 8) as u8, (w >> 16) as u8]));
        }
        OwnedImage { width: self.width, height: self.height, pixels }
    }

    /// Writes columns `x0 .. x0 + out.len()` of row `y` as words `r | g << 8 | b << 16`.
    ///
    /// # Panics
    /// Where the row or a column lies outside the image; callers are inside the crate.
    pub(crate) fn pack_row(&self, y: u32, x0: u32, out: &mut [u32]) {
        match self.format.red() {
            None => self.format.unpack(self.row(y), x0 as usize, out),
            Some(red) => {
                let last = self.height - 1;
                let above = if y == 0 { 1 } else { y - 1 };
                let below = if y == last { last - 1 } else { y + 1 };
                demosaic(red, [above, y, below].map(|y| self.row(y)), y, x0 as usize, out);
            }
        }
    }
}

/// An image that owns its pixels: 8-bit RGB, rows without gaps. Images of the `image` crate, version 0.25,
/// become one by `From` or, where not every kind can, by `TryFrom`, with the pixels that
/// [`decode_file`](super::decode_file) gives.
///
/// ```
/// use image::{DynamicImage, GrayImage, RgbImage};
/// use softpatch::data::OwnedImage;
///
/// let image = OwnedImage::from(RgbImage::new(4, 3));
/// assert_eq!((image.width, image.height, image.pixels.len()), (4, 3, 36));
///
/// let grey = OwnedImage::from(GrayImage::from_pixel(4, 3, image::Luma([7])));
/// assert_eq!(grey.pixels, [7; 36]);
///
/// let wide = OwnedImage::try_from(DynamicImage::new_rgba16(4, 3))?;
/// assert_eq!(wide, image);
/// # Ok::<(), softpatch::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnedImage {
    /// Width in pixels, at least 1.
    pub width: u32,
    /// Height in pixels, at least 1.
    pub height: u32,
    /// `height * width * 3` bytes.
    pub pixels: Vec<u8>,
}

impl OwnedImage {
    /// Borrows the pixels.
    ///
    /// # Errors
    /// [`Error::InvalidImage`] where `pixels` does not have `height * width * 3` bytes.
    pub fn as_image(&self) -> Result<Image<'_>> {
        Image::new(&self.pixels, self.width, self.height, self.width as usize * 3, PixelFormat::Rgb8)
    }
}

/// An image that owns its pixels in the format that they came in, rows without gaps: what waits in a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pixels: Vec<u8>,
    width: u32,
    height: u32,
    format: PixelFormat,
}

impl Frame {
    /// Copies `image`, whose rows may have gaps.
    pub fn copy_of(image: &Image<'_>) -> Self {
        let mut frame = Self { pixels: Vec::new(), width: 0, height: 0, format: image.format };
        frame.refill(image);
        frame
    }

    /// Copies `image` into the memory that is there already.
    pub fn refill(&mut self, image: &Image<'_>) {
        self.pixels.clear();
        (self.width, self.height, self.format) = (image.width, image.height, image.format);
        for y in 0..image.height {
            self.pixels.extend_from_slice(image.row(y));
        }
    }

    /// Borrows the pixels.
    pub fn as_image(&self) -> Image<'_> {
        let stride = self.format.row_bytes(self.width);
        Image { pixels: &self.pixels, width: self.width, height: self.height, stride, format: self.format }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the feed takes of a row, which is what the crop sees.
    #[test]
    fn a_part_of_a_row_is_that_of_the_whole() {
        let pixels: Vec<u8> = (0..1024_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 30) as u8).collect();
        for &format in PixelFormat::ALL {
            let image = Image::new(&pixels, 11, 4, 96, format).unwrap();
            for y in 0..4 {
                let mut whole = [0; 11];
                image.pack_row(y, 0, &mut whole);
                for (from, to) in [(1, 11), (2, 3), (5, 9), (10, 11)] {
                    let mut part = vec![0; to - from];
                    image.pack_row(y, from as u32, &mut part);
                    assert_eq!(part, whole[from..to], "{format:?}, row {y}, columns {from} to {to}");
                }
            }
        }
    }
}
