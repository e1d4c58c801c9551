//! Depthwise convolution.

use crate::gpu::{Archetype, Recorder, Shader, Tensor, shader};
use crate::shapes::{Activation, ConvShape};
use crate::steps::checks::{bound, check, check_vec4, flag_f16, grid_64, reads_texels, stored_f16, words};
use crate::steps::tuning::DEPTHWISE_RUN;
use crate::{Error, Result};

pub(super) static DIRECT: Shader = shader!(
    "network/depthwise_direct",
    shared: ["texels"],
    variants: [[], ["F16"], ["TEXELS"], ["TEXELS", "F16"]]
);
pub(super) static TILED: Shader = shader!(
    "network/depthwise",
    shared: ["stored"],
    variants: [[], ["F16"]]
);

/// `C = activation(depthwise(X, W) + bias)`; X `[batch][in_h][in_w][c]`, W `[kernel][kernel][c]`, square
/// kernels, `in_c == out_c`. X, W and C may be stored as f16.
#[derive(Debug)]
pub struct Depthwise<'a> {
    /// Input.
    pub x: &'a Tensor,
    /// Weights.
    pub w: &'a Tensor,
    /// `c` words.
    pub bias: &'a Tensor,
    /// Output `[batch][out_h][out_w][c]`.
    pub c: &'a Tensor,
    /// Sizes.
    pub shape: ConvShape,
    /// What the sum goes through.
    pub activation: Activation,
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    batch: u32,
    // Channels, pairs of them, or vec4s: what an invocation owns.
    channels: u32,
    in_h: u32,
    in_w: u32,
    out_h: u32,
    out_w: u32,
    pad_top: u32,
    pad_left: u32,
    // Rows that an invocation owns; `depthwise.wgsl` has one.
    rows: u32,
    lo: f32,
    hi: f32,
}

/// Rows that an invocation of the kernel for CPU drivers goes down: each run begins with `kernel - stride`
/// rows of input that its neighbour has loaded, too.
const ROWS: u32 = 14;

/// Neighbouring outputs of a row that one invocation owns (`TX` in the shaders). On GPUs 7 or 8, whichever
/// leaves less of the last run unused: rows at a crop of 224 are multiples of 7. On CPU drivers 4, for longer
/// runs lose their sums from registers, and every other length is more code that the driver compiles before
/// the first score.
pub(crate) fn run_length(out_w: u32, archetype: Archetype) -> u32 {
    match archetype {
        Archetype::Direct => 4,
        Archetype::Tiled if out_w.next_multiple_of(8) < out_w.next_multiple_of(7) => 8,
        Archetype::Tiled => 7,
    }
}

impl Depthwise<'_> {
    /// Records the convolution.
    ///
    /// # Errors
    /// [`Error::Limit`] where a tensor is too small, the kernel is not square, or channels are no multiple of
    /// 4.
    pub fn record(&self, recorder: &mut Recorder) -> Result<()> {
        let s = self.shape;
        check_vec4("depthwise channels", s.in_c)?;
        if s.in_c != s.out_c || s.kernel_h != s.kernel_w {
            return Err(Error::Limit(format!(
                "depthwise convolution {s:?}: kernels must be square, channels equal"
            )));
        }
        check("depthwise x", s.input_len() as u64, self.x)?;
        check("depthwise w", words(&[s.kernel_h, s.kernel_w, s.in_c]), self.w)?;
        check("depthwise bias", words(&[s.in_c]), self.bias)?;
        check("depthwise c", s.output_len() as u64, self.c)?;
        let f16 = stored_f16("depthwise", &[self.x, self.w, self.c])?;
        let (lo, hi) = self.activation.bounds(f16);
        let device = recorder.device().clone();
        let archetype = device.caps().archetype;
        // The kernel's word, see its text.
        let per_word = if f16 || device.caps().int64 { 2 } else { 1 };
        let (shader, channels, rows) = match archetype {
            Archetype::Direct => (&DIRECT, s.in_c / per_word, ROWS),
            Archetype::Tiled => (&TILED, s.in_c / 4, 1),
        };
        let columns = match device.tuning().get(&DEPTHWISE_RUN) {
            0 => run_length(s.out_w, archetype),
            run => run,
        };
        let params = Params {
            batch: s.batch,
            channels,
            in_h: s.in_h,
            in_w: s.in_w,
            out_h: s.out_h,
            out_w: s.out_w,
            pad_top: s.pad_top as u32,
            pad_left: s.pad_left,
            rows,
            lo,
            hi,
        };
        let constants = [("K", s.kernel_h), ("S", s.stride), ("TX", columns)];
        let texels = reads_texels(&device, self.w);
        let flags = [if texels { &["TEXELS"][..] } else { &[] }, flag_f16(f16)].concat();
        let kernel = device.kernel(shader, &constants, &flags)?;
        let w = bound(recorder, texels, self.w)?;
        let items = words(&[s.batch, s.out_h.div_ceil(rows), s.out_w.div_ceil(columns), channels]);
        let grid = grid_64("depthwise", items, device.caps())?;
        recorder.dispatch(
            &kernel,
            &format!("{}x{}x{}->{}x{} b{}", s.in_h, s.in_w, s.in_c, s.out_h, s.out_w, s.batch),
            &[self.x, &w, self.bias, self.c],
            &params,
            grid,
        )
    }
}
