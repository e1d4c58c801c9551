//! Test images scored by each method, from features at hand.

use super::method::Method;
use super::run::as_entry;
use super::store::{Key, Store, key};
use crate::data::Split;
use crate::detector::{
    Backbone, Compat, Denoised, Discriminator, Features, FitOptions, Model, Origin, Progress, Projection,
    Stage, batch_of, build, denoise, denoise_by, outlier_scores, score_embeddings,
};
use crate::gpu::Device;
use crate::{Error, Result};
use std::cell::RefCell;

/// What a method says of the test images.
pub(super) struct Scored {
    /// Score and map of every test image.
    pub images: Vec<(f32, Vec<f32>)>,
    /// What is worth knowing.
    pub notes: Vec<String>,
}

/// Share of patches that SoftPatch+ drops for the map's bank.
const PLUS_MAP_TAU: f64 = 0.5;

/// The training images of a split with what several methods need of them.
pub(super) struct Training<'a> {
    pub device: &'a Device,
    backbone: &'a Backbone,
    pub train: Vec<Key>,
    pub test: Vec<Key>,
    names: Vec<String>,
    features: Option<Features>,
    /// The last model by its discriminator: with and without soft weights the bank is the same.
    last: Option<(Discriminator, Model, Vec<f32>)>,
}

/// Keeps notices as notes.
struct Noted<'a> {
    progress: &'a dyn Progress,
    notes: RefCell<Vec<String>>,
}

impl Progress for Noted<'_> {
    fn update(&self, stage: Stage, done: u64, total: u64) {
        self.progress.update(stage, done, total);
    }
    fn notice(&self, message: &str) {
        self.notes.borrow_mut().push(message.to_owned());
    }
    fn cancelled(&self) -> bool {
        self.progress.cancelled()
    }
}

impl<'a> Training<'a> {
    pub fn new(device: &'a Device, backbone: &'a Backbone, split: &Split) -> Self {
        Self {
            device,
            backbone,
            train: split.train.iter().map(key).collect(),
            test: split.test.iter().map(|item| key(&as_entry(item))).collect(),
            names: split.train.iter().map(|e| e.path.display().to_string()).collect(),
            features: None,
            last: None,
        }
    }

    /// Fits `method` and scores the test images.
    pub fn score(
        &mut self,
        store: &mut Store,
        method: Method,
        fit: &FitOptions,
        progress: &dyn Progress,
    ) -> Result<Scored> {
        let noted = Noted { progress, notes: RefCell::default() };
        let images = match method {
            Method::PatchCore | Method::SoftPatch { .. } => {
                let model = self.bank(store, fit, &noted)?;
                self.score_bank(store, &model, progress)?
            }
            Method::SoftPatchPlus => self.plus(store, fit, &noted)?,
            Method::Spade => super::spade::score(self, store, fit, progress)?,
            Method::Padim => super::padim::score(self, store, fit, progress)?,
        };
        Ok(Scored { images, notes: noted.notes.into_inner() })
    }

    /// Projected vectors and embeddings of the training images, collected at the first call.
    fn features(&mut self, store: &mut Store, fit: &FitOptions) -> Result<&mut Features> {
        if self.features.is_none() {
            let shape = store.shape(self.train.len());
            let projection = Projection::random(shape.dim, fit);
            let batch = self.batch(store, fit);
            let train = &self.train;
            self.features = Some(Features::from_embeddings(
                self.device,
                shape,
                projection.as_ref(),
                batch,
                fit,
                |i, out| store.load(&train[i], out),
            )?);
        }
        self.features.as_mut().ok_or_else(|| Error::Device("features vanished".into()))
    }

    /// Selecting a bank as the published program does projects the features anew: they are no good for the next method.
    fn used(&mut self, fit: &FitOptions) {
        if fit.compat == Compat::Official {
            self.features = None;
        }
    }

    /// Images at a time that fit one binding.
    pub fn batch(&self, store: &Store, fit: &FitOptions) -> usize {
        batch_of(self.device, store.image(), fit)
    }

    /// The model of `fit`, without a threshold.
    fn bank(&mut self, store: &mut Store, fit: &FitOptions, progress: &Noted<'_>) -> Result<Model> {
        let fresh = self.last.as_ref().is_none_or(|(d, _, _)| *d != fit.discriminator);
        if fresh {
            let device = self.device;
            let origin = self.origin(store);
            let features = self.features(store, fit)?;
            let denoised = denoise(device, features, fit, progress)?;
            let soft = FitOptions { soft_weights: true, ..fit.clone() };
            let model = build(device, features, denoised, origin, &soft, progress)?;
            self.used(fit);
            let weights = model.bank.weights.clone();
            self.last = Some((fit.discriminator, model, weights));
        }
        let Some((_, model, weights)) = &mut self.last else {
            return Err(Error::Device("a model vanished".into()));
        };
        model.bank.weights = if fit.soft_weights { weights.clone() } else { vec![1.0; weights.len()] };
        Ok(model.clone())
    }

    fn origin(&self, store: &Store) -> Origin {
        Origin { backbone: self.backbone.info(), images: self.names.clone(), grid: store.grid }
    }

    /// Image scores from one bank, maps from another; both denoised by the mean rank of LOF and Gaussian, whose share of
    /// the highest rank, plus 1, is the weight.
    fn plus(
        &mut self,
        store: &mut Store,
        fit: &FitOptions,
        progress: &Noted<'_>,
    ) -> Result<Vec<(f32, Vec<f32>)>> {
        let device = self.device;
        let mut ranks: Vec<f32> = Vec::new();
        for discriminator in [Discriminator::Lof, Discriminator::Gaussian] {
            let options = FitOptions { discriminator, ..fit.clone() };
            let (scores, _) = outlier_scores(device, self.features(store, fit)?, &options, progress)?;
            let one = mean_ranks(&device.read::<f32>(&scores)?);
            ranks = if ranks.is_empty() { one } else { ranks.iter().zip(one).map(|(a, b)| a + b).collect() };
        }
        let top = 2.0 * ranks.len() as f32;
        ranks.iter_mut().for_each(|r| *r = 1.0 + *r / top);
        let mut of = |tau: f64, this: &mut Self| -> Result<Vec<(f32, Vec<f32>)>> {
            let origin = this.origin(store);
            let denoised: Denoised = denoise_by(device, ranks.clone(), tau)?;
            let model = build(device, this.features(store, fit)?, denoised, origin, fit, progress)?;
            this.score_bank(store, &model, progress)
        };
        let scores = of(fit.tau, self)?;
        let maps = of(PLUS_MAP_TAU.max(fit.tau), self)?;
        self.used(fit);
        Ok(scores.into_iter().zip(maps).map(|((score, _), (_, map))| (score, map)).collect())
    }

    /// Scores the test images against a bank.
    fn score_bank(
        &self,
        store: &mut Store,
        model: &Model,
        progress: &dyn Progress,
    ) -> Result<Vec<(f32, Vec<f32>)>> {
        let total = self.test.len();
        let mut out = Vec::with_capacity(total);
        let load = |i: usize, slot: &mut [f32]| store.load(&self.test[i], slot);
        score_embeddings(self.device, model, total, load, |score| {
            out.push((score.score, score.map));
            progress.update(Stage::Score, out.len() as u64, total as u64);
            Ok(())
        })?;
        Ok(out)
    }
}

/// Ranks from 1 up, equal values sharing the mean of theirs.
fn mean_ranks(values: &[f32]) -> Vec<f32> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
    let mut ranks = vec![0.0; values.len()];
    let mut start = 0;
    while start < order.len() {
        let mut end = start + 1;
        while end < order.len() && values[order[end]] == values[order[start]] {
            end += 1;
        }
        // Mean of start + 1 ..= end.
        let rank = (start + 1 + end) as f32 / 2.0;
        order[start..end].iter().for_each(|&i| ranks[i] = rank);
        start = end;
    }
    ranks
}

#[cfg(test)]
mod tests {
    use super::mean_ranks;

    #[test]
    fn equal_values_share_their_rank() {
        assert_eq!(mean_ranks(&[3.0, 1.0, 3.0, 0.5]), [3.5, 2.0, 3.5, 1.0]);
        assert_eq!(mean_ranks(&[7.0; 3]), [2.0; 3]);
    }
}
