//! Matrix product with a fused epilogue.

use crate::Result;
use crate::gpu::{Archetype, Caps, Coop, Device, Kernel, Recorder, Shader, Size, Tensor, shader};
use crate::shapes::Activation;
use crate::steps::checks::{bound, broadcast8, check, check_vec4, reads_texels, stored_f16, words};
use crate::steps::tuning::{
    BIG_FROM, COOP_BIG_FROM, COOP_MIDDLE_FROM, DIRECT_COLUMNS, DIRECT_ROWS, MIDDLE_FROM,
};
use std::sync::Arc;

pub(super) static DIRECT: Shader = shader!(
    "network/gemm_direct",
    shared: ["stored", "texels", "gemm_params"],
    variants: [
        [], ["CONV"], ["SUBGROUP"], ["SUBGROUP", "CONV"],
        ["F16"], ["CONV", "F16"], ["SUBGROUP", "F16"], ["SUBGROUP", "CONV", "F16"],
        ["SUBGROUP", "TEXELS"], ["SUBGROUP", "TEXELS", "CONV"],
        ["SUBGROUP", "TEXELS", "F16"], ["SUBGROUP", "TEXELS", "CONV", "F16"]
    ]
);
pub(super) static TILED: Shader = shader!(
    "network/gemm_tiled",
    shared: ["stored", "gemm_params", "conv_rows"],
    variants: [
        [], ["CONV"], ["BIG"], ["CONV", "BIG"], ["SMALL"], ["CONV", "SMALL"],
        ["F16"], ["CONV", "F16"], ["BIG", "F16"], ["CONV", "BIG", "F16"], ["SMALL", "F16"], ["CONV", "SMALL", "F16"]
    ]
);
pub(super) static COOP: Shader = shader!(
    "network/gemm_coop",
    shared: ["gemm_params", "fragments", "conv_rows"],
    variants: [
        [], ["CONV"], ["BIG"], ["CONV", "BIG"], ["SMALL"], ["CONV", "SMALL"],
        ["EIGHT"], ["CONV", "EIGHT"], ["BIG", "EIGHT"], ["CONV", "BIG", "EIGHT"],
        ["SMALL", "EIGHT"], ["CONV", "SMALL", "EIGHT"],
        ["SOFT"], ["CONV", "SOFT"], ["BIG", "SOFT"], ["CONV", "BIG", "SOFT"],
        ["SMALL", "SOFT"], ["CONV", "SMALL", "SOFT"],
        ["EIGHT", "SOFT"], ["CONV", "EIGHT", "SOFT"], ["BIG", "EIGHT", "SOFT"], ["CONV", "BIG", "EIGHT", "SOFT"],
        ["SMALL", "EIGHT", "SOFT"], ["CONV", "SMALL", "EIGHT", "SOFT"]
    ]
);

/// `C[m][n] = activation(X[m][k] * W[n][k]^T + bias[n] + residual[m][n])`, row-major; `k` and `n` multiples
/// of 4. All but the bias may be stored as f16; sums are f32.
#[derive(Debug)]
pub struct Gemm<'a> {
    /// Left operand, `m * k` values.
    pub x: &'a Tensor,
    /// Right operand, transposed: `n * k` values.
    pub w: &'a Tensor,
    /// `n` words.
    pub bias: &'a Tensor,
    /// `m * n` values, added before the activation. They may begin anywhere in their buffer.
    pub residual: Option<&'a Tensor>,
    /// Output, `m * n` values.
    pub c: &'a Tensor,
    /// Rows.
    pub m: u32,
    /// Depth.
    pub k: u32,
    /// Columns.
    pub n: u32,
    /// What the sum goes through.
    pub activation: Activation,
}

/// The uniform of `gemm_*.wgsl`.
#[repr(C)]
#[derive(Clone, Copy, Default, bytemuck::Pod, bytemuck::Zeroable)]
pub(super) struct Params {
    pub m: u32,
    pub n: u32,
    pub k4: u32,
    pub w_row4: u32,
    pub lo: f32,
    pub hi: f32,
    pub residual: u32,
    pub stride: u32,
    pub in_h: u32,
    pub in_w: u32,
    pub out_h: u32,
    pub out_w: u32,
    pub kernel_h: u32,
    pub kernel_w: u32,
    pub pad_top: u32,
    pub pad_left: u32,
}

/// The kernel for this device and `[m, n]` outputs, and the rows and columns that one of its workgroups owns.
pub(super) fn variant(
    device: &Device,
    texels: bool,
    conv: bool,
    f16: bool,
    [m, n]: [u32; 2],
) -> Result<(Arc<Kernel>, u32, u32)> {
    let (caps, tuning) = (device.caps(), device.tuning());
    let mut flags = Vec::new();
    // Few workgroups wait for their loads, and more of them, which go deeper in a step, wait less. Half-empty ones
    // are worse than small ones.
    let all = |tile: u32| words(&[m.div_ceil(tile), n.div_ceil(tile)]);
    let groups = |tile: u32| if n > tile / 2 { all(tile) } else { 0 };
    let enough = |size: &Size, groups: u64| groups >= u64::from(tuning.get(size));
    match (caps.archetype, caps.coop) {
        (Archetype::Direct, _) => {
            flags.extend(broadcast8(caps).then_some("SUBGROUP"));
            flags.extend(texels.then_some("TEXELS"));
            flags.extend(conv.then_some("CONV"));
            flags.extend(f16.then_some("F16"));
            let [rows, columns] = [tuning.get(&DIRECT_ROWS), tuning.get(&DIRECT_COLUMNS)];
            // What the shader's text says itself needs no mention in the label.
            let sizes = [("TM", rows), ("TN", columns)];
            let default = [rows, columns] == [DIRECT_ROWS.default, DIRECT_COLUMNS.default];
            let sizes = if default { &[][..] } else { &sizes[..] };
            Ok((device.kernel(&DIRECT, sizes, &flags)?, 8 * rows, columns))
        }
        (Archetype::Tiled, Some(coop)) if f16 && fits(coop, 2, caps) => {
            let middle = enough(&COOP_MIDDLE_FROM, all(4 * coop.side)) && fits(coop, 4, caps);
            let big = enough(&COOP_BIG_FROM, groups(8 * coop.side)) && fits(coop, 8, caps);
            let sides = match (middle, big) {
                (false, _) => 2,
                (true, false) => 4,
                (true, true) => 8,
            };
            flags.extend(conv.then_some("CONV"));
            flags.extend((sides == 8).then_some("BIG"));
            flags.extend((sides == 2).then_some("SMALL"));
            flags.extend((coop.side == 8).then_some("EIGHT"));
            flags.extend(coop.emulated.then_some("SOFT"));
            let tile = sides * coop.side;
            Ok((device.kernel(&COOP, &[("LANES", coop.lanes)], &flags)?, tile, tile))
        }
        (Archetype::Tiled, _) => {
            let tile = match (enough(&MIDDLE_FROM, all(64)), enough(&BIG_FROM, groups(128))) {
                (false, _) => 32,
                (true, false) => 64,
                (true, true) => 128,
            };
            flags.extend(conv.then_some("CONV"));
            flags.extend((tile == 128).then_some("BIG"));
            flags.extend((tile == 32).then_some("SMALL"));
            flags.extend(f16.then_some("F16"));
            Ok((device.kernel(&TILED, &[], &flags)?, tile, tile))
        }
    }
}

/// Whether a workgroup of `gemm_coop.wgsl` that owns `sides` x `sides` fragments has the memory and
/// invocations it needs, and stages whole fragments.
fn fits(coop: Coop, sides: u32, caps: &Caps) -> bool {
    let tile = sides * coop.side;
    let depth = 4 * 4 * coop.lanes / tile;
    let bytes = 2 * tile * (depth + 2) * 8 + 4 * coop.side * (tile / 2 + 8) * 4;
    4 * depth >= coop.side && bytes <= caps.max_workgroup_memory && 4 * coop.lanes <= caps.max_invocations
}

/// What is bound as the residual, and what the kernels are told: 0 for none, else 1 more than the vec4s in
/// front of it. Without one any readable buffer stands in.
pub(super) fn residual_binding(residual: Option<&Tensor>, none: &Tensor) -> (Tensor, u32) {
    let Some(residual) = residual else { return (none.clone(), 0) };
    let (bound, words) = residual.aligned();
    (bound, 1 + words / if residual.is_f16() { 2 } else { 4 })
}

/// `[columns, rows, ..]` of workgroups, rows split over y and z.
pub(super) fn grid(columns: u32, rows: u32, limit: u32) -> [u32; 3] {
    let z = rows.div_ceil(limit).max(1);
    [columns, rows.div_ceil(z), z]
}

impl Gemm<'_> {
    /// Records the product.
    ///
    /// # Errors
    /// [`crate::Error::Limit`] where a tensor is too small or `k` or `n` is not a multiple of 4.
    pub fn record(&self, recorder: &mut Recorder) -> Result<()> {
        let Self { m, k, n, .. } = *self;
        check_vec4("gemm k", k)?;
        check_vec4("gemm n", n)?;
        check("gemm x", words(&[m, k]), self.x)?;
        check("gemm w", words(&[n, k]), self.w)?;
        check("gemm bias", words(&[n]), self.bias)?;
        check("gemm c", words(&[m, n]), self.c)?;
        if let Some(residual) = self.residual {
            check("gemm residual", words(&[m, n]), residual)?;
        }
        if m == 0 {
            return Ok(());
        }
        let mut stored = vec![self.x, self.w, self.c];
        stored.extend(self.residual);
        let f16 = stored_f16("gemm", &stored)?;
        let (lo, hi) = self.activation.bounds(f16);
        let (added, residual) = residual_binding(self.residual, self.bias);
        let params = Params { m, n, k4: k / 4, w_row4: k / 4, lo, hi, residual, ..Default::default() };
        let texels = reads_texels(recorder.device(), self.w);
        let (kernel, rows, columns) = variant(recorder.device(), texels, false, f16, [m, n])?;
        let limit = recorder.device().caps().max_groups;
        let w = bound(recorder, texels, self.w)?;
        recorder.dispatch(
            &kernel,
            &format!("{m}x{k}x{n}"),
            &[self.x, &w, self.bias, &added, self.c],
            &params,
            grid(n.div_ceil(columns), m.div_ceil(rows), limit),
        )
    }
}
