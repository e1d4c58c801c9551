//! Image scores of training images against the bank without their own rows, without their maps.
//!
//! They are those of a whole search, bit by bit, but few patches are searched for in the whole bank. The
//! nearest of its first rows, which were chosen far from each other, is no nearer than the nearest of all, so
//! no score passes the largest weight times its distance. The few patches with the largest bounds are
//! searched for first, and then those whose bounds pass the largest score found.

use super::features::Features;
use super::patch_scorer::queries;
use crate::Result;
use crate::bank::{Bank, MemoryBank, SearchBuffers};
use crate::gpu::{Device, Recorder, Tensor};
use crate::settings::{BOUND_IMAGES, BOUND_ROWS};
use crate::steps::search::search::SkipOwn;

/// Patches of an image that are searched for first. A buffer can be bound where so many begin.
const FIRST: usize = 16;

/// Whether a score with this bound may pass `score`; a bound that is no number bounds nothing.
fn may_pass(bound: f32, score: f32) -> bool {
    bound > score || bound.is_nan()
}

/// Finds them.
pub(super) struct TopScores<'a> {
    device: Device,
    bank: &'a Bank,
    features: &'a Features,
    most_weight: f32,
    /// The first rows of the bank, and their search.
    few: Bank,
    bounds: SearchBuffers,
    /// Embeddings of images.
    x: Tensor,
    /// Images of a batch, and patches of them that bounds are found for at a time.
    images: usize,
    most: usize,
    /// The search in the whole bank, for so many patches at a time.
    search: SearchBuffers,
    searched: usize,
    scores: Tensor,
    top: Tensor,
}

impl<'a> TopScores<'a> {
    /// For images of `features`, by `bank`, which has `rows`.
    pub fn new(
        device: &Device,
        bank: &'a Bank,
        rows: &MemoryBank,
        features: &'a Features,
        memory: u64,
    ) -> Result<Self> {
        let positions = features.positions as u32;
        let few = rows.first(device, rows.weights.len().div_ceil(BOUND_ROWS as usize))?;
        let most = queries(device, &few, [BOUND_IMAGES as u32, positions], memory);
        let images = (most / positions).clamp(1, BOUND_IMAGES as u32);
        let most = most.min(images * positions);
        let searched = queries(device, bank, [1, positions.next_multiple_of(FIRST as u32)], memory);
        Ok(Self {
            device: device.clone(),
            most_weight: rows.weights.iter().copied().fold(0.0, f32::max),
            bounds: few.search(device, most, images * positions)?,
            few,
            x: device.alloc(most as usize * features.dim, "embeddings of images")?,
            images: images as usize,
            most: most as usize,
            search: bank.search(device, searched, searched)?,
            searched: searched as usize,
            scores: device.alloc(searched as usize, "patch scores")?,
            top: device.alloc(1, "image score")?,
            bank,
            features,
        })
    }

    /// Images that [`TopScores::score`] takes at most.
    pub fn together(&self) -> usize {
        self.images
    }

    /// Scores of training images `first .. first + count`; infinite where every bank row is the image's own.
    pub fn score(&self, first: u32, count: usize) -> Result<Vec<f32>> {
        let positions = self.features.positions;
        let bounds = self.bounds(first, count)?;
        let (mut start, mut later) = (Vec::with_capacity(count), Vec::with_capacity(count));
        for bounds in bounds.chunks_exact(positions) {
            // What is not looked at has the bound 0.
            let mut open: Vec<u32> =
                (0..positions as u32).filter(|&p| may_pass(bounds[p as usize], 0.0)).collect();
            let falling =
                |a: &u32, b: &u32| bounds[*b as usize].total_cmp(&bounds[*a as usize]).then(a.cmp(b));
            open.sort_unstable_by(falling);
            later.push(open.split_off(FIRST.min(open.len())));
            start.push(open);
        }
        let mut tops = self.exact(first, &start)?;
        for ((later, bounds), top) in later.iter_mut().zip(bounds.chunks_exact(positions)).zip(&tops) {
            later.retain(|&p| may_pass(bounds[p as usize], *top));
        }
        let more = self.exact(first, &later)?;
        let searched: usize = start.iter().chain(&later).map(Vec::len).sum();
        tracing::debug!("{searched} of {} patches searched for in all rows", bounds.len());
        tops.iter_mut().zip(more).for_each(|(top, more)| *top = top.max(more));
        Ok(tops)
    }

    /// What the scores of all patches of the images do not pass.
    fn bounds(&self, first: u32, count: usize) -> Result<Vec<f32>> {
        let positions = self.features.positions;
        if self.features.covered.is_some() {
            let looked_at: Vec<bool> = (0..count)
                .flat_map(|i| self.features.covered_of(first as usize + i).unwrap_or_default())
                .copied()
                .collect();
            self.bounds.cover(&self.device, &looked_at);
        }
        let skip = SkipOwn { first_image: first, queries_per_image: positions as u32 };
        let mut bounds = Vec::with_capacity(count * positions);
        for start in (0..count * positions).step_by(self.most) {
            let here = self.most.min(count * positions - start);
            self.features.load(first as usize * positions + start, here, &self.x)?;
            let mut recorder = Recorder::new(&self.device);
            let queries = start as u32..(start + here) as u32;
            self.few.record(&mut recorder, &self.bounds, &self.x, queries, Some(skip))?;
            recorder.run()?;
            let best: Vec<[u32; 2]> = self.device.read(&self.bounds.best.slice(0, 2 * here))?;
            bounds.extend(best.into_iter().map(|[distance, _]| self.most_weight * f32::from_bits(distance)));
        }
        Ok(bounds)
    }

    /// The largest score of some patches of each of the images from `first` on; 0 of none.
    fn exact(&self, first: u32, lists: &[Vec<u32>]) -> Result<Vec<f32>> {
        let mut tops = vec![0.0_f32; lists.len()];
        let mut group: Vec<(usize, &[u32])> = Vec::new();
        let mut size = 0;
        for (image, list) in lists.iter().enumerate() {
            for piece in list.chunks(self.searched) {
                let rows = piece.len().next_multiple_of(FIRST);
                if size + rows > self.searched.next_multiple_of(FIRST) {
                    self.search_group(first, &std::mem::take(&mut group), &mut tops)?;
                    size = 0;
                }
                group.push((image, piece));
                size += rows;
            }
        }
        self.search_group(first, &group, &mut tops)?;
        Ok(tops)
    }

    /// Raises the largest scores of images to those of some of their patches.
    fn search_group(&self, first: u32, group: &[(usize, &[u32])], tops: &mut [f32]) -> Result<()> {
        if group.is_empty() {
            return Ok(());
        }
        let (positions, dim) = (self.features.positions as u32, self.features.dim);
        let mut rows = Vec::new();
        let mut starts = Vec::new();
        for (image, piece) in group {
            starts.push(rows.len());
            let before = (first + *image as u32) * positions;
            rows.extend(piece.iter().map(|p| before + p));
            // The next ones begin where a buffer can be bound.
            rows.resize(rows.len().next_multiple_of(FIRST), before);
        }
        let x = self.device.upload(&self.features.gather(&rows)?, "embeddings of patches")?;
        let found = self.device.alloc(group.len(), "largest scores")?;
        let mut recorder = Recorder::new(&self.device);
        for (i, ((image, piece), start)) in group.iter().zip(starts).enumerate() {
            let count = piece.len() as u32;
            let x = x.slice(start * dim, piece.len() * dim);
            let skip = SkipOwn { first_image: first + *image as u32, queries_per_image: count };
            self.bank.record(&mut recorder, &self.search, &x, 0..count, Some(skip))?;
            self.bank.record_scores(&mut recorder, &self.search, [1, count, 0], &self.scores, &self.top)?;
            recorder.copy(&self.top, 0, &found, i, 1);
        }
        recorder.run()?;
        let found: Vec<f32> = self.device.read(&found)?;
        for ((image, _), found) in group.iter().zip(found) {
            tops[*image] = tops[*image].max(found);
        }
        Ok(())
    }
}
