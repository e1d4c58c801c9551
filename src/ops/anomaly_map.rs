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

/// What is not zero of a matrix `[out][grid]` of [`axis_matrix`], on the device.
#[derive(Clone, Debug)]
struct Band {
    /// `[out][taps]`.
    values: Tensor,
    /// `[out]`: column of a row's first value.
    first: Tensor,
    taps: u32,
}

impl Band {
    fn new(device: &Device, grid: u32, out: u32) -> Result<Self> {
        let matrix = axis_matrix(grid, out);
        let rows = || matrix.chunks_exact(grid as usize);
        let start = |row: &[f32]| row.iter().position(|v| *v != 0.0).unwrap_or(0);
        let end = |row: &[f32]| row.iter().rposition(|v| *v != 0.0).map_or(0, |last| last + 1);
        let taps = rows().map(|row| end(row) - start(row)).max().unwrap_or(0);
        // Rows that end at the border begin earlier, with zeros.
        let first: Vec<u32> = rows().map(|row| start(row).min(row.len() - taps) as u32).collect();
        let values: Vec<f32> =
            rows().zip(&first).flat_map(|(row, first)| &row[*first as usize..][..taps]).copied().collect();
        Ok(Self {
            values: device.upload(&values, "anomaly map weights")?,
            first: device.upload(&first, "anomaly map windows")?,
            taps: taps as u32,
        })
    }
}

/// Scores `[batch][h][w]` to maps `[batch][out_h][out_w]`.
#[derive(Clone, Debug)]
pub struct AnomalyMap {
    rows: Band,
    columns: Band,
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
    taps: u32,
}

impl AnomalyMap {
    /// Prepares the axes' matrices for a grid `[h, w]` and a map `[out_h, out_w]`.
    ///
    /// # Errors
    /// [`crate::Error::Device`] where memory is out.
    pub fn new(device: &Device, grid: [u32; 2], out: [u32; 2]) -> Result<Self> {
        Ok(Self {
            rows: Band::new(device, grid[0], out[0])?,
            columns: Band::new(device, grid[1], out[1])?,
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
        let across = Params { batch, inner: h, in_len: w, out_len: out_w, taps: self.columns.taps };
        let grid = grid_64("anomaly map", words(&[batch, out_w, h]), &caps)?;
        recorder.dispatch(
            &kernel,
            &format!("{h}x{w}->{out_w} b{batch}"),
            &[scores, &self.columns.values, &self.columns.first, scratch],
            &across,
            grid,
        )?;
        let down = Params { batch, inner: out_w, in_len: h, out_len: out_h, taps: self.rows.taps };
        let grid = grid_64("anomaly map", words(&[batch, out_h, out_w]), &caps)?;
        let shape = format!("{out_w}x{h}->{out_h} b{batch}");
        let tensors = [scratch, &self.rows.values, &self.rows.first, map];
        recorder.dispatch(&kernel, &shape, &tensors, &down, grid)
    }
}
