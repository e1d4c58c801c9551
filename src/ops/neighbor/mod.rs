//! Exact nearest neighbour over a tree of the bank, and the soft-weighted patch score.

mod tree;

use super::gemm::Gemm;
use super::{Activation, broadcast8, check, check_vec4, grid_64, words};
use crate::gpu::{Archetype, Caps, Device, Recorder, Tensor};
use crate::{Error, Result};

/// Pairs of 4 tiles that one workgroup of the `direct` variant walks (`PAIRS` in its shader).
const DIRECT_PAIRS: u32 = 8;

/// How the device searches.
#[derive(Clone, Copy, Debug)]
struct Shape {
    /// Rows of a tile.
    tile: u32,
    /// Lanes that work on a query, or on four of them (`neighbor_search_direct.wgsl`).
    lanes: u32,
    /// The lanes are exactly a subgroup.
    subgroup: bool,
}

impl Shape {
    fn new(caps: &Caps) -> Self {
        let (tile, lanes) = match (caps.archetype, caps.subgroup) {
            (Archetype::Direct, _) => (16, 8),
            // A block of 32 tiles goes round them, up to four tiles each.
            (Archetype::Tiled, Some((least, most))) if least == most && [8, 16].contains(&least) => {
                (32, least)
            }
            (Archetype::Tiled, _) => (32, 32),
        };
        Self { tile, lanes, subgroup: caps.subgroup == Some((lanes, lanes)) }
    }

    /// Tiles of `rows` bank rows, padded to whole vec4s.
    fn tiles(self, rows: u32) -> u32 {
        rows.div_ceil(self.tile).next_multiple_of(4)
    }
}

/// A part of the bank that fits one binding, its rows in the order of the tree.
struct Part {
    rows: u32,
    bank: Tensor,
    lifted: Tensor,
    boxes: Tensor,
    /// `[rows][2]`: row of the whole bank, training image that it comes from.
    info: Tensor,
}

/// A memory bank prepared for search: rows in tiles of neighbours with bounding boxes, weights for the score.
pub struct Bank {
    parts: Vec<Part>,
    weights: Tensor,
    mean: Tensor,
    axes: Tensor,
    axes_bias: Tensor,
    rows: u32,
    dim: u32,
    lifted: u32,
    shape: Shape,
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
    /// `[head][dim]` orthonormal axes, at least one; the bank's principal axes are fast. One more than a multiple of 4 fills
    /// whole vectors.
    pub axes: &'a [f32],
    /// Values of a row.
    pub dim: u32,
}

/// Buffers of a search of at most `queries` queries.
pub struct Search {
    lifted: Tensor,
    boxes: Tensor,
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
    k4: u32,
    slack: f32,
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct BoxParams {
    q: u32,
    quads: u32,
    k4: u32,
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct SearchParams {
    q: u32,
    m: u32,
    d4: u32,
    quads: u32,
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

/// Lifted vectors of `x` `[rows][dim]`: heads by a GEMM with the axes, then what the rest needs.
fn record_lift(recorder: &mut Recorder, bank: &Bank, x: &Tensor, rows: u32, lifted: &Tensor) -> Result<()> {
    Gemm {
        x,
        w: &bank.axes,
        bias: &bank.axes_bias,
        residual: None,
        c: lifted,
        m: rows,
        k: bank.dim,
        n: bank.lifted,
        activation: Activation::None,
    }
    .record(recorder)?;
    // gamma(d) each for the two sums and for the heads, doubled.
    let slack = 4.0 * bank.dim as f32 * f32::EPSILON;
    let params = LiftParams { rows, d4: bank.dim / 4, k4: bank.lifted / 4, slack };
    let kernel = recorder.device().kernel("neighbor_lift", &[], &[])?;
    let grid = grid_64("lift", rows.into(), recorder.device().caps())?;
    recorder.dispatch(&kernel, &format!("{rows}x{}", bank.dim), &[x, &bank.mean, lifted], &params, grid)
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
        if rows == 0 || data.rows.len() != rows * d || data.row_image.len() != rows || data.mean.len() != d {
            return Err(Error::Limit(format!(
                "a bank of {} values does not have {rows} rows of {dim}",
                data.rows.len()
            )));
        }
        if data.axes.is_empty() || !data.axes.len().is_multiple_of(d) {
            return Err(Error::Limit(format!("{} values are no axes of {dim}", data.axes.len())));
        }
        // Three values follow the head; what is between is zero.
        let lifted = (data.axes.len() / d + 3).next_multiple_of(4);
        let mut axes = data.axes.to_vec();
        axes.resize(lifted * d, 0.0);
        let bias: Vec<f32> = axes
            .chunks_exact(d)
            .map(|axis| {
                -axis.iter().zip(data.mean).map(|(a, m)| f64::from(*a) * f64::from(*m)).sum::<f64>() as f32
            })
            .collect();
        let mut this = Self {
            parts: Vec::new(),
            weights: device.upload(data.weights, "bank weights")?,
            mean: device.upload(data.mean, "bank mean")?,
            axes: device.upload(&axes, "bank axes")?,
            axes_bias: device.upload(&bias, "bank axes bias")?,
            rows: rows as u32,
            dim,
            lifted: lifted as u32,
            shape: Shape::new(device.caps()),
        };
        let per = ((device.caps().max_binding / 4) as usize / d.max(lifted)).min(rows);
        if per == 0 {
            return Err(Error::Limit(format!("one bank row of {dim} values passes what the device binds")));
        }
        for first in (0..rows).step_by(per) {
            let part = first..(first + per).min(rows);
            this.parts.push(this.part(device, data, part)?);
        }
        Ok(this)
    }

    /// Brings rows `range` of the bank into the order of the tree.
    fn part(&self, device: &Device, data: &BankData<'_>, range: std::ops::Range<usize>) -> Result<Part> {
        let (d, k, count) = (self.dim as usize, self.lifted as usize, range.len());
        let rows = &data.rows[range.start * d..range.end * d];
        let bank = device.upload(rows, "bank")?;
        let lifted = device.alloc(count * k, "bank lifted")?;
        let mut recorder = Recorder::new(device);
        record_lift(&mut recorder, self, &bank, count as u32, &lifted)?;
        recorder.run()?;
        let values: Vec<f32> = device.read(&lifted)?;
        let order = tree::order(&values, k, self.shape.tile as usize);
        let ordered = |values: &[f32], width: usize| -> Vec<f32> {
            order.iter().flat_map(|&row| &values[row as usize * width..][..width]).copied().collect()
        };
        let values = ordered(&values, k);
        device.write(&bank, 0, &ordered(rows, d));
        device.write(&lifted, 0, &values);
        let boxes =
            tree::boxes(&values, k, self.shape.tile as usize, self.shape.tiles(count as u32) as usize);
        let about = |row: &u32| [range.start as u32 + row, data.row_image[range.start + *row as usize]];
        let info: Vec<[u32; 2]> = order.iter().map(about).collect();
        Ok(Part {
            rows: count as u32,
            bank,
            lifted,
            boxes: device.upload(&boxes, "tile boxes")?,
            info: device.upload(&info, "bank rows")?,
        })
    }

    /// Rows of the bank.
    pub fn rows(&self) -> u32 {
        self.rows
    }

    /// Queries that one search may have on this device.
    pub fn max_queries(&self, device: &Device) -> u32 {
        let largest = self.parts.iter().map(|p| p.rows).max().unwrap_or(1);
        let words = device.caps().max_binding / 4;
        (words / u64::from(self.shape.tiles(largest)).max(u64::from(self.dim))).min(u64::from(u32::MAX))
            as u32
    }

    /// Buffers for searches of at most `queries` queries.
    ///
    /// # Errors
    /// [`Error::Limit`] where they pass the device's bindings.
    pub fn search(&self, device: &Device, queries: u32) -> Result<Search> {
        let tiles = self.parts.iter().map(|p| self.shape.tiles(p.rows)).max().unwrap_or(4) as usize;
        let q = queries as usize;
        let unset: Vec<[u32; 2]> = vec![[f32::INFINITY.to_bits(), u32::MAX]; q];
        Ok(Search {
            lifted: device.alloc(q * self.lifted as usize, "query lifted")?,
            boxes: device.alloc(q * tiles, "tile bounds")?,
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
        record_lift(recorder, self, x, q, &search.lifted)?;
        let device = recorder.device().clone();
        let caps = device.caps();
        let k4 = self.lifted / 4;
        for part in &self.parts {
            let quads = self.shape.tiles(part.rows) / 4;
            let (name, flags, grid): (_, &[&str], _) = match caps.archetype {
                Archetype::Direct => {
                    let flags: &[&str] = if broadcast8(caps) { &["SUBGROUP"] } else { &[] };
                    ("neighbor_boxes_direct", flags, [q.div_ceil(32), quads.div_ceil(2 * DIRECT_PAIRS), 1])
                }
                Archetype::Tiled => ("neighbor_boxes_tiled", &[], [q.div_ceil(64), quads.div_ceil(16), 1]),
            };
            let kernel = device.kernel(name, &[], flags)?;
            let shape = format!("{q}x{}x{}", 4 * quads, self.lifted);
            let params = BoxParams { q, quads, k4 };
            recorder.dispatch(
                &kernel,
                &shape,
                &[&search.lifted, &part.boxes, &search.boxes],
                &params,
                grid,
            )?;
            let params = SearchParams {
                q,
                m: part.rows,
                d4: self.dim / 4,
                quads,
                skip: skip.is_some().into(),
                query_image: skip.map_or(0, |s| s.first_image),
                queries_per_image: skip.map_or(1, |s| s.queries_per_image),
                // A head errs by gamma(d) of its vector's length, a distance by sqrt(k) times that for both vectors; doubled.
                slack: 2.0 * (self.lifted as f32).sqrt() * (self.dim + self.lifted + 8) as f32 * f32::EPSILON,
            };
            let Shape { tile, lanes, subgroup } = self.shape;
            let steps = (self.dim / 4).div_ceil(lanes).min(8);
            let constants = [("TILE", tile), ("K4", k4), ("STEPS", steps), ("LANES", lanes)];
            let (kernel, groups) = match (caps.archetype, subgroup) {
                (Archetype::Direct, true) => {
                    (device.kernel("neighbor_search_direct", &constants[..3], &[])?, q.div_ceil(4))
                }
                (_, true) => (device.kernel("neighbor_search", &constants, &["SUBGROUP"])?, q),
                (_, false) => (device.kernel("neighbor_search", &constants, &[])?, q),
            };
            let grid = crate::gpu::grid_1d(groups, caps.max_groups);
            let tensors = [
                x,
                &part.bank,
                &search.boxes,
                &search.lifted,
                &part.lifted,
                &part.info,
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
