//! The linear map that the discriminators and the coreset see embeddings through.

use crate::Result;
use crate::bank::Axes;
use crate::gpu::{Device, Recorder, Tensor};
use crate::settings::FitOptions;
use crate::shapes::Activation;
use crate::steps::network::gemm::Gemm;
use crate::steps::patches::projection::projection_matrix;
use rayon::prelude::*;

/// A linear map `[r][dim]` of embeddings.
pub(crate) struct Projection {
    /// Row-major.
    pub matrix: Vec<f32>,
    /// Values of a projected vector.
    pub r: usize,
    /// The projected vectors may be turned, so that only their distances are what the map says.
    pub turn: bool,
}

impl Projection {
    /// The seeded random map of the method; none where the embedding is no longer than the map's result.
    pub fn random(dim: usize, options: &FitOptions) -> Option<Self> {
        let r = options.projection as usize;
        (dim > r).then(|| Self { matrix: projection_matrix(dim, r, options.seed), r, turn: true })
    }

    /// The map, on the device. Where it may turn its results, it does so, into principal axes of what becomes
    /// of `sample` `[rows][dim]`: distances stay, but their first terms are then the largest, and the
    /// coreset, which leaves a sum of squares as soon as it is large enough, leaves sooner.
    pub(super) fn upload(&self, device: &Device, sample: &Tensor, rows: usize) -> Result<Tensor> {
        let w = device.upload(&self.matrix, "projection")?;
        if !self.turn {
            return Ok(w);
        }
        let (r, dim) = (self.r, self.matrix.len() / self.r);
        let bias = device.alloc(r, "no bias")?;
        let c = device.alloc(rows * r, "projected sample")?;
        let mut recorder = Recorder::new(device);
        record_projection(&mut recorder, sample, &w, &bias, &c, [rows, dim, r])?;
        recorder.run()?;
        let axes = Axes::new(&device.read::<f32>(&c)?, r, r).vectors;
        let turned: Vec<f32> = axes
            .par_chunks_exact(r)
            .flat_map_iter(|axis| {
                let mut row = vec![0.0_f64; dim];
                for (a, from) in axis.iter().zip(self.matrix.chunks_exact(dim)) {
                    row.iter_mut().zip(from).for_each(|(sum, v)| *sum += f64::from(*a) * f64::from(*v));
                }
                row.into_iter().map(|v| v as f32)
            })
            .collect();
        device.upload(&turned, "projection")
    }
}

/// Patches of the first image at most that the turn of the map is found from.
const SAMPLE: usize = 1 << 14;

/// The patches of an image of `positions` that the map is turned by: all, or evenly spread ones.
pub(super) fn sample_rows(positions: usize) -> Vec<u32> {
    (0..positions as u32).step_by(positions.div_ceil(SAMPLE).max(1)).collect()
}

/// Records `c [m][r] = x [m][dim] * w [r][dim]^T`.
pub(super) fn record_projection(
    recorder: &mut Recorder,
    x: &Tensor,
    w: &Tensor,
    bias: &Tensor,
    c: &Tensor,
    [m, dim, r]: [usize; 3],
) -> Result<()> {
    let (m, k, n) = (m as u32, dim as u32, r as u32);
    Gemm { x, w, bias, residual: None, c, m, k, n, activation: Activation::None }.record(recorder)
}
