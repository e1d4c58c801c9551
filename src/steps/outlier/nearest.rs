//! Outlier score by the distance to the nearest neighbour, within groups.

use crate::gpu::{Recorder, Shader, Tensor, grid_1d, shader};
use crate::steps::checks::check;
use crate::steps::outlier::group::words;
use crate::steps::outlier::knn::Knn;
use crate::steps::outlier::lof::{Params, ScoreMap};
use crate::{Error, Result};

pub(super) static NEAREST: Shader = shader!("outlier/nearest");

/// Distance to the nearest other row of the group, plus 1, from the lists of [`Knn`] (`k = 1` will do). A
/// group of one row scores 1.
#[derive(Debug)]
pub struct Nearest<'a> {
    /// `[groups][n][width]`, from [`Knn`].
    pub distances: &'a Tensor,
    /// Output.
    pub to: ScoreMap<'a>,
    /// Groups.
    pub groups: u32,
    /// Rows of a group.
    pub n: u32,
    /// Neighbours wanted, as given to [`Knn`].
    pub k: u32,
}

impl Nearest<'_> {
    /// Records the scores.
    ///
    /// # Errors
    /// [`Error::Limit`] where a tensor is too small or `k` is 0.
    pub fn record(&self, recorder: &mut Recorder) -> Result<()> {
        let Self { groups, n, to, .. } = *self;
        let k = Knn::width(self.k, n);
        if self.k == 0 {
            return Err(Error::Limit("nearest: k must be at least 1".into()));
        }
        check("nearest distances", words(&[groups, n, k]), self.distances)?;
        to.check("nearest scores", groups, n)?;
        if groups == 0 || n == 0 {
            return Ok(());
        }
        let params = Params { groups, n, k, positions: to.positions, p0: to.p0 };
        let kernel = recorder.device().kernel(&NEAREST, &[], &[])?;
        let grid = grid_1d((groups * n).div_ceil(64), recorder.device().caps().max_groups);
        recorder.dispatch(&kernel, &format!("{groups}x{n}"), &[self.distances, to.scores], &params, grid)
    }
}
