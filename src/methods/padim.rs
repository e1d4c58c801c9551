//! PaDiM: a Gaussian at every position, over a random subset of channels. The image score is the highest
//! value of the map.

use super::{AnomalyMethod, Scored, Task};
use crate::bank::Maps;
use crate::detector::{Features, Progress, Projection, Stage};
use crate::gpu::Recorder;
use crate::settings::FitOptions;
use crate::steps::outlier::lof::ScoreMap;
use crate::steps::outlier::mahalanobis::MahalanobisTo;
use crate::steps::patches::projection::random_channels;
use crate::{Error, Result};

/// Channels that are kept (the paper's choice for ResNet-18).
const CHANNELS: usize = 100;
/// Bytes of one block of groups at most.
const BLOCK_BYTES: usize = 16 << 20;

pub(super) struct Padim;

impl AnomalyMethod for Padim {
    fn score(&self, task: &mut Task<'_>, options: &FitOptions, progress: &dyn Progress) -> Result<Scored> {
        score(task, options, progress)
    }
}

fn score(task: &mut Task<'_>, fit: &FitOptions, progress: &dyn Progress) -> Result<Scored> {
    let device = task.device;
    let dim = task.embeddings.dim() as usize;
    let kept = random_channels(dim, CHANNELS, fit.seed);
    let r = kept.len();
    let mut matrix = vec![0.0_f32; r * dim];
    kept.iter().enumerate().for_each(|(row, &channel)| matrix[row * dim + channel] = 1.0);
    let projection = Projection { matrix, r, turn: false };
    let batch = task.batch(fit);
    let (n, q, positions) = (task.train.len(), task.test.len(), task.positions());
    let (train_images, test_images) = (task.train.clone(), task.test.clone());
    let mut collect = |images: &[usize]| {
        let shape = task.shape(images.len());
        // Training and test images share the budget.
        let memory = (fit.memory as f64 * images.len() as f64 / (n + q) as f64) as u64;
        // No bank is chosen.
        let options = FitOptions { memory, coreset_ratio: 0.0, ..fit.clone() };
        Features::projected(device, shape, &projection, batch, &options, |i, out| {
            task.embeddings.load(images[i], out)
        })
    };
    let (train, test) = (collect(&train_images)?, collect(&test_images)?);

    let groups = (BLOCK_BYTES / 4 / ((n + q + r) * r)).clamp(1, positions);
    let block = device.alloc(groups * n * r, "group block")?;
    let rows = device.alloc(groups * q * r, "group queries")?;
    let factors = device.alloc(groups * r * r, "group factors")?;
    let scores = device.alloc(q * positions, "patch scores")?;
    for p0 in (0..positions).step_by(groups) {
        if progress.cancelled() {
            return Err(Error::Cancelled);
        }
        let here = groups.min(positions - p0) as u32;
        let mut recorder = Recorder::new(device);
        train.block(&mut recorder, &block, p0, here as usize)?;
        test.block(&mut recorder, &rows, p0, here as usize)?;
        let to = ScoreMap { scores: &scores, positions: positions as u32, p0: p0 as u32 };
        MahalanobisTo {
            block: &block,
            factors: &factors,
            rows: &rows,
            to,
            groups: here,
            n: n as u32,
            q: q as u32,
            r: r as u32,
        }
        .record(&mut recorder)?;
        recorder.run()?;
        device.wait()?;
        progress.update(Stage::Score, p0 as u64 + u64::from(here), positions as u64);
    }
    let patches: Vec<f32> = device.read::<f32>(&scores)?.into_iter().map(|s| s - 1.0).collect();
    let maps = Maps::new(device, task.embeddings.grid(), task.frame, batch)?.run(&patches)?;
    let scores = maps.iter().map(|map| map.iter().copied().fold(0.0, f32::max));
    Ok(scores.zip(patches.chunks_exact(positions).map(<[f32]>::to_vec)).collect())
}
