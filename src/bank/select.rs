//! Selection of the memory bank: runs the coreset kernels batch after batch.

use super::buffers::{Start, allocate};
use crate::ahead::read_ahead;
use crate::gpu::{Device, Plan, Recorder, Tensor};
use crate::spool::{RowSource, gather};
use crate::steps::coreset::{Chunk, Coreset, CoresetBuffers, CoresetShape, Progress};
use crate::{Error, Result};
use std::ops::ControlFlow;
use std::time::Instant;

/// Work between two looks at how far it is, in seconds, for the sake of watchdogs.
const SUBMITTED: f64 = 0.3;

/// What a selection found.
#[derive(Debug)]
pub struct Selection {
    /// Chosen rows in the order chosen.
    pub picks: Vec<u32>,
    /// How it was found.
    pub progress: Progress,
}

/// The vectors to choose from, `[rows][dims]`.
#[derive(Clone, Copy)]
pub enum Vectors<'a> {
    /// On the device.
    Device(&'a [Chunk<'a>]),
    /// Brought to the device a piece at a time, again for every batch of picks; the result is the same.
    Stream {
        /// Where they are.
        source: &'a dyn RowSource,
        /// How many there are.
        rows: u32,
        /// Rows on the device at a time, at least 1.
        piece: u32,
    },
}

impl std::fmt::Debug for Vectors<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Device(chunks) => f.debug_tuple("Device").field(chunks).finish(),
            Self::Stream { rows, piece, .. } => write!(f, "Stream({rows} rows, {piece} at a time)"),
        }
    }
}

/// A selection: which of the kept rows become the bank.
#[derive(Clone, Copy, Debug)]
pub struct Choice<'a> {
    /// Sizes.
    pub shape: CoresetShape,
    /// The vectors to choose from.
    pub vectors: Vectors<'a>,
    /// Rows that may be chosen, ascending.
    pub kept: &'a [u32],
    /// What the first pick is measured against.
    pub samples: &'a [u32],
    /// How it starts.
    pub start: Start<'a>,
}

/// Batches that go to the device in one submission at most.
const ENCODED: usize = 8;

/// Chooses `shape.picks` of the kept rows by greedy k-centre. `watch` is told now and then how far it is and
/// may stop it. `None` where it did.
///
/// # Errors
/// As [`allocate`], what reading the vectors says, and [`Error::Lost`] where the device was lost.
pub fn select(
    device: &Device,
    choice: Choice<'_>,
    watch: impl FnMut(Progress) -> ControlFlow<()>,
) -> Result<Option<Selection>> {
    let Choice { shape, vectors, kept, samples, start } = choice;
    if shape.picks == 0 {
        return Ok(Some(Selection { picks: Vec::new(), progress: Progress::default() }));
    }
    match vectors {
        _ if device.rehearses() => rehearse(device, choice).map(Some),
        Vectors::Device(chunks) => {
            let buffers = allocate(device, shape, chunks, kept, samples, start)?;
            let onward = matches!(start, Start::Onward(_));
            run(device, chunks, &buffers, (shape.picks, onward), watch)
        }
        Vectors::Stream { source, rows, piece } => {
            let staging = Staging::new(device, shape, rows, piece)?;
            let buffers = allocate(device, shape, &staging.chunks(), kept, samples, start)?;
            // Positions are among the rows that may be chosen: the kept ones, or all.
            let row =
                |position: u32| if start == Start::Official { position } else { kept[position as usize] };
            let samples: Vec<u32> = samples.iter().map(|&s| row(s)).collect();
            let samples = (!matches!(start, Start::Onward(_))).then_some(&samples[..]);
            Streamed { device, source, staging, buffers, shape }.run(samples, &row, watch)
        }
    }
}

/// Makes the buffers of a selection and of a batch for a device that only counts them, and chooses some rows.
fn rehearse(device: &Device, choice: Choice<'_>) -> Result<Selection> {
    let Choice { shape, vectors, kept, samples, start } = choice;
    let record = |chunks: &[Chunk<'_>]| {
        let buffers = &allocate(device, shape, chunks, kept, samples, start)?;
        let mut recorder = Recorder::new(device);
        Coreset { chunks, buffers }.record_batch(&mut recorder)?;
        recorder.finish().map(drop)
    };
    match vectors {
        Vectors::Device(chunks) => record(chunks)?,
        Vectors::Stream { rows, piece, .. } => record(&Staging::new(device, shape, rows, piece)?.chunks())?,
    }
    let picks = spread(kept.len(), shape.picks as usize).map(|at| kept[at]).collect();
    Ok(Selection { picks, progress: Progress::default() })
}

/// `count` of the numbers below `of`, evenly spread and ascending.
pub(crate) fn spread(of: usize, count: usize) -> impl Iterator<Item = usize> {
    let count = count.min(of);
    (0..count).map(move |i| (i as u128 * of as u128 / count as u128) as usize)
}

fn run(
    device: &Device,
    chunks: &[Chunk<'_>],
    buffers: &CoresetBuffers,
    (picks, onward): (u32, bool),
    mut watch: impl FnMut(Progress) -> ControlFlow<()>,
) -> Result<Option<Selection>> {
    let coreset = Coreset { chunks, buffers };
    let mut recorder = Recorder::new(device);
    if onward {
        coreset.record_onward(&mut recorder)?;
    } else {
        coreset.record_start(&mut recorder)?;
    }
    recorder.run()?;
    let mut recorder = Recorder::new(device);
    coreset.record_batch(&mut recorder)?;
    let batch = recorder.finish()?;
    let mut repeats = 1_usize;
    let mut progress = Progress::default();
    loop {
        let began = Instant::now();
        // The device works on the first while the next are encoded.
        for first in (0..repeats).step_by(ENCODED) {
            Plan::submit_all(&vec![&batch; ENCODED.min(repeats - first)])?;
        }
        let before = progress;
        progress = Progress::read(&device.read(&buffers.state)?);
        if progress.picked >= picks {
            break;
        }
        if progress.picked <= before.picked {
            return Err(Error::Device(format!("the coreset stands still at {} picks", progress.picked)));
        }
        if watch(progress).is_break() {
            return Ok(None);
        }
        let seconds = began.elapsed().as_secs_f64() / repeats as f64;
        repeats = ((SUBMITTED / seconds) as usize).clamp(1, (2 * repeats).min(64));
    }
    Ok(Some(Selection { picks: device.read(&buffers.picks)?, progress }))
}

/// The part of the vectors that is on the device.
struct Staging {
    tensor: Tensor,
    /// First row and number of rows of every piece.
    pieces: Vec<(u32, u32)>,
}

impl Staging {
    fn new(device: &Device, shape: CoresetShape, rows: u32, piece: u32) -> Result<Self> {
        let piece = piece.clamp(1, rows.max(1));
        let pieces =
            (0..rows).step_by(piece as usize).map(|first| (first, piece.min(rows - first))).collect();
        let tensor = device.alloc(piece as usize * shape.dims as usize, "coreset staging")?;
        Ok(Self { tensor, pieces })
    }

    /// The pieces, as if each were there.
    fn chunks(&self) -> Vec<Chunk<'_>> {
        self.pieces.iter().map(|&(first_row, len)| Chunk { rows: &self.tensor, first_row, len }).collect()
    }
}

/// A selection from vectors that do not all fit.
struct Streamed<'a> {
    device: &'a Device,
    source: &'a dyn RowSource,
    staging: Staging,
    buffers: CoresetBuffers,
    shape: CoresetShape,
}

impl Streamed<'_> {
    /// `row` tells the row of a position; without `samples` it goes on from distances that are there.
    fn run(
        &self,
        samples: Option<&[u32]>,
        row: &dyn Fn(u32) -> u32,
        mut watch: impl FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<Option<Selection>> {
        let (device, buffers) = (self.device, &self.buffers);
        let chunks = self.staging.chunks();
        let coreset = Coreset { chunks: &chunks, buffers };
        let all: Vec<usize> = (0..chunks.len()).filter(|&c| buffers.holds(c)).collect();
        let submit = |record: &dyn Fn(&mut Recorder) -> Result<()>| {
            let mut recorder = Recorder::new(device);
            record(&mut recorder)?;
            recorder.run()
        };

        if let Some(samples) = samples {
            self.list(samples)?;
            self.each(&all, |c| submit(&|r| coreset.record_mean(r, c)))?;
        }
        submit(&|r| coreset.record_first(r))?;
        self.list(&device.read(&buffers.picks.slice(0, 1))?)?;
        self.each(&all, |c| submit(&|r| coreset.record_distance(r, c)))?;
        submit(&|r| coreset.record_begin(r))?;

        // A batch: its plans are made once.
        let plan = |record: &dyn Fn(&mut Recorder) -> Result<()>| {
            let mut recorder = Recorder::new(device);
            record(&mut recorder)?;
            recorder.finish()
        };
        let tiles = device.alloc(chunks.len(), "coreset tiles")?;
        let candidates = plan(&|r| coreset.record_candidates(r))?;
        let greedy = plan(&|r| {
            coreset.record_greedy(r, false)?;
            coreset.record_tiles(r, &tiles)
        })?;
        let updates = (0..chunks.len())
            .map(|c| plan(&|r| coreset.record_update(r, c, true)))
            .collect::<Result<Vec<_>>>()?;
        let (mut before, mut loads) = (0, 0);
        loop {
            candidates.submit()?;
            let count = buffers.candidate_count(&device.read(&buffers.state)?);
            let positions: Vec<u32> = device.read(&buffers.candidates.slice(0, count))?;
            self.list(&positions.into_iter().map(row).collect::<Vec<_>>())?;
            greedy.submit()?;
            let near: Vec<u32> = device.read(&tiles)?;
            // What no pick comes near stays where it is.
            let near: Vec<usize> = (0..chunks.len()).filter(|&c| near[c] > 0).collect();
            loads += near.len();
            self.each(&near, |c| updates[c].submit())?;
            let progress = Progress::read(&device.read(&buffers.state)?);
            if progress.picked >= self.shape.picks {
                tracing::debug!("coreset: {loads} pieces read, {} there are", chunks.len());
                return Ok(Some(Selection { picks: device.read(&buffers.picks)?, progress }));
            }
            if progress.picked <= before {
                return Err(Error::Device(format!("the coreset stands still at {} picks", progress.picked)));
            }
            before = progress.picked;
            if watch(progress).is_break() {
                return Ok(None);
            }
        }
    }

    /// Brings listed rows to where the kernels look for them.
    fn list(&self, rows: &[u32]) -> Result<()> {
        self.device.write(&self.buffers.rows, 0, &gather(self.source, self.shape.dims as usize, rows)?);
        Ok(())
    }

    /// Runs `f`, which submits, for pieces `which` with each in its place. The next is read meanwhile.
    fn each(&self, which: &[usize], mut f: impl FnMut(usize) -> Result<()>) -> Result<()> {
        let fill = |c: &usize, values: &mut Vec<f32>| {
            let (first, len) = self.staging.pieces[*c];
            values.resize(len as usize * self.shape.dims as usize, 0.0);
            self.source.read(first, values)
        };
        read_ahead(which.iter().copied(), fill, |c, values| {
            self.device.write(&self.staging.tensor, 0, values);
            f(c)?;
            // Else copies of pieces would wait for the device in memory.
            self.device.wait()
        })
    }
}
