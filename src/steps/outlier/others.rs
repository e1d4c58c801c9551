//! The k nearest patches of other images, at positions near by or anywhere.

use crate::gpu::{Archetype, Caps, Recorder, Shader, Tensor, grid_1d, shader};
use crate::steps::checks::{broadcast8, check};
use crate::steps::outlier::group::{check_depth, words};
use crate::steps::outlier::knn::MAX_K;
use crate::{Error, Result};
use std::ops::Range;

pub(super) static DIRECT: Shader = shader!(
    "outlier/others_direct",
    shared: ["stored", "lanes8"],
    variants: [[], ["SUBGROUP"]]
);
pub(super) static TILED: Shader = shader!("outlier/others_tiled");

/// Leading values that the boxes of tiles bound, four at a time.
const BOX4: u32 = 8;
/// Leading values after which a candidate may be left, four at a time (`direct`).
const HEAD4: u32 = 4;

/// Patches of a tile on a device.
pub fn tile(caps: &Caps) -> usize {
    match caps.archetype {
        Archetype::Direct => 16,
        Archetype::Tiled => 64,
    }
}

/// Leading values of patches of `r` values that the boxes bound: a multiple of 4.
pub fn boxed(r: usize) -> usize {
    r.min(4 * BOX4 as usize)
}

/// Patches of a row of grid positions, those of a position in tiles of such as lie close together; or any
/// patches as if at one position.
#[derive(Clone, Debug)]
pub struct Strip {
    /// `[columns][tiles][tile][r]`.
    pub rows: Tensor,
    /// `[columns][tiles][boxed(r) / 4][2][4]`: lower and upper corners of the tiles.
    pub boxes: Tensor,
    /// `[columns][tiles][tile]`: numbers of the patches, `u32::MAX` past a position's last.
    pub ids: Tensor,
    /// Grid positions.
    pub columns: u32,
    /// Tiles of a position.
    pub tiles: u32,
}

impl Strip {
    fn check(&self, what: &str, r: u32, tile: u32) -> Result<()> {
        let tiles = words(&[self.columns, self.tiles]);
        check(&format!("{what} rows"), tiles * u64::from(tile * r), &self.rows)?;
        check(&format!("{what} boxes"), tiles * 2 * boxed(r as usize) as u64, &self.boxes)?;
        check(&format!("{what} numbers"), tiles * u64::from(tile), &self.ids)
    }
}

/// Brings the nearest patches of other images in `candidates` into the lists of the patches in `queries`:
/// distances ascending, ties by the smaller patch. A distance that is not finite is no neighbour, and a patch
/// left with too few names itself, at the largest float.
#[derive(Debug)]
pub struct Others<'a> {
    /// Patches whose lists are improved.
    pub queries: &'a Strip,
    /// Patches that they are compared with; of as many columns and tiles as `queries` where there are several
    /// columns.
    pub candidates: &'a Strip,
    /// In and out `[patches][k]`, f32; squares until the last strip of candidates.
    pub distances: &'a Tensor,
    /// In and out `[patches][k]`, u32.
    pub indices: &'a Tensor,
    /// Tiles of queries to do.
    pub tiles: Range<u32>,
    /// Columns to either side of a query's that are candidates.
    pub reach: u32,
    /// Patches of an image.
    pub positions: u32,
    /// Values of a patch, a multiple of 4.
    pub r: u32,
    /// Entries of a list, 1 to [`MAX_K`].
    pub k: u32,
    /// Whether lists start here, and whether they end here.
    pub ends: [bool; 2],
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    first: u32,
    end: u32,
    query_tiles: u32,
    columns: u32,
    tiles: u32,
    window: u32,
    r4: u32,
    positions: u32,
    fresh: u32,
    last: u32,
    slack: f32,
}

impl Others<'_> {
    /// Entries of a list: `k`, lowered to the fewest candidates that a patch has: in a corner, where `reach`
    /// positions of a grid (rows, columns) to either side count, or all patches of the other images.
    pub fn width(k: u32, images: u32, grid: [u32; 2], reach: Option<u32>) -> u32 {
        let seen = |side: u32| reach.map_or(side, |reach| side.min(reach + 1));
        let fewest = words(&[images.saturating_sub(1), seen(grid[0]), seen(grid[1])]);
        u64::from(k).min(fewest) as u32
    }

    /// Records the search.
    ///
    /// # Errors
    /// [`Error::Limit`] where a tensor is too small, strips do not fit each other, `r` is not a multiple of 4
    /// or `k` is out of its range.
    pub fn record(&self, recorder: &mut Recorder) -> Result<()> {
        let Self { queries, candidates, r, k, positions, ref tiles, .. } = *self;
        check_depth("others", r)?;
        let device = recorder.device().clone();
        let caps = device.caps();
        let tile = tile(caps) as u32;
        let alike = (queries.columns, queries.tiles) == (candidates.columns, candidates.tiles);
        if k == 0
            || k > MAX_K
            || positions == 0
            || !(alike || queries.columns == 1 && candidates.columns == 1)
        {
            return Err(Error::Limit(format!(
                "others k={k}: k must be 1 to {MAX_K}, strips of {}x{} and {}x{} tiles alike or of one column",
                queries.columns, queries.tiles, candidates.columns, candidates.tiles
            )));
        }
        if words(&[queries.columns, queries.tiles]) < u64::from(tiles.end) {
            return Err(Error::Limit(format!("others: there is no tile {}", tiles.end)));
        }
        queries.check("queries", r, tile)?;
        candidates.check("candidates", r, tile)?;
        if tiles.is_empty() || candidates.columns * candidates.tiles == 0 {
            return Ok(());
        }
        let box4 = boxed(r as usize) as u32 / 4;
        let kernel = match caps.archetype {
            Archetype::Direct => {
                let flags: &[&str] = if broadcast8(caps) { &["SUBGROUP"] } else { &[] };
                let constants = [("K", k), ("BOX4", box4), ("HEAD4", HEAD4.min(r / 4))];
                device.kernel(&DIRECT, &constants, flags)?
            }
            Archetype::Tiled => device.kernel(&TILED, &[("K", k), ("BOX4", box4)], &[])?,
        };
        let params = Params {
            first: tiles.start,
            end: tiles.end,
            query_tiles: queries.tiles,
            columns: candidates.columns,
            tiles: candidates.tiles,
            window: self.reach,
            r4: r / 4,
            positions,
            fresh: self.ends[0].into(),
            last: self.ends[1].into(),
            // A sum of r squared differences in one order and another.
            slack: 1.0 + 2.0 * (r + 4) as f32 * f32::EPSILON,
        };
        let grid = grid_1d(tiles.end - tiles.start, caps.max_groups);
        let shape = format!("{}x{}x{r}", tiles.end - tiles.start, candidates.tiles);
        let tensors = [
            &queries.rows,
            &queries.boxes,
            &queries.ids,
            &candidates.rows,
            &candidates.boxes,
            &candidates.ids,
            self.distances,
            self.indices,
        ];
        recorder.dispatch(&kernel, &shape, &tensors, &params, grid)
    }
}
