//! The k nearest other rows of every row, within groups.

use crate::gpu::{Archetype, Recorder, Shader, Tensor, shader};
use crate::steps::checks::{broadcast8, check};
use crate::steps::outlier::group::{check_depth, words};
use crate::{Error, Result};

pub(super) static DIRECT: Shader = shader!(
    "outlier/knn_direct",
    shared: ["stored"],
    variants: [[], ["SUBGROUP"]]
);
pub(super) static TILED: Shader = shader!("outlier/knn_tiled");

/// Largest `k`: the lists stay in registers.
pub const MAX_K: u32 = 32;

/// For every row of `block` the distances to its nearest other rows of the same group, ascending, and their
/// indices in the group; ties go to the smaller index. Lists have [`Knn::width`] entries; a distance that is
/// not finite is no neighbour, and a row left with too few names itself, at the largest float.
#[derive(Debug)]
pub struct Knn<'a> {
    /// `[groups][n][r]`.
    pub block: &'a Tensor,
    /// Output `[groups][n][width]`, f32.
    pub distances: &'a Tensor,
    /// Output `[groups][n][width]`, u32.
    pub indices: &'a Tensor,
    /// Groups.
    pub groups: u32,
    /// Rows of a group.
    pub n: u32,
    /// Values of a row, a multiple of 4.
    pub r: u32,
    /// Neighbours wanted, 1 to [`MAX_K`].
    pub k: u32,
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    n: u32,
    r4: u32,
}

impl Knn<'_> {
    /// Entries of a list: `k`, lowered to the `n - 1` other rows that there are.
    pub fn width(k: u32, n: u32) -> u32 {
        k.min(n.saturating_sub(1))
    }

    /// Records the search.
    ///
    /// # Errors
    /// [`Error::Limit`] where a tensor is too small, `r` is not a multiple of 4 or `k` is out of its range.
    pub fn record(&self, recorder: &mut Recorder) -> Result<()> {
        let Self { groups, n, r, k, .. } = *self;
        check_depth("knn", r)?;
        // The tiled variant carries indices as floats.
        if k == 0 || k > MAX_K || n > 1 << 24 {
            return Err(Error::Limit(format!(
                "knn k={k} of {n}: k must be 1 to {MAX_K}, rows at most {}",
                1 << 24
            )));
        }
        let width = Self::width(k, n);
        check("knn block", words(&[groups, n, r]), self.block)?;
        check("knn distances", words(&[groups, n, width]), self.distances)?;
        check("knn indices", words(&[groups, n, width]), self.indices)?;
        if groups == 0 || width == 0 {
            return Ok(());
        }
        let device = recorder.device();
        let (kernel, rows) = match device.caps().archetype {
            Archetype::Direct => {
                let flags: &[&str] = if broadcast8(device.caps()) { &["SUBGROUP"] } else { &[] };
                // Longer lists leave room for fewer rows per lane; measured for k = 1 to 32 on lavapipe.
                let tm = if width <= 8 { 3 } else { 2 };
                (device.kernel(&DIRECT, &[("K", width), ("TM", tm)], flags)?, 8 * tm)
            }
            Archetype::Tiled => (device.kernel(&TILED, &[("K", width)], &[])?, 64),
        };
        recorder.dispatch(
            &kernel,
            &format!("{groups}x{n}x{r}"),
            &[self.block, self.distances, self.indices],
            &Params { n, r4: r / 4 },
            [n.div_ceil(rows), groups, 1],
        )
    }
}
