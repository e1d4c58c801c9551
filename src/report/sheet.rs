//! Contact sheets: one row per image, input beside truth, map and overlay.

use super::colormap;
use super::heat::{check, heatmap, overlay, place};
use super::text::Font;
use crate::data::OwnedImage;
use crate::{Error, Result};
use image::imageops::FilterType;

/// What was decided about an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// Its score is at or below the threshold.
    Normal,
    /// Its score is above the threshold.
    Anomalous,
}

impl Verdict {
    const fn name(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Anomalous => "defect",
        }
    }

    const fn colour(self) -> [u8; 3] {
        match self {
            Self::Normal => [30, 132, 73],
            Self::Anomalous => [192, 41, 43],
        }
    }
}

/// One image and what was found in it.
#[derive(Clone, Debug)]
pub struct SheetRow {
    /// Name shown, usually the file.
    pub title: String,
    /// What the detector saw: `height * width` pixels.
    pub input: OwnedImage,
    /// Ground truth, `height * width`, true on a defect; `None` where there is none.
    pub mask: Option<Vec<bool>>,
    /// Anomaly map, `height * width`, in the score's unit.
    pub map: Vec<f32>,
    /// Score of the image.
    pub score: f32,
    /// What was decided, if a threshold is known.
    pub verdict: Option<Verdict>,
}

/// How a [`contact_sheet`] looks.
#[derive(Clone, Debug, PartialEq)]
pub struct SheetOptions {
    /// Line over the sheet; empty for none.
    pub title: String,
    /// Side of a picture in pixels, 64 to 1024; pictures are scaled to fit.
    pub cell: u32,
    /// Map values drawn coldest and hottest; `None` takes the lowest and highest over all rows.
    pub range: Option<(f32, f32)>,
    /// Contour line in the overlays and mark on the colour bar, in the map's unit.
    pub threshold: Option<f32>,
}

impl Default for SheetOptions {
    /// No title, pictures of 192 pixels, range of the maps, no threshold.
    fn default() -> Self {
        Self { title: String::new(), cell: 192, range: None, threshold: None }
    }
}

const PAPER: [u8; 3] = [255, 255, 255];
pub(super) const PANEL: [u8; 3] = [240, 242, 244];
pub(super) const RULE: [u8; 3] = [221, 225, 229];
pub(super) const TEXT: [u8; 3] = [28, 32, 36];
pub(super) const FAINT: [u8; 3] = [104, 112, 120];
pub(super) const MARGIN: u32 = 20;
pub(super) const GAP: u32 = 10;
/// From a row's pictures to the next row's.
const CAPTION: u32 = 44;
const LEGEND: u32 = 62;

/// The lowest and highest finite value of all maps; (0, 1) where there is none.
fn range_of(rows: &[SheetRow]) -> (f32, f32) {
    let values = rows.iter().flat_map(|row| row.map.iter().copied()).filter(|v| v.is_finite());
    let (lo, hi) = values.fold((f32::MAX, f32::MIN), |(lo, hi), v| (lo.min(v), hi.max(v)));
    if lo <= hi { (lo, hi) } else { (0.0, 1.0) }
}

fn check_row(row: &SheetRow) -> Result<()> {
    let named = |e: Error| match e {
        Error::InvalidImage(reason) => Error::InvalidImage(format!("{}: {reason}", row.title)),
        other => other,
    };
    row.input.as_image().map_err(named)?;
    check(&row.map, row.input.height, row.input.width).map_err(named)?;
    if let Some(mask) = row.mask.as_ref().filter(|mask| mask.len() != row.map.len()) {
        return Err(named(Error::InvalidImage(format!(
            "a mask of {}x{} does not have {} values",
            row.input.height,
            row.input.width,
            mask.len()
        ))));
    }
    Ok(())
}

fn mask_image(mask: &[bool], width: u32, height: u32) -> OwnedImage {
    OwnedImage { width, height, pixels: mask.iter().flat_map(|&m| [if m { 255 } else { 0 }; 3]).collect() }
}

/// Lays out one row per image: input, ground truth (where any row has one), anomaly map, overlay; its title,
/// score and verdict below it, column titles above, a colour bar at the end.
///
/// The sheet is `2 * 20 + columns * cell + (columns - 1) * 10` pixels wide.
///
/// # Errors
/// [`Error::InvalidOption`] for no rows, or a cell out of range; [`Error::InvalidImage`] naming the row whose
/// pixels, map and mask do not have one size; [`Error::Limit`] for a sheet over 65 500 pixels high.
pub fn contact_sheet(rows: &[SheetRow], options: &SheetOptions) -> Result<OwnedImage> {
    if rows.is_empty() {
        return Err(Error::InvalidOption("a contact sheet needs at least one row".to_owned()));
    }
    if !(64..=1024).contains(&options.cell) {
        return Err(Error::InvalidOption(format!("cell {} is not within 64 to 1024", options.cell)));
    }
    rows.iter().try_for_each(check_row)?;
    let cell = options.cell;
    let range = options.range.unwrap_or_else(|| range_of(rows));
    let truth = rows.iter().any(|row| row.mask.is_some());
    let mut titles = vec!["input", "anomaly map", "overlay"];
    if truth {
        titles.insert(1, "ground truth");
    }
    let columns = titles.len() as u32;
    let width = 2 * MARGIN + columns * cell + (columns - 1) * GAP;
    let head = MARGIN + if options.title.is_empty() { 0 } else { Font::TITLE.height() + 14 };
    let first = head + Font::BOLD.height() + 8;
    let height = u64::from(first) + rows.len() as u64 * u64::from(cell + CAPTION) + u64::from(LEGEND);
    if height > 65_500 {
        return Err(Error::Limit(format!(
            "{} rows of {cell} pixels make a sheet {height} pixels high, at most 65500 can be drawn; \
             use fewer rows or a smaller cell",
            rows.len()
        )));
    }
    let mut sheet = blank(width, height as u32);
    if !options.title.is_empty() {
        let title = Font::TITLE.fit(&options.title, width - 2 * MARGIN);
        Font::TITLE.draw(&mut sheet, &title, MARGIN, MARGIN - 4, TEXT);
    }
    let left = |column: u32| MARGIN + column * (cell + GAP);
    for (column, title) in titles.iter().enumerate() {
        let title = Font::BOLD.fit(title, cell);
        Font::BOLD.draw(&mut sheet, &title, left(column as u32), head, TEXT);
    }
    for (index, row) in rows.iter().enumerate() {
        let top = first + index as u32 * (cell + CAPTION);
        let (w, h) = (row.input.width, row.input.height);
        // Lines and colours are drawn in the cell's pixels, so that they show however large the picture is.
        let (input, map) = (fitted(&row.input, cell), fitted_map(&row.map, [w, h], range, cell));
        let line = options.threshold.map(|threshold| place(threshold, range));
        let mut pictures = vec![
            Some(heatmap(&map, input.height, input.width, (0.0, 1.0))?),
            Some(overlay(&input, &map, (0.0, 1.0), line)?),
        ];
        if truth {
            pictures.insert(0, row.mask.as_ref().map(|mask| fitted(&mask_image(mask, w, h), cell)));
        }
        pictures.insert(0, Some(input));
        for (column, picture) in pictures.iter().enumerate() {
            let x = left(column as u32);
            fill(&mut sheet, (x, top), (cell, cell), PANEL);
            match picture {
                Some(picture) => paste(&mut sheet, picture, (x, top), cell),
                None => {
                    let text = Font::PLAIN.fit("none given", cell);
                    let indent = (cell - Font::PLAIN.width(&text)) / 2;
                    Font::PLAIN.draw(&mut sheet, &text, x + indent, top + cell / 2 - 8, FAINT);
                }
            }
        }
        caption(&mut sheet, row, top + cell + 9, width);
        if index + 1 < rows.len() {
            fill(&mut sheet, (MARGIN, top + cell + CAPTION - 7), (width - 2 * MARGIN, 1), RULE);
        }
    }
    legend(&mut sheet, range, options.threshold, height as u32 - LEGEND + 8);
    Ok(sheet)
}

/// A value in four significant digits.
pub(super) fn number(value: f32) -> String {
    let size = value.abs();
    if value == 0.0 {
        "0".to_owned()
    } else if !(1e-3..1e5).contains(&size) {
        format!("{value:.2e}")
    } else {
        let digits = (3 - size.log10().floor() as i32).clamp(0, 6) as usize;
        format!("{value:.digits$}")
    }
}

fn caption(sheet: &mut OwnedImage, row: &SheetRow, y: u32, width: u32) {
    let mut right = width - MARGIN;
    if let Some(verdict) = row.verdict {
        let text = verdict.name();
        let pill = Font::BOLD.width(text) + 20;
        right -= pill;
        rounded(sheet, (right, y - 2), (pill, 21), verdict.colour());
        Font::BOLD.draw(sheet, text, right + 10, y, PAPER);
        right -= 12;
    }
    let score = format!("score {}", number(row.score));
    right = right.saturating_sub(Font::BOLD.width(&score)).max(MARGIN);
    Font::BOLD.draw(sheet, &score, right, y, TEXT);
    let title = Font::PLAIN.fit(&row.title, right.saturating_sub(MARGIN + 12));
    Font::PLAIN.draw(sheet, &title, MARGIN, y, FAINT);
}

fn legend(sheet: &mut OwnedImage, range: (f32, f32), threshold: Option<f32>, y: u32) {
    let (x, length) = (MARGIN, sheet.width - 2 * MARGIN);
    for column in 0..length {
        let colour = colormap(column as f32 / (length - 1) as f32);
        fill(sheet, (x + column, y), (1, 12), colour);
    }
    let (low, high) = (number(range.0), number(range.1));
    let high_x = x + length - Font::PLAIN.width(&high).min(length);
    Font::PLAIN.draw(sheet, &low, x, y + 18, FAINT);
    Font::PLAIN.draw(sheet, &high, high_x, y + 18, FAINT);
    if let Some(threshold) = threshold {
        let at = x + (place(threshold, range) * (length - 1) as f32) as u32;
        fill(sheet, (at.saturating_sub(1), y - 4), (3, 20), PAPER);
        fill(sheet, (at, y - 4), (1, 20), TEXT);
        let text = format!("threshold {}", number(threshold));
        let wide = Font::PLAIN.width(&text);
        // Between the two ends, as near to its mark as they leave room.
        let from = x + Font::PLAIN.width(&low) + 12;
        let to = high_x.saturating_sub(wide + 12);
        if from <= to {
            Font::PLAIN.draw(sheet, &text, at.saturating_sub(wide / 2).clamp(from, to), y + 18, TEXT);
        }
    }
}

pub(super) fn blank(width: u32, height: u32) -> OwnedImage {
    OwnedImage { width, height, pixels: vec![255; width as usize * height as usize * 3] }
}

pub(super) fn fill(image: &mut OwnedImage, at: (u32, u32), size: (u32, u32), colour: [u8; 3]) {
    for y in at.1..(at.1 + size.1).min(image.height) {
        for x in at.0..(at.0 + size.0).min(image.width) {
            let start = (y as usize * image.width as usize + x as usize) * 3;
            image.pixels[start..start + 3].copy_from_slice(&colour);
        }
    }
}

/// A filled box with half-round ends, antialiased.
fn rounded(image: &mut OwnedImage, at: (u32, u32), size: (u32, u32), colour: [u8; 3]) {
    let radius = size.1 as f32 * 0.5;
    for y in 0..size.1 {
        for x in 0..size.0 {
            let (px, py) = (x as f32 + 0.5, y as f32 + 0.5 - radius);
            let over = (radius - px).max(px - (size.0 as f32 - radius)).max(0.0);
            let cover = (radius + 0.5 - (over * over + py * py).sqrt()).clamp(0.0, 1.0);
            let (tx, ty) = (at.0 + x, at.1 + y);
            if cover > 0.0 && tx < image.width && ty < image.height {
                let start = (ty as usize * image.width as usize + tx as usize) * 3;
                for (p, c) in image.pixels[start..start + 3].iter_mut().zip(colour) {
                    *p = (f32::from(*p) * (1.0 - cover) + f32::from(c) * cover + 0.5) as u8;
                }
            }
        }
    }
}

/// Width and height of a picture that is scaled to fit a square cell, keeping its shape.
fn fit_size([width, height]: [u32; 2], cell: u32) -> [u32; 2] {
    let longest = u64::from(width.max(height));
    [width, height].map(|side| ((u64::from(side) * u64::from(cell) / longest) as u32).max(1))
}

/// A picture scaled to fit a square cell.
pub(super) fn fitted(picture: &OwnedImage, cell: u32) -> OwnedImage {
    let [width, height] = fit_size([picture.width, picture.height], cell);
    let view: Option<image::ImageBuffer<image::Rgb<u8>, &[u8]>> =
        image::ImageBuffer::from_raw(picture.width, picture.height, picture.pixels.as_slice());
    let scaled = view.map(|view| image::imageops::resize(&view, width, height, FilterType::Triangle));
    OwnedImage { width, height, pixels: scaled.map(image::ImageBuffer::into_raw).unwrap_or_default() }
}

/// A map as places in `range`, scaled to fit a square cell.
fn fitted_map(map: &[f32], size: [u32; 2], range: (f32, f32), cell: u32) -> Vec<f32> {
    let [width, height] = fit_size(size, cell);
    let places = map.iter().map(|&v| place(v, range)).collect();
    let view: Option<image::ImageBuffer<image::Luma<f32>, Vec<f32>>> =
        image::ImageBuffer::from_raw(size[0], size[1], places);
    let scaled = view.map(|view| image::imageops::resize(&view, width, height, FilterType::Triangle));
    scaled.map(image::ImageBuffer::into_raw).unwrap_or_default()
}

/// Puts a picture that fits a square cell in its middle.
pub(super) fn paste(sheet: &mut OwnedImage, picture: &OwnedImage, at: (u32, u32), cell: u32) {
    let (x0, y0) = (at.0 + (cell - picture.width) / 2, at.1 + (cell - picture.height) / 2);
    for (y, row) in picture.pixels.chunks_exact(picture.width as usize * 3).enumerate() {
        let start = ((y0 as usize + y) * sheet.width as usize + x0 as usize) * 3;
        sheet.pixels[start..start + row.len()].copy_from_slice(row);
    }
}
