//! Local outlier factor within groups.

use crate::gpu::{Recorder, Shader, Tensor, grid_1d, shader};
use crate::steps::checks::check;
use crate::steps::outlier::group::words;
use crate::steps::outlier::knn::Knn;
use crate::{Error, Result};

pub(super) static DENSITIES: Shader = shader!("outlier/lof", entry: "densities");
pub(super) static FACTORS: Shader = shader!("outlier/lof", entry: "factors");

/// Where the scores of a block of groups go: `scores[i][p0 + b]` of `[n][positions]`.
#[derive(Clone, Copy, Debug)]
pub struct ScoreMap<'a> {
    /// `[n][positions]`, image by image.
    pub scores: &'a Tensor,
    /// Grid positions of an image.
    pub positions: u32,
    /// Grid position of the block's first group.
    pub p0: u32,
}

impl ScoreMap<'_> {
    pub(super) fn check(&self, what: &str, groups: u32, n: u32) -> Result<()> {
        let Self { positions, p0, .. } = *self;
        if u64::from(p0) + u64::from(groups) > u64::from(positions) {
            return Err(Error::Limit(format!("{what}: positions {p0}+{groups} of {positions}")));
        }
        check(what, words(&[n, positions]), self.scores)
    }
}

/// Local outlier factors from the lists of [`Knn`]; equal to scikit-learn's `LocalOutlierFactor`. A group of
/// one row scores 1. A row without `k` neighbours at a finite distance scores the largest float.
#[derive(Debug)]
pub struct Lof<'a> {
    /// `[groups][n][width]`, from [`Knn`].
    pub distances: &'a Tensor,
    /// `[groups][n][width]`, from [`Knn`].
    pub indices: &'a Tensor,
    /// Scratch of `[groups][n]`.
    pub density: &'a Tensor,
    /// Output.
    pub to: ScoreMap<'a>,
    /// Groups.
    pub groups: u32,
    /// Rows of a group.
    pub n: u32,
    /// Neighbours wanted, as given to [`Knn`].
    pub k: u32,
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
pub(super) struct Params {
    pub groups: u32,
    pub n: u32,
    pub k: u32,
    pub positions: u32,
    pub p0: u32,
}

impl Lof<'_> {
    /// Records the scores.
    ///
    /// # Errors
    /// [`Error::Limit`] where a tensor is too small or `k` is 0.
    pub fn record(&self, recorder: &mut Recorder) -> Result<()> {
        let Self { groups, n, to, .. } = *self;
        let k = Knn::width(self.k, n);
        if self.k == 0 {
            return Err(Error::Limit("lof: k must be at least 1".into()));
        }
        check("lof distances", words(&[groups, n, k]), self.distances)?;
        check("lof indices", words(&[groups, n, k]), self.indices)?;
        check("lof density", words(&[groups, n]), self.density)?;
        to.check("lof scores", groups, n)?;
        if groups == 0 || n == 0 {
            return Ok(());
        }
        let params = Params { groups, n, k, positions: to.positions, p0: to.p0 };
        let device = recorder.device();
        let grid = grid_1d((groups * n).div_ceil(64), device.caps().max_groups);
        let (density, factor) = (device.kernel(&DENSITIES, &[], &[])?, device.kernel(&FACTORS, &[], &[])?);
        let shape = format!("{groups}x{n} k={k}");
        if k > 0 {
            recorder.dispatch(
                &density,
                &shape,
                &[self.indices, self.distances, self.density],
                &params,
                grid,
            )?;
        }
        recorder.dispatch(&factor, &shape, &[self.indices, self.density, to.scores], &params, grid)
    }
}
