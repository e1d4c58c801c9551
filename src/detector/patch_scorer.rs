//! Embeddings to scores and maps.

use crate::Result;
use crate::bank::{Bank, Maps, SearchBuffers};
use crate::gpu::{Device, Readback, Recorder, Submission, Tensor};
use crate::steps::input::geometry::Placement;

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
    /// The anomaly map in the pixels of the image, 0 where the frame does not reach, and not that of the frame.
    Source,
}

impl Want {
    /// What a batch computes for it: maps of images of many sizes are made one by one, of the patch scores.
    pub(super) fn of_batch(self) -> Self {
        if self == Self::Source { Self::Scores } else { self }
    }
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

/// Features to scores for a batch, with the buffers for it.
pub(crate) struct PatchScorer {
    grid: [u32; 2],
    frame: [u32; 2],
    /// The bank.
    pub bank: Bank,
    /// Buffers of its search.
    pub search: SearchBuffers,
    maps: Maps,
    top: Tensor,
    /// Results on their way back: image scores, patch scores, maps.
    sets: [Readback; SETS],
}

/// Batches in flight at most: one with the device while the next is packed and queued. Only what goes back
/// needs a set a batch; the device's own buffers are used in the queue's order.
pub(crate) const SETS: usize = 2;

impl PatchScorer {
    /// Buffers for `batch` images of patches `grid` and maps of `frame` pixels.
    pub fn new(device: &Device, bank: Bank, grid: [u32; 2], frame: [u32; 2], batch: u32) -> Result<Self> {
        let positions = grid[0] * grid[1];
        let [top, scores, maps] = Self::words(grid, frame, batch as usize);
        let set = || Readback::new(device, top + scores + maps, "results");
        Ok(Self {
            grid,
            frame,
            search: bank.search(device, batch * positions)?,
            bank,
            maps: Maps::new(device, grid, frame, batch as usize)?,
            top: device.alloc(top, "image scores")?,
            sets: [set()?, set()?],
        })
    }

    /// Words of the results of `count` images.
    fn words(grid: [u32; 2], frame: [u32; 2], count: usize) -> [usize; 3] {
        let area = |[h, w]: [u32; 2]| h as usize * w as usize;
        [1, area(grid), area(frame)].map(|words| count * words)
    }

    /// Records embeddings `[images][positions][dim]` to what is wanted, and on into set `set`.
    pub fn record(
        &self,
        recorder: &mut Recorder,
        embedding: &Tensor,
        Batch { images, set, want }: Batch,
    ) -> Result<()> {
        let positions = self.grid[0] * self.grid[1];
        self.bank.record(recorder, &self.search, embedding, images * positions, None)?;
        self.bank.record_scores(recorder, &self.search, [images, positions], &self.maps.scores, &self.top)?;
        let mut wanted = vec![&self.top, &self.maps.scores];
        if want == Want::Maps {
            self.maps.record(recorder, images)?;
            wanted.push(&self.maps.maps);
        }
        let mut to = 0;
        let words = Self::words(self.grid, self.frame, images as usize);
        for (tensor, words) in wanted.into_iter().zip(words) {
            recorder.copy_back(tensor, words, &self.sets[set], to);
            to += words;
        }
        Ok(())
    }

    /// Reads what `submission` computed of a batch of images, which have these widths and heights and lie in the
    /// frame so.
    pub fn read(
        &self,
        submission: &Submission,
        Batch { images, set, want }: Batch,
        threshold: Option<f32>,
        places: &[([u32; 2], Placement)],
    ) -> Result<Vec<Score>> {
        let count = images as usize;
        let [tops, scores, _] = Self::words(self.grid, self.frame, count);
        let [_, positions, pixels] = Self::words(self.grid, self.frame, 1);
        let words = self.sets[set].read(submission)?;
        let top: Vec<f32> = words.words(0..tops);
        let (scores, maps) = (tops, tops + scores);
        let map = |i: usize| match want {
            Want::Maps => words.words(maps + i * pixels..maps + (i + 1) * pixels),
            Want::Scores | Want::Source => Vec::new(),
        };
        let score = |(i, (score, (size, placement))): (usize, (f32, &([u32; 2], Placement)))| {
            let map: Vec<f32> = map(i);
            let patches: Vec<f32> = words.words(scores + i * positions..scores + (i + 1) * positions);
            let (values, sides) = if map.is_empty() { (&patches, self.grid) } else { (&map, self.frame) };
            Score {
                score,
                anomalous: threshold.map(|t| score > t),
                size: *size,
                peak: locate(values, sides, placement, *size),
                grid: self.grid,
                patches,
                want,
                map_size: self.frame,
                map,
            }
        };
        Ok(top.into_iter().zip(places).enumerate().map(score).collect())
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
