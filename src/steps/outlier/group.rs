//! Patches of all images gathered by grid position, and centred.

use crate::gpu::{Recorder, Shader, Tensor, grid_1d, shader};
use crate::steps::checks::check;
use crate::{Error, Result};
use std::ops::Range;

pub(super) static GATHER: Shader = shader!("outlier/group", entry: "gather");
pub(super) static CENTRE: Shader = shader!("outlier/group", entry: "centre");
pub(super) static SHIFT: Shader = shader!("outlier/group", entry: "shift");

/// Copies grid positions `p0 .. p0 + groups` of all images, as far as one chunk of patches has them, into a
/// block of groups: `block[b][i]` is the patch at position `p0 + b` of image `i`. One call per chunk fills a
/// block.
#[derive(Debug)]
pub struct Gather<'a> {
    /// `[rows][r]`.
    pub z: &'a Tensor,
    /// `[groups][n][r]`.
    pub block: &'a Tensor,
    /// Patches in this chunk, numbered image by image.
    pub rows: Range<u32>,
    /// Images in all.
    pub n: u32,
    /// Grid positions of an image.
    pub positions: u32,
    /// First grid position to copy.
    pub p0: u32,
    /// Grid positions to copy.
    pub groups: u32,
    /// Values of a patch, a multiple of 4.
    pub r: u32,
}

#[repr(C)]
#[derive(Clone, Copy, Default, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    groups: u32,
    n: u32,
    r4: u32,
    images: u32,
    first: u32,
    positions: u32,
    p0: u32,
    row0: u32,
    rows: u32,
    q: u32,
}

impl Gather<'_> {
    /// Records the copy.
    ///
    /// # Errors
    /// [`Error::Limit`] where a tensor is too small, `r` is not a multiple of 4, or images or positions pass
    /// the end.
    pub fn record(&self, recorder: &mut Recorder) -> Result<()> {
        let &Self { ref rows, n, positions, p0, groups, r, .. } = self;
        check_depth("gather", r)?;
        if rows.start > rows.end
            || u64::from(rows.end) > words(&[n, positions])
            || u64::from(p0) + u64::from(groups) > u64::from(positions)
        {
            return Err(Error::Limit(format!(
                "gather: patches {rows:?} and positions {p0}+{groups} of {n} images of {positions}"
            )));
        }
        let first = rows.start / positions.max(1);
        let images = rows.end.div_ceil(positions.max(1)) - first;
        let shape = format!("{images}x{groups}x{r}");
        let (row0, rows) = (rows.start, rows.end - rows.start);
        check("gather z", words(&[rows, r]), self.z)?;
        check("gather block", words(&[groups, n, r]), self.block)?;
        let total = words(&[images, groups, r / 4]);
        if total == 0 {
            return Ok(());
        }
        let params = Params { groups, n, r4: r / 4, images, first, positions, p0, row0, rows, q: 0 };
        let kernel = recorder.device().kernel(&GATHER, &[], &[])?;
        let grid = grid_1d((total as u32).div_ceil(64), recorder.device().caps().max_groups);
        recorder.dispatch(&kernel, &shape, &[self.z, self.block], &params, grid)
    }
}

/// Subtracts from every group its mean, in place.
#[derive(Debug)]
pub struct Centre<'a> {
    /// `[groups][n][r]`.
    pub block: &'a Tensor,
    /// Groups.
    pub groups: u32,
    /// Rows of a group.
    pub n: u32,
    /// Values of a row, a multiple of 4.
    pub r: u32,
}

impl Centre<'_> {
    /// Records the subtraction.
    ///
    /// # Errors
    /// [`Error::Limit`] where the tensor is too small or `r` is not a multiple of 4.
    pub fn record(&self, recorder: &mut Recorder) -> Result<()> {
        let Self { groups, n, r, .. } = *self;
        check_depth("centre", r)?;
        check("centre block", words(&[groups, n, r]), self.block)?;
        if groups == 0 || n == 0 {
            return Ok(());
        }
        let params = Params { groups, n, r4: r / 4, ..Params::default() };
        let kernel = recorder.device().kernel(&CENTRE, &[], &[])?;
        let grid = grid_1d((groups * (r / 4)).div_ceil(64), recorder.device().caps().max_groups);
        recorder.dispatch(&kernel, &format!("{groups}x{n}x{r}"), &[self.block], &params, grid)
    }
}

/// Subtracts from other rows the mean of every group.
#[derive(Debug)]
pub struct Shift<'a> {
    /// `[groups][n][r]`: what the mean is of, not centred yet.
    pub block: &'a Tensor,
    /// `[groups][q][r]`: what it is subtracted from.
    pub rows: &'a Tensor,
    /// Groups.
    pub groups: u32,
    /// Rows of a group.
    pub n: u32,
    /// Rows to shift per group.
    pub q: u32,
    /// Values of a row, a multiple of 4.
    pub r: u32,
}

impl Shift<'_> {
    /// Records the subtraction.
    ///
    /// # Errors
    /// [`Error::Limit`] where a tensor is too small or `r` is not a multiple of 4.
    pub fn record(&self, recorder: &mut Recorder) -> Result<()> {
        let Self { groups, n, q, r, .. } = *self;
        check_depth("shift", r)?;
        check("shift block", words(&[groups, n, r]), self.block)?;
        check("shift rows", words(&[groups, q, r]), self.rows)?;
        if groups == 0 || n == 0 || q == 0 {
            return Ok(());
        }
        let params = Params { groups, n, r4: r / 4, q, ..Params::default() };
        let kernel = recorder.device().kernel(&SHIFT, &[], &[])?;
        let grid = grid_1d((groups * (r / 4)).div_ceil(64), recorder.device().caps().max_groups);
        recorder.dispatch(&kernel, &format!("{groups}x{n}+{q}x{r}"), &[self.block, self.rows], &params, grid)
    }
}

/// Product of sizes, without overflow for anything that fits a buffer.
pub(super) fn words(sizes: &[u32]) -> u64 {
    sizes.iter().fold(1, |product, &s| product.saturating_mul(s.into()))
}

pub(super) fn check_depth(what: &str, r: u32) -> Result<()> {
    if r == 0 || !r.is_multiple_of(4) {
        return Err(Error::Limit(format!("{what}: {r} values per patch, must be a multiple of 4")));
    }
    Ok(())
}
