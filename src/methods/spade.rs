//! SPADE: the training images that look most alike, then the nearest of their patches.
//!
//! Images are compared by the mean of their embeddings; the image score is the mean distance to the nearest
//! images, the patch score the distance to the nearest patch of theirs.

use super::{AnomalyMethod, Scored, Task};
use crate::bank::{Axes, Bank, BankData};
use crate::detector::{Progress, Stage};
use crate::gpu::{Recorder, Tensor};
use crate::settings::FitOptions;
use crate::steps::search::image_distance::nearest;
use crate::steps::search::{image_distance, image_mean};
use crate::{Error, Result};

/// Nearest training images (the paper's K).
const NEAREST: usize = 50;

pub(super) struct Spade;

impl AnomalyMethod for Spade {
    fn score(&self, task: &mut Task<'_>, options: &FitOptions, progress: &dyn Progress) -> Result<Scored> {
        score(task, options, progress)
    }
}

fn score(task: &mut Task<'_>, fit: &FitOptions, progress: &dyn Progress) -> Result<Scored> {
    let device = task.device;
    let (train_images, test_images) = (task.train.clone(), task.test.clone());
    let (n, q, dim) = (train_images.len(), test_images.len(), task.embeddings.dim() as usize);
    let (size, positions) = (task.image(), task.positions() as u32);
    let (train, test) = (pooled(task, &train_images, fit)?, pooled(task, &test_images, fit)?);
    let distances = device.alloc(q * n, "image distances")?;
    let mut recorder = Recorder::new(device);
    image_distance::record(&mut recorder, &test, &train, [q as u32, n as u32, dim as u32], &distances)?;
    recorder.run()?;
    let distances: Vec<f32> = device.read(&distances)?;

    // One set of axes for all banks: any are right, and these fit what all training images have in common.
    let mut rows = vec![0.0_f32; size];
    task.embeddings.load(train_images[n / 2], &mut rows)?;
    let axes = Axes::principal(&rows, dim);
    let k = NEAREST.min(n);
    let mut rows = vec![0.0_f32; k * size];
    let mut query = vec![0.0_f32; size];
    let x = device.alloc(size, "test embedding")?;
    let weights = vec![1.0_f32; k * positions as usize];
    let row_image = vec![0_u32; weights.len()];
    let (mut scores, mut patches) = (Vec::with_capacity(q), Vec::with_capacity(q * positions as usize));
    for (i, &image) in test_images.iter().enumerate() {
        if progress.cancelled() {
            return Err(Error::Cancelled);
        }
        let own = &distances[i * n..(i + 1) * n];
        let near = nearest(own, k);
        scores.push((near.iter().map(|&j| f64::from(own[j])).sum::<f64>() / k as f64) as f32);
        for (&j, slot) in near.iter().zip(rows.chunks_exact_mut(size)) {
            task.embeddings.load(train_images[j], slot)?;
        }
        let data = BankData {
            rows: &rows,
            weights: &weights,
            floors: &[],
            row_image: &row_image,
            axes: &axes,
            order: None,
            dim: dim as u32,
        };
        let bank = Bank::new(device, &data)?;
        task.embeddings.load(image, &mut query)?;
        // A large bank bounds the queries of one search.
        let step = bank.max_queries(device).min(positions).max(1) as usize;
        let search = bank.search(device, step as u32, step as u32)?;
        for part in query.chunks(step * dim) {
            let count = part.len() / dim;
            device.write(&x, 0, part);
            let mut recorder = Recorder::new(device);
            bank.record(&mut recorder, &search, &x, 0..count as u32, None)?;
            recorder.run()?;
            let best: Vec<[u32; 2]> = device.read(&search.best)?;
            patches.extend(best[..count].iter().map(|b| f32::from_bits(b[0]).max(0.0).sqrt()));
        }
        progress.update(Stage::Score, i as u64 + 1, q as u64);
    }
    Ok(scores.into_iter().zip(patches.chunks_exact(positions as usize).map(<[f32]>::to_vec)).collect())
}

/// Mean embeddings `[images][dim]`.
fn pooled(task: &mut Task<'_>, images: &[usize], fit: &FitOptions) -> Result<Tensor> {
    let device = task.device;
    let (size, positions, batch) = (task.image(), task.positions() as u32, task.batch(fit));
    let dim = size / positions as usize;
    let all = device.alloc(images.len() * dim, "pooled images")?;
    let (x, c) =
        (device.alloc(batch * size, "embeddings at hand")?, device.alloc(batch * dim, "pooled batch")?);
    let mut values = vec![0.0_f32; batch * size];
    for (b, images) in images.chunks(batch).enumerate() {
        for (&image, slot) in images.iter().zip(values.chunks_exact_mut(size)) {
            task.embeddings.load(image, slot)?;
        }
        device.write(&x, 0, &values[..images.len() * size]);
        let mut recorder = Recorder::new(device);
        let shape = [images.len() as u32, positions, dim as u32];
        image_mean::record(&mut recorder, &x, shape, &c)?;
        recorder.copy(&c, 0, &all, b * batch * dim, images.len() * dim);
        recorder.run()?;
    }
    Ok(all)
}
