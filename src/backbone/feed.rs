//! Decoded pixels to the backbone's input: upload, antialiased resize, crop, normalisation.

use super::Network;
use crate::data::Image;
use crate::gpu::{Device, Recorder, Tensor};
use crate::ops::resize::{AxisTaps, record_columns, record_rows};
use crate::reference::resize::{ResizeTable, resize_shorter_side_geometry, resize_table};
use crate::{Error, Result};
use std::collections::HashMap;

/// Words of pixels on the device at once: 16 MiB. Larger images go up in strips of rows.
const UPLOAD_WORDS: usize = 4 << 20;
/// Longest side of a resized image: its table of taps is made whole, for the few that the crop keeps.
const LONGEST: u32 = 1 << 20;
/// Source sizes whose tables are kept.
const GEOMETRIES: usize = 64;

/// What one source size needs.
struct Geometry {
    rows: AxisTaps,
    columns: AxisTaps,
    /// Part of the source that the crop sees: first column, columns, first row, rows.
    source: [u32; 4],
}

/// Brings images of any size into slots of a batch.
pub struct Feed {
    device: Device,
    resize: u32,
    crop: u32,
    mean: [f32; 3],
    scale: [f32; 3],
    upload: Tensor,
    used: usize,
    /// Rows after the first pass.
    between: Tensor,
    geometries: HashMap<(u32, u32), Geometry>,
}

/// The table of one axis for the kept outputs only, counted from the first source pixel that they touch.
fn axis(device: &Device, table: &ResizeTable, first: u32, crop: u32) -> Result<(AxisTaps, u32, u32)> {
    let (first, crop_len) = (first as usize, crop as usize);
    let kept = first..first + crop_len;
    let low = table.start[kept.clone()].iter().copied().min().unwrap_or(0);
    let high = kept.clone().map(|o| table.start[o] + table.count[o]).max().unwrap_or(0);
    let window: Vec<[u32; 2]> = kept.clone().map(|o| [table.start[o] - low, table.count[o]]).collect();
    let coefficients = &table.coefficients[kept.start * table.taps..kept.end * table.taps];
    let taps = AxisTaps {
        window: device.upload(&window, "resize window")?,
        coefficients: device.upload(coefficients, "resize coefficients")?,
        out: crop,
        taps: table.taps as u32,
    };
    Ok((taps, low, high - low))
}

impl Feed {
    /// A feed for `network` with the shorter side brought to `resize` and a centred square of `crop` pixels.
    ///
    /// # Errors
    /// [`Error::InvalidOption`] where a size is 0 or `crop` is over `resize`.
    pub fn new(device: &Device, network: &Network, resize: u32, crop: u32) -> Result<Self> {
        if crop == 0 || resize < crop || resize > 8192 {
            return Err(Error::InvalidOption(format!(
                "resize {resize} and crop {crop}: crop must be at least 1 and at most resize, resize at most 8192"
            )));
        }
        Ok(Self {
            device: device.clone(),
            resize,
            crop,
            mean: network.mean,
            scale: network.std.map(|s| 1.0 / s),
            upload: device.alloc(UPLOAD_WORDS, "pixels")?,
            used: 0,
            between: device.alloc(resize as usize * crop as usize, "resized rows")?,
            geometries: HashMap::new(),
        })
    }

    fn prepare(&mut self, width: u32, height: u32) -> Result<()> {
        if self.geometries.contains_key(&(width, height)) {
            return Ok(());
        }
        if self.geometries.len() >= GEOMETRIES {
            self.geometries.clear();
        }
        let geometry = resize_shorter_side_geometry(width, height, self.resize, self.crop)?;
        if geometry.width.max(geometry.height) > LONGEST {
            return Err(Error::InvalidOption(format!(
                "an image of {width}x{height} is too long and thin: resized, it would be {}x{}",
                geometry.width, geometry.height
            )));
        }
        let (rows, first_column, columns_used) =
            axis(&self.device, &resize_table(width, geometry.width), geometry.left, self.crop)?;
        let (columns, first_row, rows_used) =
            axis(&self.device, &resize_table(height, geometry.height), geometry.top, self.crop)?;
        let need = rows_used as usize * self.crop as usize;
        if self.between.len() < need {
            self.between = self.device.alloc(need, "resized rows")?;
        }
        if self.upload.len() < columns_used as usize {
            self.upload = self.device.alloc(columns_used as usize, "pixels")?;
            self.used = 0;
        }
        let source = [first_column, columns_used, first_row, rows_used];
        self.geometries.insert((width, height), Geometry { rows, columns, source });
        Ok(())
    }

    /// Uploads `image` and records its way into slot `slot` of `input` `[batch][crop][crop][4]`. Where the upload buffer
    /// is full, what is recorded so far is submitted first.
    ///
    /// # Errors
    /// [`Error::Limit`] and [`Error::Device`] from the device.
    pub fn record(
        &mut self,
        recorder: &mut Recorder,
        image: &Image<'_>,
        input: &Tensor,
        slot: u32,
    ) -> Result<()> {
        self.prepare(image.width(), image.height())?;
        let Some(geometry) = self.geometries.get(&(image.width(), image.height())) else {
            return Err(Error::Device("resize tables vanished".into()));
        };
        let [first_column, columns, first_row, rows] = geometry.source;
        let row_words = columns as usize;
        let mut done = 0;
        while done < rows {
            let left = rows - done;
            let mut fit = ((self.upload.len() - self.used) / row_words) as u32;
            if fit < left && self.used > 0 {
                std::mem::replace(recorder, Recorder::new(&self.device)).run()?;
                self.used = 0;
                fit = (self.upload.len() / row_words) as u32;
            }
            let strip = fit.min(left);
            let words = strip as usize * row_words;
            self.device.write_with(&self.upload, self.used, words, |out| {
                for (y, row) in out.chunks_exact_mut(row_words).enumerate() {
                    image.pack_row(first_row + done + y as u32, first_column, row);
                }
            });
            let pixels = self.upload.slice(self.used, words);
            record_rows(recorder, &pixels, [strip, columns], &geometry.rows, &self.between, done)?;
            self.used = (self.used + words).next_multiple_of(64).min(self.upload.len() / 64 * 64);
            done += strip;
        }
        let to = slot * self.crop * self.crop * 4;
        record_columns(
            recorder,
            &self.between,
            [self.crop, 0],
            &geometry.columns,
            self.mean,
            self.scale,
            input,
            to,
        )
    }

    /// Says that everything recorded so far is submitted: the upload buffer may be filled from its start again.
    pub fn submitted(&mut self) {
        self.used = 0;
    }
}
