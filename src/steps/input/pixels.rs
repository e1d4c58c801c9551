//! The resize of 8-bit pixels on the host, for masks and for the pictures of reports: the same two passes as
//! the kernels in `resize.rs`, bit by bit.

use super::geometry::Placement;
use super::taps::{PRECISION_BITS, ResizeTable, resize_table};
use crate::{Error, Result};

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

/// The frame of `pixels` `[height][width][channels]`, which were resized as `placement` says; beside the
/// picture, its border goes on.
pub fn cut(pixels: &[u8], channels: usize, placement: Placement) -> Vec<u8> {
    let side = |first: i64, side: u32, frame: u32| {
        (0..i64::from(frame)).map(move |i| (first + i).clamp(0, i64::from(side) - 1) as usize)
    };
    let [rows, columns] = placement.frame;
    let columns: Vec<usize> = side(placement.left, placement.width, columns).collect();
    side(placement.top, placement.height, rows)
        .flat_map(|y| columns.iter().map(move |x| y * placement.width as usize + x))
        .flat_map(|at| &pixels[at * channels..][..channels])
        .copied()
        .collect()
}

/// Refuses pixels that are not `w * h * channels` bytes.
pub(crate) fn check_len(pixels: &[u8], w: u32, h: u32, channels: usize) -> Result<()> {
    let need = (w as usize).checked_mul(h as usize).and_then(|n| n.checked_mul(channels));
    if need != Some(pixels.len()) {
        return Err(Error::InvalidImage(format!(
            "{w}x{h} with {channels} bytes per pixel does not have {} bytes",
            pixels.len()
        )));
    }
    Ok(())
}
