//! What a mask file marks.

use super::decode::{DecodeOptions, Samples, decode_file, decode_samples, inspect_file};
use crate::{Error, Result};
use image::metadata::Orientation;
use std::path::Path;

/// A mask as stored: 0 where there is no mark.
#[derive(Clone, Debug)]
pub(crate) struct Marks {
    pub width: u32,
    pub height: u32,
    /// `[height][width]`: class numbers, or grey values.
    pub values: Vec<u16>,
    /// Whether the file's compression blurs values (JPEG), so that they cannot be class numbers.
    pub lossy: bool,
}

/// Reads a mask: the largest channel, and where alpha tells more than the channels, what is opaque.
///
/// # Errors
/// As [`decode_file`].
pub(crate) fn read_marks(path: &Path, options: &DecodeOptions) -> Result<Marks> {
    let samples = decode_samples(path, options)?;
    let (width, height) = (samples.width, samples.height);
    let mut values = marks(&samples);
    if samples.palette {
        // By its colours, since the background need not be the first; by the numbers where all are black.
        let colours = decode_file(path, options)?;
        let largest: Vec<u16> =
            colours.pixels.chunks_exact(3).map(|p| u16::from(p[0].max(p[1]).max(p[2]))).collect();
        if largest.iter().any(|&v| v != 0) {
            values = largest;
        }
    }
    Ok(Marks { width, height, values, lossy: inspect_file(path, options)?.kind == "JPEG" })
}

fn marks(samples: &Samples) -> Vec<u16> {
    let channels = samples.channels.max(1) as usize;
    let pixels = samples.values.chunks_exact(channels);
    if !samples.alpha || channels == 1 {
        return pixels.map(|p| p.iter().copied().max().unwrap_or(0)).collect();
    }
    let split = |p: &[u16]| (p[..channels - 1].iter().copied().max().unwrap_or(0), p[channels - 1]);
    let pairs: Vec<(u16, u16)> = pixels.map(split).collect();
    let same = |of: fn(&(u16, u16)) -> u16| pairs.windows(2).all(|w| of(&w[0]) == of(&w[1]));
    match (same(|p| p.0), same(|p| p.1)) {
        (_, true) => pairs.into_iter().map(|p| p.0).collect(),
        (true, false) => pairs.into_iter().map(|p| p.1).collect(),
        (false, false) => pairs.into_iter().map(|p| if p.1 > 0 { p.0 } else { 0 }).collect(),
    }
}

/// Whether a label image marks nothing.
///
/// # Errors
/// As [`decode_file`].
pub(crate) fn is_blank(path: &Path) -> Result<bool> {
    Ok(read_marks(path, &DecodeOptions::default())?.values.iter().all(|&v| v == 0))
}

/// Width and height of an image as stored, and how it is turned for display.
///
/// # Errors
/// As [`inspect_file`].
pub(crate) fn stored_size(path: &Path, options: &DecodeOptions) -> Result<(u32, u32, Orientation)> {
    let picture = inspect_file(path, options)?;
    let orientation = Orientation::from_exif(picture.orientation).unwrap_or(Orientation::NoTransforms);
    Ok((picture.width, picture.height, orientation))
}

/// Width and height of an image as it is shown under these options.
///
/// # Errors
/// As [`inspect_file`].
pub(crate) fn shown_size(path: &Path, options: &DecodeOptions) -> Result<[u32; 2]> {
    let (width, height, orientation) = stored_size(path, options)?;
    Ok(if options.exif_orientation && swaps_sides(orientation) { [height, width] } else { [width, height] })
}

/// Whether a picture that is turned so has its height for its width.
pub(crate) fn swaps_sides(orientation: Orientation) -> bool {
    use Orientation::{Rotate90, Rotate90FlipH, Rotate270, Rotate270FlipH};
    matches!(orientation, Rotate90 | Rotate270 | Rotate90FlipH | Rotate270FlipH)
}

/// Turns a mask as its image is turned.
///
/// # Errors
/// [`Error::Internal`] where the values are not those of a picture of that size.
pub(crate) fn turned(marks: Marks, orientation: Orientation) -> Result<Marks> {
    let Marks { width, height, values, lossy } = marks;
    let picture = image::ImageBuffer::<image::Luma<u16>, Vec<u16>>::from_raw(width, height, values)
        .ok_or_else(|| Error::Internal(format!("a mask of {width}x{height} lacks values")))?;
    let mut picture = image::DynamicImage::from(picture);
    picture.apply_orientation(orientation);
    let (width, height) = (picture.width(), picture.height());
    Ok(Marks { width, height, values: picture.into_luma16().into_raw(), lossy })
}
