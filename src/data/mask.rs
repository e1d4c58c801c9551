//! Ground-truth masks in the geometry of the anomaly maps.

use super::decode::{DecodeOptions, decode_file, list_images};
use crate::{Error, Result};
use std::path::Path;

/// Reads a mask and brings it to the geometry of a preprocessed image: shorter side to `resize` with antialiased
/// bilinear filtering, then the central `crop x crop` pixels. Returns `crop * crop` values, row by row, true for
/// defect pixels.
///
/// A mask of colour takes the largest channel. A hard mask (0 and one other value, or class numbers below 128) is
/// first brought to 0 and 255, and a pixel is a defect where its resized value is still 255: all that it covers
/// was marked, as in the published evaluation, which truncates to whole numbers. A soft mask (other grey values) is a
/// defect where the resized value is at least half of 255. A folder stands for the union of all masks in it, as
/// MVTec LOCO has them.
///
/// # Errors
/// Those of [`decode_file`]; [`Error::InvalidOption`] where `crop` is 0 or larger than `resize`.
pub fn load_mask(path: impl AsRef<Path>, resize: u32, crop: u32) -> Result<Vec<bool>> {
    if crop == 0 || crop > resize {
        return Err(Error::InvalidOption(format!(
            "a crop of {crop} does not fit a shorter side of {resize}"
        )));
    }
    let path = path.as_ref();
    if path.is_dir() {
        let mut union = vec![false; crop as usize * crop as usize];
        for part in list_images(path)? {
            for (pixel, marked) in union.iter_mut().zip(load_mask(part, resize, crop)?) {
                *pixel |= marked;
            }
        }
        return Ok(union);
    }
    let image = decode_file(path, &DecodeOptions::default())?;
    let mut grey: Vec<u8> = image.pixels.chunks_exact(3).map(|p| p[0].max(p[1]).max(p[2])).collect();
    let largest = grey.iter().copied().max().unwrap_or(0);
    let hard = largest < 128 || grey.iter().all(|&v| v == 0 || v == largest);
    if hard {
        grey.iter_mut().for_each(|v| *v = if *v == 0 { 0 } else { 255 });
    }
    let threshold = if hard { 255 } else { 128 };

    let (width, height) = (image.width as usize, image.height as usize);
    let (resize, crop) = (resize as usize, crop as usize);
    // The longer side is cut to whole pixels, as torchvision does.
    let scaled = |side: usize| resize * side / width.min(height);
    let (w, h) = (scaled(width), scaled(height));
    let rows = resize_rows(&grey, width, w);
    let columns = resize_rows(&transpose(&rows, w), height, h);
    let resized = transpose(&columns, h);

    let (left, top) = (crop_offset(w, crop), crop_offset(h, crop));
    Ok(resized
        .chunks_exact(w)
        .skip(top)
        .take(crop)
        .flat_map(|row| row[left..left + crop].iter().map(|&v| v >= threshold))
        .collect())
}

/// First row or column of the centre crop: half of what is left over, a half rounded to even as Python rounds.
fn crop_offset(side: usize, crop: usize) -> usize {
    let twice = side - crop;
    let half = twice / 2;
    half + usize::from(twice % 2 == 1 && half % 2 == 1)
}

/// Resizes each row of `width` values to `out` values as Pillow's bilinear filter does for 8 bit: a triangle as
/// wide as the scale, weights in 22-bit fixed point, the result rounded to 8 bit.
fn resize_rows(pixels: &[u8], width: usize, out: usize) -> Vec<u8> {
    const BITS: u32 = 22;
    let scale = width as f64 / out as f64;
    let support = scale.max(1.0);
    let taps: Vec<(usize, Vec<i64>)> = (0..out)
        .map(|x| {
            let centre = (x as f64 + 0.5) * scale;
            let first = (centre - support + 0.5).max(0.0) as usize;
            let last = ((centre + support + 0.5) as usize).min(width);
            let weights: Vec<f64> = (first..last)
                .map(|i| (1.0 - ((i as f64 - centre + 0.5) * (1.0 / support)).abs()).max(0.0))
                .collect();
            let sum: f64 = weights.iter().sum();
            let fixed = |w: &f64| (w / sum * f64::from(1 << BITS) + 0.5) as i64;
            (first, weights.iter().map(fixed).collect())
        })
        .collect();
    pixels
        .chunks_exact(width)
        .flat_map(|row| {
            taps.iter().map(move |(first, weights)| {
                let sum: i64 = weights.iter().zip(&row[*first..]).map(|(w, &v)| w * i64::from(v)).sum();
                ((sum + (1 << (BITS - 1))) >> BITS).clamp(0, 255) as u8
            })
        })
        .collect()
}

fn transpose(pixels: &[u8], width: usize) -> Vec<u8> {
    (0..width).flat_map(|x| pixels.iter().skip(x).step_by(width).copied()).collect()
}
