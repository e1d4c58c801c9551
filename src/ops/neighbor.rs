//! Nearest row of the memory bank for every query, and the soft score made of it.
//!
//! Source: SoftPatch, section 3.4. The matrix of distances is never written: workgroups fold a tile of queries against a
//! split of the bank into one row a query, and the splits are merged. Distances are sums of squared differences, so that
//! nothing cancels; ties go to the smaller index.

use super::broadcast8;
use super::gemm::check;
use crate::gpu::{Archetype, Device, Recorder, Tensor, grid_1d};
use crate::{Error, Result};
use rayon::prelude::*;

/// A run of the bank's rows, `[rows][dims]`; the first part starts at row 0, and each next one where the one before ends.
#[derive(Clone, Copy, Debug)]
pub struct BankPart<'a> {
    /// The rows.
    pub rows: &'a Tensor,
    /// How many there are.
    pub len: u32,
    /// The image that each row comes from, `[rows]`; needed with [`Neighbor::query_image`] only.
    pub image: Option<&'a Tensor>,
}

/// Nearest neighbours of `queries` rows of `x` in `bank`.
#[derive(Debug)]
pub struct Neighbor<'a> {
    /// Queries, `[queries][dims]`.
    pub x: &'a Tensor,
    /// The bank, in order.
    pub bank: &'a [BankPart<'a>],
    /// Weight of every bank row, over all parts.
    pub weights: &'a Tensor,
    /// The image that each query comes from, `[queries]`: bank rows of the same image are passed over.
    pub query_image: Option<&'a Tensor>,
    /// Result: nearest row over all parts, `[queries]`; `u32::MAX` where every row was passed over.
    pub index: &'a Tensor,
    /// Result: squared distance, `[queries]`; `f32::MAX` where every row was passed over.
    pub squared: &'a Tensor,
    /// Result: weight times squared distance, `[queries]`; `f32::MAX` where every row was passed over.
    pub score: &'a Tensor,
    /// Scratch of [`scratch_len`] words.
    pub scratch_distance: &'a Tensor,
    /// Scratch of [`scratch_len`] words.
    pub scratch_index: &'a Tensor,
    /// Finds the same rows in two stages; pays for rows of 128 values and more.
    pub stages: Option<TwoStage<'a>>,
    /// Queries.
    pub queries: u32,
    /// Length of a row, a multiple of 4.
    pub dims: u32,
}

/// What the two-stage search needs: a lower bound of every distance from shortened rows first, then the true distance of
/// those rows that the bound does not rule out.
#[derive(Clone, Copy, Debug)]
pub struct TwoStage<'a> {
    /// The axes that rows are shortened to.
    pub axes: &'a ShortAxes,
    /// The shortened rows of each part of the bank, by [`ShortAxes::record`].
    pub short_bank: &'a [Tensor],
    /// Scratch for the shortened queries, of [`ShortAxes::len`] words.
    pub short_x: &'a Tensor,
    /// Scratch of [`bounds_len`] words, for the longest part.
    pub bounds: &'a Tensor,
}

/// Coordinates that a row is shortened to, besides the norm of what is left.
const SHORT: u32 = 28;

/// Mean and principal axes of a bank, for [`TwoStage`].
#[derive(Debug)]
pub struct ShortAxes {
    basis: Tensor,
    mean: Tensor,
    /// Word 0: largest squared norm of a centred row so far. Word 1: rows finished in full so far, modulo 2^32.
    pub largest: Tensor,
    dims: u32,
}

impl ShortAxes {
    /// From rows of the bank `[..][dims]` (at most about 4 096 of them are looked at): axes of largest variance, by
    /// subspace iteration. Any axes give exact results; better ones leave less to finish.
    ///
    /// # Errors
    /// [`Error::InvalidOption`] where there is no row or a row has fewer than 32 values, [`Error::Device`] where memory is
    /// out.
    pub fn new(device: &Device, rows: &[f32], dims: u32) -> Result<Self> {
        let d = dims as usize;
        if dims < SHORT + 4 || rows.len() < d {
            return Err(Error::InvalidOption(format!("axes of {} values in rows of {dims}", rows.len())));
        }
        let step = (rows.len() / d).div_ceil(4096).max(1);
        let sample: Vec<&[f32]> = rows.chunks_exact(d).step_by(step).collect();
        let mut mean = vec![0.0_f64; d];
        for row in &sample {
            mean.iter_mut().zip(*row).for_each(|(m, v)| *m += f64::from(*v));
        }
        mean.iter_mut().for_each(|m| *m /= sample.len() as f64);
        let centred: Vec<Vec<f64>> = sample
            .iter()
            .map(|row| row.iter().zip(&mean).map(|(v, m)| f64::from(*v) - m).collect())
            .collect();
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        // Starts from single coordinates spread over the row, which are orthonormal.
        let mut basis: Vec<Vec<f64>> = (0..SHORT as usize)
            .map(|i| (0..d).map(|k| f64::from(u8::from(k == i * d / SHORT as usize))).collect())
            .collect();
        for _ in 0..6 {
            let next: Vec<Vec<f64>> = basis
                .par_iter()
                .map(|axis| {
                    let mut sum = vec![0.0; d];
                    for row in &centred {
                        let along = dot(row, axis);
                        sum.iter_mut().zip(row).for_each(|(s, v)| *s += along * v);
                    }
                    sum
                })
                .collect();
            orthonormalise(&mut basis, next);
        }
        let flat: Vec<f32> = basis.iter().flatten().map(|v| *v as f32).collect();
        let mean: Vec<f32> = mean.iter().map(|v| *v as f32).collect();
        Ok(Self {
            basis: device.upload(&flat, "neighbour axes")?,
            mean: device.upload(&mean, "neighbour mean")?,
            largest: device.alloc(2, "neighbour largest norm")?,
            dims,
        })
    }

    /// Words of `rows` shortened rows.
    pub fn len(rows: u32) -> usize {
        rows as usize * (SHORT as usize + 4)
    }

    /// Records shortening `rows` rows of `x` into `short`.
    ///
    /// # Errors
    /// [`Error::Limit`] where a tensor is too small.
    pub fn record(&self, recorder: &mut Recorder, x: &Tensor, short: &Tensor, rows: u32) -> Result<()> {
        check("shortened rows", Self::len(rows) as u64, short)?;
        check("rows to shorten", u64::from(rows) * u64::from(self.dims), x)?;
        if rows == 0 {
            return Ok(());
        }
        let kernel = recorder.device().kernel("neighbor_shorten", &[("R", SHORT)], &[])?;
        let grid = grid_1d(rows.div_ceil(64), recorder.device().caps().max_groups);
        let params = Params { rows, d4: self.dims / 4, ..Params::default() };
        recorder.dispatch(
            &kernel,
            &format!("{rows}x{}", self.dims),
            &[x, &self.basis, &self.mean, short, &self.largest],
            &params,
            grid,
        )
    }
}

/// Gram-Schmidt, twice for accuracy; an axis that depends on those before it keeps its old direction, if that helps.
fn orthonormalise(basis: &mut [Vec<f64>], next: Vec<Vec<f64>>) {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    for (i, axis) in next.into_iter().enumerate() {
        let (done, rest) = basis.split_at_mut(i);
        let size = dot(&axis, &axis).sqrt();
        let unit_or = |mut axis: Vec<f64>, least: f64| {
            for _ in 0..2 {
                for other in done.iter() {
                    let along = dot(&axis, other);
                    axis.iter_mut().zip(other).for_each(|(a, o)| *a -= along * o);
                }
            }
            let norm = dot(&axis, &axis).sqrt();
            (norm > least).then(|| axis.iter().map(|a| a / norm).collect::<Vec<_>>())
        };
        let old = rest[0].clone();
        let d = old.len();
        rest[0] = unit_or(axis, size * 1e-9)
            .or_else(|| unit_or(old, 1e-3))
            .or_else(|| {
                // Some coordinate axis is always left over: there are fewer axes than values.
                (0..d).find_map(|k| unit_or((0..d).map(|j| f64::from(u8::from(j == k))).collect(), 1e-3))
            })
            .unwrap_or_else(|| vec![0.0; d]);
    }
}

/// Rows that share a bound.
const BLOCK: u32 = 4;

/// Words of [`TwoStage::bounds`] for a part of `rows` rows.
pub fn bounds_len(queries: u32, rows: u32) -> usize {
    queries as usize * (rows.div_ceil(4 * BLOCK) * 4) as usize
}

/// The uniform of `neighbor_*.wgsl`.
#[repr(C)]
#[derive(Clone, Copy, Default, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    queries: u32,
    rows: u32,
    d4: u32,
    split: u32,
    row0: u32,
    splits: u32,
    merged: u32,
    short4: u32,
}

/// Splits of a bank at most.
const MAX_SPLITS: u32 = 32;

/// Words of each scratch tensor of [`Neighbor`].
pub fn scratch_len(queries: u32) -> usize {
    queries as usize * MAX_SPLITS as usize
}

/// Rows a split, a multiple of 64, and the number of splits: enough of them to occupy the device when queries are few.
fn split(queries: u32, rows: u32, tile: u32, wanted: u32) -> (u32, u32) {
    let splits = wanted.div_ceil(queries.div_ceil(tile)).clamp(1, MAX_SPLITS);
    let split = rows.div_ceil(splits).next_multiple_of(64);
    (split, rows.div_ceil(split))
}

impl Neighbor<'_> {
    /// Records the search.
    ///
    /// # Errors
    /// [`Error::Limit`] where a tensor is too small or `dims` is not a multiple of 4, [`Error::InvalidOption`] where the
    /// bank is empty or a part does not say which images its rows come from though the queries do.
    pub fn record(&self, recorder: &mut Recorder) -> Result<()> {
        let Self { queries, dims, .. } = *self;
        if dims % 4 != 0 || dims == 0 {
            return Err(Error::Limit(format!("nearest neighbour: {dims} values a row, not a multiple of 4")));
        }
        let total: u64 = self.bank.iter().map(|part| u64::from(part.len)).sum();
        if total == 0 {
            return Err(Error::InvalidOption("nearest neighbour: the memory bank is empty".into()));
        }
        let q = u64::from(queries);
        check("nearest neighbour queries", q * u64::from(dims), self.x)?;
        check("nearest neighbour weights", total, self.weights)?;
        for (what, tensor) in [("index", self.index), ("squared", self.squared), ("score", self.score)] {
            check(&format!("nearest neighbour {what}"), q, tensor)?;
        }
        check("nearest neighbour scratch", scratch_len(queries) as u64, self.scratch_distance)?;
        check("nearest neighbour scratch", scratch_len(queries) as u64, self.scratch_index)?;
        if let Some(image) = self.query_image {
            check("nearest neighbour query images", q, image)?;
        }
        if queries == 0 {
            return Ok(());
        }
        let device = recorder.device().clone();
        let direct = device.caps().archetype == Archetype::Direct;
        let mut flags = Vec::new();
        if broadcast8(device.caps()) {
            flags.push("SUBGROUP");
        }
        if self.query_image.is_some() {
            flags.push("EXCLUDE");
        }
        let (kernel, tile, wanted) = if direct {
            (device.kernel("neighbor_direct", &[], &flags)?, 32, 64)
        } else {
            (device.kernel("neighbor_tiled", &[], &flags)?, 64, 512)
        };
        let merge = device.kernel("neighbor_merge", &[], &[])?;
        let mut bound_flags = flags.clone();
        bound_flags.retain(|f| *f != "EXCLUDE");
        bound_flags.push("BOUND");
        let exclude = if self.query_image.is_some() { &["EXCLUDE"][..] } else { &[] };
        let bound =
            device.kernel(if direct { "neighbor_direct" } else { "neighbor_tiled" }, &[], &bound_flags)?;
        let finish = if broadcast8(device.caps()) {
            device.kernel("neighbor_finish_direct", &[], exclude)?
        } else {
            device.kernel("neighbor_finish_tiled", &[("BLOCK", BLOCK)], exclude)?
        };
        if let Some(stages) = self.stages {
            stages.axes.record(recorder, self.x, stages.short_x, queries)?;
        }
        let mut row0 = 0;
        for (i, part) in self.bank.iter().enumerate().filter(|(_, part)| part.len > 0) {
            check("nearest neighbour bank", u64::from(part.len) * u64::from(dims), part.rows)?;
            // Without exclusion any readable buffer stands in.
            let (row_image, query_image) = match (self.query_image, part.image) {
                (None, _) => (self.weights, self.weights),
                (Some(query), Some(row)) => {
                    check("nearest neighbour row images", part.len.into(), row)?;
                    (row, query)
                }
                (Some(_), None) => {
                    return Err(Error::InvalidOption(
                        "nearest neighbour: bank rows without their images".into(),
                    ));
                }
            };
            let (split, mut splits) = split(queries, part.len, tile, wanted);
            let params = Params {
                queries,
                rows: part.len,
                d4: dims / 4,
                split,
                row0,
                splits,
                merged: (row0 > 0).into(),
                short4: 0,
            };
            let shape = format!("{queries}x{dims} in {}", part.len);
            let grid = [queries.div_ceil(tile), splits, 1];
            match self.stages {
                None => {
                    let tensors = [
                        self.x,
                        part.rows,
                        row_image,
                        query_image,
                        self.scratch_distance,
                        self.scratch_index,
                    ];
                    recorder.dispatch(&kernel, &shape, &tensors, &params, grid)?;
                }
                Some(stages) => {
                    let short_bank = stages.short_bank.get(i).ok_or_else(|| {
                        Error::InvalidOption("nearest neighbour: a part without shortened rows".into())
                    })?;
                    check("shortened bank", ShortAxes::len(part.len) as u64, short_bank)?;
                    check("bounds", bounds_len(queries, part.len) as u64, stages.bounds)?;
                    let short = Params { d4: SHORT / 4 + 1, ..params };
                    // Nothing is excluded yet, and no row is named.
                    let tensors = [
                        stages.short_x,
                        short_bank,
                        self.weights,
                        self.weights,
                        stages.bounds,
                        self.scratch_index,
                    ];
                    recorder.dispatch(&bound, &shape, &tensors, &short, grid)?;
                    splits = 1;
                    let tensors = [
                        self.x,
                        part.rows,
                        stages.bounds,
                        row_image,
                        query_image,
                        self.scratch_distance,
                        self.scratch_index,
                        &stages.axes.largest,
                    ];
                    let params = Params { short4: SHORT / 4 + 1, ..params };
                    recorder.dispatch(
                        &finish,
                        &shape,
                        &tensors,
                        &params,
                        grid_1d(queries, device.caps().max_groups),
                    )?;
                }
            }
            let params = Params { splits, ..params };
            recorder.dispatch(
                &merge,
                &shape,
                &[
                    self.scratch_distance,
                    self.scratch_index,
                    self.weights,
                    self.index,
                    self.squared,
                    self.score,
                ],
                &params,
                grid_1d(queries.div_ceil(64), device.caps().max_groups),
            )?;
            row0 += part.len;
        }
        Ok(())
    }
}
