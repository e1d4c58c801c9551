//! Antialiased resize, crop and normalisation of decoded pixels.

use crate::Result;
use crate::gpu::{Recorder, Shader, Tensor, shader};
use crate::steps::checks::{check, flag_f16, grid_64, words};

pub(super) static ROWS: Shader = shader!("input/resize", entry: "rows", shared: ["stored"]);
pub(super) static COLUMNS: Shader = shader!(
    "input/resize", entry: "columns",
    shared: ["stored"],
    variants: [[], ["F16"]]
);

/// Taps of one axis on the device, as the reference's resize table gives them for the outputs that are kept.
#[derive(Clone, Debug)]
pub struct AxisTaps {
    /// `[out][2]`: first input index and number of taps of each output.
    pub window: Tensor,
    /// `[out][taps]`: coefficients with 22 fractional bits.
    pub coefficients: Tensor,
    /// Outputs.
    pub out: u32,
    /// Coefficients kept for each output.
    pub taps: u32,
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct RowParams {
    rows: u32,
    in_w: u32,
    out_w: u32,
    taps: u32,
    to_row: u32,
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct ColumnParams {
    w: u32,
    out_h: u32,
    taps: u32,
    first_row: u32,
    mean: [f32; 4],
    scale: [f32; 4],
    to4: u32,
    pad: [u32; 3],
}

/// First pass, along rows: `rows` rows of `in_w` packed pixels into rows `to_row ..` of `c` `[..][axis.out]`.
///
/// # Errors
/// [`crate::Error::Limit`] where a tensor is too small.
pub fn record_rows(
    recorder: &mut Recorder,
    x: &Tensor,
    [rows, in_w]: [u32; 2],
    axis: &AxisTaps,
    c: &Tensor,
    to_row: u32,
) -> Result<()> {
    check("resize pixels", words(&[rows, in_w]), x)?;
    check("resize rows", words(&[to_row + rows, axis.out]), c)?;
    let params = RowParams { rows, in_w, out_w: axis.out, taps: axis.taps, to_row };
    let kernel = recorder.device().kernel(&ROWS, &[], &[])?;
    let grid = grid_64("resize", words(&[rows, axis.out]), recorder.device().caps())?;
    let shape = format!("{rows}x{in_w}->{}", axis.out);
    recorder.dispatch(&kernel, &shape, &[x, &axis.window, &axis.coefficients, c], &params, grid)
}

/// Second pass, along columns, of `x` `[rows][w]` packed pixels whose row 0 is row `first_row` of the image;
/// writes `(v - mean) * scale` as `[axis.out][w][4]` floats at value `to` (a multiple of 4) of `c`, which may
/// be stored as f16. Mean and scale are in units of 8-bit values.
///
/// # Errors
/// [`crate::Error::Limit`] where a tensor is too small.
#[allow(clippy::too_many_arguments, reason = "the sizes of one pass; a struct would be used once")]
pub fn record_columns(
    recorder: &mut Recorder,
    x: &Tensor,
    [w, first_row]: [u32; 2],
    axis: &AxisTaps,
    mean: [f32; 3],
    scale: [f32; 3],
    c: &Tensor,
    to: u32,
) -> Result<()> {
    check("resized image", u64::from(to) + words(&[axis.out, w, 4]), c)?;
    let four = |v: [f32; 3]| [v[0], v[1], v[2], 0.0];
    let params = ColumnParams {
        w,
        out_h: axis.out,
        taps: axis.taps,
        first_row,
        mean: four(mean),
        scale: four(scale),
        to4: to / 4,
        pad: [0; 3],
    };
    let kernel = recorder.device().kernel(&COLUMNS, &[], flag_f16(c.is_f16()))?;
    let grid = grid_64("resize", words(&[axis.out, w]), recorder.device().caps())?;
    let shape = format!("{}x{w}", axis.out);
    recorder.dispatch(&kernel, &shape, &[x, &axis.window, &axis.coefficients, c], &params, grid)
}
