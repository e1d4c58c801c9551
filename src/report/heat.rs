//! Anomaly maps as pictures.

use super::colormap;
use crate::data::OwnedImage;
use crate::{Error, Result};

/// Where a value lies in `range`, 0 .. 1; 0 for NaN, and for an empty range all that is not above it.
pub(super) fn place(value: f32, range: (f32, f32)) -> f32 {
    let width = range.1 - range.0;
    if width > 0.0 {
        let t = (value - range.0) / width;
        if t.is_nan() { 0.0 } else { t.clamp(0.0, 1.0) }
    } else if value > range.1 {
        1.0
    } else {
        0.0
    }
}

pub(super) fn check(map: &[f32], height: u32, width: u32) -> Result<()> {
    let need = (height as usize).checked_mul(width as usize);
    if height == 0 || width == 0 || need != Some(map.len()) {
        return Err(Error::InvalidImage(format!(
            "a map of {height}x{width} does not have {} values",
            map.len()
        )));
    }
    Ok(())
}

/// A map (`height * width` values, row-major, any unit) as colours: `range.0` and below is near black,
/// `range.1` and above pale yellow (see [`colormap`]).
///
/// # Errors
/// [`Error::InvalidImage`] where the number of values does not match the size.
///
/// ```
/// use softpatch::report::{heatmap, write_png};
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("map.png");
///
/// // Two rows of three values, as `Score::map` has them row by row.
/// let map = [0.1, 0.2, 0.1, 0.3, 2.5, 0.2];
/// write_png(&path, &heatmap(&map, 2, 3, (0.0, 2.0))?)?;
/// # assert_eq!(image::image_dimensions(&path).unwrap(), (3, 2));
/// # Ok::<(), softpatch::Error>(())
/// ```
pub fn heatmap(map: &[f32], height: u32, width: u32, range: (f32, f32)) -> Result<OwnedImage> {
    check(map, height, width)?;
    let pixels = map.iter().flat_map(|&v| colormap(place(v, range))).collect();
    Ok(OwnedImage { width, height, pixels })
}

/// A map laid over its image. The map's opacity grows with its value, from nothing at `range.0` to 0.75 at
/// `range.1`, so that what is normal stays visible. With `threshold` (same unit as the map), the line around
/// everything above it is drawn too.
///
/// # Errors
/// [`Error::InvalidImage`] where the map does not have one value per pixel.
pub fn overlay(
    image: &OwnedImage,
    map: &[f32],
    range: (f32, f32),
    threshold: Option<f32>,
) -> Result<OwnedImage> {
    image.as_image()?;
    check(map, image.height, image.width)?;
    let mut out = image.clone();
    for (pixel, &value) in out.pixels.chunks_exact_mut(3).zip(map) {
        let t = place(value, range);
        // Slow start: the low half of the range should hardly tint.
        let alpha = 0.75 * t * t * (3.0 - 2.0 * t);
        // The dark end of the map would read as shadow; start at its purple.
        for (p, c) in pixel.iter_mut().zip(colormap(0.25 + 0.75 * t)) {
            *p = (f32::from(*p) * (1.0 - alpha) + f32::from(c) * alpha + 0.5) as u8;
        }
    }
    if let Some(threshold) = threshold {
        contour(&mut out, map, threshold, [64, 255, 255])?;
    }
    Ok(out)
}

/// Draws the antialiased line where the map crosses `threshold`, about 1.5 pixels wide, in pictures of more
/// than 768 pixels in proportion, and with a dark seam so that it shows on any ground.
///
/// # Errors
/// [`Error::InvalidImage`] where the map does not have one value per pixel.
pub fn contour(image: &mut OwnedImage, map: &[f32], threshold: f32, colour: [u8; 3]) -> Result<()> {
    image.as_image()?;
    check(map, image.height, image.width)?;
    let (width, height) = (image.width as usize, image.height as usize);
    let unit = (width.max(height) as f32 / 768.0).max(1.0);
    let at = |x: usize, y: usize| map[y.min(height - 1) * width + x.min(width - 1)];
    for y in 0..height {
        for x in 0..width {
            let (x0, y0) = (x.saturating_sub(1), y.saturating_sub(1));
            let (dx, dy) = ((at(x + 1, y) - at(x0, y)) * 0.5, (at(x, y + 1) - at(x, y0)) * 0.5);
            let slope = (dx * dx + dy * dy).sqrt();
            let here = at(x, y) - threshold;
            // Distance to the line in pixels, by the slope of the map. A plateau has no line.
            if !(slope > 0.0 && here.is_finite()) {
                continue;
            }
            let distance = (here / slope).abs();
            let line = (1.25 * unit - distance).clamp(0.0, 1.0);
            let seam = (2.4 * unit - distance).clamp(0.0, 1.0) * 0.45;
            let pixel = &mut image.pixels[(y * width + x) * 3..][..3];
            for (p, c) in pixel.iter_mut().zip(colour) {
                let dark = f32::from(*p) * (1.0 - seam);
                *p = (dark * (1.0 - line) + f32::from(c) * line + 0.5) as u8;
            }
        }
    }
    Ok(())
}
