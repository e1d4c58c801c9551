//! Worst patches of an image beside the training patches that they are nearest to.

use super::sheet::{FAINT, GAP, MARGIN, PANEL, RULE, TEXT, blank, fill, fitted, paste};
use super::text::Font;
use crate::data::OwnedImage;
use crate::{Error, Result};

/// Side of a patch's picture in pixels.
const CELL: u32 = 216;
/// Boxes of a patch that its picture is wide and high: about what the patch's embedding depends on.
const AROUND: u32 = 7;
/// A patch's frame.
const FRAME: [u8; 3] = [64, 255, 255];
/// The frame of a patch that is not above the threshold.
const BELOW: [u8; 3] = [176, 176, 176];
/// Lines of text below a patch's picture.
const LINES: u32 = 3;
const LINE: u32 = 18;

/// A picture and lines below it.
#[derive(Clone, Debug, Default)]
pub struct ExplainCell {
    /// What is shown; `None`: it is not to be had.
    pub picture: Option<OwnedImage>,
    /// Up to three lines of text.
    pub lines: Vec<String>,
}

/// A place of an image, and what it was compared with.
#[derive(Clone, Debug, Default)]
pub struct ExplainRow {
    /// `[x, y, width, height]` of the patch in the image.
    pub bbox: [u32; 4],
    /// It is not above the threshold, and drawn fainter.
    pub below: bool,
    /// The patch, then its neighbours.
    pub cells: Vec<ExplainCell>,
}

/// A picture that explains a score.
#[derive(Clone, Debug, Default)]
pub struct ExplainSheet {
    /// Heading.
    pub title: String,
    /// Lines beside the whole image.
    pub lines: Vec<String>,
    /// The places, worst first.
    pub rows: Vec<ExplainRow>,
}

/// A patch, `bbox` (`[x, y, width, height]`) of a picture, with what lies around it, scaled, in a frame;
/// in a thin grey one where it belongs to a place `below` the threshold.
///
/// # Errors
/// [`Error::InvalidImage`] where the pixels do not fit the size, or the box is not in the picture.
pub fn patch_view(picture: &OwnedImage, bbox: [u32; 4], below: bool) -> Result<OwnedImage> {
    picture.as_image()?;
    let [x, y, w, h] = bbox;
    let inside =
        |first: u32, side: u32, all: u32| side > 0 && first.checked_add(side).is_some_and(|end| end <= all);
    if !inside(x, w, picture.width) || !inside(y, h, picture.height) {
        return Err(Error::InvalidImage(format!("no box {bbox:?} in {}x{}", picture.width, picture.height)));
    }
    let span = |first: u32, side: u32, all: u32| {
        let wide = side.saturating_mul(AROUND).min(all);
        (first.saturating_sub((wide - side) / 2).min(all - wide), wide)
    };
    let ((left, wide), (top, high)) = (span(x, w, picture.width), span(y, h, picture.height));
    let mut pixels = Vec::with_capacity(wide as usize * high as usize * 3);
    for row in top..top + high {
        let start = (row as usize * picture.width as usize + left as usize) * 3;
        pixels.extend_from_slice(&picture.pixels[start..start + 3 * wide as usize]);
    }
    let mut view = fitted(&OwnedImage { width: wide, height: high, pixels }, CELL);
    let scaled = |v: u32, from: u32, to: u32| (u64::from(v) * u64::from(to) / u64::from(from)) as u32;
    let [left_at, right] = [x - left, x - left + w].map(|v| scaled(v, wide, view.width));
    let [top_at, bottom] = [y - top, y - top + h].map(|v| scaled(v, high, view.height));
    frame(&mut view, [left_at, top_at, right - left_at, bottom - top_at], below);
    Ok(view)
}

/// Draws a frame with a dark seam around a box: of two pixels, or of one in grey.
fn frame(image: &mut OwnedImage, [x, y, w, h]: [u32; 4], below: bool) {
    let (inner, colour) = if below { (1, BELOW) } else { (2, FRAME) };
    // The seam is the outer line, the frame lies inside.
    for (out, thick, colour) in [(inner + 1, 1, TEXT), (inner, inner, colour)] {
        let (left, top) = (x.saturating_sub(out), y.saturating_sub(out));
        let (wide, high) = (x + w + out - left, y + h + out - top);
        fill(image, (left, top), (wide, thick), colour);
        fill(image, (left, (top + high).saturating_sub(thick)), (wide, thick), colour);
        fill(image, (left, top), (thick, high), colour);
        fill(image, ((left + wide).saturating_sub(thick), top), (thick, high), colour);
    }
}

impl ExplainSheet {
    /// Draws the whole `image` with its numbered places, and a row for each place: the patch, and the
    /// training patches that it is nearest to.
    ///
    /// # Errors
    /// [`Error::InvalidImage`] where the pixels do not fit the size.
    pub fn draw(&self, image: &OwnedImage) -> Result<OwnedImage> {
        image.as_image()?;
        let columns = self.rows.iter().map(|row| row.cells.len()).max().unwrap_or(0).max(4) as u32;
        let width = 2 * MARGIN + columns * CELL + (columns - 1) * GAP;
        let side = 2 * CELL + GAP;
        let overview = fitted(image, side);
        let text_high = self.lines.len() as u32 * LINE;
        let head = MARGIN + Font::TITLE.height() + 14;
        let first = head + overview.height.max(text_high) + 24;
        let step = CELL + LINES * LINE + 26;
        let mut sheet = blank(width, first + self.rows.len() as u32 * step + MARGIN - 10);
        let title = Font::TITLE.fit(&self.title, width - 2 * MARGIN);
        Font::TITLE.draw(&mut sheet, &title, MARGIN, MARGIN - 4, TEXT);
        self.overview(&mut sheet, image, &overview, head);
        let right = MARGIN + side + GAP;
        for (i, line) in self.lines.iter().enumerate() {
            let line = Font::PLAIN.fit(line, width - MARGIN - right);
            Font::PLAIN.draw(&mut sheet, &line, right, head + i as u32 * LINE, TEXT);
        }
        for (i, row) in self.rows.iter().enumerate() {
            let top = first + i as u32 * step;
            fill(&mut sheet, (MARGIN, top - 12), (width - 2 * MARGIN, 1), RULE);
            for (column, cell) in row.cells.iter().enumerate() {
                draw_cell(&mut sheet, cell, (MARGIN + column as u32 * (CELL + GAP), top));
            }
        }
        Ok(sheet)
    }

    /// The whole image, with frames and numbers.
    fn overview(&self, sheet: &mut OwnedImage, image: &OwnedImage, small: &OwnedImage, top: u32) {
        let mut small = small.clone();
        let scaled =
            |v: u32, from: u32, to: u32| (u64::from(v) * u64::from(to) / u64::from(from.max(1))) as u32;
        for (i, row) in self.rows.iter().enumerate() {
            let [x, y, w, h] = row.bbox;
            let [x, right] = [x, x + w].map(|v| scaled(v, image.width, small.width));
            let [y, bottom] = [y, y + h].map(|v| scaled(v, image.height, small.height));
            frame(&mut small, [x, y, right.saturating_sub(x), bottom.saturating_sub(y)], row.below);
            let (number, wide) = ((i + 1).to_string(), Font::BOLD.advance() + 6);
            let left = if right + 6 + wide < small.width { right + 5 } else { x.saturating_sub(wide + 4) };
            let number_top = y.min(small.height.saturating_sub(20));
            fill(&mut small, (left, number_top), (wide, 19), TEXT);
            Font::BOLD.draw(
                &mut small,
                &number,
                left + 3,
                number_top + 1,
                if row.below { BELOW } else { FRAME },
            );
        }
        let (width, height) = (small.width, small.height);
        for (y, row) in small.pixels.chunks_exact(width as usize * 3).enumerate().take(height as usize) {
            let start = ((top as usize + y) * sheet.width as usize + MARGIN as usize) * 3;
            sheet.pixels[start..start + row.len()].copy_from_slice(row);
        }
    }
}

fn draw_cell(sheet: &mut OwnedImage, cell: &ExplainCell, at: (u32, u32)) {
    fill(sheet, at, (CELL, CELL), PANEL);
    match &cell.picture {
        Some(picture) => paste(sheet, &fitted(picture, CELL), at, CELL),
        None => {
            let text = Font::PLAIN.fit("picture not given", CELL);
            let indent = CELL.saturating_sub(Font::PLAIN.width(&text)) / 2;
            Font::PLAIN.draw(sheet, &text, at.0 + indent, at.1 + CELL / 2 - 8, FAINT);
        }
    }
    for (i, line) in cell.lines.iter().take(LINES as usize).enumerate() {
        let (font, colour) = if i == 0 { (Font::BOLD, TEXT) } else { (Font::PLAIN, FAINT) };
        font.draw(sheet, &font.fit(line, CELL), at.0, at.1 + CELL + 6 + i as u32 * LINE, colour);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_is_shown_with_what_lies_around_it() {
        // Columns tell where a pixel comes from.
        let pixels = (0..40_u32).flat_map(|_| (0..80_u32).flat_map(|x| [(3 * x) as u8, 0, 0])).collect();
        let image = OwnedImage { width: 80, height: 40, pixels };
        let view = patch_view(&image, [40, 16, 8, 8], false).unwrap();
        // 56 columns of 40 rows: as wide as the cell.
        assert_eq!((view.width, view.height), (216, 154));
        let red = |x: usize| view.pixels[3 * x];
        assert!((red(1).abs_diff(3 * 16) < 6) && (red(214).abs_diff(3 * 71) < 6), "{} {}", red(1), red(214));
        let coloured = view.pixels.chunks_exact(3).filter(|p| *p == FRAME).count();
        assert!(coloured > 100, "{coloured} pixels of the frame");
        // Below the threshold, the frame is grey and half as thick.
        let faint = patch_view(&image, [40, 16, 8, 8], true).unwrap();
        let of = |colour| faint.pixels.chunks_exact(3).filter(|p| *p == colour).count();
        assert_eq!(of(FRAME), 0);
        assert!((coloured / 3..2 * coloured / 3).contains(&of(BELOW)), "{} of {coloured}", of(BELOW));
        // At the border, it is moved inside.
        assert_eq!(patch_view(&image, [0, 0, 8, 8], false).unwrap().width, 216);
        for bad in [[80, 0, 1, 1], [0, 0, 0, 1], [u32::MAX, 0, 2, 1]] {
            assert!(patch_view(&image, bad, false).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_sheet_has_a_row_for_each_place() {
        let image = OwnedImage { width: 30, height: 60, pixels: vec![128; 5400] };
        let cell =
            |picture| ExplainCell { picture, lines: vec!["a line that is much too long for a cell".into()] };
        let row = ExplainRow {
            bbox: [25, 55, 5, 5],
            below: false,
            cells: vec![cell(Some(image.clone())), cell(None)],
        };
        let sheet = |rows: Vec<ExplainRow>| ExplainSheet {
            title: "x".repeat(500),
            lines: vec!["y".repeat(500)],
            rows,
        };
        let [none, one, two] = [0, 1, 2].map(|n| sheet(vec![row.clone(); n]).draw(&image).unwrap());
        assert_eq!(one.height - none.height, two.height - one.height);
        assert_eq!(one.pixels.len(), one.width as usize * one.height as usize * 3);
        let has = |sheet: &OwnedImage, colour| sheet.pixels.chunks_exact(3).any(|p| p == colour);
        let below = sheet(vec![ExplainRow { below: true, ..row }]).draw(&image).unwrap();
        assert_eq!([has(&one, FRAME), has(&one, BELOW)], [true, false]);
        assert_eq!([has(&below, FRAME), has(&below, BELOW)], [false, true]);
    }
}
