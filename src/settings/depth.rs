//! What the settings say of the depth of samples.

use super::FitOptions;
use crate::Result;
use crate::data::{DecodeOptions, Levels, find_bits};
use std::ops::ControlFlow;
use std::path::PathBuf;

impl FitOptions {
    /// How files are decoded under these settings.
    pub fn decode(&self) -> DecodeOptions {
        let levels = match self.bits {
            _ if self.white > self.black => Levels::Range { black: self.black, white: self.white },
            0 => Levels::Found,
            bits => Levels::Bits(bits),
        };
        DecodeOptions { exif_orientation: self.exif, levels, ..DecodeOptions::default() }
    }

    /// Settles [`bits`](field@Self::bits) for a set of images, where no setting says which value is white:
    /// the same for all of them, by their tags or by their largest value. What is to be said of it; `None`
    /// where no image is deeper than 8 bit. `watch` gets the number of files that are done, and ends the
    /// search by a break.
    ///
    /// # Errors
    /// [`Error::Cancelled`](crate::Error::Cancelled) after a break.
    pub fn settle_bits(
        &mut self,
        paths: &[PathBuf],
        watch: impl Fn(usize) -> ControlFlow<()> + Sync,
    ) -> Result<Option<String>> {
        if self.bits > 0 || self.white > self.black {
            return Ok(None);
        }
        let Some(seen) = find_bits(paths, &self.decode(), watch)? else { return Ok(None) };
        self.bits = seen.bits;
        let why = match seen.largest {
            Some(largest) if !seen.from_tags => format!("no value is above {largest}"),
            _ => "the files' tags say".to_owned(),
        };
        Ok(Some(format!(
            "{} significant bits in {} images of more than 8 bit, as {why}; the setting bits decides otherwise",
            seen.bits, seen.images
        )))
    }
}
