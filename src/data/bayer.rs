//! Colours of a Bayer mosaic.

use super::pixel_format::rgb;

/// Writes pixels from column `x0` on of the middle one of three neighbouring rows, the `y`-th of its image,
/// as words `r | g << 8 | b << 16`; `red` is the column and row of red in each square of four pixels. Where
/// the rows end, they are mirrored. Rows have two values at least.
pub(super) fn demosaic(red: [u32; 2], rows: [&[u8]; 3], y: u32, x0: usize, out: &mut [u32]) {
    let last = rows[1].len() - 1;
    let red_row = y % 2 == red[1];
    // Columns whose pixels have the row's own colour, red or blue; the others are green.
    let own = if red_row { red[0] } else { 1 - red[0] } as usize;
    let end = x0 + out.len();
    if x0 == 0
        && let Some(out) = out.first_mut()
    {
        *out = pixel(rows.map(|row| [row[1], row[0], row[1]]), own == 0, red_row);
    }
    if end > last
        && let Some(out) = out.last_mut()
    {
        *out = pixel(rows.map(|row| [row[last - 1], row[last], row[last - 1]]), last % 2 == own, red_row);
    }
    let inside = x0.max(1)..end.min(last);
    if inside.is_empty() {
        return;
    }
    let out = &mut out[inside.start - x0..inside.end - x0];
    let [above, here, below] = rows.map(|row| &row[inside.start - 1..=inside.end]);
    let near = above.windows(3).zip(here.windows(3)).zip(below.windows(3));
    for ((x, out), ((above, here), below)) in inside.zip(out).zip(near) {
        let squares = [above, here, below].map(|row| [row[0], row[1], row[2]]);
        *out = pixel(squares, x % 2 == own, red_row);
    }
}

/// The middle one of nine pixels. Both kinds are worked out, which is faster than to branch at every pixel.
#[inline(always)]
fn pixel([above, here, below]: [[u8; 3]; 3], coloured: bool, red_row: bool) -> u32 {
    let two = |a: u8, b: u8| (u16::from(a) + u16::from(b)).div_ceil(2) as u8;
    let four =
        |[a, b, c, d]: [u8; 4]| ((u16::from(a) + u16::from(b) + u16::from(c) + u16::from(d) + 2) / 4) as u8;
    let cross = four([above[1], below[1], here[0], here[2]]);
    let corners = four([above[0], above[2], below[0], below[2]]);
    let [beside, stacked] = [two(here[0], here[2]), two(above[1], below[1])];
    let (own, green, other) = if coloured { (here[1], cross, corners) } else { (beside, here[1], stacked) };
    if red_row { rgb(own, green, other) } else { rgb(other, green, own) }
}
