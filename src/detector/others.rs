//! Neighbours of training patches in other images, at positions near by or anywhere.

use super::features::Features;
use super::{Progress, Stage};
use crate::bank::{StripBuilder, tile_order};
use crate::gpu::{Device, Recorder, Tensor};
use crate::steps::outlier::others::{Others, Strip, boxed, tile};
use crate::{Error, Result};
use std::collections::VecDeque;
use std::time::Instant;

/// Seconds that a submission is to take: watchdogs count by submission.
const SUBMISSION: f64 = 0.15;
/// Tiles of queries of the first submission.
const FIRST: u32 = 32;

/// Lists of neighbours of all patches, image by image.
pub(super) struct Lists {
    /// `[images][positions][k]`.
    pub distances: Tensor,
    /// `[images][positions][k]`: numbers of patches, image * positions + position.
    pub indices: Tensor,
    /// Entries of a list.
    k: u32,
}

/// Searches neighbours, a submission at a time.
struct Search<'a> {
    device: &'a Device,
    features: &'a Features,
    lists: &'a Lists,
    progress: &'a dyn Progress,
    stage: Stage,
    /// Tiles of queries of the next submission.
    pace: u32,
}

/// The `k` nearest patches of other images for every patch, among those at up to `reach` positions of the
/// grid to any side, or among all: a `stage` of a job, counted in grid positions.
pub(super) fn lists(
    device: &Device,
    features: &Features,
    reach: Option<u32>,
    k: u32,
    stage: Stage,
    progress: &dyn Progress,
) -> Result<Lists> {
    progress.update(stage, 0, features.positions as u64);
    let len = features.images * features.positions * k as usize;
    let lists = Lists {
        distances: device.alloc(len, "distances of neighbours")?,
        indices: device.alloc(len, "neighbours")?,
        k,
    };
    let mut search = Search { device, features, lists: &lists, progress, stage, pace: FIRST };
    match reach {
        Some(reach) => search.windows(reach as usize)?,
        None => search.anywhere()?,
    }
    Ok(lists)
}

/// For each patch in `rows` the nearest patch of another image, wherever it lies; itself where there is none.
/// Patches come to the device a piece at a time.
pub(super) fn nearest_elsewhere(
    device: &Device,
    features: &Features,
    rows: &[u32],
    progress: &dyn Progress,
) -> Result<Vec<u32>> {
    let Features { images, positions, r, .. } = *features;
    let patches = images * positions;
    let lists = Lists {
        distances: device.alloc(patches, "distances of neighbours")?,
        indices: device.alloc(patches, "neighbours")?,
        k: 1,
    };
    let stage = Stage::Floors;
    let mut search = Search { device, features, lists: &lists, progress, stage, pace: FIRST };
    let strip = |rows: &[u32]| -> Result<Strip> {
        let mut builder = StripBuilder::new(device, 1, rows.len(), r)?;
        builder.sort_and_push(&features.z.gather(rows)?, rows);
        Ok(builder.finish())
    };
    let tile = tile(device.caps());
    let piece = (features.parts.block as usize / 4 / r / tile * tile).max(tile);
    // What one binding takes; of all training patches, more rows are no bank.
    let most = ((device.caps().max_binding / 4) as usize / r / tile * tile).max(tile);
    let all = rows.len() as u64;
    progress.update(stage, 0, all);
    let mut before = 0.0;
    for rows in rows.chunks(most) {
        let queries = strip(rows)?;
        let pieces = patches.div_ceil(piece);
        // Rows that were compared with all patches, or as many half of the way.
        let part = rows.len() as f64 / pieces as f64;
        // Where only memory is counted, all are like the first.
        for i in 0..if device.rehearses() { 1 } else { pieces } {
            let candidates: Vec<u32> = (i * piece..patches.min((i + 1) * piece)).map(|p| p as u32).collect();
            search.run(&queries, &strip(&candidates)?, 0, [i == 0, i + 1 == pieces], |tiles| {
                let done = before + part * f64::from(tiles) / f64::from(queries.tiles.max(1));
                progress.update(stage, (done as u64).min(all), all);
            })?;
            before += part;
        }
    }
    progress.update(stage, all, all);
    let found: Vec<u32> = device.read(&lists.indices)?;
    Ok(rows.iter().map(|&row| found[row as usize]).collect())
}

impl Search<'_> {
    /// Grid row after grid row, each with the strips of those that its windows reach.
    fn windows(&mut self, reach: usize) -> Result<()> {
        let Features { images, positions, columns, r, .. } = *self.features;
        let height = positions / columns;
        let block = self.device.alloc(columns * images * r, "patches of a grid row")?;
        let mut strips: VecDeque<(usize, Strip)> = VecDeque::new();
        let mut next = 0;
        // Where only memory is counted, up to the first grid row with all strips that there can be.
        let end = if self.device.rehearses() { height.min(reach + 2) } else { height };
        for y in 0..end {
            while next < height && next <= y + reach {
                strips.push_back((next, self.grid_row(&block, next)?));
                next += 1;
            }
            strips.retain(|(row, _)| row + reach >= y);
            // The nearest first: what they leave of the others is less.
            let mut near: Vec<&(usize, Strip)> = strips.iter().collect();
            near.sort_by_key(|(row, _)| row.abs_diff(y));
            let (_, queries) = near[0];
            for (i, (_, candidates)) in near.iter().enumerate() {
                let ends = [i == 0, i + 1 == near.len()];
                self.run(queries, candidates, reach as u32, ends, |_| {})?;
            }
            self.progress.update(self.stage, ((y + 1) * columns) as u64, positions as u64);
        }
        Ok(())
    }

    /// The strip of grid row `y`.
    fn grid_row(&self, block: &Tensor, y: usize) -> Result<Strip> {
        let Features { images, positions, columns, r, .. } = *self.features;
        let mut recorder = Recorder::new(self.device);
        self.features.block(&mut recorder, block, y * columns, columns)?;
        recorder.run()?;
        let values: Vec<f32> = self.device.read(block)?;
        let mut builder = StripBuilder::new(self.device, columns, images, r)?;
        for (x, rows) in values.chunks_exact(images * r).enumerate() {
            let ids: Vec<u32> = (0..images).map(|i| (i * positions + y * columns + x) as u32).collect();
            builder.sort_and_push(rows, &ids);
        }
        Ok(builder.finish())
    }

    /// All patches in one order, in as many strips as bindings ask for.
    fn anywhere(&mut self) -> Result<()> {
        let Features { positions, r, .. } = *self.features;
        let tile = tile(self.device.caps());
        let piece = self.features.parts.block as usize;
        let fits = (self.device.caps().max_binding / 4) as usize / r / tile * tile;
        let order = tile_order(self.device, &self.heads()?, boxed(r));
        let mut strips = Vec::new();
        for part in order.chunks(fits.max(tile)) {
            let mut builder = StripBuilder::new(self.device, 1, part.len(), r)?;
            for piece in part.chunks((piece / 4 / r / tile * tile).max(tile)) {
                builder.push(self.features.z.gather(piece)?, piece);
            }
            strips.push(builder.finish());
        }
        drop(order);
        let pairs = (strips.len() * strips.len()) as f64;
        let mut done = 0.0;
        for (q, queries) in strips.iter().enumerate() {
            let others = (0..strips.len()).filter(|&other| other != q);
            for (i, other) in std::iter::once(q).chain(others).enumerate() {
                let ends = [i == 0, i + 1 == strips.len()];
                let (all, progress, stage) = (f64::from(queries.tiles) * pairs, self.progress, self.stage);
                self.run(queries, &strips[other], 0, ends, |tiles| {
                    let share = done / pairs + f64::from(tiles) / all;
                    let at = (share * positions as f64) as u64;
                    progress.update(stage, at.min(positions as u64), positions as u64);
                })?;
                done += 1.0;
            }
        }
        Ok(())
    }

    /// The leading values of all patches `[patches][boxed]`; no numbers for patches with any that is none.
    fn heads(&self) -> Result<Vec<f32>> {
        let Features { images, positions, r, ref z, .. } = *self.features;
        let head = boxed(r);
        let most = self.features.at_a_time();
        let part = self.device.alloc(most * r, "projected patches")?;
        let mut heads = Vec::with_capacity(images * positions * head);
        for first in (0..images * positions).step_by(most) {
            let count = most.min(images * positions - first);
            z.load(first, count, &part)?;
            for row in self.device.read::<f32>(&part.slice(0, count * r))?.chunks_exact(r) {
                if row.iter().all(|v| v.is_finite()) {
                    heads.extend_from_slice(&row[..head]);
                } else {
                    heads.resize(heads.len() + head, f32::NAN);
                }
            }
        }
        Ok(heads)
    }

    /// Compares all of `queries` with `candidates`; `done` hears of tiles.
    fn run(
        &mut self,
        queries: &Strip,
        candidates: &Strip,
        reach: u32,
        ends: [bool; 2],
        done: impl Fn(u32),
    ) -> Result<()> {
        let Features { positions, r, .. } = *self.features;
        let Lists { ref distances, ref indices, k } = *self.lists;
        let all = queries.columns * queries.tiles;
        let mut start = 0;
        while start < all {
            if self.progress.cancelled() {
                return Err(Error::Cancelled);
            }
            let tiles = start..all.min(start.saturating_add(self.pace));
            let here = tiles.end - start;
            start = tiles.end;
            let (positions, r) = (positions as u32, r as u32);
            let mut recorder = Recorder::new(self.device);
            Others { queries, candidates, distances, indices, tiles, reach, positions, r, k, ends }
                .record(&mut recorder)?;
            let began = Instant::now();
            recorder.run()?;
            self.device.wait()?;
            // The first submission builds the pipeline, too; tiles differ, so no faster than by half.
            let faster = (SUBMISSION / began.elapsed().as_secs_f64().max(1e-9)).clamp(0.25, 1.5);
            self.pace = (f64::from(here.max(self.pace.min(all))) * faster).ceil().max(1.0) as u32;
            done(start);
        }
        Ok(())
    }
}
