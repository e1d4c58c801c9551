//! A memory bank on a device, ready to be searched.

use super::{Axes, tree};
use crate::gpu::{Device, Recorder, Rows, Tensor};
use crate::steps::search::lift::{Lift, Lifted, TAIL};
use crate::steps::search::patch_score::PatchScore;
use crate::steps::search::search::{Search, SearchShape, SkipOwn};
use crate::{Error, Result};
use std::ops::Range;

/// Parts of a bank begin where the tiles of any device do.
const PART_ROWS: usize = 32;

/// A part of the bank that fits one binding, its rows in the order of the tree.
struct Part {
    rows: u32,
    bank: Tensor,
    lifted: Tensor,
    boxes: Tensor,
    /// `[rows][2]`: row of the whole bank, training image that it comes from.
    info: Tensor,
}

/// A memory bank on a device: rows in tiles of neighbours with bounding boxes, weights for the score.
pub struct Bank {
    parts: Vec<Part>,
    weights: Tensor,
    lift: LiftTensors,
    /// Rows in the order of the tree.
    order: Vec<u32>,
    rows: u32,
    dim: u32,
    lifted: Lifted,
    shape: SearchShape,
}

impl std::fmt::Debug for Bank {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Bank({} rows of {} in {} parts)", self.rows, self.dim, self.parts.len())
    }
}

/// What vectors are lifted with.
struct LiftTensors {
    mean: Tensor,
    axes: Tensor,
    bias: Tensor,
}

/// What a bank is made of.
#[derive(Clone, Copy, Debug)]
pub struct BankData<'a> {
    /// `[rows][dim]`, `dim` a multiple of 4.
    pub rows: &'a [f32],
    /// `[rows]`.
    pub weights: &'a [f32],
    /// `[rows]`: squared distances below which no row is near; empty: there are none.
    pub floors: &'a [f32],
    /// `[rows]`: training image that each row comes from.
    pub row_image: &'a [u32],
    /// Axes by which rows are compared before they are measured.
    pub axes: &'a Axes,
    /// `[rows]`: rows in the order of a tree, if that is known.
    pub order: Option<&'a [u32]>,
    /// Values of a row.
    pub dim: u32,
}

/// Buffers of a search.
pub struct SearchBuffers {
    lifted: Tensor,
    bounds: Tensor,
    /// `[queries][2]`: squared distance (f32 bits) and bank row of the nearest neighbour.
    pub best: Tensor,
    /// One counter: bank rows that were measured in full since it was cleared.
    pub finished: Tensor,
    unset: Tensor,
    /// Queries at a time at most, and those there are in all.
    queries: u32,
    of: u32,
}

impl SearchBuffers {
    /// From the next submission on, leaves out the queries that `looked_at` has as false: they are as near as
    /// can be to what is normal. Queries past its end are as they were.
    pub fn cover(&self, device: &Device, looked_at: &[bool]) {
        // At distance 0 from no row: no row is nearer.
        let start = |inside: &bool| [if *inside { f32::INFINITY } else { 0.0 }.to_bits(), u32::MAX];
        let starts: Vec<[u32; 2]> = looked_at.iter().take(self.of as usize).map(start).collect();
        device.write(&self.unset, 0, &starts);
    }
}

impl Bank {
    /// Uploads a bank and prepares its search.
    ///
    /// # Errors
    /// [`Error::Limit`] where sizes do not fit together, [`Error::Device`] where memory is out.
    pub fn new(device: &Device, data: &BankData<'_>) -> Result<Self> {
        let dim = data.dim;
        let (d, rows) = (dim as usize, data.weights.len());
        check(data)?;
        let (lifted, axes) = data.axes.of_device(device);
        let bias: Vec<f32> = axes
            .chunks_exact(d)
            .map(|axis| {
                -axis.iter().zip(&data.axes.mean).map(|(a, m)| f64::from(*a) * f64::from(*m)).sum::<f64>()
                    as f32
            })
            .collect();
        let mut this = Self {
            parts: Vec::new(),
            weights: device.upload(data.weights, "bank weights")?,
            lift: LiftTensors {
                mean: device.upload(&data.axes.mean, "bank mean")?,
                axes: device.upload(&axes, "bank axes")?.constant(),
                bias: device.upload(&bias, "bank axes bias")?,
            },
            order: Vec::new(),
            rows: rows as u32,
            dim,
            lifted,
            shape: SearchShape::new(device.caps()),
        };
        let fits = (device.caps().max_binding / 4) as usize / d.max(lifted.values() as usize);
        if fits == 0 {
            return Err(Error::Limit(format!("one bank row of {dim} values passes what the device binds")));
        }
        let per = if fits >= rows { rows } else { (fits / PART_ROWS * PART_ROWS).max(fits.min(PART_ROWS)) };
        let parts: Vec<Range<usize>> =
            (0..rows).step_by(per).map(|first| first..(first + per).min(rows)).collect();
        this.order = match data.order {
            Some(order) => order.to_vec(),
            None => this.find_order(device, data, &parts)?,
        };
        for part in parts {
            let part = this.part(device, data, part)?;
            this.parts.push(part);
        }
        Ok(this)
    }

    /// Lifts rows that are on the device, and reads what becomes of them.
    fn lift_rows(&self, device: &Device, rows: &Tensor, count: usize) -> Result<(Tensor, Vec<f32>)> {
        let lifted = device.alloc(count * self.lifted.values() as usize, "bank lifted")?;
        let mut recorder = Recorder::new(device);
        self.record_lift(&mut recorder, rows, count as u32, &lifted)?;
        recorder.run()?;
        let values = device.read(&lifted)?;
        Ok((lifted, values))
    }

    /// The order of a tree over the heads of all rows.
    fn find_order(&self, device: &Device, data: &BankData<'_>, parts: &[Range<usize>]) -> Result<Vec<u32>> {
        let d = self.dim as usize;
        let mut heads = Vec::with_capacity(data.weights.len() * self.lifted.head as usize);
        for part in parts {
            let rows = device.upload(&data.rows[part.start * d..part.end * d], "bank")?;
            heads.extend(self.heads(&self.lift_rows(device, &rows, part.len())?.1));
        }
        Ok(tree::order(&heads, self.lifted.head as usize))
    }

    /// The heads `[rows][head]` of lifted rows.
    fn heads(&self, lifted: &[f32]) -> Vec<f32> {
        let Lifted { head, .. } = self.lifted;
        lifted
            .chunks_exact(self.lifted.values() as usize)
            .flat_map(|v| &v[..head as usize])
            .copied()
            .collect()
    }

    /// Brings rows `range` of the tree's order to the device.
    fn part(&self, device: &Device, data: &BankData<'_>, range: Range<usize>) -> Result<Part> {
        let (d, count) = (self.dim as usize, range.len());
        let order = &self.order[range];
        let bank = device.alloc(count * d, "bank")?;
        device.write_rows(&bank, &[Rows { at: 0, words: d, rows: count }], &|_, row, words| {
            words.copy_from_slice(bytemuck::cast_slice(&data.rows[order[row] as usize * d..][..d]));
        })?;
        let (lifted, mut values) = self.lift_rows(device, &bank, count)?;
        let (tile, tiles) = (self.shape.tile as usize, self.shape.tiles(count as u32) as usize);
        // Of rows, the search has no use for the scale.
        let Lifted { head, .. } = self.lifted;
        for (row, &number) in values.chunks_exact_mut(self.lifted.values() as usize).zip(order) {
            row[head as usize - TAIL] = data.floors.get(number as usize).copied().unwrap_or(0.0);
        }
        device.write(&lifted, 0, &values);
        let boxes = tree::boxes(&self.heads(&values), head as usize, tile, tiles);
        let info: Vec<[u32; 2]> = order.iter().map(|&row| [row, data.row_image[row as usize]]).collect();
        Ok(Part {
            rows: count as u32,
            bank: bank.constant(),
            lifted: lifted.constant(),
            boxes: device.upload(&boxes, "tile boxes")?.constant(),
            info: device.upload(&info, "bank rows")?,
        })
    }

    /// From the next submission on, rows count as of these images.
    pub fn label(&self, device: &Device, row_image: &[u32]) {
        let mut order = self.order.iter();
        for part in &self.parts {
            let rows = order.by_ref().take(part.rows as usize);
            let info: Vec<[u32; 2]> =
                rows.map(|&row| [row, row_image.get(row as usize).copied().unwrap_or(u32::MAX)]).collect();
            device.write(&part.info, 0, &info);
        }
    }

    fn record_lift(&self, recorder: &mut Recorder, x: &Tensor, rows: u32, to: &Tensor) -> Result<()> {
        let LiftTensors { mean, axes, bias } = &self.lift;
        Lift { x, mean, axes, bias, to, rows, dim: self.dim, lifted: self.lifted }.record(recorder)
    }

    /// Rows of the bank.
    pub fn rows(&self) -> u32 {
        self.rows
    }

    /// Values of a row.
    pub fn dim(&self) -> u32 {
        self.dim
    }

    /// Numbers of the rows in the order of the tree.
    pub fn order(&self) -> &[u32] {
        &self.order
    }

    /// Queries that one search may have on this device.
    pub fn max_queries(&self, device: &Device) -> u32 {
        let largest = self.parts.iter().map(|p| p.rows).max().unwrap_or(1);
        let words = device.caps().max_binding / 4;
        (words / u64::from(self.shape.tiles(largest)).max(u64::from(self.dim))).min(u64::from(u32::MAX))
            as u32
    }

    /// Bytes of the buffers of a search, a query.
    pub fn query_bytes(&self) -> u64 {
        let tiles = self.parts.iter().map(|p| self.shape.tiles(p.rows)).max().unwrap_or(4);
        // Embedding and lifted once more, where they are read as textures.
        let copied = if self.shape.further_axes { self.dim + self.lifted.values() } else { 0 };
        4 * u64::from(self.lifted.values() + tiles + 4 + copied)
    }

    /// Buffers for searches of at most `queries` queries at a time, of `of` that there are.
    ///
    /// # Errors
    /// [`Error::Limit`] where they pass the device's bindings.
    pub fn search(&self, device: &Device, queries: u32, of: u32) -> Result<SearchBuffers> {
        let tiles = self.parts.iter().map(|p| self.shape.tiles(p.rows)).max().unwrap_or(4) as usize;
        let q = queries as usize;
        let unset: Vec<[u32; 2]> = vec![[f32::INFINITY.to_bits(), u32::MAX]; of as usize];
        Ok(SearchBuffers {
            lifted: device.alloc(q * self.lifted.values() as usize, "query lifted")?,
            bounds: device.alloc(q * tiles, "tile bounds")?,
            best: device.alloc(q * 2, "neighbours")?,
            finished: device.alloc(1, "finished rows")?,
            unset: device.upload(&unset, "no neighbour")?,
            queries,
            of,
        })
    }

    /// Records the search of the nearest bank row for queries `queries` of all, which are `x`
    /// `[queries][dim]`; the result is in [`SearchBuffers::best`], from its start on, and
    /// [`SearchBuffers::finished`] goes on.
    ///
    /// # Errors
    /// [`Error::Limit`] where they pass the search's size.
    pub fn record(
        &self,
        recorder: &mut Recorder,
        buffers: &SearchBuffers,
        x: &Tensor,
        queries: Range<u32>,
        skip: Option<SkipOwn>,
    ) -> Result<()> {
        let q = queries.len() as u32;
        if q > buffers.queries || queries.end > buffers.of {
            let SearchBuffers { queries: most, of, .. } = buffers;
            return Err(Error::Limit(format!("queries {queries:?} in a search for {most} of {of}")));
        }
        if q == 0 {
            return Ok(());
        }
        recorder.copy(&buffers.unset, 2 * queries.start as usize, &buffers.best, 0, 2 * q as usize);
        self.record_lift(recorder, x, q, &buffers.lifted)?;
        for part in &self.parts {
            Search {
                shape: self.shape,
                x,
                lifted: &buffers.lifted,
                rows: &part.bank,
                rows_lifted: &part.lifted,
                boxes: &part.boxes,
                info: &part.info,
                bounds: &buffers.bounds,
                best: &buffers.best,
                finished: &buffers.finished,
                q,
                m: part.rows,
                dim: self.dim,
                k: self.lifted,
                skip,
            }
            .record(recorder)?;
        }
        Ok(())
    }

    /// Records patch scores `weight * squared distance` `[images][positions]` and the largest of every image.
    /// They go to `scores` from word `first` on; where that is not 0, they are more patches of the same
    /// images.
    ///
    /// # Errors
    /// [`Error::Limit`] where a tensor is too small.
    pub fn record_scores(
        &self,
        recorder: &mut Recorder,
        buffers: &SearchBuffers,
        [images, positions, first]: [u32; 3],
        scores: &Tensor,
        top: &Tensor,
    ) -> Result<()> {
        let (best, weights) = (&buffers.best, &self.weights);
        PatchScore { best, weights, scores, top, images, positions, rows: self.rows, first }.record(recorder)
    }
}

/// Refuses parts that do not fit together.
fn check(data: &BankData<'_>) -> Result<()> {
    let (d, rows) = (data.dim as usize, data.weights.len());
    let fail = |what: String| Err(Error::Limit(what));
    if d == 0 || !d.is_multiple_of(4) {
        return fail(format!("bank values: {d} is not a positive multiple of 4"));
    }
    if rows == 0 || data.rows.len() != rows * d || data.row_image.len() != rows || data.axes.mean.len() != d {
        return fail(format!("a bank of {} values does not have {rows} rows of {d}", data.rows.len()));
    }
    let axes = &data.axes.vectors;
    if axes.is_empty() || !axes.len().is_multiple_of(d) {
        return fail(format!("{} values are no axes of {d}", axes.len()));
    }
    let floors = data.floors;
    if !(floors.is_empty() || floors.len() == rows && floors.iter().all(|f| f.is_finite() && *f >= 0.0)) {
        return fail(format!(
            "{} numbers are no floors of {rows} bank rows, of 0 or more each",
            floors.len()
        ));
    }
    if let Some(order) = data.order
        && (order.len() != rows || order.iter().any(|&row| row as usize >= rows))
    {
        return fail(format!("{} numbers are no order of {rows} bank rows", order.len()));
    }
    Ok(())
}
