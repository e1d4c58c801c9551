//! Why an image has its score: its worst patches beside the training patches that they are nearest to.

use super::cells::Cells;
use super::lookup::patch_scores;
use super::patch_scorer::{Examined, Nearest};
use super::regions::{NONE, label};
use super::score::Scorer;
use super::{Detector, Score};
use crate::data::Image;
use crate::{Error, Result};
use serde::Serialize;

/// Patches that belong to one place of an image: a place that is told of has none of another's within so many
/// positions.
const APART: u32 = 2;

/// Why an image has its score.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    /// The score, with the map of the frame.
    pub score: Score,
    /// The threshold of the model; `None`: it has none.
    pub threshold: Option<f32>,
    /// The worst places, worst first.
    pub places: Vec<ExplainedPlace>,
    /// The patches above the threshold, worst first: the smallest set that would have to be allowed for the
    /// image to pass.
    pub over: Vec<PatchOver>,
}

/// A patch above the threshold.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PatchOver {
    /// Row and column of the grid.
    pub at: [u32; 2],
    /// `[x, y, width, height]` in pixels of the image.
    pub bbox: [u32; 4],
    /// Its score.
    pub score: f32,
}

/// The worst patch of a place, and what it was compared with.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ExplainedPlace {
    /// Row and column of the grid.
    pub at: [u32; 2],
    /// `[x, y, width, height]` of the patch in pixels of the image. What it depends on reaches farther.
    pub bbox: [u32; 4],
    /// Its score.
    pub score: f32,
    /// Whether it is above the threshold of the model; `None`: the model has none.
    pub above_threshold: Option<bool>,
    /// Patches above the threshold that are connected with it.
    pub patches: u32,
    /// Rows of the memory bank that are nearest to it, each of another training picture, nearest first.
    pub neighbours: Vec<Neighbour>,
}

/// A row of the memory bank, where it comes from, and how far a patch is from it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Neighbour {
    /// Its number in the bank.
    pub row: u32,
    /// Number of the training picture.
    pub image: u32,
    /// Name of the training picture in the model.
    pub name: String,
    /// Row and column of the grid.
    pub at: [u32; 2],
    /// Squared distance of the patch from it.
    pub distance: f32,
    /// Weight of the row: its outlier score, or 1.
    pub weight: f32,
    /// Weight times squared distance. Of the first neighbour, this is the patch's score.
    pub score: f32,
}

impl Detector {
    /// Why an image has its score: up to `places` of its worst patches, and for each up to `neighbours`
    /// training patches of different pictures that are nearest to it.
    ///
    /// # Errors
    /// As [`Detector::score`].
    pub fn explain(&self, image: &Image<'_>, places: usize, neighbours: usize) -> Result<Explanation> {
        let (examined, worst, found) = self.with_scorer(|scorer| {
            let examined = scorer.examine(image, None)?;
            let worst = self.worst(&patch_scores(&self.model().bank, &examined.nearest), places);
            let found = self.neighbours(scorer, &examined, &worst, neighbours)?;
            Ok((examined, worst, found))
        })?;
        let size = [image.width(), image.height()];
        let score = self.score_of(&examined, size)?;
        let (info, columns) = (self.info(), self.info().grid[1]);
        let cells = Cells::new(info.framing(), info.grid, size)?;
        let place = |at: usize| [at as u32 / columns, at as u32 % columns];
        let bbox = |[y, x]: [u32; 2]| cells.bbox([x, y, 1, 1]);
        let places = (worst.into_iter().zip(found))
            .map(|((at, patches), found)| {
                Ok(ExplainedPlace {
                    at: place(at),
                    bbox: bbox(place(at)),
                    score: score.patches[at],
                    above_threshold: info.threshold.map(|threshold| score.patches[at] > threshold),
                    patches,
                    neighbours: found.into_iter().map(|n| self.neighbour(n)).collect::<Result<_>>()?,
                })
            })
            .collect::<Result<_>>()?;
        let mut over: Vec<PatchOver> = (score.patches.iter().enumerate())
            .filter(|(_, score)| info.threshold.is_some_and(|t| **score > t))
            .map(|(at, score)| PatchOver { at: place(at), bbox: bbox(place(at)), score: *score })
            .collect();
        over.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.at.cmp(&b.at)));
        Ok(Explanation { score, threshold: info.threshold, places, over })
    }

    /// The box `[x, y, width, height]` of the patch in row and column `at` of the grid, in pixels of a
    /// picture of `size` (width, height) that comes to the model's frame.
    ///
    /// # Errors
    /// [`Error::InvalidOption`] where a picture of this size does not come to the frame.
    pub fn patch_box(&self, at: [u32; 2], size: [u32; 2]) -> Result<[u32; 4]> {
        let info = self.info();
        Ok(Cells::new(info.framing(), info.grid, size)?.bbox([at[1], at[0], 1, 1]))
    }

    /// Up to `most` of the worst patches, each with the number of those above the threshold that it is
    /// connected with: none is connected with another, nor close to it.
    fn worst(&self, patches: &[f32], most: usize) -> Vec<(usize, u32)> {
        let info = self.info();
        let columns = info.grid[1] as usize;
        let threshold = info.threshold.unwrap_or(f32::INFINITY);
        let mut sizes: Vec<u32> = Vec::new();
        let labels = label(
            patches.len(),
            columns,
            |i| patches[i] > threshold,
            |region, _| {
                sizes.resize(sizes.len().max(region + 1), 0);
                sizes[region] += 1;
            },
        );
        let mut order: Vec<usize> = (0..patches.len()).filter(|at| patches[*at] > 0.0).collect();
        order.sort_by(|&a, &b| patches[b].total_cmp(&patches[a]).then(a.cmp(&b)));
        let mut taken: Vec<usize> = Vec::new();
        for at in order {
            if taken.len() >= most {
                break;
            }
            let same = |&other: &usize| {
                let far = |a: usize, b: usize| a.abs_diff(b) as u32 > APART;
                (labels[at] != NONE && labels[at] == labels[other])
                    || !(far(at / columns, other / columns) || far(at % columns, other % columns))
            };
            if !taken.iter().any(same) {
                taken.push(at);
            }
        }
        let size = |at: usize| if labels[at] == NONE { 0 } else { sizes[labels[at] as usize] };
        taken.into_iter().map(|at| (at, size(at))).collect()
    }

    /// The nearest rows for each of the `worst` patches, `most` at most, each of another training picture.
    fn neighbours(
        &self,
        scorer: &mut Scorer,
        examined: &Examined,
        worst: &[(usize, u32)],
        most: usize,
    ) -> Result<Vec<Vec<Nearest>>> {
        let row_image: Vec<u32> = self.model().bank.provenance.iter().map(|p| p[0]).collect();
        let dim = examined.dim as usize;
        let mut found = Vec::with_capacity(worst.len());
        for (at, _) in worst {
            let mut rows: Vec<Nearest> = examined.nearest[*at].into_iter().take(most).collect();
            let x = &examined.embeddings[at * dim..][..dim];
            while !rows.is_empty() && rows.len() < most {
                let seen: Vec<u32> = rows.iter().map(|n| row_image[n.row as usize]).collect();
                match scorer.nearest_without(x, &seen, &row_image)? {
                    Some(next) => rows.push(next),
                    None => break,
                }
            }
            found.push(rows);
        }
        Ok(found)
    }

    fn neighbour(&self, Nearest { row, distance }: Nearest) -> Result<Neighbour> {
        let (info, bank) = (self.info(), &self.model().bank);
        let missing = || Error::Internal(format!("row {row} of a bank of {}", bank.weights.len()));
        let [image, y, x] = *bank.provenance.get(row as usize).ok_or_else(missing)?;
        let weight = *bank.weights.get(row as usize).ok_or_else(missing)?;
        let name = info.images.get(image as usize).cloned().unwrap_or_default();
        Ok(Neighbour { row, image, name, at: [y, x], distance, weight, score: weight * distance })
    }
}
