//! Edits of a model by a picture: a false alarm becomes normal, what excused a defect leaves the bank
//! (docs/method.md, section 12).

use super::cells::Cells;
use super::lookup::{examined_by, nearest, patch_scores, top};
use super::persist::persist;
use super::{Detector, Examined, Quiet};
use crate::bank::MemoryBank;
use crate::data::Image;
use crate::model::{Edit, EditKind, Model};
use crate::{Error, Result};
use rayon::prelude::*;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// What an edit by a picture did.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Mended {
    /// The edit, as the model's history has it.
    pub edit: Edit,
    /// Image score of the picture before.
    pub before: f32,
    /// Image score of the picture now.
    pub after: f32,
    /// Whether `before` passed the model's threshold; `None` where there is none.
    pub was_anomalous: Option<bool>,
    /// Whether `after` does.
    pub anomalous: Option<bool>,
    /// Column and row of the patch that scores highest now, in pixels of the picture.
    pub peak: [u32; 2],
    /// Training images that rows were taken out of, with how many: their own scores may rise. Most rows
    /// first.
    pub rows_of: Vec<(String, u32)>,
}

/// Share of the bank that [`Detector::deny`] takes out at most, unless told otherwise.
pub const DENY_AT_MOST: f64 = 0.02;

/// What no more than one of so many training images excuses was learned from oddities.
const FEW: usize = 10;

impl Detector {
    /// Takes what is wrong with a false alarm for normal: the embeddings of the patches whose score passes
    /// the threshold, or of those that `region` (`[x, y, width, height]` in pixels of the image) touches,
    /// become rows of the bank with the median weight, under the image's `name`. Thresholds stay.
    ///
    /// # Errors
    /// [`Error::InvalidOption`] where nothing passes the threshold, there is none and no region, the region
    /// shows nothing that is looked at, or [`Detector::keep_to`] is in force; [`Error::Device`].
    pub fn allow(&mut self, name: &str, image: &Image<'_>, region: Option<[u32; 4]>) -> Result<Mended> {
        let on_trial = Trial::new(self, image)?;
        let threshold = self.info().threshold;
        let chosen: Vec<usize> = match (region, threshold) {
            (Some(region), _) => on_trial.touched(region)?,
            (None, Some(threshold)) => {
                (0..on_trial.patches.len()).filter(|&at| on_trial.patches[at] > threshold).collect()
            }
            (None, None) => return Err(no_threshold("which patches are the false alarm", "name a region")),
        };
        let before = top(on_trial.patches.iter().copied());
        if chosen.is_empty() {
            return Err(Error::InvalidOption(format!(
                "{name} passes as it is: its score is {before:.4}, the threshold {:.4}; to take a part of it for normal \
                 all the same, name its region",
                threshold.unwrap_or_default()
            )));
        }
        let mut model = self.model.clone();
        let columns = self.info().grid[1];
        let at: Vec<[u32; 2]> = chosen.iter().map(|&at| [at as u32 / columns, at as u32 % columns]).collect();
        let weight = median(&model.bank.weights);
        let edit = model.add_rows(&on_trial.embeddings_of(&chosen), weight, &at, name);
        self.settle(model, edit, on_trial, Vec::new())
    }

    /// Takes out of the bank what excuses a defect that was missed. Looked at are the patches that `region`
    /// (`[x, y, width, height]` in pixels of the image) touches, or the patch that scores highest and those
    /// around it. Of each, the rows excuse it that are nearer than the first one by which it would pass the
    /// threshold. Those go that excuse the patch that the fewest training images excuse, and those of the
    /// other patches that no more, or no more than a tenth of all training images excuse. At most the share
    /// `at_most` of the bank goes ([`DENY_AT_MOST`] is a good one). Thresholds stay.
    ///
    /// # Errors
    /// [`Error::InvalidOption`] where that would take more, the model has no threshold, the patches pass it
    /// already, the region shows nothing that is looked at, or [`Detector::keep_to`] is in force;
    /// [`Error::Device`].
    pub fn deny(
        &mut self,
        name: &str,
        image: &Image<'_>,
        region: Option<[u32; 4]>,
        at_most: f64,
    ) -> Result<Mended> {
        if !(at_most > 0.0 && at_most < 1.0) {
            return Err(Error::InvalidOption(format!(
                "the share of the bank to take out at most is {at_most}; it must lie between 0 and 1"
            )));
        }
        let Some(threshold) = self.info().threshold else {
            return Err(no_threshold("what passes", "fit on more images"));
        };
        let on_trial = Trial::new(self, image)?;
        let chosen = match region {
            Some(region) => on_trial.touched(region)?,
            None => on_trial.around_the_highest(),
        };
        let before = top(chosen.iter().map(|&at| on_trial.patches[at]));
        if before > threshold {
            let there = if region.is_some() { " in that region" } else { "" };
            return Err(Error::InvalidOption(format!(
                "{name} is found as it is: its score{there} is {before:.4}, the threshold {threshold:.4}"
            )));
        }
        let x = on_trial.embeddings_of(&chosen);
        let gone = self.excuses(name, &x, threshold, at_most)?;
        let mut model = self.model.clone();
        let mut rows_of = BTreeMap::<u32, u32>::new();
        for &row in &gone {
            *rows_of.entry(model.bank.provenance[row as usize][0]).or_default() += 1;
        }
        let mut rows_of: Vec<(String, u32)> = rows_of
            .into_iter()
            .map(|(image, rows)| (model.info.images[image as usize].clone(), rows))
            .collect();
        rows_of.sort_by_key(|(_, rows)| std::cmp::Reverse(*rows));
        let edit = model.take_rows(&gone, EditKind::Deny, name.to_owned())?;
        self.settle(model, edit, on_trial, rows_of)
    }

    /// The rows that have to go so that one of the patches `x` `[..][dim]` passes, and others that few
    /// training images excuse.
    fn excuses(&self, name: &str, x: &[f32], threshold: f32, at_most: f64) -> Result<Vec<u32>> {
        let (bank, info) = (&self.model.bank, self.info());
        let rows = bank.weights.len();
        let most = ((at_most * rows as f64) as usize).max(1);
        let few = info.images.len() / FEW;
        let mut limit = f64::from(threshold);
        for _ in 0..8 {
            let of_patch = |x: &[f32]| {
                let rows = excused_by(bank, x, limit);
                let images: BTreeSet<u32> =
                    rows.iter().map(|&row| bank.provenance[row as usize][0]).collect();
                (images.len(), rows)
            };
            let mut patches: Vec<(usize, Vec<u32>)> = x.par_chunks_exact(bank.dim()).map(of_patch).collect();
            patches.sort_by_key(|(images, rows)| (*images, rows.len()));
            let first = patches.first().map_or((0, 0), |(images, rows)| (*images, rows.len()));
            if first.1 > most || first.1 == rows {
                return Err(Error::InvalidOption(format!(
                    "to find {name}, {} of {rows} rows would have to leave the memory bank, more than {most} ({} %): {} \
                     training pictures look so in this place, and such parts would be found in good ones, too. Name the \
                     region of the defect alone, allow a larger share, or fit anew without the pictures that show it",
                    first.1,
                    100.0 * at_most,
                    first.0
                )));
            }
            let mut gone = BTreeSet::new();
            for (images, rows) in patches.into_iter().filter(|(images, _)| *images <= first.0.max(few)) {
                let with: BTreeSet<u32> = gone.iter().copied().chain(rows).collect();
                if gone.is_empty() || with.len() <= most {
                    gone = with;
                }
                tracing::debug!(images, rows = gone.len(), "excuses");
            }
            let gone: Vec<u32> = gone.into_iter().collect();
            let mut left = bank.clone();
            left.take(&gone);
            let found = persist(&self.device, &info.options, &Quiet, |device, options| {
                nearest(device, &left, x, options.memory)
            })?;
            if top(patch_scores(&left, &found)) > threshold {
                return Ok(gone);
            }
            // The device rounds, and calls a draw what is none here.
            limit *= 1.0 + 1e-4;
        }
        Err(Error::Internal(format!("the rows that excuse {name} were not found")))
    }

    /// Puts an edited model in the place of the one that there is.
    fn settle(
        &mut self,
        model: Model,
        edit: Edit,
        on_trial: Trial,
        rows_of: Vec<(String, u32)>,
    ) -> Result<Mended> {
        let info = &model.info;
        let found = persist(&self.device, &info.options, &Quiet, |device, options| {
            examined_by(device, &model.bank, &on_trial.examined, options.memory)
        })?;
        let patches = patch_scores(&model.bank, &found);
        let peak = self.peak(&patches, info.grid, super::Want::Scores, on_trial.size)?;
        let [before, after] = [on_trial.patches, patches].map(top);
        let passes = |score: f32| info.threshold.map(|t| score > t);
        let (was_anomalous, anomalous) = (passes(before), passes(after));
        self.with_scorer(|scorer| {
            let bank = model.bank.on_device(&scorer.device)?;
            scorer.set_bank(bank)
        })?;
        self.model = model;
        Ok(Mended { edit, before, after, was_anomalous, anomalous, peak, rows_of })
    }

    /// Refuses to go on while something is ignored that the model looks at.
    pub(super) fn check_looks_at_all(&self, what: &str) -> Result<()> {
        if self.cover() == self.model.roi {
            return Ok(());
        }
        Err(Error::InvalidOption(format!(
            "{what} while a part of all pictures is ignored; end that first (keep_to without a region)"
        )))
    }
}

fn no_threshold(what: &str, instead: &str) -> Error {
    Error::InvalidOption(format!("the model has no threshold, so that nothing says {what}; {instead}"))
}

/// A picture that an edit is for.
struct Trial {
    examined: Examined,
    patches: Vec<f32>,
    size: [u32; 2],
    cells: Cells,
}

impl Trial {
    fn new(detector: &Detector, image: &Image<'_>) -> Result<Self> {
        detector.check_looks_at_all("a model cannot be edited")?;
        let examined = detector.examine(image, None)?;
        let size = [image.width(), image.height()];
        let info = detector.info();
        let cells = Cells::new(info.framing(), info.grid, size)?;
        let patches = patch_scores(&detector.model.bank, &examined.nearest);
        Ok(Self { examined, patches, size, cells })
    }

    /// `[chosen][dim]`.
    fn embeddings_of(&self, chosen: &[usize]) -> Vec<f32> {
        let dim = self.examined.dim as usize;
        chosen.iter().flat_map(|&at| &self.examined.embeddings[at * dim..][..dim]).copied().collect()
    }

    fn looked_at(&self, at: usize) -> bool {
        self.examined.nearest[at].is_some()
    }

    /// The patches that `[x, y, width, height]` touches, of those that are looked at.
    fn touched(&self, [x, y, width, height]: [u32; 4]) -> Result<Vec<usize>> {
        let ends = [u64::from(x) + u64::from(width), u64::from(y) + u64::from(height)];
        let inside = ends[0] <= u64::from(self.size[0]) && ends[1] <= u64::from(self.size[1]);
        if width == 0 || height == 0 || !inside {
            return Err(Error::InvalidOption(format!(
                "the region {x},{y},{width},{height} (x, y, width, height) does not lie in a picture of {}x{} pixels",
                self.size[0], self.size[1]
            )));
        }
        let columns = self.examined.grid[1];
        let touches = |at: &usize| {
            let [left, top, w, h] = self.cells.bbox([*at as u32 % columns, *at as u32 / columns, 1, 1]);
            let begins = u64::from(left) < ends[0] && u64::from(top) < ends[1];
            self.looked_at(*at) && begins && left + w > x && top + h > y
        };
        let found: Vec<usize> = (0..self.patches.len()).filter(touches).collect();
        if found.is_empty() {
            return Err(Error::InvalidOption(format!(
                "the region {x},{y},{width},{height} shows nothing that the model looks at"
            )));
        }
        Ok(found)
    }

    /// The patch with the highest score and those around it.
    fn around_the_highest(&self) -> Vec<usize> {
        let columns = self.examined.grid[1] as usize;
        let highest = super::patch_scorer::largest(&self.patches);
        let near = |a: usize, b: usize| a.abs_diff(b) <= 1;
        (0..self.patches.len())
            .filter(|&at| near(at / columns, highest / columns) && near(at % columns, highest % columns))
            .filter(|&at| self.looked_at(at))
            .collect()
    }
}

/// The rows of `bank` by which `x` does not pass `threshold`: those nearer than the first one, by distance,
/// that it would pass by. The host orders rows; what scores are told, the device finds.
fn excused_by(bank: &MemoryBank, x: &[f32], threshold: f64) -> Vec<u32> {
    let distance = |row: &[f32]| -> f64 {
        row.iter().zip(x).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum()
    };
    let floor = |row: u32| bank.floors.get(row as usize).map_or(0.0, |floor| f64::from(*floor));
    let rows = bank.rows.chunks_exact(x.len().max(1)).map(distance).zip(0..);
    let mut near: Vec<(f64, u32)> = rows.map(|(distance, row)| (distance.max(floor(row)), row)).collect();
    near.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    let passes = |(distance, row): &(f64, u32)| f64::from(bank.weights[*row as usize]) * distance > threshold;
    let end = near.iter().position(passes).unwrap_or(near.len());
    near[..end].iter().map(|(_, row)| *row).collect()
}

/// The middle one of some, the larger of two.
fn median(values: &[f32]) -> f32 {
    let mut values = values.to_vec();
    values.sort_by(f32::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(1.0)
}
