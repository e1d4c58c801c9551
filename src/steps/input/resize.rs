//! Antialiased resize, crop and normalisation of decoded pixels.

use crate::Result;
use crate::gpu::{Recorder, Shader, Tensor, shader};
use crate::steps::checks::{check, flag_f16, grid_64, rows_of, words};
use std::ops::Range;

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
    first_out: u32,
    images: u32,
    in_rows: u32,
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

/// Second pass, along columns: rows `rows` of resized images of one size as `[images][rows][w][4]` floats
/// `(v - mean) * scale`. Mean and scale are in units of 8-bit values.
#[derive(Debug)]
pub struct Columns<'a> {
    /// `[images][in_rows][w]` packed pixels.
    pub x: &'a Tensor,
    /// Images.
    pub images: u32,
    /// Row of an image that `x` begins with: the first that the wanted rows touch, or one above it.
    pub first_row: u32,
    /// Rows of each image that `x` has from there on: all that the wanted rows touch.
    pub in_rows: u32,
    /// Columns.
    pub w: u32,
    /// Taps of all rows of a resized image.
    pub axis: &'a AxisTaps,
    /// Rows wanted.
    pub rows: Range<u32>,
    /// Subtracted.
    pub mean: [f32; 3],
    /// Multiplied with.
    pub scale: [f32; 3],
    /// Where they go; it may be stored as f16.
    pub c: &'a Tensor,
    /// Value of `c` that they begin at, a multiple of 4.
    pub to: u32,
}

impl Columns<'_> {
    /// Records the pass.
    ///
    /// # Errors
    /// [`crate::Error::Limit`] where a tensor is too small or there are no such rows.
    pub fn record(&self, recorder: &mut Recorder) -> Result<()> {
        let Self { x, w, axis, c, to, images, in_rows, .. } = *self;
        let (first_out, out_h) = rows_of("resized image", &self.rows, axis.out)?;
        check("resize rows", words(&[images, in_rows, w]), x)?;
        check("resized image", u64::from(to) + words(&[images, out_h, w, 4]), c)?;
        let four = |v: [f32; 3]| [v[0], v[1], v[2], 0.0];
        let params = ColumnParams {
            w,
            out_h,
            taps: axis.taps,
            first_row: self.first_row,
            mean: four(self.mean),
            scale: four(self.scale),
            to4: to / 4,
            first_out,
            images,
            in_rows,
        };
        let kernel = recorder.device().kernel(&COLUMNS, &[], flag_f16(c.is_f16()))?;
        let grid = grid_64("resize", words(&[images, out_h, w]), recorder.device().caps())?;
        let shape = format!("{images}x{out_h}x{w}");
        recorder.dispatch(&kernel, &shape, &[x, &axis.window, &axis.coefficients, c], &params, grid)
    }
}
