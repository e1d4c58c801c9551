//! Exact nearest row of a bank in tiles of neighbours: bounds of whole tiles first, then the rows that are
//! left.

use super::lift::Lifted;
use crate::gpu::{Archetype, Caps, Recorder, Shader, Tensor, shader};
use crate::steps::checks::{bound, broadcast8, check, reads_texels, words};
use crate::{Error, Result};

pub(super) static BOXES_DIRECT: Shader = shader!(
    "search/boxes_direct",
    shared: ["stored", "texels"],
    variants: [[], ["SUBGROUP"], ["SUBGROUP", "TEXELS"]]
);
pub(super) static BOXES_TILED: Shader = shader!("search/boxes_tiled");
pub(super) static SEARCH_DIRECT: Shader = shader!(
    "search/search_direct",
    shared: ["stored", "texels", "lanes8"],
    variants: [[], ["TEXELS"]]
);
pub(super) static SEARCH: Shader = shader!(
    "search/search",
    variants: [[], ["SUBGROUP"]]
);

/// Pairs of 4 tiles that one workgroup of the `direct` variant walks (`PAIRS` in its shader).
const DIRECT_PAIRS: u32 = 8;

/// How a device searches.
#[derive(Clone, Copy, Debug)]
pub struct SearchShape {
    /// Rows of a tile.
    pub tile: u32,
    /// Lanes that work on a query, or on four of them (`search/search_direct.wgsl`).
    lanes: u32,
    /// The lanes are exactly a subgroup.
    subgroup: bool,
    /// Axes behind the heads serve the search (`search/search_direct.wgsl`).
    pub further_axes: bool,
}

impl SearchShape {
    /// The shape that suits a device.
    pub fn new(caps: &Caps) -> Self {
        let (tile, lanes) = match (caps.archetype, caps.subgroup) {
            (Archetype::Direct, _) => (16, 8),
            // A block of 32 tiles goes round them, up to four tiles each.
            (Archetype::Tiled, Some((least, most))) if least == most && [8, 16].contains(&least) => {
                (32, least)
            }
            (Archetype::Tiled, _) => (32, 32),
        };
        let subgroup = caps.subgroup == Some((lanes, lanes));
        Self { tile, lanes, subgroup, further_axes: broadcast8(caps) }
    }

    /// Tiles of `rows` bank rows, padded to whole vec4s.
    pub fn tiles(self, rows: u32) -> u32 {
        rows.div_ceil(self.tile).next_multiple_of(4)
    }
}

/// Leaves out the bank rows that come from the query's own image.
#[derive(Clone, Copy, Debug)]
pub struct SkipOwn {
    /// Training image of the first query.
    pub first_image: u32,
    /// Queries of an image.
    pub queries_per_image: u32,
}

/// The nearest of some bank rows for each of `q` queries, where one is nearer than what `best` has.
#[derive(Debug)]
pub struct Search<'a> {
    /// How the device searches.
    pub shape: SearchShape,
    /// Queries `[q][dim]`.
    pub x: &'a Tensor,
    /// Lifted queries `[q][k]`.
    pub lifted: &'a Tensor,
    /// Rows `[m][dim]`, in tiles of neighbours.
    pub rows: &'a Tensor,
    /// Lifted rows `[m][k]`.
    pub rows_lifted: &'a Tensor,
    /// `[tiles][k.head / 4][2][4]`: bounding boxes of the tiles.
    pub boxes: &'a Tensor,
    /// `[m][2]`: number of each row, training image that it comes from.
    pub info: &'a Tensor,
    /// Scratch `[q][tiles]`: lower bounds of the distances to tiles.
    pub bounds: &'a Tensor,
    /// In and out `[q][2]`: squared distance (f32 bits) and number of the nearest row.
    pub best: &'a Tensor,
    /// One counter: rows that were measured in full.
    pub finished: &'a Tensor,
    /// Queries.
    pub q: u32,
    /// Rows.
    pub m: u32,
    /// Values of a row, a multiple of 4.
    pub dim: u32,
    /// How lifted vectors lie.
    pub k: Lifted,
    /// Which rows are left out.
    pub skip: Option<SkipOwn>,
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct BoxParams {
    q: u32,
    quads: u32,
    k4: u32,
    row4: u32,
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

impl Search<'_> {
    /// Records the search.
    ///
    /// # Errors
    /// [`Error::Limit`] where a tensor is too small.
    pub fn record(&self, recorder: &mut Recorder) -> Result<()> {
        let Self { q, m, dim, k, .. } = *self;
        let Lifted { head, more } = k;
        if [dim, head].contains(&0) || [dim, head, more].iter().any(|v| !v.is_multiple_of(4)) {
            return Err(Error::Limit(format!(
                "search: {dim}, {head} and {more} values are not positive multiples of 4"
            )));
        }
        let tiles = self.shape.tiles(m);
        check("queries", words(&[q, dim]), self.x)?;
        check("lifted queries", words(&[q, k.values()]), self.lifted)?;
        check("bank rows", words(&[m, dim]), self.rows)?;
        check("lifted bank rows", words(&[m, k.values()]), self.rows_lifted)?;
        check("tile boxes", words(&[tiles, head, 2]), self.boxes)?;
        check("bank row numbers", words(&[m, 2]), self.info)?;
        check("tile bounds", words(&[q, tiles]), self.bounds)?;
        check("neighbours", words(&[q, 2]), self.best)?;
        check("finished rows", 1, self.finished)?;
        if q == 0 || m == 0 {
            return Ok(());
        }
        self.record_bounds(recorder)?;
        self.record_rows(recorder)
    }

    /// Bounds of the distances from every query to every tile.
    fn record_bounds(&self, recorder: &mut Recorder) -> Result<()> {
        let Self { q, k, .. } = *self;
        let device = recorder.device().clone();
        let caps = device.caps();
        let quads = self.shape.tiles(self.m) / 4;
        let texels = reads_texels(&device, self.lifted) && reads_texels(&device, self.boxes);
        let (shader, flags, grid): (_, &[&str], _) = match caps.archetype {
            Archetype::Direct => {
                let flags: &[&str] = match (texels, broadcast8(caps)) {
                    (true, _) => &["SUBGROUP", "TEXELS"],
                    (false, true) => &["SUBGROUP"],
                    (false, false) => &[],
                };
                (&BOXES_DIRECT, flags, [q.div_ceil(32), quads.div_ceil(2 * DIRECT_PAIRS), 1])
            }
            Archetype::Tiled => (&BOXES_TILED, &[], [q.div_ceil(64), quads.div_ceil(16), 1]),
        };
        let kernel = device.kernel(shader, &[], flags)?;
        let shape = format!("{q}x{}x{}", 4 * quads, k.head);
        let params = BoxParams { q, quads, k4: k.head / 4, row4: k.values() / 4 };
        // Copies are of no more queries than there are.
        let lifted = self.lifted.part(0, q as usize * k.values() as usize);
        let [lifted, boxes] = [bound(recorder, texels, &lifted)?, bound(recorder, texels, self.boxes)?];
        recorder.dispatch(&kernel, &shape, &[&lifted, &boxes, self.bounds], &params, grid)
    }

    /// The rows of tiles whose bound does not exceed the best distance so far.
    fn record_rows(&self, recorder: &mut Recorder) -> Result<()> {
        let Self { q, m, dim, k, skip, .. } = *self;
        let device = recorder.device().clone();
        let caps = device.caps();
        let values = k.values();
        let params = SearchParams {
            q,
            m,
            d4: dim / 4,
            quads: self.shape.tiles(m) / 4,
            skip: skip.is_some().into(),
            query_image: skip.map_or(0, |s| s.first_image),
            queries_per_image: skip.map_or(1, |s| s.queries_per_image),
            // A head errs by gamma(d) of its vector's length, a distance by sqrt(k) times that for both
            // vectors; doubled.
            slack: 2.0 * (values as f32).sqrt() * (dim + values + 8) as f32 * f32::EPSILON,
        };
        let SearchShape { tile, lanes, subgroup, further_axes } = self.shape;
        let steps = (dim / 4).div_ceil(lanes).min(8);
        let constants = [("TILE", tile), ("K4", k.head / 4), ("STEPS", steps)];
        let x = &self.x.part(0, q as usize * dim as usize);
        let read = [x, self.rows, self.rows_lifted];
        let texels = further_axes && read.iter().all(|tensor| reads_texels(&device, tensor));
        let (kernel, groups) = if further_axes {
            let constants = [&constants[..], &[("MORE4", k.more / 4)]].concat();
            let flags: &[&str] = if texels { &["TEXELS"] } else { &[] };
            (device.kernel(&SEARCH_DIRECT, &constants, flags)?, q.div_ceil(4))
        } else {
            let constants = [&constants[..], &[("LANES", lanes)]].concat();
            let flags: &[&str] = if subgroup { &["SUBGROUP"] } else { &[] };
            (device.kernel(&SEARCH, &constants, flags)?, q)
        };
        let grid = crate::gpu::grid_1d(groups, caps.max_groups);
        let mut read = read.map(Tensor::clone);
        for tensor in &mut read {
            *tensor = bound(recorder, texels, tensor)?;
        }
        let [x, rows, rows_lifted] = &read;
        let tensors = [x, rows, self.bounds, self.lifted, rows_lifted, self.info, self.best, self.finished];
        recorder.dispatch(&kernel, &format!("{q}x{m}x{dim}"), &tensors, &params, grid)
    }
}
