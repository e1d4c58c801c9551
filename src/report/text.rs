//! Antialiased text: Noto Sans Mono, rasterised beforehand (font under the SIL Open Font License 1.1).

use crate::data::OwnedImage;
use noto_sans_mono_bitmap::{FontWeight, RasterHeight, get_raster, get_raster_width};

/// A size and weight of the font.
#[derive(Clone, Copy)]
pub(super) struct Font(FontWeight, RasterHeight);

impl Font {
    pub(super) const PLAIN: Self = Self(FontWeight::Regular, RasterHeight::Size16);
    pub(super) const BOLD: Self = Self(FontWeight::Bold, RasterHeight::Size16);
    pub(super) const TITLE: Self = Self(FontWeight::Bold, RasterHeight::Size20);

    /// Height of a line in pixels.
    pub(super) const fn height(self) -> u32 {
        self.1.val() as u32
    }

    /// Width of a character in pixels; the font is monospaced.
    pub(super) fn advance(self) -> u32 {
        get_raster_width(self.0, self.1) as u32
    }

    /// Width of a text in pixels.
    pub(super) fn width(self, text: &str) -> u32 {
        self.advance() * text.chars().count() as u32
    }

    /// The text, its middle replaced by `...` where it is wider than `width` pixels.
    pub(super) fn fit(self, text: &str, width: u32) -> String {
        let room = (width / self.advance().max(1)) as usize;
        let letters: Vec<char> = text.chars().collect();
        if letters.len() <= room {
            return text.to_owned();
        }
        if room < 5 {
            return letters[..room].iter().collect();
        }
        // Ends tell more than beginnings: file names differ there.
        let tail = (room - 3) * 2 / 3;
        let head = room - 3 - tail;
        let parts = [&letters[..head], &['.'; 3], &letters[letters.len() - tail..]];
        parts.concat().into_iter().collect()
    }

    /// Draws a text, its top left corner at `(x, y)`; what lies outside the image is cut off. Letters that
    /// the font does not hold become `?`.
    pub(super) fn draw(self, image: &mut OwnedImage, text: &str, x: u32, y: u32, colour: [u8; 3]) {
        for (index, letter) in text.chars().enumerate() {
            let Some(raster) = get_raster(letter, self.0, self.1).or_else(|| get_raster('?', self.0, self.1))
            else {
                continue;
            };
            let left = x + index as u32 * self.advance();
            for (row, values) in raster.rows().enumerate() {
                for (column, &cover) in values.iter().enumerate() {
                    let (px, py) = (left + column as u32, y + row as u32);
                    if cover > 0 && px < image.width && py < image.height {
                        let at = (py as usize * image.width as usize + px as usize) * 3;
                        let t = f32::from(cover) / 255.0;
                        for (p, c) in image.pixels[at..at + 3].iter_mut().zip(colour) {
                            *p = (f32::from(*p) * (1.0 - t) + f32::from(c) * t + 0.5) as u8;
                        }
                    }
                }
            }
        }
    }
}
