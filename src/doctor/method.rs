//! Checks of the kernels of the method: discriminators, coreset, nearest neighbour.

use super::{Measured, gamma, measure, noise};
use crate::Result;
use crate::detector::coreset::{Vectors, select};
use crate::gpu::{Device, Recorder, Tensor};
use crate::ops::coreset::{Chunk, CoresetShape};
use crate::ops::knn::Knn;
use crate::ops::lof::{Lof, ScoreMap};
use crate::ops::mahalanobis::Mahalanobis;
use crate::ops::nearest::Nearest;
use crate::ops::neighbor::{Bank, BankData};
use crate::ops::quantile::Quantile;
use crate::reference as plain;
use std::ops::ControlFlow;
use std::time::Instant;

const GROUPS: usize = 6;
const ROWS: usize = 67;
const VALUES: usize = 32;
const K: usize = 6;

/// Groups of rows with their k-nearest-neighbour lists on the device.
struct Lists {
    rows: Vec<f32>,
    block: Tensor,
    distances: Tensor,
    indices: Tensor,
    density: Tensor,
    scores: Tensor,
}

impl Lists {
    fn new(device: &Device) -> Result<Self> {
        let rows = noise(20, GROUPS * ROWS * VALUES);
        Ok(Self {
            block: device.upload(&rows, "block")?,
            rows,
            distances: device.alloc(GROUPS * ROWS * K, "distances")?,
            indices: device.alloc(GROUPS * ROWS * K, "indices")?,
            density: device.alloc(GROUPS * ROWS, "density")?,
            scores: device.alloc(GROUPS * ROWS, "scores")?,
        })
    }

    fn record(&self, recorder: &mut Recorder) -> Result<()> {
        let (distances, indices) = (&self.distances, &self.indices);
        let (groups, n, r, k) = (GROUPS as u32, ROWS as u32, VALUES as u32, K as u32);
        Knn { block: &self.block, distances, indices, groups, n, r, k }.record(recorder)
    }

    /// Where scores go: image by image.
    fn to(&self) -> ScoreMap<'_> {
        ScoreMap { scores: &self.scores, positions: GROUPS as u32, p0: 0 }
    }

    /// `f` of every group, as [`Lists::to`] orders it.
    fn want(&self, f: impl Fn(&[f32]) -> Vec<f32>) -> Vec<f32> {
        let by_group: Vec<Vec<f32>> = self.rows.chunks_exact(ROWS * VALUES).map(f).collect();
        (0..ROWS).flat_map(|row| by_group.iter().map(move |group| group[row])).collect()
    }
}

/// A squared distance is a sum of `VALUES` squares of differences; its root halves the relative error.
fn distance_error() -> f64 {
    gamma(VALUES as u32 + 4)
}

pub(super) fn knn(device: &Device) -> Result<Measured> {
    let lists = Lists::new(device)?;
    let want: Vec<f32> =
        lists.rows.chunks_exact(ROWS * VALUES).flat_map(|g| plain::knn::knn(g, VALUES, K).0).collect();
    let largest = want.iter().copied().fold(0.0, f32::max);
    measure(device, &lists.distances, &want, distance_error() * f64::from(largest), |r| lists.record(r))
}

pub(super) fn lof(device: &Device) -> Result<Measured> {
    let lists = Lists::new(device)?;
    let want = lists.want(|g| plain::lof::lof(g, VALUES, K));
    let largest = want.iter().copied().fold(0.0, f32::max);
    // Distances enter a mean of reaches, its inverse, and a mean of quotients.
    let tolerance = (4.0 * distance_error() + gamma(4 * K as u32)) * f64::from(largest);
    measure(device, &lists.scores, &want, tolerance, |recorder| {
        lists.record(recorder)?;
        let (distances, indices, density) = (&lists.distances, &lists.indices, &lists.density);
        let (groups, n, k) = (GROUPS as u32, ROWS as u32, K as u32);
        Lof { distances, indices, density, to: lists.to(), groups, n, k }.record(recorder)
    })
}

pub(super) fn nearest(device: &Device) -> Result<Measured> {
    let lists = Lists::new(device)?;
    let want = lists.want(|g| plain::nearest::nearest(g, VALUES));
    let largest = want.iter().copied().fold(0.0, f32::max);
    measure(device, &lists.scores, &want, distance_error() * f64::from(largest), |recorder| {
        lists.record(recorder)?;
        let (groups, n, k) = (GROUPS as u32, ROWS as u32, K as u32);
        Nearest { distances: &lists.distances, to: lists.to(), groups, n, k }.record(recorder)
    })
}

pub(super) fn mahalanobis(device: &Device) -> Result<Measured> {
    let lists = Lists::new(device)?;
    let want = lists.want(|g| plain::mahalanobis::mahalanobis(g, VALUES));
    let largest = want.iter().copied().fold(0.0, f32::max);
    let factors = device.alloc(GROUPS * VALUES * VALUES, "factors")?;
    // The block is overwritten, so every run starts from a copy.
    let fresh = device.upload(&lists.rows, "rows")?;
    // Backward stable; the condition of a covariance of uniform noise with its ridge is below 40.
    let tolerance = 40.0 * gamma(2 * (ROWS + VALUES) as u32) * f64::from(largest);
    measure(device, &lists.scores, &want, tolerance, |recorder| {
        recorder.copy(&fresh, 0, &lists.block, 0, lists.rows.len());
        let (groups, n, r) = (GROUPS as u32, ROWS as u32, VALUES as u32);
        Mahalanobis { block: &lists.block, factors: &factors, to: lists.to(), groups, n, r }.record(recorder)
    })
}

pub(super) fn quantile(device: &Device) -> Result<Measured> {
    let (values, q) = (noise(21, 10_000), 0.85);
    let want = [plain::quantile::quantile(&values, q)];
    let scores = device.upload(&values, "scores")?;
    let state = device.alloc(Quantile::STATE, "state")?;
    let threshold = device.alloc(1, "threshold")?;
    // One interpolation.
    measure(device, &threshold, &want, gamma(4), |recorder| {
        Quantile { scores: &scores, len: 10_000, q, state: &state, threshold: &threshold }.record(recorder)
    })
}

pub(super) fn coreset(device: &Device) -> Result<Measured> {
    let (rows, r, picks, seed) = (2000_u32, 32_usize, 200_u32, 0);
    // Small whole numbers: distances are exact, so the picks must be the reference's, one by one.
    let z: Vec<f32> = noise(22, rows as usize * r).iter().map(|v| (v * 20.0).round()).collect();
    let kept: Vec<u32> = (0..rows).filter(|i| i % 7 != 3).collect();
    let want = plain::coreset::greedy_coreset(&z, r, &kept, picks as usize, seed);
    let samples: Vec<u32> =
        plain::coreset::start_samples(kept.len(), seed).into_iter().map(|s| s as u32).collect();
    let tensor = device.upload(&z, "rows")?;
    let chunks = [Chunk { rows: &tensor, first_row: 0, len: rows }];
    let shape = CoresetShape::new(kept.len() as u32, r as u32, picks, device.caps().max_binding);
    let run =
        || select(device, shape, Vectors::Device(&chunks), &kept, &samples, |_| ControlFlow::Continue(()));
    run()?;
    let started = Instant::now();
    let found = run()?.map(|s| s.picks).unwrap_or_default();
    let seconds = started.elapsed().as_secs_f64();
    let wrong = found.iter().zip(&want).filter(|(a, b)| a != b).count() + want.len().abs_diff(found.len());
    Ok(Measured { error: wrong as f64, tolerance: 0.0, seconds })
}

pub(super) fn neighbor(device: &Device) -> Result<Measured> {
    let (q, m, d, head) = (196_usize, 3000_usize, 64_usize, 16_usize);
    // Variance falls along the values, as it does along principal axes.
    let shrink = |v: Vec<f32>| -> Vec<f32> {
        v.iter().enumerate().map(|(i, v)| v / (1.0 + (i % d) as f32 / 8.0)).collect()
    };
    let (queries, rows) = (shrink(noise(23, q * d)), shrink(noise(24, m * d)));
    let weights: Vec<f32> = noise(25, m).iter().map(|w| 1.0 + 0.5 * w).collect();
    let (index, squared) = plain::neighbor::nearest_neighbor(&queries, &rows, d, |_, _| false);
    let want = plain::neighbor::soft_scores(&squared, &index, &weights);
    let largest = want.iter().copied().fold(0.0, f32::max);
    let axes: Vec<f32> = (0..head * d).map(|i| if i % d == i / d { 1.0 } else { 0.0 }).collect();
    let (row_image, mean) = (vec![0; m], vec![0.0; d]);
    let data = BankData {
        rows: &rows,
        weights: &weights,
        row_image: &row_image,
        mean: &mean,
        axes: &axes,
        dim: d as u32,
    };
    let bank = Bank::new(device, &data)?;
    let search = bank.search(device, q as u32)?;
    let x = device.upload(&queries, "queries")?;
    let (scores, top) = (device.alloc(q, "scores")?, device.alloc(1, "top")?);
    measure(device, &scores, &want, gamma(d as u32 + 5) * f64::from(largest), |recorder| {
        bank.record(recorder, &search, &x, q as u32, None)?;
        bank.record_scores(recorder, &search, 1, q as u32, &scores, &top)
    })
}
