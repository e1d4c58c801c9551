//! Maps of scores that have none or another: of the frame, and in the pixels of the source image.

use super::patch_scorer::{largest, locate};
use super::{Detector, Region, Score, Want, regions};
use crate::steps::input::geometry::{Framing, Way};
use crate::steps::map::source_map::SourceAxis;
use crate::{Error, Result, process};
use std::borrow::Cow;
use std::sync::PoisonError;

impl Detector {
    /// The score with what is wanted in the place of what it has: its map, computed on the device now from
    /// the score's patches, and the peak, which goes by the map.
    ///
    /// # Errors
    /// [`Error::InvalidOption`] where the score is of another model, [`Error::Limit`] for an image of more
    /// than half a million columns, [`Error::Device`] where the device failed.
    pub fn complete(&self, mut score: Score, want: Want) -> Result<Score> {
        if score.want == want {
            return Ok(score);
        }
        let frame = self.info().frame;
        let [width, height] = score.size;
        let framing = self.info().framing();
        match want {
            Want::Scores => score.map = Vec::new(),
            // The frame lies in itself.
            Want::Maps => score.map = self.map(&score, frame, Framing { frame, way: Way::Stretch })?,
            Want::Source => score.map = self.map(&score, [height, width], framing)?,
        }
        score.map_size = if want == Want::Source { [height, width] } else { frame };
        let (values, sides) =
            if want == Want::Scores { (&score.patches, score.grid) } else { (&score.map, score.map_size) };
        score.peak = self.peak(values, sides, want, score.size)?;
        score.want = want;
        Ok(score)
    }

    /// Column and row of a picture of `[width, height]` pixels where the largest of `values` lies, the first
    /// of equal ones: patch scores, a map of the frame ([`Want::Maps`]) or of the picture ([`Want::Source`]),
    /// of `[rows, columns]`.
    ///
    /// # Errors
    /// [`Error::InvalidOption`] where a picture of this size does not come to the frame.
    pub fn peak(&self, values: &[f32], sides: [u32; 2], want: Want, size: [u32; 2]) -> Result<[u32; 2]> {
        if want == Want::Source {
            let at = largest(values) as u32;
            return Ok([at % sides[1].max(1), at / sides[1].max(1)]);
        }
        Ok(locate(values, sides, &self.info().framing().place(size[0], size[1])?, size))
    }

    /// The connected areas of an image, in its pixels, whose map passes the model's pixel threshold, largest
    /// first; of a model without one, the image threshold. None where there is neither.
    ///
    /// # Errors
    /// As [`Detector::complete`], for a score without the map in the pixels of the image.
    pub fn regions(&self, score: &Score) -> Result<Vec<Region>> {
        let Some(threshold) = self.info().map_threshold() else { return Ok(Vec::new()) };
        let [width, height] = score.size;
        let map = match score.want {
            Want::Source => Cow::Borrowed(&score.map),
            _ => Cow::Owned(self.map(score, [height, width], self.info().framing())?),
        };
        regions(&map, [height, width], threshold)
    }

    /// The map of a picture of `[rows, columns]` pixels that comes to the frame so.
    fn map(&self, score: &Score, [rows, columns]: [u32; 2], framing: Framing) -> Result<Vec<f32>> {
        process::check()?;
        let grid = self.info().grid;
        if score.grid != grid || score.patches.len() != grid[0] as usize * grid[1] as usize {
            return Err(Error::InvalidOption(format!(
                "a score of {} patches in a grid of {:?} is not of this model, whose grid is {grid:?}",
                score.patches.len(),
                score.grid
            )));
        }
        let placement = framing.place(columns, rows)?;
        let cover = self.cover();
        let mut map = vec![0.0; rows as usize * columns as usize];
        let mut maps = self.maps.lock().unwrap_or_else(PoisonError::into_inner);
        maps.run_or_anew(&score.patches, SourceAxis::of(&placement, [rows, columns]), &mut map)?;
        if let Some(cover) = cover {
            cover.clear_source(&mut map, [rows, columns], &placement);
        }
        Ok(map)
    }
}
