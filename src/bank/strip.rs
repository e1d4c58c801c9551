//! Training patches on a device in tiles of such as lie close together, for the search of their neighbours
//! in other images.

use super::tree;
use crate::Result;
use crate::gpu::Device;
use crate::steps::outlier::others::{Strip, boxed, tile};

/// Order of `rows` `[n][r]` in which those of a tile are close to each other along the first [`boxed`]
/// values; rows that are not of finite numbers come last.
pub fn tile_order(device: &Device, rows: &[f32], r: usize) -> Vec<u32> {
    let tile = tile(device.caps());
    let finite = |&row: &u32| rows[row as usize * r..][..r].iter().all(|v| v.is_finite());
    let (mut order, rest): (Vec<u32>, Vec<u32>) = (0..(rows.len() / r) as u32).partition(finite);
    let axes: Vec<usize> = (0..boxed(r)).collect();
    tree::split(rows, r, &axes, (tile, tile), &mut order);
    order.extend(rest);
    order
}

/// A [`Strip`] that is being filled.
pub struct StripBuilder<'a> {
    device: &'a Device,
    strip: Strip,
    r: usize,
    tile: usize,
    tiles_done: usize,
    boxes: Vec<f32>,
    ids: Vec<u32>,
}

impl<'a> StripBuilder<'a> {
    /// Room for `n` patches of `r` values at each of `columns` grid positions.
    ///
    /// # Errors
    /// [`crate::Error::Limit`] where they pass what the device binds.
    pub fn new(device: &'a Device, columns: usize, n: usize, r: usize) -> Result<Self> {
        let tile = tile(device.caps());
        let tiles = n.div_ceil(tile);
        let all = columns * tiles;
        let strip = Strip {
            rows: device.alloc(all * tile * r, "patches in tiles")?,
            boxes: device.alloc(all * 2 * boxed(r), "boxes of tiles")?,
            ids: device.alloc(all * tile, "numbers of patches")?,
            columns: columns as u32,
            tiles: tiles as u32,
        };
        Ok(Self { device, strip, r, tile, tiles_done: 0, boxes: Vec::new(), ids: Vec::new() })
    }

    /// Adds patches `rows` `[n][r]`, whose numbers are `ids`, in the order of their tiles. The last tile is
    /// filled up: what follows is in tiles of its own.
    pub fn push(&mut self, mut rows: Vec<f32>, ids: &[u32]) {
        let (r, head) = (self.r, boxed(self.r));
        for rows in rows.chunks(self.tile * r) {
            let (mut low, mut high) = (vec![f32::MAX; head], vec![f32::MAX; head]);
            let mut finite = rows.chunks_exact(r).filter(|row| row.iter().all(|v| v.is_finite()));
            if let Some(first) = finite.next() {
                low.copy_from_slice(&first[..head]);
                high.copy_from_slice(&first[..head]);
            }
            for row in finite {
                for (i, &v) in row[..head].iter().enumerate() {
                    low[i] = low[i].min(v);
                    high[i] = high[i].max(v);
                }
            }
            let corners = low.chunks_exact(4).zip(high.chunks_exact(4));
            self.boxes.extend(corners.flat_map(|(low, high)| [low, high].concat()));
        }
        let filled = ids.len().next_multiple_of(self.tile);
        // Infinitely far from all others.
        rows.resize(filled * r, f32::INFINITY);
        self.device.write(&self.strip.rows, self.tiles_done * self.tile * r, &rows);
        self.ids.extend_from_slice(ids);
        self.tiles_done += filled / self.tile;
        self.ids.resize(self.tiles_done * self.tile, u32::MAX);
    }

    /// The same in any order: it is found here.
    pub fn sort_and_push(&mut self, rows: &[f32], ids: &[u32]) {
        let order = tile_order(self.device, rows, self.r);
        let sorted = order.iter().flat_map(|&i| &rows[i as usize * self.r..][..self.r]).copied().collect();
        let ids: Vec<u32> = order.iter().map(|&i| ids[i as usize]).collect();
        self.push(sorted, &ids);
    }

    /// The strip, when all is added.
    pub fn finish(self) -> Strip {
        self.device.write(&self.strip.boxes, 0, &self.boxes);
        self.device.write(&self.strip.ids, 0, &self.ids);
        self.strip
    }
}
