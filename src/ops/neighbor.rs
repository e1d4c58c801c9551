//! Exact nearest neighbour in two stages, and the soft-weighted patch score.

use super::gemm::Gemm;
use super::{Activation, broadcast8, check, check_vec4, grid_64, words};
use crate::gpu::{Archetype, Device, Recorder, Tensor};
use crate::{Error, Result};

/// Bank rows of one bound (fixed in the shaders).
const TILE: u32 = 8;
/// Pairs of tiles that one workgroup of the `direct` variant walks (`PAIRS` in its shader).
const DIRECT_PAIRS: u32 = 16;

/// Bounds of a query over `rows` bank rows: tiles, padded to whole vec4s.
fn bounds(rows: u32) -> u32 {
    rows.div_ceil(TILE).next_multiple_of(4)
}

/// A part of the bank that fits one binding.
struct Part {
    rows: u32,
    first: u32,
    bank: Tensor,
    lifted: Tensor,
}

/// A memory bank prepared for search: lifted rows for the bounds, weights for the score.
pub struct Bank {
    parts: Vec<Part>,
    weights: Tensor,
    row_image: Tensor,
    mean: Tensor,
    axes: Tensor,
    axes_bias: Tensor,
    rows: u32,
    dim: u32,
    head: u32,
}

/// What a bank is made of.
#[derive(Clone, Copy, Debug)]
pub struct BankData<'a> {
    /// `[rows][dim]`, `dim` a multiple of 4.
    pub rows: &'a [f32],
    /// `[rows]`.
    pub weights: &'a [f32],
    /// `[rows]`: training image that each row comes from.
    pub row_image: &'a [u32],
    /// `[dim]`: what is subtracted before the axes are applied; any value is right, the bank's mean is fast.
    pub mean: &'a [f32],
    /// `[head][dim]` orthonormal axes, `head` a multiple of 4; the bank's principal axes are fast.
    pub axes: &'a [f32],
    /// Values of a row.
    pub dim: u32,
}

/// Buffers of a search of at most `queries` queries.
pub struct Search {
    heads: Tensor,
    lifted: Tensor,
    norms: Tensor,
    products: Tensor,
    /// `[queries][2]`: squared distance (f32 bits) and bank row of the nearest neighbour.
    pub best: Tensor,
    /// One counter: bank rows that were measured in full.
    pub finished: Tensor,
    unset: Tensor,
    queries: u32,
}

/// Leaves out the bank rows that come from the query's own image.
#[derive(Clone, Copy, Debug)]
pub struct SkipOwn {
    /// Training image of the first query.
    pub first_image: u32,
    /// Queries of an image.
    pub queries_per_image: u32,
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct LiftParams {
    rows: u32,
    d4: u32,
    r4: u32,
    bank: u32,
    slack: f32,
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct BoundParams {
    q: u32,
    m: u32,
    k4: u32,
    pairs: u32,
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct FinishParams {
    q: u32,
    m: u32,
    d4: u32,
    quads: u32,
    first_row: u32,
    skip: u32,
    query_image: u32,
    queries_per_image: u32,
    slack: f32,
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct ScoreParams {
    images: u32,
    positions: u32,
    m: u32,
}

/// Heads of `x` (a GEMM with the axes) and from them the lifted vectors and squared norms.
#[allow(clippy::too_many_arguments, reason = "private, called twice")]
fn record_lift(
    recorder: &mut Recorder,
    bank: &Bank,
    x: &Tensor,
    rows: u32,
    heads: &Tensor,
    lifted: &Tensor,
    norms: &Tensor,
    is_bank: bool,
) -> Result<()> {
    Gemm {
        x,
        w: &bank.axes,
        bias: &bank.axes_bias,
        residual: None,
        c: heads,
        m: rows,
        k: bank.dim,
        n: bank.head,
        activation: Activation::None,
    }
    .record(recorder)?;
    let params = LiftParams {
        rows,
        d4: bank.dim / 4,
        r4: bank.head / 4,
        bank: is_bank.into(),
        // gamma(d) each for the two sums and for the heads, doubled.
        slack: 4.0 * bank.dim as f32 * f32::EPSILON,
    };
    let kernel = recorder.device().kernel("neighbor_lift", &[], &[])?;
    let grid = grid_64("lift", rows.into(), recorder.device().caps())?;
    recorder.dispatch(
        &kernel,
        &format!("{rows}x{}", bank.dim),
        &[x, &bank.mean, heads, lifted, norms],
        &params,
        grid,
    )
}

impl Bank {
    /// Uploads and lifts a bank.
    ///
    /// # Errors
    /// [`Error::Limit`] where sizes do not fit together, [`Error::Device`] where memory is out.
    pub fn new(device: &Device, data: &BankData<'_>) -> Result<Self> {
        let dim = data.dim;
        check_vec4("bank values", dim)?;
        let (d, rows) = (dim as usize, data.weights.len());
        let head = data.axes.len() / d;
        check_vec4("bank axes", head as u32)?;
        if rows == 0 || data.rows.len() != rows * d || data.row_image.len() != rows || data.mean.len() != d {
            return Err(Error::Limit(format!(
                "a bank of {} values does not have {rows} rows of {dim}",
                data.rows.len()
            )));
        }
        let bias: Vec<f32> = data
            .axes
            .chunks_exact(d)
            .map(|axis| {
                -axis.iter().zip(data.mean).map(|(a, m)| f64::from(*a) * f64::from(*m)).sum::<f64>() as f32
            })
            .collect();
        let mut this = Self {
            parts: Vec::new(),
            weights: device.upload(data.weights, "bank weights")?,
            row_image: device.upload(data.row_image, "bank images")?,
            mean: device.upload(data.mean, "bank mean")?,
            axes: device.upload(data.axes, "bank axes")?,
            axes_bias: device.upload(&bias, "bank axes bias")?,
            rows: rows as u32,
            dim,
            head: head as u32,
        };
        let per = ((device.caps().max_binding / 4) as usize / d.max(head + 4)).min(rows);
        if per == 0 {
            return Err(Error::Limit(format!("one bank row of {dim} values passes what the device binds")));
        }
        let (heads, norms) = (device.alloc(per * head, "bank heads")?, device.alloc(per, "bank norms")?);
        for first in (0..rows).step_by(per) {
            let count = per.min(rows - first);
            let bank = device.upload(&data.rows[first * d..(first + count) * d], "bank")?;
            let lifted = device.alloc(count * (head + 4), "bank lifted")?;
            let mut recorder = Recorder::new(device);
            record_lift(&mut recorder, &this, &bank, count as u32, &heads, &lifted, &norms, true)?;
            recorder.run()?;
            this.parts.push(Part { rows: count as u32, first: first as u32, bank, lifted });
        }
        Ok(this)
    }

    /// Rows of the bank.
    pub fn rows(&self) -> u32 {
        self.rows
    }

    /// Queries that one search may have on this device.
    pub fn max_queries(&self, device: &Device) -> u32 {
        let largest = self.parts.iter().map(|p| p.rows).max().unwrap_or(1);
        let words = device.caps().max_binding / 4;
        (words / u64::from(bounds(largest)).max(u64::from(self.dim))).min(u64::from(u32::MAX)) as u32
    }

    /// Buffers for searches of at most `queries` queries.
    ///
    /// # Errors
    /// [`Error::Limit`] where they pass the device's bindings.
    pub fn search(&self, device: &Device, queries: u32) -> Result<Search> {
        let tiles = self.parts.iter().map(|p| bounds(p.rows)).max().unwrap_or(4) as usize;
        let q = queries as usize;
        let unset: Vec<[u32; 2]> = vec![[f32::INFINITY.to_bits(), u32::MAX]; q];
        Ok(Search {
            heads: device.alloc(q * self.head as usize, "query heads")?,
            lifted: device.alloc(q * (self.head as usize + 4), "query lifted")?,
            norms: device.alloc(q, "query norms")?,
            products: device.alloc(q * tiles, "tile products")?,
            best: device.alloc(q * 2, "neighbours")?,
            finished: device.alloc(1, "finished rows")?,
            unset: device.upload(&unset, "no neighbour")?,
            queries,
        })
    }

    /// Records the search of the nearest bank row for `q` queries `x` `[q][dim]`; the result is in [`Search::best`].
    ///
    /// # Errors
    /// [`Error::Limit`] where `q` passes the search's size.
    pub fn record(
        &self,
        recorder: &mut Recorder,
        search: &Search,
        x: &Tensor,
        q: u32,
        skip: Option<SkipOwn>,
    ) -> Result<()> {
        if q > search.queries {
            return Err(Error::Limit(format!("{q} queries in a search for {}", search.queries)));
        }
        if q == 0 {
            return Ok(());
        }
        check("queries", words(&[q, self.dim]), x)?;
        recorder.copy(&search.unset, 0, &search.best, 0, 2 * q as usize);
        recorder.clear(&search.finished);
        record_lift(recorder, self, x, q, &search.heads, &search.lifted, &search.norms, false)?;
        let caps = recorder.device().caps().clone();
        let k4 = self.head / 4 + 1;
        for part in &self.parts {
            let pairs = bounds(part.rows) / 2;
            let params = BoundParams { q, m: part.rows, k4, pairs };
            let (name, flags, grid): (_, &[&str], _) = match caps.archetype {
                Archetype::Direct => {
                    let flags: &[&str] = if broadcast8(&caps) { &["SUBGROUP"] } else { &[] };
                    ("neighbor_bounds_direct", flags, [q.div_ceil(32), pairs.div_ceil(DIRECT_PAIRS), 1])
                }
                Archetype::Tiled => ("neighbor_bounds_tiled", &[], [q.div_ceil(64), pairs.div_ceil(4), 1]),
            };
            let kernel = recorder.device().kernel(name, &[], flags)?;
            let shape = format!("{q}x{}x{}", part.rows, 4 * k4);
            recorder.dispatch(
                &kernel,
                &shape,
                &[&search.lifted, &part.lifted, &search.products],
                &params,
                grid,
            )?;
            let params = FinishParams {
                q,
                m: part.rows,
                d4: self.dim / 4,
                quads: pairs / 2,
                first_row: part.first,
                skip: skip.is_some().into(),
                query_image: skip.map_or(0, |s| s.first_image),
                queries_per_image: skip.map_or(1, |s| s.queries_per_image),
                // A product of k values errs by gamma(k) |x| |y|; |y|^2 of a neighbour is at most 2 (|x|^2 + distance).
                slack: 4.0 * (4 * k4 + 8) as f32 * f32::EPSILON,
            };
            let kernel = recorder.device().kernel("neighbor_finish", &[], &[])?;
            let grid = grid_64("neighbour", q.into(), &caps)?;
            let tensors = [
                x,
                &part.bank,
                &search.products,
                &search.norms,
                &self.row_image,
                &search.best,
                &search.finished,
            ];
            recorder.dispatch(
                &kernel,
                &format!("{q}x{}x{}", part.rows, self.dim),
                &tensors,
                &params,
                grid,
            )?;
        }
        Ok(())
    }

    /// Records patch scores `weight * squared distance` `[images][positions]` and the largest of every image.
    ///
    /// # Errors
    /// [`Error::Limit`] where a tensor is too small.
    pub fn record_scores(
        &self,
        recorder: &mut Recorder,
        search: &Search,
        images: u32,
        positions: u32,
        scores: &Tensor,
        top: &Tensor,
    ) -> Result<()> {
        check("neighbours", words(&[images, positions, 2]), &search.best)?;
        check("patch scores", words(&[images, positions]), scores)?;
        check("image scores", images.into(), top)?;
        let kernel = recorder.device().kernel("patch_score", &[], &[])?;
        let grid = crate::gpu::grid_1d(images, recorder.device().caps().max_groups);
        let params = ScoreParams { images, positions, m: self.rows };
        let shape = format!("{images}x{positions}");
        recorder.dispatch(&kernel, &shape, &[&search.best, &self.weights, scores, top], &params, grid)
    }
}
