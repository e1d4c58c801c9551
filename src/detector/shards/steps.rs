//! The calls of a fit in shards that compute.

use super::plan::{ShardPlan, extractor};
use super::{check_len, product};
use crate::backbone::{Backbone, Feed};
use crate::bank::MemoryBank;
use crate::data::ImageSource;
use crate::detector::denoise::outlier_scores;
use crate::detector::features::{Embeddings, Features};
use crate::detector::fit::choose;
use crate::detector::ingest::{Together, embed};
use crate::detector::patch_scorer::queries;
use crate::detector::persist::persist;
use crate::detector::projection::record_projection;
use crate::detector::{Progress, Stage};
use crate::gpu::{Device, Recorder};
use crate::settings::{Discriminator, FeatureShape};
use crate::{Error, Result, process};

/// The outlier score of a patch that is not looked at.
const NOT_LOOKED_AT: f32 = -1.0;

impl ShardPlan {
    /// Brings the images of a shard through the backbone: `embeddings` becomes `[images][positions][dim]`, and
    /// `vectors` `[images][positions][projected]`. Patches that are not looked at are infinite in both.
    ///
    /// # Errors
    /// As [`Detector::fit`](crate::Detector::fit); [`Error::InvalidOption`] where an array has another size, or the
    /// backbone is not the plan's.
    pub fn features(
        &self,
        device: &Device,
        backbone: &Backbone,
        source: &dyn ImageSource,
        (vectors, embeddings): (&mut [f32], &mut [f32]),
        progress: &dyn Progress,
    ) -> Result<()> {
        process::check()?;
        let (dim, r, patches) = (self.dim as usize, self.projected as usize, source.len() * self.positions());
        check_len("vectors", vectors.len(), product(&[patches, r]))?;
        check_len("embeddings", embeddings.len(), product(&[patches, dim]))?;
        let options = &self.options;
        persist(device, options, progress, |device, options| {
            self.ready(device, backbone, options, source.len(), progress)?;
            let mut extractor = extractor(device, backbone, options, self.frame)?;
            if extractor.grid() != self.grid || extractor.dim() != self.dim {
                return Err(Error::InvalidOption(
                    "the plan is none: its sizes are not the backbone's".to_owned(),
                ));
            }
            let mut feed = Feed::new(device, extractor.network(), options.framing(self.frame))?;
            let most = extractor.embedding().len() / dim;
            let map = match self.map.is_empty() {
                true => None,
                false => Some((
                    device.upload(&self.map, "projection")?,
                    device.alloc(r, "no bias")?,
                    device.alloc(most * r, "projected batch")?,
                )),
            };
            let together = Together::to_score(extractor.batch() as usize, options.memory);
            embed(&mut extractor, &mut feed, source, together, progress, |run| {
                let x: Vec<f32> = device.read(&run.x.slice(0, run.count * dim))?;
                match &map {
                    None => vectors[run.first * r..][..x.len()].copy_from_slice(&x),
                    Some((w, bias, c)) => {
                        let mut recorder = Recorder::new(device);
                        record_projection(&mut recorder, run.x, w, bias, c, [run.count, dim, r])?;
                        recorder.run()?;
                        let z: Vec<f32> = device.read(&c.slice(0, run.count * r))?;
                        vectors[run.first * r..][..z.len()].copy_from_slice(&z);
                    }
                }
                embeddings[run.first * dim..][..x.len()].copy_from_slice(&x);
                Ok(())
            })
        })?;
        for (patch, _) in
            self.looked_at(source)?.iter().flatten().enumerate().filter(|(_, looked_at)| !**looked_at)
        {
            vectors[patch * r..][..r].fill(f32::INFINITY);
            embeddings[patch * dim..][..dim].fill(f32::INFINITY);
        }
        Ok(())
    }

    /// Outlier scores of some grid positions of all images, `[images][positions]`, from their projected vectors
    /// `[images][positions][projected]`: those of a fit on one machine. -1 where a patch is not looked at, 1 for
    /// the discriminator none. The second value is how many neighbours LOF used.
    ///
    /// # Errors
    /// [`Error::InvalidOption`] where the array has another size, [`Error::Limit`] where a device or the budget is
    /// too small, [`Error::Cancelled`].
    pub fn outlier_scores(
        &self,
        device: &Device,
        backbone: &Backbone,
        vectors: &[f32],
        progress: &dyn Progress,
    ) -> Result<(Vec<f32>, Option<u32>)> {
        process::check()?;
        let (images, r) = (self.images as usize, self.projected as usize);
        let positions = vectors.len() / r / images;
        check_len("vectors", vectors.len(), product(&[images, positions.max(1), r]))?;
        let looked_at = looked_at(vectors, r);
        let mask = |mut scores: Vec<f32>| {
            let covered = looked_at.as_deref().unwrap_or_default();
            let hidden = scores.iter_mut().zip(covered).filter(|(_, looked_at)| !**looked_at);
            hidden.for_each(|(score, _)| *score = NOT_LOOKED_AT);
            scores
        };
        if self.options.discriminator == Discriminator::None {
            return Ok((mask(vec![1.0; images * positions]), None));
        }
        let shape = FeatureShape { images, positions, columns: positions, dim: r };
        persist(device, &self.options, progress, |device, options| {
            self.ready(device, backbone, options, images, progress)?;
            let mut features = Features::at_hand(device, shape, vectors, Embeddings::Dropped, options)?;
            features.covered.clone_from(&looked_at);
            let (scores, lof_k) = outlier_scores(device, &features, options, progress)?;
            Ok((mask(features.judged(device.read(&scores)?, lof_k.unwrap_or(1))), lof_k))
        })
    }

    /// Chooses `rows` of some projected vectors `[..][projected]` by greedy k-centre: their places, in the order
    /// chosen; all of them, ascending, where there are no more. With their `distances` `[..]` from a bank it goes
    /// on from there: the first is the farthest.
    ///
    /// # Errors
    /// As [`ShardPlan::outlier_scores`].
    pub fn choose(
        &self,
        device: &Device,
        backbone: &Backbone,
        vectors: &[f32],
        distances: Option<&[f32]>,
        rows: u32,
        progress: &dyn Progress,
    ) -> Result<Vec<u32>> {
        process::check()?;
        let r = self.projected as usize;
        let count = vectors.len() / r;
        check_len("vectors", vectors.len(), product(&[count, r]))?;
        distances.map_or(Ok(()), |distances| check_len("distances", distances.len(), Some(count)))?;
        let of =
            u32::try_from(count).map_err(|_| Error::Limit(format!("{count} patches are more than 2^32")))?;
        if rows >= of {
            return Ok((0..of).collect());
        }
        let all: Vec<u32> = (0..of).collect();
        let shape = FeatureShape { images: 1, positions: count, columns: count, dim: r };
        // Room is for as many rows as are chosen.
        let options =
            self.options.clone().coreset_ratio((f64::from(rows) / count as f64).max(f64::MIN_POSITIVE));
        persist(device, &options, progress, |device, options| {
            self.ready(device, backbone, options, self.images as usize, progress)?;
            let features = Features::at_hand(device, shape, vectors, Embeddings::Dropped, options)?;
            choose(device, &features, (&all, rows), distances, options, progress)
        })
    }

    /// The distances of projected vectors `[..][projected]` from the nearest of `centres` `[..][projected]`.
    ///
    /// # Errors
    /// As [`ShardPlan::outlier_scores`]; [`Error::InvalidOption`] without a centre.
    pub fn distances(
        &self,
        device: &Device,
        backbone: &Backbone,
        vectors: &[f32],
        centres: &[f32],
        progress: &dyn Progress,
    ) -> Result<Vec<f32>> {
        process::check()?;
        let r = self.projected as usize;
        let (count, of) = (vectors.len() / r, centres.len() / r);
        check_len("vectors", vectors.len(), product(&[count, r]))?;
        check_len("centres", centres.len(), product(&[of.max(1), r]))?;
        if count == 0 {
            return Ok(Vec::new());
        }
        let mut bank = MemoryBank {
            rows: centres.to_vec(),
            weights: vec![1.0; of],
            floors: Vec::new(),
            provenance: vec![[0; 3]; of],
            index: None,
        };
        persist(device, &self.options, progress, |device, options| {
            self.ready(device, backbone, options, self.images as usize, progress)?;
            let ready = bank.prepare(device)?;
            let all = u32::try_from(count).unwrap_or(u32::MAX);
            let most = queries(device, &ready, [1, all], options.memory);
            let search = ready.search(device, most, most)?;
            let most = most as usize;
            let x = device.alloc(most * r, "vectors")?;
            let mut distances = Vec::with_capacity(count);
            for vectors in vectors.chunks(most * r) {
                progress.update(Stage::Distances, distances.len() as u64, count as u64);
                if progress.cancelled() {
                    return Err(Error::Cancelled);
                }
                let here = vectors.len() / r;
                device.write(&x, 0, vectors);
                let mut recorder = Recorder::new(device);
                ready.record(&mut recorder, &search, &x, 0..here as u32, None)?;
                recorder.run()?;
                let best: Vec<[u32; 2]> = device.read(&search.best.slice(0, 2 * here))?;
                // They are squared.
                distances.extend(best.iter().map(|[distance, _]| f32::from_bits(*distance).sqrt()));
            }
            Ok(distances)
        })
    }
}

/// Which patches are looked at, of vectors `[..][r]`; `None`: all are. Those that are not are infinite all through.
pub(super) fn looked_at(vectors: &[f32], r: usize) -> Option<Vec<bool>> {
    let hidden = |row: &[f32]| row.iter().all(|v| *v == f32::INFINITY);
    let looked_at: Vec<bool> = vectors.chunks_exact(r).map(|row| !hidden(row)).collect();
    looked_at.contains(&false).then_some(looked_at)
}
