//! The threshold on the scores, and the indices of the patches that stay.

use crate::gpu::{Recorder, Shader, Tensor, grid_1d, shader};
use crate::steps::checks::check;
use crate::{Error, Result};

pub(super) static COUNT: Shader = shader!("outlier/quantile", entry: "count", shared: ["score_key"]);
pub(super) static PICK: Shader = shader!("outlier/quantile", entry: "pick", shared: ["score_key"]);
pub(super) static ABOVE: Shader = shader!("outlier/quantile", entry: "above", shared: ["score_key"]);
pub(super) static LERP: Shader = shader!("outlier/quantile", entry: "lerp", shared: ["score_key"]);
pub(super) static KEEP_COUNT: Shader = shader!("outlier/keep", entry: "count", shared: ["score_key"]);
pub(super) static KEEP_STARTS: Shader = shader!("outlier/keep", entry: "starts", shared: ["score_key"]);
pub(super) static KEEP_LIST: Shader = shader!("outlier/keep", entry: "list", shared: ["score_key"]);

/// Exact quantile of scores with linear interpolation between the two nearest in order, as NumPy's default.
/// NaN, infinity and the largest float count as the largest float.
#[derive(Debug)]
pub struct Quantile<'a> {
    /// `len` words.
    pub scores: &'a Tensor,
    /// Scores, at least 1.
    pub len: u32,
    /// Which quantile, 0 to 1: `1 - tau`.
    pub q: f64,
    /// Scratch of [`Quantile::STATE`] words.
    pub state: &'a Tensor,
    /// Output, 1 word, f32.
    pub threshold: &'a Tensor,
}

/// What the kernels hand on, see their text.
#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct State {
    bins: [u32; 256],
    prefix: u32,
    rank: u32,
    next: u32,
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct QuantileParams {
    len: u32,
    rank: u32,
    t: f32,
}

impl Quantile<'_> {
    /// Words of [`Quantile::state`].
    pub const STATE: usize = size_of::<State>() / 4;

    /// Records the selection.
    ///
    /// # Errors
    /// [`Error::InvalidOption`] where `q` is not within 0 to 1, [`Error::Limit`] where a tensor is too small
    /// or there is no score.
    pub fn record(&self, recorder: &mut Recorder) -> Result<()> {
        let Self { scores, len, q, state, threshold } = *self;
        if !(0.0..=1.0).contains(&q) {
            return Err(Error::InvalidOption(format!("quantile {q} is not within 0 to 1")));
        }
        if len == 0 {
            return Err(Error::Limit("a quantile of no scores".into()));
        }
        check("quantile scores", len.into(), scores)?;
        check("quantile state", Self::STATE as u64, state)?;
        check("quantile threshold", 1, threshold)?;
        let at = q * f64::from(len - 1);
        let params = QuantileParams { len, rank: at.floor() as u32, t: (at - at.floor()) as f32 };
        let shape = format!("{len}");
        // Enough workgroups to fill a large GPU; more would only add to the bins more often.
        let grid = [len.div_ceil(4096).min(1024), 1, 1];
        recorder.clear(state);
        for shift in [24, 16, 8, 0] {
            let constant = [("SHIFT", shift)];
            let count = recorder.device().kernel(&COUNT, &constant, &[])?;
            let pick = recorder.device().kernel(&PICK, &constant, &[])?;
            recorder.dispatch(&count, &shape, &[scores, state], &params, grid)?;
            recorder.dispatch(&pick, &shape, &[state], &params, [1, 1, 1])?;
        }
        let above = recorder.device().kernel(&ABOVE, &[], &[])?;
        let lerp = recorder.device().kernel(&LERP, &[], &[])?;
        recorder.dispatch(&above, &shape, &[scores, state], &params, grid)?;
        recorder.dispatch(&lerp, &shape, &[state, threshold], &params, [1, 1, 1])
    }
}

/// Indices of the scores that are at most `threshold`, ascending. NaN, infinity and the largest float never
/// stay.
#[derive(Debug)]
pub struct Keep<'a> {
    /// `len` words.
    pub scores: &'a Tensor,
    /// 1 word, f32.
    pub threshold: &'a Tensor,
    /// Scores.
    pub len: u32,
    /// Scratch of [`Keep::starts_len`] words.
    pub starts: &'a Tensor,
    /// Output, room for `len` indices, u32.
    pub kept: &'a Tensor,
    /// Output, 1 word, u32: how many indices were written.
    pub count: &'a Tensor,
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct KeepParams {
    len: u32,
    blocks: u32,
}

/// Scores that a workgroup owns.
const BLOCK: u32 = 2048;

impl Keep<'_> {
    /// Words of [`Keep::starts`].
    pub fn starts_len(len: u32) -> usize {
        len.div_ceil(BLOCK) as usize
    }

    /// Records the selection.
    ///
    /// # Errors
    /// [`Error::Limit`] where a tensor is too small.
    pub fn record(&self, recorder: &mut Recorder) -> Result<()> {
        let Self { scores, threshold, len, starts, kept, count } = *self;
        let blocks = len.div_ceil(BLOCK);
        check("keep scores", len.into(), scores)?;
        check("keep threshold", 1, threshold)?;
        check("keep starts", blocks.into(), starts)?;
        check("keep indices", len.into(), kept)?;
        check("keep count", 1, count)?;
        if len == 0 {
            recorder.clear(count);
            return Ok(());
        }
        let params = KeepParams { len, blocks };
        let shape = format!("{len}");
        let device = recorder.device();
        let grid = grid_1d(blocks, device.caps().max_groups);
        let counting = device.kernel(&KEEP_COUNT, &[], &[])?;
        let scan = device.kernel(&KEEP_STARTS, &[], &[])?;
        let write = device.kernel(&KEEP_LIST, &[], &[])?;
        recorder.dispatch(&counting, &shape, &[scores, threshold, starts], &params, grid)?;
        recorder.dispatch(&scan, &shape, &[starts, count], &params, [1, 1, 1])?;
        recorder.dispatch(&write, &shape, &[scores, threshold, starts, kept], &params, grid)
    }
}
