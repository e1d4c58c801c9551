//! Embeddings to scores and maps.

use crate::Result;
use crate::bank::{Bank, Maps, SearchBuffers};
use crate::gpu::{Device, Readback, Recorder, Submission, Tensor};

/// The anomaly score of one image.
#[derive(Clone, Debug, PartialEq)]
pub struct Score {
    /// Largest patch score; not bounded above.
    pub score: f32,
    /// Whether `score` passes the model's threshold; `None` where the model has none.
    pub anomalous: Option<bool>,
    /// Rows and columns of the grid of patches.
    pub grid: [u32; 2],
    /// Patch scores, row by row: weight times squared distance to the nearest bank row.
    pub patches: Vec<f32>,
    /// Rows and columns of the map: those of the model's frame.
    pub map_size: [u32; 2],
    /// Anomaly map of the frame, row by row: the patch scores, upsampled and blurred. Empty where none was
    /// asked for.
    pub map: Vec<f32>,
}

/// What is computed of an image. What is not asked for costs nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Want {
    /// Image score and patch scores.
    Scores,
    /// The anomaly map, too.
    #[default]
    Maps,
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

    /// Reads what `submission` computed of a batch.
    pub fn read(
        &self,
        submission: &Submission,
        Batch { images, set, want }: Batch,
        threshold: Option<f32>,
    ) -> Result<Vec<Score>> {
        let count = images as usize;
        let [tops, scores, _] = Self::words(self.grid, self.frame, count);
        let [_, positions, pixels] = Self::words(self.grid, self.frame, 1);
        let words = self.sets[set].read(submission)?;
        let top: Vec<f32> = words.words(0..tops);
        let (scores, maps) = (tops, tops + scores);
        let map = |i: usize| match want {
            Want::Maps => words.words(maps + i * pixels..maps + (i + 1) * pixels),
            Want::Scores => Vec::new(),
        };
        Ok(top
            .into_iter()
            .enumerate()
            .map(|(i, score)| Score {
                score,
                anomalous: threshold.map(|t| score > t),
                grid: self.grid,
                patches: words.words(scores + i * positions..scores + (i + 1) * positions),
                map_size: self.frame,
                map: map(i),
            })
            .collect())
    }
}
