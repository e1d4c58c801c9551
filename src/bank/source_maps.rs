//! Anomaly maps in the pixels of source images of any size, with the tables of the sizes that were seen.

use crate::gpu::{Device, Plan, Readback, Recorder, Tensor};
use crate::steps::map::anomaly_map::{AnomalyMap, Axis, Band};
use crate::steps::map::source_map::SourceAxis;
use crate::{Error, Result};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ops::Range;

/// Sizes whose tables are kept.
const SIZES: usize = 64;
/// Rows of a strip are a multiple of it, so that a strip's part of a table begins where a binding may.
const ROWS: usize = 64;

/// Some rows of a map, recorded.
struct Strip {
    plan: Plan,
    values: Range<usize>,
}

/// Patch scores of one image at a time to its map. A map that is larger than a strip comes in several.
pub struct SourceMaps {
    device: Device,
    grid: [u32; 2],
    /// Values of a strip.
    most: usize,
    scores: Tensor,
    scratch: Tensor,
    strip: Tensor,
    back: Readback,
    known: HashMap<[SourceAxis; 2], Vec<Strip>>,
}

impl SourceMaps {
    /// Values of a strip where nothing speaks for another number: 32 MiB.
    pub const STRIP: usize = 8 << 20;

    /// [`SourceMaps::run`]; once more where the device was lost, on the one in its place, or its memory is out, in
    /// narrower strips.
    ///
    /// # Errors
    /// As [`SourceMaps::run`].
    pub fn run_or_anew(&mut self, patches: &[f32], axes: [SourceAxis; 2], map: &mut [f32]) -> Result<()> {
        let error = match self.run(patches, axes, map) {
            Err(error @ (Error::Lost(_) | Error::Memory(_))) => error,
            other => return other,
        };
        tracing::warn!("{error}; the map is made once more");
        let most = if matches!(error, Error::Memory(_)) { (self.most / 8).max(1) } else { self.most };
        *self = Self::new(&self.device.current()?, self.grid, most)?;
        self.run(patches, axes, map)
    }

    /// For patches `grid` (rows, columns), in strips of about `most` values. Buffers grow with the maps.
    ///
    /// # Errors
    /// [`Error::Device`] where memory is out.
    pub fn new(device: &Device, grid: [u32; 2], most: usize) -> Result<Self> {
        Ok(Self {
            device: device.clone(),
            grid,
            most: most.min((device.caps().max_binding / 4) as usize),
            scores: device.alloc(grid[0] as usize * grid[1] as usize, "patch scores")?,
            scratch: device.alloc(0, "map scratch")?,
            strip: device.alloc(0, "map strip")?,
            back: Readback::new(device, 0, "map strip")?,
            known: HashMap::new(),
        })
    }

    /// Writes the map of an image with patch scores `patches` `[h][w]`, whose rows and columns lie on
    /// its frame so, to `out` `[rows][columns]`.
    ///
    /// # Errors
    /// [`Error::Limit`] where the lengths do not fit, or a few rows of the map pass what the device binds;
    /// [`Error::Lost`] where the device was lost.
    pub fn run(&mut self, patches: &[f32], [rows, columns]: [SourceAxis; 2], out: &mut [f32]) -> Result<()> {
        let pixels = u64::from(rows.source) * u64::from(columns.source);
        if patches.len() != self.scores.len() || out.len() as u64 != pixels || pixels == 0 {
            return Err(Error::Limit(format!(
                "{} patch scores for a grid of {}x{}, to a map of {}x{} of {} values",
                patches.len(),
                self.grid[0],
                self.grid[1],
                rows.source,
                columns.source,
                out.len()
            )));
        }
        self.grow(rows, columns)?;
        if self.known.len() >= SIZES && !self.known.contains_key(&[rows, columns]) {
            self.known.clear();
        }
        let strips = match self.known.entry([rows, columns]) {
            Entry::Occupied(strips) => strips.into_mut(),
            Entry::Vacant(place) => {
                let buffers = [&self.scores, &self.scratch, &self.strip];
                place.insert(record(&self.device, self.grid, self.most, rows, columns, buffers, &self.back)?)
            }
        };
        self.device.write(&self.scores, 0, patches);
        for Strip { plan, values } in strips {
            let submission = Plan::submit_for(&[plan])?;
            self.back.read(&submission)?.copy_to(0, &mut out[values.clone()]);
        }
        Ok(())
    }

    /// Makes room for a strip of such a map.
    fn grow(&mut self, rows: SourceAxis, columns: SourceAxis) -> Result<()> {
        let width = columns.source as usize;
        let strip = strip_rows(self.most, width).min(rows.source as usize) * width;
        if strip > (self.device.caps().max_binding / 4) as usize {
            return Err(Error::Limit(format!(
                "a map as wide as its image of {}x{}: {ROWS} rows pass what the device binds; cut the image \
                 into pieces",
                columns.source, rows.source
            )));
        }
        let scratch = width * self.grid[0] as usize;
        if strip > self.strip.len() || scratch > self.scratch.len() {
            self.known.clear();
            let (strip, scratch) = (strip.max(self.strip.len()), scratch.max(self.scratch.len()));
            self.strip = self.device.alloc(strip, "map strip")?;
            self.scratch = self.device.alloc(scratch, "map scratch")?;
            self.back = Readback::new(&self.device, strip, "map strip")?;
        }
        Ok(())
    }
}

/// Rows of a strip of maps that are `width` pixels wide.
fn strip_rows(most: usize, width: usize) -> usize {
    (most / width / ROWS).max(1) * ROWS
}

/// Records all strips of a map, the tables of its axes with them.
fn record(
    device: &Device,
    grid: [u32; 2],
    most: usize,
    rows: SourceAxis,
    columns: SourceAxis,
    [scores, scratch, strip]: [&Tensor; 3],
    back: &Readback,
) -> Result<Vec<Strip>> {
    let table = |axis: SourceAxis, grid: u32| -> Result<Axis> {
        let Band { values, first, taps } = axis.band(grid);
        let values = device.upload(&values, "source map weights")?;
        let first = device.upload(&first, "source map windows")?;
        Ok(Axis { values, first, taps, grid, out: axis.source })
    };
    let [down, across] = [table(rows, grid[0])?, table(columns, grid[1])?];
    let (height, width, taps) = (down.out as usize, across.out as usize, down.taps as usize);
    let step = strip_rows(most, width);
    let mut strips = Vec::new();
    for top in (0..height).step_by(step) {
        let count = step.min(height - top);
        let part = Axis {
            values: down.values.slice(top * taps, count * taps),
            first: down.first.slice(top, count),
            out: count as u32,
            ..down.clone()
        };
        let mut recorder = Recorder::new(device);
        AnomalyMap { scores, rows: &part, columns: &across, scratch, map: strip, batch: 1 }
            .record(&mut recorder)?;
        recorder.copy_back(strip, count * width, back, 0);
        strips.push(Strip { plan: recorder.finish()?, values: top * width..(top + count) * width });
    }
    Ok(strips)
}
