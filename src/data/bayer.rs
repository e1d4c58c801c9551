//! Colours of a Bayer mosaic.

use super::pixel_format::rgb;

/// Writes pixels from column `x0` on of the middle one of three neighbouring rows, the `y`-th of its image, as
/// words `r | g << 8 | b << 16`; `red` is the column and row of red in each square of four pixels. Where the
/// rows end, they are mirrored. Rows have two values at least.
pub(super) fn demosaic(red: [u32; 2], rows: [&[u8]; 3], y: u32, x0: usize, out: &mut [u32]) {
    let [above, here, below] = rows;
    let last = here.len() - 1;
    let red_row = y % 2 == red[1];
    // Columns whose pixels have the row's own colour, red or blue; the others are green.
    let own = if red_row { red[0] } else { 1 - red[0] } as usize;
    let two = |a: u8, b: u8| (u16::from(a) + u16::from(b)).div_ceil(2) as u8;
    let four = |a: u8, b: u8, c: u8, d: u8| {
        ((u16::from(a) + u16::from(b) + u16::from(c) + u16::from(d) + 2) / 4) as u8
    };
    for (out, x) in out.iter_mut().zip(x0..) {
        let left = if x == 0 { 1 } else { x - 1 };
        let right = if x == last { last - 1 } else { x + 1 };
        let (own, green, other) = if x % 2 == own {
            (
                here[x],
                four(above[x], below[x], here[left], here[right]),
                four(above[left], above[right], below[left], below[right]),
            )
        } else {
            (two(here[left], here[right]), here[x], two(above[x], below[x]))
        };
        *out = if red_row { rgb(own, green, other) } else { rgb(other, green, own) };
    }
}
