//! Pixels in memory.

use crate::{Error, Result};

/// Order and depth of the values of a pixel. 16-bit values are in native byte order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PixelFormat {
    /// One byte of grey.
    Gray8,
    /// Two bytes of grey, scaled to 8 bit by dividing by 257 (rounded).
    Gray16,
    /// Red, green, blue.
    Rgb8,
    /// Blue, green, red.
    Bgr8,
    /// Red, green, blue, alpha; alpha is ignored.
    Rgba8,
    /// Blue, green, red, alpha; alpha is ignored.
    Bgra8,
}

impl PixelFormat {
    /// Bytes per pixel.
    pub const fn bytes(self) -> usize {
        match self {
            Self::Gray8 => 1,
            Self::Gray16 => 2,
            Self::Rgb8 | Self::Bgr8 => 3,
            Self::Rgba8 | Self::Bgra8 => 4,
        }
    }
}

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
    /// [`Error::InvalidImage`] where a side is 0, `stride` is smaller than a row, or `pixels` is too short.
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
        let row = width as usize * format.bytes();
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
        Ok(Self { pixels, width, height, stride, format })
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
        &self.pixels[y as usize * self.stride..][..self.width as usize * self.format.bytes()]
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
        let bytes = self.format.bytes();
        let start = y as usize * self.stride + x0 as usize * bytes;
        let row = &self.pixels[start..start + out.len() * bytes];
        let rgb = |r: u8, g: u8, b: u8| u32::from(r) | u32::from(g) << 8 | u32::from(b) << 16;
        for (o, p) in out.iter_mut().zip(row.chunks_exact(bytes)) {
            *o = match self.format {
                PixelFormat::Gray8 => rgb(p[0], p[0], p[0]),
                PixelFormat::Gray16 => {
                    let v = ((u32::from(u16::from_ne_bytes([p[0], p[1]])) + 128) / 257) as u8;
                    rgb(v, v, v)
                }
                PixelFormat::Rgb8 | PixelFormat::Rgba8 => rgb(p[0], p[1], p[2]),
                PixelFormat::Bgr8 | PixelFormat::Bgra8 => rgb(p[2], p[1], p[0]),
            };
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
        let stride = self.width as usize * self.format.bytes();
        Image { pixels: &self.pixels, width: self.width, height: self.height, stride, format: self.format }
    }
}
