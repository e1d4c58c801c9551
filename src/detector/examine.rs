//! What the patches of one image look like, and what they are nearest to.

use super::Detector;
use super::ingest::run_backbone;
use super::lookup::{patch_scores, top};
use super::patch_scorer::{Examined, Nearest, Score, Want, queries};
use super::score::Scorer;
use crate::data::Image;
use crate::gpu::Recorder;
use crate::steps::search::search::SkipOwn;
use crate::{Error, Result};

impl Detector {
    /// What every patch of an image looks like, and which row of the memory bank it is nearest to. With
    /// `without`, the rows of that training image do not count, as when it is scored for the threshold.
    ///
    /// # Errors
    /// As [`Detector::score`].
    pub fn examine(&self, image: &Image<'_>, without: Option<u32>) -> Result<Examined> {
        self.with_scorer(|scorer| scorer.examine(image, without))
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

impl Scorer {
    /// The embeddings of an image, and the bank row nearest to each; not one of training image `without`.
    pub fn examine(&mut self, image: &Image<'_>, without: Option<u32>) -> Result<Examined> {
        self.land_all();
        let Self { device, extractor, feed, covers, scorer, share, .. } = self;
        let (grid, dim) = (extractor.grid(), extractor.dim());
        let positions = grid[0] * grid[1];
        let bank = &scorer.bank;
        let most = queries(device, bank, [1, positions], share.memory);
        let search = bank.search(device, most, positions)?;
        if let Some(looked_at) = covers.of(std::iter::once([image.width(), image.height()]))? {
            search.cover(device, &looked_at);
        }
        let skip = without.map(|first_image| SkipOwn { first_image, queries_per_image: positions });
        let embedding = extractor.embedding().clone();
        let (mut embeddings, mut nearest) = (Vec::new(), Vec::new());
        let name = |_: usize| "the image".to_owned();
        run_backbone(extractor, feed, std::slice::from_ref(image), &name, |feed, features, piece| {
            feed.submit(&[features])?;
            let (first, count) = (piece.rows.start * grid[1], piece.rows.len() as u32 * grid[1]);
            for start in (0..count).step_by(most as usize) {
                let here = most.min(count - start);
                let x = embedding.slice((start * dim) as usize, (here * dim) as usize);
                let mut recorder = Recorder::new(device);
                bank.record(&mut recorder, &search, &x, first + start..first + start + here, skip)?;
                recorder.run()?;
                embeddings.extend(device.read::<f32>(&x)?);
                let best: Vec<[u32; 2]> = device.read(&search.best.slice(0, 2 * here as usize))?;
                // What is not looked at is at distance 0 from no row.
                if without.is_none() && best.iter().any(|[distance, row]| *row == u32::MAX && *distance != 0)
                {
                    let reason = "patches of the image are no numbers, so that nothing is near to them";
                    return Err(Error::Device(reason.into()));
                }
                nearest.extend(best.into_iter().map(Nearest::of));
            }
            Ok(())
        })?;
        Ok(Examined { grid, dim, embeddings, nearest })
    }

    /// The bank row nearest to the embedding `x` that is of none of the training images `without`;
    /// `row_image` has those of all rows.
    pub fn nearest_without(
        &mut self,
        x: &[f32],
        without: &[u32],
        row_image: &[u32],
    ) -> Result<Option<Nearest>> {
        let Self { device, scorer, .. } = self;
        let search = scorer.bank.search(device, 1, 1)?;
        let x = device.upload(x, "embedding of a patch")?;
        let skip = Some(SkipOwn { first_image: 0, queries_per_image: 1 });
        // What is left out becomes image 0, which the search skips.
        let labels: Vec<u32> = row_image.iter().map(|image| u32::from(!without.contains(image))).collect();
        scorer.bank.label(device, &labels);
        let mut recorder = Recorder::new(device);
        let recorded = scorer.bank.record(&mut recorder, &search, &x, 0..1, skip);
        let best =
            recorded.and_then(|()| recorder.run()).and_then(|()| device.read::<[u32; 2]>(&search.best));
        scorer.bank.label(device, row_image);
        Ok(best?.first().copied().and_then(Nearest::of))
    }
}
