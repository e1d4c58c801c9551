//! Training images against the bank without their own rows, from embeddings at hand.

use super::features::Features;
use super::patch_scorer::{largest, queries};
use crate::Result;
use crate::bank::{Bank, Maps, SearchBuffers};
use crate::gpu::{Device, Recorder, Tensor};
use crate::steps::search::search::SkipOwn;

/// Images whose results are read back together.
const TOGETHER: usize = 8;

/// Scores of whole images, with the largest values of their maps.
pub(super) struct LeaveOneOut<'a> {
    device: Device,
    bank: &'a Bank,
    features: &'a Features,
    search: SearchBuffers,
    /// Embeddings of as many patches as are searched at a time.
    x: Tensor,
    most: usize,
    scores: Tensor,
    maps: Maps,
    top: Tensor,
    /// Results of several images: scores, then maps.
    tops: Tensor,
    all_maps: Tensor,
}

impl<'a> LeaveOneOut<'a> {
    /// Buffers for images of `features`, which have patches `grid` and frames of `frame` pixels.
    pub fn new(
        device: &Device,
        bank: &'a Bank,
        features: &'a Features,
        [grid, frame]: [[u32; 2]; 2],
        memory: u64,
    ) -> Result<Self> {
        let positions = features.positions as u32;
        let most = queries(device, bank, [1, positions], memory);
        let pixels = frame[0] as usize * frame[1] as usize;
        // As many maps as a share of the budget has room for.
        let together = (memory as usize / 32 / (4 * pixels)).clamp(1, TOGETHER);
        Ok(Self {
            device: device.clone(),
            search: bank.search(device, most, positions)?,
            x: device.alloc(most as usize * features.dim, "embeddings of an image")?,
            bank,
            features,
            most: most as usize,
            scores: device.alloc(positions as usize, "patch scores")?,
            maps: Maps::new(device, grid, frame, 1)?,
            top: device.alloc(1, "image score")?,
            tops: device.alloc(together, "image scores")?,
            all_maps: device.alloc(together * pixels, "maps of images")?,
        })
    }

    /// Images that [`LeaveOneOut::score`] takes at most.
    pub fn together(&self) -> usize {
        self.tops.len()
    }

    /// Score of each of some training images, and the largest value of its map; infinite where every bank row
    /// is its own.
    pub fn score(&self, images: &[u32]) -> Result<Vec<[f32; 2]>> {
        let (positions, pixels) = (self.features.positions, self.maps.maps.len());
        for (slot, &image) in images.iter().enumerate() {
            if let Some(looked_at) = self.features.covered_of(image as usize) {
                self.search.cover(&self.device, looked_at);
            }
            let skip = SkipOwn { first_image: image, queries_per_image: positions as u32 };
            for first in (0..positions).step_by(self.most) {
                let count = self.most.min(positions - first);
                self.features.load(image as usize * positions + first, count, &self.x)?;
                let mut recorder = Recorder::new(&self.device);
                let [count, first] = [count, first].map(|v| v as u32);
                self.bank.record(&mut recorder, &self.search, &self.x, first..first + count, Some(skip))?;
                let sizes = [1, count, first];
                self.bank.record_scores(&mut recorder, &self.search, sizes, &self.scores, &self.top)?;
                recorder.run()?;
            }
            let mut recorder = Recorder::new(&self.device);
            self.maps.record(&mut recorder, &self.scores, 1)?;
            recorder.copy(&self.top, 0, &self.tops, slot, 1);
            recorder.copy(&self.maps.maps, 0, &self.all_maps, slot * pixels, pixels);
            recorder.run()?;
        }
        let scores: Vec<f32> = self.device.read(&self.tops.slice(0, images.len()))?;
        let maps: Vec<f32> = self.device.read(&self.all_maps.slice(0, images.len() * pixels))?;
        // Of a map with infinite scores some sums are no numbers.
        let peak =
            |(score, map): (f32, &[f32])| [score, if score.is_finite() { map[largest(map)] } else { score }];
        Ok(scores.into_iter().zip(maps.chunks_exact(pixels)).map(peak).collect())
    }
}
