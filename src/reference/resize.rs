//! Antialiased bilinear resize, crop and normalisation: METHOD, section 1.
//!
//! Source: Pillow's `Image.resize(..., BILINEAR)` for 8-bit images (two passes, rows first, rounded to 8 bit after each;
//! coefficients with 22 fractional bits) and torchvision's `Resize(int)` + `CenterCrop(int)` for the geometry. Results
//! are bit-equal to those two up to Pillow 12; Pillow 13 filters columns first where an image shrinks much more in
//! height than in width, which moves some pixels of tall images by one level.

use crate::{Error, Result};

/// Fractional bits of the coefficients: 32 less 8 of the value and 2 of headroom.
const PRECISION_BITS: u32 = 22;

/// The taps of one axis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResizeTable {
    /// `[out]`: first input index of each output.
    pub start: Vec<u32>,
    /// `[out]`: number of inputs that each output is made of, at most `taps`.
    pub count: Vec<u32>,
    /// Coefficients kept for each output.
    pub taps: usize,
    /// `[out][taps]`, 22 fractional bits; 0 past `count`.
    pub coefficients: Vec<i32>,
}

/// Taps that bring `input` values to `output` with a triangle filter whose support grows with the scale.
///
/// Both sizes must be positive.
pub fn resize_table(input: u32, output: u32) -> ResizeTable {
    assert!(input > 0 && output > 0, "resize from {input} to {output}: sizes must be positive");
    let scale = f64::from(input) / f64::from(output);
    // The triangle reaches 1 to either side; stretched when shrinking, so that every input counts.
    let support = scale.max(1.0);
    let taps = support.ceil() as usize * 2 + 1;
    let mut table = ResizeTable {
        start: Vec::with_capacity(output as usize),
        count: Vec::with_capacity(output as usize),
        taps,
        coefficients: vec![0; output as usize * taps],
    };
    for o in 0..output {
        let center = (f64::from(o) + 0.5) * scale;
        // Conversions truncate towards zero, as C's do.
        let start = ((center - support + 0.5) as i64).max(0);
        let end = ((center + support + 0.5) as i64).min(i64::from(input));
        let inverse = 1.0 / support;
        let weights: Vec<f64> = (start..end).map(|x| triangle((x as f64 - center + 0.5) * inverse)).collect();
        let sum: f64 = weights.iter().sum();
        let row = &mut table.coefficients[o as usize * taps..][..taps];
        for (to, weight) in row.iter_mut().zip(&weights) {
            let weight = if sum == 0.0 { *weight } else { weight / sum };
            *to = (0.5 + weight * f64::from(1 << PRECISION_BITS)) as i32;
        }
        table.start.push(start as u32);
        table.count.push(weights.len() as u32);
    }
    table
}

/// `1 - |x|` within 1 of the origin, else 0.
fn triangle(x: f64) -> f64 {
    let x = x.abs();
    if x < 1.0 { 1.0 - x } else { 0.0 }
}

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
/// The longer side is `resize * long / short` rounded down; the offset is `(side - crop) / 2`, halves to the even
/// number: as torchvision's `Resize(resize)` and `CenterCrop(crop)`.
///
/// # Errors
/// [`Error::InvalidOption`] where a size is 0, the crop is larger than the resized image (torchvision would pad), or the
/// resized image has a side of more than `i32::MAX` pixels.
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
    if long > i32::MAX as u64 {
        return Err(Error::InvalidOption(format!(
            "image {w}x{h} has no size when its shorter side becomes {resize}: the longer one would be {long}"
        )));
    }
    let (width, height) = if w <= h { (resize, long as u32) } else { (long as u32, resize) };
    let offset = |side: u32| (f64::from(side - crop) / 2.0).round_ties_even() as u32;
    Ok(Geometry { width, height, left: offset(width), top: offset(height) })
}

/// Resizes RGB `[h][w][3]` to `[oh][ow][3]`.
pub fn resize_rgb(pixels: &[u8], w: u32, h: u32, ow: u32, oh: u32) -> Vec<u8> {
    resize(pixels, 3, [w, h], [ow, oh])
}

/// Resizes grey `[h][w]` to `[oh][ow]`.
pub fn resize_gray(pixels: &[u8], w: u32, h: u32, ow: u32, oh: u32) -> Vec<u8> {
    resize(pixels, 1, [w, h], [ow, oh])
}

/// Both passes over `[h][w][channels]`.
fn resize(pixels: &[u8], channels: usize, [w, h]: [u32; 2], [ow, oh]: [u32; 2]) -> Vec<u8> {
    assert_eq!(pixels.len(), w as usize * h as usize * channels, "{w}x{h} pixels of {channels} bytes");
    // Rows: [h][w][channels] -> [h][ow][channels]; a side that keeps its size is not filtered.
    let rows = if ow == w {
        pixels.to_vec()
    } else {
        filter(pixels, [h as usize, w as usize, channels], &resize_table(w, ow))
    };
    // Columns: the same with whole rows as what is summed: [1][h][ow * channels] -> [1][oh][ow * channels].
    if oh == h { rows } else { filter(&rows, [1, h as usize, ow as usize * channels], &resize_table(h, oh)) }
}

/// Filters the middle axis of `x` `[outer][length][inner]` to `[outer][out][inner]`, rounding to 8 bit.
fn filter(x: &[u8], [outer, length, inner]: [usize; 3], table: &ResizeTable) -> Vec<u8> {
    let out = table.start.len();
    let mut y = vec![0; outer * out * inner];
    for a in 0..outer {
        for o in 0..out {
            let coefficients = &table.coefficients[o * table.taps..][..table.count[o] as usize];
            for b in 0..inner {
                let mut sum = 1_i32 << (PRECISION_BITS - 1);
                for (t, coefficient) in coefficients.iter().enumerate() {
                    let from = table.start[o] as usize + t;
                    sum += i32::from(x[(a * length + from) * inner + b]) * coefficient;
                }
                y[(a * out + o) * inner + b] = (sum >> PRECISION_BITS).clamp(0, 255) as u8;
            }
        }
    }
    y
}

/// Keeps `crop` x `crop` of `pixels` `[height][width][channels]`.
fn cut(pixels: &[u8], channels: usize, geometry: Geometry, crop: u32) -> Vec<u8> {
    let (width, crop) = (geometry.width as usize, crop as usize);
    let (left, top) = (geometry.left as usize, geometry.top as usize);
    (top..top + crop)
        .flat_map(|y| &pixels[(y * width + left) * channels..][..crop * channels])
        .copied()
        .collect()
}

/// Refuses pixels that are not `w * h * channels` bytes.
fn check_len(pixels: &[u8], w: u32, h: u32, channels: usize) -> Result<()> {
    let need = (w as usize).checked_mul(h as usize).and_then(|n| n.checked_mul(channels));
    if need != Some(pixels.len()) {
        return Err(Error::InvalidImage(format!(
            "{w}x{h} with {channels} bytes a pixel does not have {} bytes",
            pixels.len()
        )));
    }
    Ok(())
}

/// Brings a defect mask `[h][w]` to `[crop][crop]`, by the geometry of the image: true for defect pixels.
///
/// A hard mask (0 and one other value, or class numbers below 128) is first brought to 0 and 255, and a pixel is a defect
/// where its resized value is still 255: all that it covers was marked, as in the published evaluation, which truncates
/// to whole numbers. A soft mask (other grey values) is a defect where the resized value is at least half of 255.
///
/// # Errors
/// As [`resize_shorter_side_geometry`]; [`Error::InvalidImage`] where `gray` is not of `w * h` bytes.
pub fn crop_mask(gray: &[u8], w: u32, h: u32, resize: u32, crop: u32) -> Result<Vec<bool>> {
    let geometry = resize_shorter_side_geometry(w, h, resize, crop)?;
    check_len(gray, w, h, 1)?;
    let largest = gray.iter().copied().max().unwrap_or(0);
    let hard = largest < 128 || gray.iter().all(|&v| v == 0 || v == largest);
    let gray: Vec<u8> = gray.iter().map(|&v| if hard && v != 0 { 255 } else { v }).collect();
    let resized = resize_gray(&gray, w, h, geometry.width, geometry.height);
    let threshold = if hard { 255 } else { 128 };
    Ok(cut(&resized, 1, geometry, crop).into_iter().map(|v| v >= threshold).collect())
}

/// Brings RGB `[h][w][3]` to the backbone's input `[crop][crop][4]`: `(v - mean) / std` with mean and std in units of
/// 8-bit values (ImageNet's times 255; EfficientNet-Lite: 127 and 128), the fourth channel 0.
///
/// # Errors
/// As [`resize_shorter_side_geometry`]; [`Error::InvalidImage`] where `rgb` is not of `w * h * 3` bytes.
pub fn preprocess(
    rgb: &[u8],
    w: u32,
    h: u32,
    resize: u32,
    crop: u32,
    mean: [f32; 3],
    std: [f32; 3],
) -> Result<Vec<f32>> {
    let geometry = resize_shorter_side_geometry(w, h, resize, crop)?;
    check_len(rgb, w, h, 3)?;
    let resized = resize_rgb(rgb, w, h, geometry.width, geometry.height);
    let mut out = Vec::with_capacity(crop as usize * crop as usize * 4);
    for pixel in cut(&resized, 3, geometry, crop).chunks_exact(3) {
        for c in 0..3 {
            out.push(((f64::from(pixel[c]) - f64::from(mean[c])) / f64::from(std[c])) as f32);
        }
        out.push(0.0);
    }
    Ok(out)
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

    #[test]
    fn rows_of_a_table_add_up_to_one() {
        for (input, output) in [(1, 1), (1, 7), (7, 1), (1024, 256), (900, 224), (13, 29)] {
            let table = resize_table(input, output);
            for (o, row) in table.coefficients.chunks_exact(table.taps).enumerate() {
                let sum: i32 = row.iter().sum();
                assert!((sum - (1 << PRECISION_BITS)).unsigned_abs() <= table.taps as u32, "{o}: {sum}");
                assert!(table.start[o] + table.count[o] <= input && table.count[o] as usize <= table.taps);
            }
        }
    }
}
