//! Outlier score by Mahalanobis distance, within groups: covariance, Cholesky factor, forward substitution.

use crate::Result;
use crate::gpu::{Archetype, Recorder, Shader, Tensor, shader};
use crate::steps::checks::{broadcast8, check};
use crate::steps::outlier::group::{Centre, Shift, check_depth, words};
use crate::steps::outlier::lof::ScoreMap;

pub(super) static COVARIANCE_DIRECT: Shader = shader!(
    "outlier/covariance_direct",
    shared: ["stored"],
    variants: [[], ["SUBGROUP"]]
);
pub(super) static COVARIANCE_TILED: Shader = shader!("outlier/covariance_tiled");
pub(super) static CHOLESKY: Shader = shader!(
    "outlier/cholesky",
    shared: ["forward8"],
    variants: [[], ["SUBGROUP"]]
);
pub(super) static MAHALANOBIS: Shader = shader!(
    "outlier/mahalanobis",
    shared: ["forward8"],
    variants: [[], ["SUBGROUP"]]
);

/// Added to the diagonal of every covariance; the shaders hold the same number.
pub const RIDGE: f32 = 0.01;

/// Mahalanobis distance of every row to its group's mean, under the group's covariance (`n - 1` in the
/// denominator) plus [`RIDGE`] on the diagonal, plus 1. A group of one row scores 1. No inverse is formed.
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

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct CovarianceParams {
    n: u32,
    r4: u32,
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct CholeskyParams {
    r4: u32,
}

impl Mahalanobis<'_> {
    /// Records the scores.
    ///
    /// # Errors
    /// [`crate::Error::Limit`] where a tensor is too small, `r` is not a multiple of 4, or there are more
    /// groups than a dispatch has workgroups in one dimension.
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
        let factoring = Factor { block, factors, groups, n, r };
        factoring.record(recorder)?;
        factoring.solve(recorder, block, n, to)
    }
}

/// [`Mahalanobis`] for other rows than those that the covariance comes from (PaDiM).
#[derive(Debug)]
pub struct MahalanobisTo<'a> {
    /// `[groups][n][r]`: what mean and covariance come from; overwritten.
    pub block: &'a Tensor,
    /// Scratch of `[groups][r][r]`.
    pub factors: &'a Tensor,
    /// `[groups][q][r]`: what is scored; overwritten.
    pub rows: &'a Tensor,
    /// Output, `[q][positions]`.
    pub to: ScoreMap<'a>,
    /// Groups.
    pub groups: u32,
    /// Rows of a group's Gaussian.
    pub n: u32,
    /// Rows to score per group.
    pub q: u32,
    /// Values of a row, a multiple of 4.
    pub r: u32,
}

impl MahalanobisTo<'_> {
    /// Records the scores.
    ///
    /// # Errors
    /// As [`Mahalanobis::record`].
    pub fn record(&self, recorder: &mut Recorder) -> Result<()> {
        let Self { block, factors, rows, to, groups, n, q, r } = *self;
        check_depth("mahalanobis", r)?;
        check("mahalanobis block", words(&[groups, n, r]), block)?;
        check("mahalanobis factors", words(&[groups, r, r]), factors)?;
        check("mahalanobis rows", words(&[groups, q, r]), rows)?;
        to.check("mahalanobis scores", groups, q)?;
        if groups == 0 || n == 0 || q == 0 {
            return Ok(());
        }
        Shift { block, rows, groups, n, q, r }.record(recorder)?;
        Centre { block, groups, n, r }.record(recorder)?;
        let factoring = Factor { block, factors, groups, n, r };
        factoring.record(recorder)?;
        factoring.solve(recorder, rows, q, to)
    }
}

/// Covariance of centred rows, its Cholesky factor, and what is solved with it.
struct Factor<'a> {
    block: &'a Tensor,
    factors: &'a Tensor,
    groups: u32,
    n: u32,
    r: u32,
}

impl Factor<'_> {
    /// Workgroup of the kernels and rows of an invocation.
    fn shape(recorder: &Recorder) -> (u32, u32) {
        match recorder.device().caps().archetype {
            Archetype::Direct => (8, 4),
            Archetype::Tiled => (64, 1),
        }
    }

    fn record(&self, recorder: &mut Recorder) -> Result<()> {
        self.record_covariance(recorder)?;
        let device = recorder.device();
        let flags: &[&str] = if broadcast8(device.caps()) { &["SUBGROUP"] } else { &[] };
        let kernel = device.kernel(&CHOLESKY, &[("WORKGROUP", Self::shape(recorder).0)], flags)?;
        let (groups, r) = (self.groups, self.r);
        let shape = format!("{groups}x{r}x{r}");
        recorder.dispatch(&kernel, &shape, &[self.factors], &CholeskyParams { r4: r / 4 }, [groups, 1, 1])
    }

    /// Scores `n` centred rows per group, which are overwritten.
    fn solve(&self, recorder: &mut Recorder, rows: &Tensor, n: u32, to: ScoreMap<'_>) -> Result<()> {
        let (workgroup, tm) = Self::shape(recorder);
        let device = recorder.device();
        let flags: &[&str] = if broadcast8(device.caps()) { &["SUBGROUP"] } else { &[] };
        let kernel = device.kernel(&MAHALANOBIS, &[("WORKGROUP", workgroup), ("TM", tm)], flags)?;
        let (groups, r) = (self.groups, self.r);
        recorder.dispatch(
            &kernel,
            &format!("{groups}x{n}x{r}"),
            &[self.factors, rows, to.scores],
            &Params { n, r4: r / 4, positions: to.positions, p0: to.p0 },
            [n.div_ceil(workgroup * tm), groups, 1],
        )
    }

    fn record_covariance(&self, recorder: &mut Recorder) -> Result<()> {
        let Self { block, factors, groups, n, r } = *self;
        let device = recorder.device();
        let (kernel, side) = match device.caps().archetype {
            Archetype::Direct => {
                let flags: &[&str] = if broadcast8(device.caps()) { &["SUBGROUP"] } else { &[] };
                (device.kernel(&COVARIANCE_DIRECT, &[], flags)?, 32)
            }
            Archetype::Tiled => (device.kernel(&COVARIANCE_TILED, &[], &[])?, 64),
        };
        let tiles = r.div_ceil(side);
        recorder.dispatch(
            &kernel,
            &format!("{groups}x{n}x{r}"),
            &[block, factors],
            &CovarianceParams { n, r4: r / 4 },
            [tiles, tiles, groups],
        )
    }
}
