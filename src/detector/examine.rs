//! What the patches of one image look like, and what they are nearest to.

use super::Detector;
use super::lookup::{patch_scores, top};
use super::patch_scorer::{Examined, Score, Want};
use crate::data::Image;
use crate::{Error, Result};

impl Detector {
    /// What every patch of an image looks like, and which row of the memory bank it is nearest to. With
    /// `without`, the rows of that training image do not count, as when it is scored for the threshold.
    ///
    /// # Errors
    /// As [`Detector::score`].
    pub fn examine(&self, image: &Image<'_>, without: Option<u32>) -> Result<Examined> {
        self.scorer()?.examine(image, without)
    }

    /// The score that an examined image of `size` (width, height) has, with the map of its frame: the same
    /// numbers as [`Detector::score_one`] has where no training image was left out.
    ///
    /// # Errors
    /// [`Error::InvalidOption`] where the image is not of this model.
    pub fn score_of(&self, examined: &Examined, size: [u32; 2]) -> Result<Score> {
        let info = self.info();
        let patches = patch_scores(&self.model().bank, &examined.nearest);
        if examined.grid != info.grid || patches.len() != (info.grid[0] * info.grid[1]) as usize {
            let (theirs, ours) = (examined.grid, info.grid);
            return Err(Error::InvalidOption(format!("patches of {theirs:?}, and the model's are {ours:?}")));
        }
        let score = top(patches.iter().copied());
        let peak = self.peak(&patches, info.grid, Want::Scores, size)?;
        let (grid, map_size, map) = (info.grid, info.frame, Vec::new());
        let anomalous = info.threshold.map(|t| score > t);
        let score = Score { score, anomalous, size, peak, grid, patches, want: Want::Scores, map_size, map };
        self.complete(score, Want::Maps)
    }
}
