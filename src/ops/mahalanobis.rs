//! Outlier score by Mahalanobis distance, within groups: covariance, Cholesky factor, forward substitution.

use super::broadcast8;
use super::check;
use super::group::{Centre, check_depth, words};
use super::lof::ScoreMap;
use crate::Result;
use crate::gpu::{Archetype, Recorder, Tensor};

/// Added to the diagonal of every covariance; the shaders hold the same number.
pub const RIDGE: f32 = 0.01;

/// Mahalanobis distance of every row to its group's mean, under the group's covariance (`n - 1` in the denominator)
/// plus [`RIDGE`] on the diagonal, plus 1. A group of one row scores 1. No inverse is formed.
#[derive(Debug)]
pub struct Mahalanobis<'a> {
    /// `[groups][n][r]`; overwritten.
    pub block: &'a Tensor,
    /// Scratch of `[groups][r][r]`: covariances, then their Cholesky factors.
    pub factors: &'a Tensor,
    /// Output.
    pub to: ScoreMap<'a>,
    /// Groups.
    pub groups: u32,
    /// Rows of a group.
    pub n: u32,
    /// Values of a row, a multiple of 4.
    pub r: u32,
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    n: u32,
    r4: u32,
    positions: u32,
    p0: u32,
}

impl Mahalanobis<'_> {
    /// Records the scores.
    ///
    /// # Errors
    /// [`crate::Error::Limit`] where a tensor is too small, `r` is not a multiple of 4, or there are more groups than a
    /// dispatch has workgroups in one dimension.
    pub fn record(&self, recorder: &mut Recorder) -> Result<()> {
        let Self { block, factors, to, groups, n, r } = *self;
        check_depth("mahalanobis", r)?;
        check("mahalanobis block", words(&[groups, n, r]), block)?;
        check("mahalanobis factors", words(&[groups, r, r]), factors)?;
        to.check("mahalanobis scores", groups, n)?;
        if groups == 0 || n == 0 {
            return Ok(());
        }
        Centre { block, groups, n, r }.record(recorder)?;
        self.record_covariance(recorder)?;
        let device = recorder.device();
        let flags: &[&str] = if broadcast8(device.caps()) { &["SUBGROUP"] } else { &[] };
        let (workgroup, tm) = match device.caps().archetype {
            Archetype::Direct => (8, 4),
            Archetype::Tiled => (64, 1),
        };
        let cholesky = device.kernel("cholesky", &[("WORKGROUP", workgroup)], flags)?;
        let solve = device.kernel("mahalanobis", &[("WORKGROUP", workgroup), ("TM", tm)], flags)?;
        recorder.dispatch(
            &cholesky,
            &format!("{groups}x{r}x{r}"),
            &[factors],
            &[r / 4, 0, 0, 0],
            [groups, 1, 1],
        )?;
        recorder.dispatch(
            &solve,
            &format!("{groups}x{n}x{r}"),
            &[factors, block, to.scores],
            &Params { n, r4: r / 4, positions: to.positions, p0: to.p0 },
            [n.div_ceil(workgroup * tm), groups, 1],
        )
    }

    fn record_covariance(&self, recorder: &mut Recorder) -> Result<()> {
        let Self { block, factors, groups, n, r, .. } = *self;
        let device = recorder.device();
        let (kernel, side) = match device.caps().archetype {
            Archetype::Direct => {
                let flags: &[&str] = if broadcast8(device.caps()) { &["SUBGROUP"] } else { &[] };
                (device.kernel("covariance_direct", &[], flags)?, 32)
            }
            Archetype::Tiled => (device.kernel("covariance_tiled", &[], &[])?, 64),
        };
        let tiles = r.div_ceil(side);
        recorder.dispatch(
            &kernel,
            &format!("{groups}x{n}x{r}"),
            &[block, factors],
            &[n, r / 4, 0, 0],
            [tiles, tiles, groups],
        )
    }
}
