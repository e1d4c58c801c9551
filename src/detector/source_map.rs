//! The anomaly map in the pixels of the source image.

use super::{Detector, Score};
use crate::steps::map::source_map::SourceAxis;
use crate::{Error, Result, process};
use std::sync::PoisonError;

impl Detector {
    /// Writes the map of `score` in the size of the source image, `width * height` values row by row, to
    /// `out`: the map of the frame, bilinear between its pixel centres, 0 where the frame does not reach. It
    /// comes from the score's patches, so that a score without a map has one, too, and is computed on the
    /// device when it is asked for.
    ///
    /// # Errors
    /// [`Error::InvalidOption`] where `out` or the score's patches have another size, [`Error::Limit`] for an
    /// image of more than half a million columns, [`Error::Device`] where the device failed.
    pub fn map_in_source(&self, score: &Score, width: u32, height: u32, out: &mut [f32]) -> Result<()> {
        process::check()?;
        let info = self.info();
        let positions = info.grid[0] as usize * info.grid[1] as usize;
        if out.len() as u64 != u64::from(width) * u64::from(height) || score.patches.len() != positions {
            return Err(Error::InvalidOption(format!(
                "a map of {} values for {width}x{height}, from {} patch scores for {positions}",
                out.len(),
                score.patches.len()
            )));
        }
        let placement = info.framing().place(width, height)?;
        let mut maps = self.maps.lock().unwrap_or_else(PoisonError::into_inner);
        maps.run(&score.patches, SourceAxis::of(&placement, [height, width]), out)
    }
}
