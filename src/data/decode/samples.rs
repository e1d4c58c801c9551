//! Samples as a file stores them.

use super::raster::{Colour, Data, Raster, Read, unsupported};

/// Samples of a file as stored: no levels, no palette, alpha kept.
pub(crate) struct Samples {
    /// Pixels in a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// Samples of a pixel: 1 grey or palette index, 2 grey and alpha, 3 RGB, 4 RGB and alpha.
    pub channels: u32,
    /// `[height][width][channels]`.
    pub values: Vec<u16>,
    /// Whether the values are indices into a palette.
    pub palette: bool,
    /// Whether the last channel is alpha.
    pub alpha: bool,
}

impl Samples {
    pub(super) fn new(raster: Raster) -> Read<Self> {
        let channels = raster.channels() as u32;
        let palette = matches!(raster.colour, Colour::Palette(_));
        let values = match raster.data {
            Data::U8(v) => v.into_iter().map(u16::from).collect(),
            Data::U16(v) => v,
            Data::Wide(_) => {
                let what = format!("a picture with {}", raster.picture.what());
                return Err(unsupported(what));
            }
        };
        let (width, height) = (raster.picture.width, raster.picture.height);
        Ok(Self { width, height, channels, values, palette, alpha: raster.alpha })
    }
}
