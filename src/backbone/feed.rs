//! Decoded pixels to the backbone's input: upload, antialiased resize, crop, normalisation.

use super::Network;
use crate::data::Image;
use crate::gpu::{Archetype, Device, Plan, Recorder, Rows, Submission, Tensor};
use crate::steps::input::geometry::Framing;
use crate::steps::input::resize::{AxisTaps, Columns, record_rows};
use crate::steps::input::taps::{ResizeTable, frame_outputs, resize_table};
use crate::{Error, Result};
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

/// Words of pixels on the device at once: 16 MiB. Larger images go up in strips of rows.
const UPLOAD_WORDS: usize = 4 << 20;
/// Words of rows after the first pass on GPUs, where no image alone has more: 4 MiB.
const BETWEEN_WORDS: usize = 1 << 20;
/// Source sizes whose tables are kept.
const GEOMETRIES: usize = 64;
/// Recorded ways that are kept.
const PLANS: usize = 512;

/// What one source size needs.
struct Geometry {
    rows: AxisTaps,
    columns: AxisTaps,
    /// First column of the source that the frame shows, their number, and its first row.
    source: [u32; 3],
    /// Rows of the source, counted from that one, that each row of the frame is made of.
    window: Vec<Range<u32>>,
}

impl Geometry {
    /// Rows of the source that rows `rows` of the frame are made of.
    fn touched(&self, rows: &Range<u32>) -> Range<u32> {
        let windows = &self.window[rows.start as usize..rows.end as usize];
        let first = windows.iter().map(|w| w.start).min().unwrap_or(0);
        first..windows.iter().map(|w| w.end).max().unwrap_or(first)
    }
}

/// What a recorded way depends on: of a strip of an image, or of all strips of images that lie one behind the
/// other.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Way {
    /// Of each image.
    size: [u32; 2],
    images: u32,
    /// Of the first image.
    slot: u32,
    /// Rows of the frame that are wanted.
    rows: Range<u32>,
    /// Where the pixels lie.
    used: usize,
    /// Rows of the strip, counted from the first that is wanted.
    strip: Range<u32>,
}

/// Brings images of any size into slots of a batch. What a size needs is recorded once and used again. On GPUs neighbours
/// of one size are resized together: dispatches of a single image are too short, and wait for each other. On CPU
/// drivers they are not, since the rows of one image stay in a core's cache between the passes.
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
    /// Whether it may hold those of several images.
    together: bool,
    geometries: HashMap<(u32, u32), Geometry>,
    /// Where images go; the plans are for it.
    input: Option<Tensor>,
    plans: HashMap<Way, Arc<Plan>>,
    /// Not submitted yet.
    pending: Vec<Arc<Plan>>,
}

/// Rows of an image on their way to the upload buffer.
#[derive(Clone, Copy)]
struct Strip<'a> {
    image: &'a Image<'a>,
    /// Row and column of its first pixel.
    source: [u32; 2],
}

/// The table of one axis of a frame whose first pixel is output `first` of `table`, counted from the first
/// source pixel that it touches. Beside the picture, its border goes on.
fn axis(
    device: &Device,
    table: &ResizeTable,
    first: i64,
    frame: u32,
) -> Result<(AxisTaps, u32, Vec<Range<u32>>)> {
    let kept = frame_outputs(table, first, frame);
    let low = kept.iter().map(|&o| table.start[o]).min().unwrap_or(0);
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
    Ok((taps, low, window.iter().map(|&[first, count]| first..first + count).collect()))
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
        let together = device.caps().archetype == Archetype::Tiled;
        Ok(Self {
            device: device.clone(),
            framing,
            mean: network.mean,
            scale: network.std.map(|s| 1.0 / s),
            upload: device.alloc(UPLOAD_WORDS, "pixels")?,
            used: 0,
            between: device.alloc(if together { BETWEEN_WORDS } else { 0 }, "resized rows")?,
            together,
            geometries: HashMap::new(),
            input: None,
            plans: HashMap::new(),
            pending: Vec::new(),
        })
    }

    /// Whether [`Feed::push`] will take an image of this width and height, as a function that outlives this
    /// borrow.
    pub fn check(&self) -> impl Fn(u32, u32) -> Result<()> + Send + Sync + use<> {
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
        let (rows, first_column, across) =
            axis(&self.device, &resize_table(width, placement.width), placement.left, frame_w)?;
        let (columns, first_row, window) =
            axis(&self.device, &resize_table(height, placement.height), placement.top, frame_h)?;
        let columns_used = across.iter().map(|w| w.end).max().unwrap_or(0);
        self.widen(columns_used as usize)?;
        let source = [first_column, columns_used, first_row];
        self.geometries.insert((width, height), Geometry { rows, columns, source, window });
        Ok(())
    }

    /// Makes the upload buffer hold a row of `words` pixels.
    fn widen(&mut self, words: usize) -> Result<()> {
        if self.upload.len() < words {
            self.upload = self.device.alloc(words, "pixels")?;
            self.used = 0;
            self.plans.clear();
        }
        Ok(())
    }

    /// Uploads what rows `rows` of the frame show of `images` on their way into slots `slot ..` of `input`
    /// `[batch][rows][columns][4]`, for [`Feed::submit`]. Where the upload buffer is full, what came before is
    /// submitted first.
    ///
    /// # Errors
    /// [`Error::InvalidOption`] where an image does not suit the frame, [`Error::Limit`] and
    /// [`Error::Device`] from the device.
    pub fn push(&mut self, images: &[Image<'_>], input: &Tensor, slot: u32, rows: &Range<u32>) -> Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        if rows.end > self.framing.frame[0] {
            return Err(Error::Internal(format!("rows {rows:?} of a frame of {:?}", self.framing.frame)));
        }
        if !self.input.as_ref().is_some_and(|known| known.is(input)) {
            self.plans.clear();
            self.input = Some(input.clone());
        }
        let size = |image: &Image<'_>| [image.width(), image.height()];
        // Before any of them lies in the upload buffer.
        let widest = images.iter().map(Image::width).max().unwrap_or(0);
        self.widen(widest as usize)?;
        let mut strips = Vec::new();
        // What is not recorded yet, since the next image may join it.
        let mut open: Option<Way> = None;
        for (image, slot) in images.iter().zip(slot..) {
            let size = size(image);
            if open.as_ref().is_some_and(|way| way.size != size) {
                self.close(&mut open)?;
            }
            let (touched, [first_column, columns, first_row]) = self.make_room(size, rows)?;
            let (words, all) = (columns as usize, 0..touched.len() as u32);
            let mut done = 0;
            while done < all.end {
                let source = [first_row + touched.start + done, first_column];
                if done == 0 && open.as_ref().is_some_and(|way| self.takes(way, &all, words)) {
                    let block = Rows { at: self.used, words, rows: touched.len() };
                    strips.push((block, Strip { image, source }));
                    open.iter_mut().for_each(|way| way.images += 1);
                    self.used += words * touched.len();
                    break;
                }
                self.close(&mut open)?;
                let left = all.end - done;
                let mut fit = ((self.upload.len() - self.used) / words) as u32;
                if fit < left && self.used > 0 {
                    self.write(&mut strips)?;
                    self.submit(&[])?;
                    fit = (self.upload.len() / words) as u32;
                }
                let strip = done..done + fit.min(left);
                let block = Rows { at: self.used, words, rows: strip.len() };
                strips.push((block, Strip { image, source }));
                done = strip.end;
                let used = self.used;
                self.used += words * strip.len();
                open = Some(Way { size, images: 1, slot, rows: rows.clone(), used, strip });
            }
        }
        self.close(&mut open)?;
        self.write(&mut strips)
    }

    /// Whether one more image of the same size, with rows `all` of `words` pixels, may follow those of `way`.
    fn takes(&self, way: &Way, all: &Range<u32>, words: usize) -> bool {
        let between = (way.images as usize + 1) * all.len() * self.framing.frame[1] as usize;
        self.together
            && way.strip == *all
            && self.used + words * all.len() <= self.upload.len()
            && between <= self.between.len()
    }

    /// The way is complete: its plan is pending, and the next one's pixels begin where a binding may.
    fn close(&mut self, open: &mut Option<Way>) -> Result<()> {
        let Some(way) = open.take() else { return Ok(()) };
        let plan = match self.plans.get(&way) {
            Some(plan) => plan.clone(),
            None => self.plan(way)?,
        };
        self.pending.push(plan);
        self.used = self.used.next_multiple_of(64).min(self.upload.len());
        Ok(())
    }

    /// Brings the pixels of strips to the upload buffer.
    fn write(&self, strips: &mut Vec<(Rows, Strip<'_>)>) -> Result<()> {
        let (blocks, strips): (Vec<Rows>, Vec<Strip<'_>>) = strips.drain(..).unzip();
        self.device.write_rows(&self.upload, &blocks, &|block, row, words| {
            let Strip { image, source: [first_row, first_column] } = strips[block];
            image.pack_row(first_row + row as u32, first_column, words);
        })
    }

    /// Makes the buffers for rows `rows` of the frame from images of this width and height; says which rows
    /// of such an image they are made of, counted from its first that the frame shows, and
    /// [`Geometry::source`].
    pub(crate) fn make_room(&mut self, size: [u32; 2], rows: &Range<u32>) -> Result<(Range<u32>, [u32; 3])> {
        self.prepare(size[0], size[1])?;
        let Some(geometry) = self.geometries.get(&(size[0], size[1])) else {
            return Err(Error::Internal("resize tables vanished".into()));
        };
        let (touched, source) = (geometry.touched(rows), geometry.source);
        let need = touched.len() * self.framing.frame[1] as usize;
        if self.between.len() < need {
            self.between = self.device.alloc(need, "resized rows")?;
            self.plans.clear();
        }
        Ok((touched, source))
    }

    /// Records a way, with the last strip of an image to its end in the slot.
    fn plan(&mut self, way: Way) -> Result<Arc<Plan>> {
        let Way { size: [width, height], images, slot, rows, used, strip } = way.clone();
        let (Some(geometry), Some(input)) = (self.geometries.get(&(width, height)), &self.input) else {
            return Err(Error::Internal("resize tables vanished".into()));
        };
        let (columns, touched) = (geometry.source[1], geometry.touched(&rows));
        let mut recorder = Recorder::new(&self.device);
        let lines = images * strip.len() as u32;
        let pixels = self.upload.slice(used, lines as usize * columns as usize);
        record_rows(&mut recorder, &pixels, [lines, columns], &geometry.rows, &self.between, strip.start)?;
        if strip.end as usize == touched.len() {
            let w = self.framing.frame[1];
            let to = slot * rows.len() as u32 * w * 4;
            let (x, axis, first_row, in_rows) =
                (&self.between, &geometry.columns, touched.start, touched.len() as u32);
            let Self { mean, scale, .. } = *self;
            let pass = Columns { x, images, first_row, in_rows, w, axis, rows, mean, scale, c: input, to };
            pass.record(&mut recorder)?;
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
