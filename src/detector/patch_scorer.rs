//! Embeddings to scores and maps.

use crate::bank::{Bank, Maps, SearchBuffers};
use crate::gpu::{Device, Readback, Recorder, Submission, Tensor};
use crate::steps::input::cover::Cover;
use crate::steps::input::geometry::Placement;
use crate::workers::share;
use crate::{Error, Result};
use std::ops::Range;

/// The anomaly score of one image.
#[derive(Clone, Debug, PartialEq)]
pub struct Score {
    /// Largest patch score; not bounded above.
    pub score: f32,
    /// Whether `score` passes the model's threshold; `None` where the model has none.
    pub anomalous: Option<bool>,
    /// Width and height of the image in pixels.
    pub size: [u32; 2],
    /// Column and row, in pixels of the image, where it looks most wrong: of the map's largest value, or of
    /// the middle of the patch with the largest score where there is no map.
    pub peak: [u32; 2],
    /// Rows and columns of the grid of patches.
    pub grid: [u32; 2],
    /// Patch scores, row by row: weight times squared distance to the nearest bank row.
    pub patches: Vec<f32>,
    /// What was asked for, and so what `map` is.
    pub want: Want,
    /// Rows and columns of the map: those of the model's frame, or of the image with [`Want::Source`].
    pub map_size: [u32; 2],
    /// Anomaly map, row by row: the patch scores, upsampled and blurred. Empty where none was asked for.
    pub map: Vec<f32>,
}

/// What is computed of an image. What is not asked for costs nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Want {
    /// Image score and patch scores.
    Scores,
    /// The anomaly map of the frame, too.
    #[default]
    Maps,
    /// The anomaly map in the pixels of the image, 0 where the frame does not reach, and not that of the
    /// frame.
    Source,
}

impl Want {
    /// What a batch computes for it: maps of images of many sizes are made one by one, of the patch scores.
    pub(super) fn of_batch(self) -> Self {
        if self == Self::Source { Self::Scores } else { self }
    }
}

/// The row of the memory bank that a patch is nearest to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Nearest {
    /// Its number in the bank.
    pub row: u32,
    /// Squared distance to it.
    pub distance: f32,
}

impl Nearest {
    /// From a search's result: squared distance (f32 bits) and row; none where no row was found.
    pub(super) fn of([distance, row]: [u32; 2]) -> Option<Self> {
        (row != u32::MAX).then(|| Self { row, distance: f32::from_bits(distance) })
    }
}

/// One image as the memory bank sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct Examined {
    /// Rows and columns of the grid of patches.
    pub grid: [u32; 2],
    /// Values of an embedding.
    pub dim: u32,
    /// `[patches][dim]`: the embeddings, row by row of the grid.
    pub embeddings: Vec<f32>,
    /// `[patches]`: what each is nearest to; `None` for a patch that is not looked at, or that has no row left.
    pub nearest: Vec<Option<Nearest>>,
}

/// Number of the first of the largest of `values`, of which one that is no number is none.
pub(super) fn largest(values: &[f32]) -> usize {
    // In lanes, which do not wait for each other.
    let mut lanes = [f32::NEG_INFINITY; 16];
    for chunk in values.chunks(lanes.len()) {
        for (lane, v) in lanes.iter_mut().zip(chunk) {
            *lane = if *v > *lane { *v } else { *lane };
        }
    }
    let most = lanes.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    values.iter().position(|v| *v == most).unwrap_or(0)
}

/// Where the largest of `values`, `[rows, columns]` all over the frame, lies in a picture of this width and
/// height.
pub(super) fn locate(values: &[f32], sides: [u32; 2], placement: &Placement, size: [u32; 2]) -> [u32; 2] {
    let at = largest(values) as u32;
    let at = [at % sides[1], at / sides[1]];
    // In pixels of the frame, whose centres are whole numbers.
    let on_frame = [0, 1].map(|axis| {
        let scale = f64::from(placement.frame[1 - axis]) / f64::from(sides[1 - axis]);
        (f64::from(at[axis]) + 0.5) * scale - 0.5
    });
    placement.source_of(on_frame, size)
}

/// A batch of images to score.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Batch {
    /// How many.
    pub images: u32,
    /// Where results wait, below [`SETS`].
    pub set: usize,
    /// What is computed.
    pub want: Want,
}

/// Values that a core copies and looks through in a microsecond, measured.
const VALUES_PER_MICROSECOND: usize = 1000;

/// Patches of one image that are searched at a time at most: a third of a second on two CPU cores.
const SEARCHED: u64 = 1 << 14;

/// Patches that `bank` is searched for at a time: those of `images` images of `positions`, or as many as the
/// device binds and an eighth of `memory` bytes has room for.
pub(super) fn queries(device: &Device, bank: &Bank, [images, positions]: [u32; 2], memory: u64) -> u32 {
    let most = if u64::from(positions) > SEARCHED { SEARCHED } else { u64::MAX };
    let fit = (memory / 8 / bank.query_bytes()).min(bank.max_queries(device).into()).min(most);
    let wanted = u64::from(images) * u64::from(positions);
    // Queries begin where a buffer can be bound: a vector has a multiple of 4 values.
    if wanted <= fit { wanted as u32 } else { (fit / 16 * 16).max(16) as u32 }
}

/// Features to scores for a batch, with the buffers for it.
pub(crate) struct PatchScorer {
    device: Device,
    grid: [u32; 2],
    frame: [u32; 2],
    /// Images of a batch at most.
    batch: u32,
    /// The bank.
    pub bank: Bank,
    /// Buffers of its search.
    pub search: SearchBuffers,
    /// Patches that are searched at a time.
    queries: u32,
    scores: Tensor,
    top: Tensor,
    /// Results on their way back: image scores, then patch scores.
    sets: [Readback; SETS],
    /// Once they were asked for.
    maps: Option<(Maps, [Readback; SETS])>,
}

/// Batches in flight at most: one with the device while the next is packed and queued. Only what goes back
/// needs a set a batch; the device's own buffers are used in the queue's order.
pub(crate) const SETS: usize = 2;

/// Words of a grid or a frame.
fn area([h, w]: [u32; 2]) -> usize {
    h as usize * w as usize
}

impl PatchScorer {
    /// Images of `positions` patches whose patches are searched at once, at least 1, given `bank` and
    /// `memory` bytes.
    pub fn images(device: &Device, bank: &Bank, positions: u32, batch: u32, memory: u64) -> u32 {
        (queries(device, bank, [batch, positions], memory) / positions).clamp(1, batch)
    }

    /// Buffers for `batch` images of patches `grid` and maps of `frame` pixels; the search takes a share of
    /// `memory` bytes.
    pub fn new(
        device: &Device,
        bank: Bank,
        [grid, frame]: [[u32; 2]; 2],
        batch: u32,
        memory: u64,
    ) -> Result<Self> {
        let queries = queries(device, &bank, [batch, area(grid) as u32], memory);
        let (images, scores) = (batch as usize, batch as usize * area(grid));
        let set = || Readback::new(device, images + scores, "results");
        Ok(Self {
            device: device.clone(),
            grid,
            frame,
            batch,
            search: bank.search(device, queries, batch * area(grid) as u32)?,
            queries,
            bank,
            scores: device.alloc(scores, "patch scores")?,
            top: device.alloc(images, "image scores")?,
            sets: [set()?, set()?],
            maps: None,
        })
    }

    /// Makes buffers for what was not wanted before.
    pub fn prepare(&mut self, want: Want) -> Result<()> {
        if want == Want::Maps && self.maps.is_none() {
            let Self { device, grid, frame, batch, .. } = self;
            let words = *batch as usize * area(*frame);
            let set = || Readback::new(device, words, "maps");
            self.maps = Some((Maps::new(device, *grid, *frame, *batch as usize)?, [set()?, set()?]));
        }
        Ok(())
    }

    /// Records embeddings `[images][rows][columns][dim]` of rows `rows` of the grid to what is wanted, and
    /// after the last of them on into set `set`. Rows come in order, all of several images or some of one.
    /// What is wanted must be [prepared](Self::prepare).
    pub fn record(
        &self,
        recorder: &mut Recorder,
        embedding: &Tensor,
        rows: &Range<u32>,
        Batch { images, set, want }: Batch,
    ) -> Result<()> {
        let [height, columns] = self.grid;
        if rows.start == 0 && !rows.is_empty() {
            recorder.clear(&self.search.finished);
        }
        let (first, patches) = (rows.start * columns, rows.len() as u32 * columns);
        let (bank, search, dim) = (&self.bank, &self.search, self.bank.dim() as usize);
        if images * patches <= self.queries {
            bank.record(recorder, search, embedding, first..first + images * patches, None)?;
            bank.record_scores(recorder, search, [images, patches, first], &self.scores, &self.top)?;
        } else {
            for start in (0..patches).step_by(self.queries as usize) {
                let count = self.queries.min(patches - start);
                let x = embedding.slice(start as usize * dim, count as usize * dim);
                let to = first + start;
                bank.record(recorder, search, &x, to..to + count, None)?;
                let sizes = [1, count, to];
                bank.record_scores(recorder, search, sizes, &self.scores, &self.top)?;
                recorder.cut();
            }
        }
        if rows.end < height {
            return Ok(());
        }
        let images = images as usize;
        recorder.copy_back(&self.top, images, &self.sets[set], 0);
        recorder.copy_back(&self.scores, images * area(self.grid), &self.sets[set], images);
        if want == Want::Maps {
            let Some((maps, sets)) = &self.maps else {
                return Err(Error::Internal("there are no buffers for maps".into()));
            };
            maps.record(recorder, &self.scores, images as u32)?;
            recorder.copy_back(&maps.maps, images * area(self.frame), &sets[set], 0);
        }
        Ok(())
    }

    /// Reads what `submission` computed of a batch of images, which have these widths and heights and lie in
    /// the frame so.
    pub fn read(
        &self,
        submission: &Submission,
        Batch { images, set, want }: Batch,
        threshold: Option<f32>,
        (places, cover): (&[([u32; 2], Placement)], Option<&Cover>),
    ) -> Result<Vec<Score>> {
        let (images, positions, pixels) = (images as usize, area(self.grid), area(self.frame));
        let words = self.sets[set].read(submission)?;
        let maps = match &self.maps {
            Some((_, sets)) if want == Want::Maps => Some(sets[set].read(submission)?),
            _ => None,
        };
        let top: Vec<f32> = words.words(0..images);
        let one = |i: usize, (size, placement): &([u32; 2], Placement)| {
            let mut map: Vec<f32> =
                maps.as_ref().map(|m| m.words(i * pixels..(i + 1) * pixels)).unwrap_or_default();
            if let Some(cover) = cover.filter(|_| !map.is_empty()) {
                cover.clear(&mut map);
            }
            let patches: Vec<f32> = words.words(images + i * positions..images + (i + 1) * positions);
            let (values, sides) = if map.is_empty() { (&patches, self.grid) } else { (&map, self.frame) };
            Score {
                score: top[i],
                anomalous: threshold.map(|t| top[i] > t),
                size: *size,
                peak: locate(values, sides, placement, *size),
                grid: self.grid,
                patches,
                want,
                map_size: self.frame,
                map,
            }
        };
        let mut scores: Vec<Option<Score>> = vec![None; images];
        let values = if maps.is_some() { positions + pixels } else { positions };
        let microseconds = (images * values / VALUES_PER_MICROSECOND) as u64;
        let tasks = scores.iter_mut().zip(places).enumerate().collect();
        share(tasks, microseconds, |(i, (score, place))| *score = Some(one(i, place)));
        Ok(scores.into_iter().flatten().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_the_largest_is_found() {
        let mut values = vec![1.0; 100];
        assert_eq!(largest(&values), 0);
        (values[37], values[38], values[99]) = (5.0, f32::NAN, 5.0);
        assert_eq!(largest(&values), 37);
        assert_eq!((largest(&[]), largest(&[f32::NAN; 3]), largest(&[f32::NAN, -1.0])), (0, 0, 1));
    }
}
