//! The anomaly map: patch scores, upsampled and blurred.

use crate::Result;
use crate::gpu::{Recorder, Shader, Tensor, shader};
use crate::steps::checks::{check, grid_64, words};

pub(super) static ANOMALY_MAP: Shader = shader!("map/anomaly_map");

/// Standard deviation of the blur in pixels, and where it is cut off, in standard deviations (docs/method.md,
/// section 6).
const SIGMA: f64 = 4.0;
const TRUNCATE: f64 = 4.0;

/// Upsampling and blur of one axis as a matrix `[out][grid]`, rows adding up to 1: bilinear with half-pixel
/// centres, then a Gaussian (sigma 4, cut at 4 sigma) mirrored at the border with the edge repeated (SciPy's
/// `reflect`).
pub(super) fn axis_matrix(grid: u32, out: u32) -> Vec<f64> {
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
    matrix
}

/// What is not zero of the matrix `[out][grid]` of an axis.
#[derive(Clone, Debug)]
pub struct Band {
    /// `[out][taps]`.
    pub values: Vec<f32>,
    /// `[out]`: column of a row's first value.
    pub first: Vec<u32>,
    /// Values per row.
    pub taps: u32,
}

impl Band {
    /// The band of an axis of `grid` patches and `out` pixels.
    pub fn new(grid: u32, out: u32) -> Self {
        Self::of(&axis_matrix(grid, out), grid)
    }

    /// The band of a matrix `[out][grid]`.
    pub(super) fn of(matrix: &[f64], grid: u32) -> Self {
        let matrix: Vec<f32> = matrix.iter().map(|&v| v as f32).collect();
        let rows = || matrix.chunks_exact(grid as usize);
        let start = |row: &[f32]| row.iter().position(|v| *v != 0.0).unwrap_or(0);
        let end = |row: &[f32]| row.iter().rposition(|v| *v != 0.0).map_or(0, |last| last + 1);
        let taps = rows().map(|row| end(row) - start(row)).max().unwrap_or(0);
        // Rows that end at the border begin earlier, with zeros.
        let first: Vec<u32> = rows().map(|row| start(row).min(row.len() - taps) as u32).collect();
        let values =
            rows().zip(&first).flat_map(|(row, first)| &row[*first as usize..][..taps]).copied().collect();
        Self { values, first, taps: taps as u32 }
    }
}

/// One axis: `x` `[batch][in_len][inner]`, or transposed by the pass before, through a [`Band`] on the
/// device.
#[derive(Clone, Debug)]
pub struct Axis {
    /// `[out][taps]`.
    pub values: Tensor,
    /// `[out]`.
    pub first: Tensor,
    /// Values per row of the band.
    pub taps: u32,
    /// Patches along the axis.
    pub grid: u32,
    /// Pixels along the axis.
    pub out: u32,
}

/// Scores `[batch][h][w]` to maps `[batch][out_h][out_w]`.
#[derive(Debug)]
pub struct AnomalyMap<'a> {
    /// `[batch][h][w]`.
    pub scores: &'a Tensor,
    /// Down the image.
    pub rows: &'a Axis,
    /// Across it.
    pub columns: &'a Axis,
    /// Scratch `[batch][out_w][h]`.
    pub scratch: &'a Tensor,
    /// Output `[batch][out_h][out_w]`.
    pub map: &'a Tensor,
    /// Images.
    pub batch: u32,
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

impl AnomalyMap<'_> {
    /// Records both axes.
    ///
    /// # Errors
    /// [`crate::Error::Limit`] where a tensor is too small.
    pub fn record(&self, recorder: &mut Recorder) -> Result<()> {
        let Self { scores, rows, columns, scratch, map, batch } = *self;
        let ([h, w], [out_h, out_w]) = ([rows.grid, columns.grid], [rows.out, columns.out]);
        check("anomaly map scores", words(&[batch, h, w]), scores)?;
        check("anomaly map scratch", words(&[batch, out_w, h]), scratch)?;
        check("anomaly map", words(&[batch, out_h, out_w]), map)?;
        let kernel = recorder.device().kernel(&ANOMALY_MAP, &[], &[])?;
        let caps = recorder.device().caps().clone();
        let across = Params { batch, inner: h, in_len: w, out_len: out_w, taps: columns.taps };
        let grid = grid_64("anomaly map", words(&[batch, out_w, h]), &caps)?;
        let shape = format!("{h}x{w}->{out_w} b{batch}");
        recorder.dispatch(
            &kernel,
            &shape,
            &[scores, &columns.values, &columns.first, scratch],
            &across,
            grid,
        )?;
        let down = Params { batch, inner: out_w, in_len: h, out_len: out_h, taps: rows.taps };
        let grid = grid_64("anomaly map", words(&[batch, out_h, out_w]), &caps)?;
        let shape = format!("{out_w}x{h}->{out_h} b{batch}");
        recorder.dispatch(&kernel, &shape, &[scratch, &rows.values, &rows.first, map], &down, grid)
    }
}
