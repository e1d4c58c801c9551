//! Bilinear resampling between grids.

use crate::gpu::{Recorder, Shader, Tensor, shader};
use crate::steps::checks::{check, check_vec4, grid_64, rows_of, words};
use crate::{Error, Result};
use std::ops::Range;

pub(super) static UPSAMPLING: Shader = shader!("patches/upsampling");

/// Bilinear, half-pixel centres, no corner alignment: X `[batch][in_h][in_w][c]` into channels `to .. to + c`
/// of C `[batch][out_h][out_w][row]`. It equals PyTorch's `interpolate(mode="bilinear",
/// align_corners=False)`. Of either grid a run of rows may be there, of the coarse one what the wanted rows
/// touch ([`Upsample::touched`]).
#[derive(Debug)]
pub struct Upsample<'a> {
    /// Input.
    pub x: &'a Tensor,
    /// Output.
    pub c: &'a Tensor,
    /// `[batch, in_h, in_w, c]`.
    pub shape: [u32; 4],
    /// `[out_h, out_w]`.
    pub out: [u32; 2],
    /// Rows of the coarse grid that X has.
    pub has: Range<u32>,
    /// Rows of the fine grid that C gets.
    pub rows: Range<u32>,
    /// Channels of an output row.
    pub row: u32,
    /// First channel to write.
    pub to: u32,
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    batch: u32,
    c4: u32,
    in_h: u32,
    in_w: u32,
    out_h: u32,
    out_w: u32,
    row4: u32,
    to4: u32,
    in_first: u32,
    in_rows: u32,
    out_first: u32,
    out_rows: u32,
}

impl Upsample<'_> {
    /// Rows of a coarse grid of `in_h` that row `row` of `out_h` lies between. Where it lies on one, a device
    /// that divides loosely may take it to lie on either side.
    pub fn touched(row: u32, in_h: u32, out_h: u32) -> Range<u32> {
        // The position is rounded twice and divided with 2.5 units in the last place: far less than this.
        let loose = 0.01;
        let at = ((f64::from(row) + 0.5) * f64::from(in_h) / f64::from(out_h) - 0.5).max(0.0);
        let first = (at - loose).max(0.0) as u32;
        first.min(in_h - 1)..((at + loose) as u32 + 2).min(in_h)
    }

    /// Records the resampling.
    ///
    /// # Errors
    /// [`crate::Error::Limit`] where a tensor is too small or a channel count is no multiple of 4.
    pub fn record(&self, recorder: &mut Recorder) -> Result<()> {
        let ([batch, in_h, in_w, c], [out_h, out_w]) = (self.shape, self.out);
        check_vec4("upsampling channels", c)?;
        check_vec4("upsampling row", self.row)?;
        let (in_first, in_rows) = rows_of("upsampling x", &self.has, in_h)?;
        let (out_first, out_rows) = rows_of("upsampling c", &self.rows, out_h)?;
        if let Some(last) = self.rows.clone().last() {
            let first = Self::touched(self.rows.start, in_h, out_h).start;
            let end = Self::touched(last, in_h, out_h).end;
            if first < self.has.start || end > self.has.end {
                let (rows, has) = (&self.rows, &self.has);
                return Err(Error::Limit(format!(
                    "upsampling: rows {rows:?} need {first}..{end}, not {has:?}"
                )));
            }
        }
        check("upsampling x", words(&[batch, in_rows, in_w, c]), self.x)?;
        check("upsampling c", words(&[batch, out_rows, out_w, self.row]), self.c)?;
        let params = Params {
            batch,
            c4: c / 4,
            in_h,
            in_w,
            out_h,
            out_w,
            row4: self.row / 4,
            to4: self.to / 4,
            in_first,
            in_rows,
            out_first,
            out_rows,
        };
        let kernel = recorder.device().kernel(&UPSAMPLING, &[], &[])?;
        let grid = grid_64("upsampling", words(&[batch, out_rows, out_w, c / 4]), recorder.device().caps())?;
        let shape = format!("{in_rows}x{in_w}x{c}->{out_rows}x{out_w} b{batch}");
        recorder.dispatch(&kernel, &shape, &[self.x, self.c], &params, grid)
    }
}
