//! Nearest row of the memory bank for every query, and the soft score made of it.
//!
//! Source: SoftPatch, section 3.4. The matrix of distances is never written: workgroups fold a tile of queries against a
//! split of the bank into one row a query, and the splits are merged. Distances are sums of squared differences, so that
//! nothing cancels; ties go to the smaller index.

use super::broadcast8;
use super::gemm::check;
use crate::gpu::{Archetype, Recorder, Tensor, grid_1d};
use crate::{Error, Result};

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
    /// Queries.
    pub queries: u32,
    /// Length of a row, a multiple of 4.
    pub dims: u32,
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
        let mut row0 = 0;
        for part in self.bank.iter().filter(|part| part.len > 0) {
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
            let (split, splits) = split(queries, part.len, tile, wanted);
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
            recorder.dispatch(
                &kernel,
                &shape,
                &[self.x, part.rows, row_image, query_image, self.scratch_distance, self.scratch_index],
                &params,
                [queries.div_ceil(tile), splits, 1],
            )?;
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
