//! Decoded pixels to the backbone's input: upload, antialiased resize, crop, normalisation.

use super::Network;
use crate::data::Image;
use crate::gpu::{Device, Plan, Recorder, Submission, Tensor};
use crate::steps::input::geometry::Framing;
use crate::steps::input::resize::{AxisTaps, record_columns, record_rows};
use crate::steps::input::taps::{ResizeTable, frame_outputs, resize_table};
use crate::{Error, Result};
use std::collections::HashMap;
use std::sync::Arc;

/// Words of pixels on the device at once: 16 MiB. Larger images go up in strips of rows.
const UPLOAD_WORDS: usize = 4 << 20;
/// Source sizes whose tables are kept.
const GEOMETRIES: usize = 64;
/// Recorded ways that are kept.
const PLANS: usize = 512;

/// What one source size needs.
struct Geometry {
    rows: AxisTaps,
    columns: AxisTaps,
    /// Part of the source that the frame shows: first column, columns, first row, rows.
    source: [u32; 4],
}

/// What a recorded way of a strip depends on: size of the image, its slot, where its pixels lie, and the
/// first row of the strip.
type Way = ([u32; 2], u32, usize, u32);

/// Brings images of any size into slots of a batch. What a size needs is recorded once and used again.
///
/// Pixels of a batch may be packed while the device works on the one before: the queue copies them to the
/// device after everything that was submitted earlier.
pub struct Feed {
    device: Device,
    framing: Framing,
    mean: [f32; 3],
    scale: [f32; 3],
    upload: Tensor,
    used: usize,
    /// Rows after the first pass.
    between: Tensor,
    geometries: HashMap<(u32, u32), Geometry>,
    /// Where images go; the plans are for it.
    input: Option<Tensor>,
    plans: HashMap<Way, Arc<Plan>>,
    /// Not submitted yet.
    pending: Vec<Arc<Plan>>,
    /// Pixels on their way to the queue.
    words: Vec<u32>,
}

/// The table of one axis of a frame whose first pixel is output `first` of `table`, counted from the first
/// source pixel that it touches. Beside the picture, its border goes on.
fn axis(device: &Device, table: &ResizeTable, first: i64, frame: u32) -> Result<(AxisTaps, u32, u32)> {
    let kept = frame_outputs(table, first, frame);
    let low = kept.iter().map(|&o| table.start[o]).min().unwrap_or(0);
    let high = kept.iter().map(|&o| table.start[o] + table.count[o]).max().unwrap_or(0);
    let window: Vec<[u32; 2]> = kept.iter().map(|&o| [table.start[o] - low, table.count[o]]).collect();
    let coefficients: Vec<i32> = kept
        .iter()
        .flat_map(|&o| &table.coefficients[o * table.taps..(o + 1) * table.taps])
        .copied()
        .collect();
    let taps = AxisTaps {
        window: device.upload(&window, "resize window")?,
        coefficients: device.upload(&coefficients, "resize coefficients")?,
        out: frame,
        taps: table.taps as u32,
    };
    Ok((taps, low, high - low))
}

impl Feed {
    /// A feed for `network` that brings pictures to a frame.
    ///
    /// # Errors
    /// [`Error::InvalidOption`] where a side of the frame is 0 or over 8192, or the frame is larger than what
    /// it is cut from.
    pub fn new(device: &Device, network: &Network, framing: Framing) -> Result<Self> {
        let [height, width] = framing.frame;
        if height.max(width) > 8192 {
            return Err(Error::InvalidOption(format!("a frame of {width}x{height}: sides are at most 8192")));
        }
        framing.place(8192, 8192)?;
        Ok(Self {
            device: device.clone(),
            framing,
            mean: network.mean,
            scale: network.std.map(|s| 1.0 / s),
            upload: device.alloc(UPLOAD_WORDS, "pixels")?,
            used: 0,
            between: device.alloc(height as usize * width as usize, "resized rows")?,
            geometries: HashMap::new(),
            input: None,
            plans: HashMap::new(),
            pending: Vec::new(),
            words: Vec::new(),
        })
    }

    /// Whether [`Feed::push`] will take an image of this width and height, as a function that outlives this
    /// borrow.
    pub fn check(&self) -> impl Fn(u32, u32) -> Result<()> + Sync + use<> {
        let framing = self.framing;
        move |width, height| framing.place(width, height).map(drop)
    }

    fn prepare(&mut self, width: u32, height: u32) -> Result<()> {
        if self.geometries.contains_key(&(width, height)) {
            return Ok(());
        }
        if self.geometries.len() >= GEOMETRIES {
            self.geometries.clear();
            self.plans.clear();
        }
        let placement = self.framing.place(width, height)?;
        let [frame_h, frame_w] = placement.frame;
        let (rows, first_column, columns_used) =
            axis(&self.device, &resize_table(width, placement.width), placement.left, frame_w)?;
        let (columns, first_row, rows_used) =
            axis(&self.device, &resize_table(height, placement.height), placement.top, frame_h)?;
        let need = rows_used as usize * frame_w as usize;
        if self.between.len() < need {
            self.between = self.device.alloc(need, "resized rows")?;
            self.plans.clear();
        }
        if self.upload.len() < columns_used as usize {
            self.upload = self.device.alloc(columns_used as usize, "pixels")?;
            self.used = 0;
            self.plans.clear();
        }
        let source = [first_column, columns_used, first_row, rows_used];
        self.geometries.insert((width, height), Geometry { rows, columns, source });
        Ok(())
    }

    /// Uploads `image` on its way into slot `slot` of `input` `[batch][rows][columns][4]`, for [`Feed::submit`].
    /// Where the upload buffer is full, what came before is submitted first.
    ///
    /// # Errors
    /// [`Error::InvalidOption`] where the image does not suit the frame, [`Error::Limit`] and
    /// [`Error::Device`] from the device.
    pub fn push(&mut self, image: &Image<'_>, input: &Tensor, slot: u32) -> Result<()> {
        if !self.input.as_ref().is_some_and(|known| known.is(input)) {
            self.plans.clear();
            self.input = Some(input.clone());
        }
        let size = [image.width(), image.height()];
        self.prepare(size[0], size[1])?;
        let Some(&Geometry { source: [first_column, columns, first_row, rows], .. }) =
            self.geometries.get(&(size[0], size[1]))
        else {
            return Err(Error::Internal("resize tables vanished".into()));
        };
        let row_words = columns as usize;
        let mut done = 0;
        while done < rows {
            let left = rows - done;
            let mut fit = ((self.upload.len() - self.used) / row_words) as u32;
            if fit < left && self.used > 0 {
                self.submit(&[])?;
                fit = (self.upload.len() / row_words) as u32;
            }
            let strip = fit.min(left);
            self.words.resize(strip as usize * row_words, 0);
            for (y, row) in self.words.chunks_exact_mut(row_words).enumerate() {
                image.pack_row(first_row + done + y as u32, first_column, row);
            }
            self.device.write(&self.upload, self.used, &self.words);
            let way = (size, slot, self.used, done);
            let plan = match self.plans.get(&way) {
                Some(plan) => plan.clone(),
                None => self.plan(way, strip, done + strip == rows)?,
            };
            self.pending.push(plan);
            self.used = (self.used + self.words.len()).next_multiple_of(64).min(self.upload.len() / 64 * 64);
            done += strip;
        }
        Ok(())
    }

    /// Records the way of a strip of `strip` rows, with `last` to its end in the slot.
    fn plan(&mut self, way: Way, strip: u32, last: bool) -> Result<Arc<Plan>> {
        let ([width, height], slot, used, done) = way;
        let (Some(geometry), Some(input)) = (self.geometries.get(&(width, height)), &self.input) else {
            return Err(Error::Internal("resize tables vanished".into()));
        };
        let columns = geometry.source[1];
        let mut recorder = Recorder::new(&self.device);
        let pixels = self.upload.slice(used, strip as usize * columns as usize);
        record_rows(&mut recorder, &pixels, [strip, columns], &geometry.rows, &self.between, done)?;
        if last {
            let [frame_h, frame_w] = self.framing.frame;
            let to = slot * frame_h * frame_w * 4;
            let (between, columns) = (&self.between, &geometry.columns);
            record_columns(&mut recorder, between, [frame_w, 0], columns, self.mean, self.scale, input, to)?;
        }
        let plan = Arc::new(recorder.finish()?);
        if self.plans.len() >= PLANS {
            self.plans.clear();
        }
        self.plans.insert(way, plan.clone());
        Ok(plan)
    }

    /// Submits what was pushed, and then `plans`. The upload buffer is filled from its start again.
    ///
    /// # Errors
    /// [`Error::Device`] where the device refuses the work.
    pub fn submit(&mut self, plans: &[&Plan]) -> Result<Submission> {
        let pending = self.take();
        let all: Vec<&Plan> = pending.iter().map(Arc::as_ref).chain(plans.iter().copied()).collect();
        Plan::submit_for(&all)
    }

    /// What was pushed and not submitted; it is forgotten here. The plans must be submitted before the next
    /// push.
    pub fn take(&mut self) -> Vec<Arc<Plan>> {
        self.used = 0;
        std::mem::take(&mut self.pending)
    }
}
