//! The anomaly map: patch scores, upsampled and blurred.

use super::{check, grid_64, words};
use crate::Result;
use crate::gpu::{Device, Recorder, Tensor};

/// Standard deviation of the blur in pixels, and where it is cut off, in standard deviations (METHOD, section 6).
const SIGMA: f64 = 4.0;
const TRUNCATE: f64 = 4.0;

/// Upsampling and blur of one axis as a matrix `[out][grid]`, rows adding up to 1: bilinear with half-pixel centres, then
/// a Gaussian (sigma 4, cut at 4 sigma) mirrored at the border with the edge repeated (SciPy's `reflect`).
pub fn axis_matrix(grid: u32, out: u32) -> Vec<f32> {
    let (grid, out) = (grid as usize, out as usize);
    let mut up = vec![0.0_f64; out * grid];
    for o in 0..out {
        let f = ((o as f64 + 0.5) * grid as f64 / out as f64 - 0.5).max(0.0);
        let low = (f as usize).min(grid - 1);
        let t = f - low as f64;
        up[o * grid + low] += 1.0 - t;
        up[o * grid + (low + 1).min(grid - 1)] += t;
    }
    let radius = (TRUNCATE * SIGMA + 0.5) as isize;
    let weights: Vec<f64> = (-radius..=radius).map(|d| (-0.5 * (d as f64 / SIGMA).powi(2)).exp()).collect();
    let sum: f64 = weights.iter().sum();
    let mut matrix = vec![0.0_f64; out * grid];
    for o in 0..out {
        for (d, weight) in (-radius..=radius).zip(&weights) {
            // d c b a | a b c d | d c b a, as often as needed for sizes smaller than the radius.
            let period = 2 * out as isize;
            let at = (o as isize + d).rem_euclid(period);
            let at = if at >= out as isize { period - 1 - at } else { at } as usize;
            for q in 0..grid {
                matrix[o * grid + q] += weight / sum * up[at * grid + q];
            }
        }
    }
    matrix.into_iter().map(|v| v as f32).collect()
}

/// Scores `[batch][h][w]` to maps `[batch][out_h][out_w]`.
#[derive(Clone, Debug)]
pub struct AnomalyMap {
    rows: Tensor,
    columns: Tensor,
    grid: [u32; 2],
    out: [u32; 2],
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    batch: u32,
    inner: u32,
    in_len: u32,
    out_len: u32,
}

impl AnomalyMap {
    /// Prepares the axes' matrices for a grid `[h, w]` and a map `[out_h, out_w]`.
    ///
    /// # Errors
    /// [`crate::Error::Device`] where memory is out.
    pub fn new(device: &Device, grid: [u32; 2], out: [u32; 2]) -> Result<Self> {
        Ok(Self {
            rows: device.upload(&axis_matrix(grid[0], out[0]), "anomaly map rows")?,
            columns: device.upload(&axis_matrix(grid[1], out[1]), "anomaly map columns")?,
            grid,
            out,
        })
    }

    /// Words of scratch that [`AnomalyMap::record`] needs for `batch` images.
    pub fn scratch_len(&self, batch: u32) -> usize {
        words(&[batch, self.out[1], self.grid[0]]) as usize
    }

    /// Records both axes.
    ///
    /// # Errors
    /// [`crate::Error::Limit`] where a tensor is too small.
    pub fn record(
        &self,
        recorder: &mut Recorder,
        scores: &Tensor,
        scratch: &Tensor,
        map: &Tensor,
        batch: u32,
    ) -> Result<()> {
        let ([h, w], [out_h, out_w]) = (self.grid, self.out);
        check("anomaly map scores", words(&[batch, h, w]), scores)?;
        check("anomaly map scratch", words(&[batch, out_w, h]), scratch)?;
        check("anomaly map", words(&[batch, out_h, out_w]), map)?;
        let kernel = recorder.device().kernel("anomaly_map", &[], &[])?;
        let caps = recorder.device().caps().clone();
        let first = Params { batch, inner: h, in_len: w, out_len: out_w };
        let grid = grid_64("anomaly map", words(&[batch, out_w, h]), &caps)?;
        recorder.dispatch(
            &kernel,
            &format!("{h}x{w}->{out_w} b{batch}"),
            &[scores, &self.columns, scratch],
            &first,
            grid,
        )?;
        let second = Params { batch, inner: out_w, in_len: h, out_len: out_h };
        let grid = grid_64("anomaly map", words(&[batch, out_h, out_w]), &caps)?;
        let shape = format!("{out_w}x{h}->{out_h} b{batch}");
        recorder.dispatch(&kernel, &shape, &[scratch, &self.rows, map], &second, grid)
    }
}
