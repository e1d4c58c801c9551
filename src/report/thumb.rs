//! Small pictures for pages that show many.

use super::heat::{check, contour, overlay, place};
use crate::data::OwnedImage;
use crate::data::encode::jpeg_bytes;
use crate::{Error, Result};
use image::imageops::{FilterType, resize, thumbnail};
use image::{ImageBuffer, Luma, Rgb};

/// Sample quality of the JPEG files, of 100: the line of the threshold stays a line.
const QUALITY: u8 = 80;
/// Line around the ground truth.
const TRUTH: [u8; 3] = [255, 255, 255];

/// What is drawn over a picture. Maps and masks lie over the whole picture, whatever their own size.
#[derive(Clone, Copy, Debug)]
pub struct Drawing<'a> {
    /// Values of the map, row by row, in any unit.
    pub map: &'a [f32],
    /// Width and height of the map.
    pub size: [u32; 2],
    /// Map values drawn coldest and hottest.
    pub range: (f32, f32),
    /// A line around what passes it, in the map's unit.
    pub threshold: Option<f32>,
    /// Ground truth with as many values as the map, true on a defect, which gets a white line.
    pub truth: Option<&'a [bool]>,
}

/// A picture, and the same with its map over it, as two JPEG files of one size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thumb {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// The picture.
    pub picture: Vec<u8>,
    /// The picture with what was drawn over it.
    pub overlay: Vec<u8>,
}

impl Thumb {
    /// Scales a picture down so that its longer side has at most `side` pixels, and draws over it. At 160 pixels
    /// the two files take 5 to 12 KB together.
    ///
    /// # Errors
    /// [`Error::InvalidImage`] where pixels, map or truth do not fit their sizes; [`Error::InvalidOption`] for a
    /// side of 0.
    ///
    /// ```
    /// use softpatch::data::OwnedImage;
    /// use softpatch::report::{Drawing, Thumb};
    ///
    /// let image = OwnedImage { width: 640, height: 480, pixels: vec![90; 3 * 640 * 480] };
    /// // A map of 4 columns and 3 rows, as a grid of patches has it.
    /// let mut map = [0.2; 12];
    /// map[5] = 3.0;
    /// let drawing = Drawing { map: &map, size: [4, 3], range: (0.5, 2.5), threshold: Some(1.0), truth: None };
    /// let thumb = Thumb::new(&image, &drawing, 160)?;
    /// assert_eq!((thumb.width, thumb.height), (160, 120));
    /// # Ok::<(), softpatch::Error>(())
    /// ```
    pub fn new(image: &OwnedImage, drawing: &Drawing<'_>, side: u32) -> Result<Self> {
        let [width, height] = drawing.size;
        check(drawing.map, height, width)?;
        let small = shrunk(image, side)?;
        let size = [small.width, small.height];
        // Lines and colours are drawn at the size in which they are looked at.
        let places: Vec<f32> = drawing.map.iter().map(|&v| place(v, drawing.range)).collect();
        let map = fitted(&places, drawing.size, size);
        let line = drawing.threshold.map(|threshold| place(threshold, drawing.range));
        let mut drawn = overlay(&small, &map, (0.0, 1.0), line)?;
        if let Some(truth) = drawing.truth {
            let truth: Vec<f32> = truth.iter().map(|&t| if t { 1.0 } else { 0.0 }).collect();
            check(&truth, height, width)?;
            contour(&mut drawn, &fitted(&truth, drawing.size, size), 0.5, TRUTH)?;
        }
        let (picture, overlay) = (jpeg_bytes(&small, QUALITY)?, jpeg_bytes(&drawn, QUALITY)?);
        Ok(Self { width: small.width, height: small.height, picture, overlay })
    }
}

/// The picture, scaled down where its longer side passes `side` pixels.
fn shrunk(image: &OwnedImage, side: u32) -> Result<OwnedImage> {
    image.as_image()?;
    if side == 0 {
        return Err(Error::InvalidOption("a small picture of 0 pixels; give it a side of 1 or more".into()));
    }
    let longest = image.width.max(image.height);
    if longest <= side {
        return Ok(image.clone());
    }
    let scaled = |length: u32| {
        let (length, side, longest) = (u64::from(length), u64::from(side), u64::from(longest));
        ((length * side + longest / 2) / longest).max(1) as u32
    };
    let (width, height) = (scaled(image.width), scaled(image.height));
    let view: Option<ImageBuffer<Rgb<u8>, &[u8]>> =
        ImageBuffer::from_raw(image.width, image.height, image.pixels.as_slice());
    let pixels = view.map(|view| {
        // Means of boxes are quick, and good where boxes have many pixels.
        if longest >= 3 * side {
            thumbnail(&view, width, height)
        } else {
            resize(&view, width, height, FilterType::Triangle)
        }
    });
    Ok(OwnedImage { width, height, pixels: pixels.map(ImageBuffer::into_raw).unwrap_or_default() })
}

/// Values brought from one width and height to another.
fn fitted(values: &[f32], from: [u32; 2], to: [u32; 2]) -> Vec<f32> {
    let view: Option<ImageBuffer<Luma<f32>, &[f32]>> = ImageBuffer::from_raw(from[0], from[1], values);
    let scaled = view.map(|view| {
        if from[0] >= 3 * to[0] && from[1] >= 3 * to[1] {
            thumbnail(&view, to[0], to[1])
        } else {
            resize(&view, to[0], to[1], FilterType::Triangle)
        }
    });
    scaled.map(ImageBuffer::into_raw).unwrap_or_default()
}
