//! Selection of the memory bank: runs the coreset kernels batch after batch.

use crate::gpu::{Device, Plan, Recorder};
use crate::ops::coreset::{Chunk, Coreset, CoresetBuffers, CoresetShape, Progress};
use crate::{Error, Result};
use std::ops::ControlFlow;
use std::time::Instant;

/// Work of one submission at most, in seconds, for the sake of watchdogs.
const SUBMISSION: f64 = 0.3;

/// What a selection found.
#[derive(Debug)]
pub struct Selection {
    /// Chosen rows in the order chosen.
    pub picks: Vec<u32>,
    /// How it was found.
    pub progress: Progress,
}

/// Chooses `shape.picks` of the `kept` rows by greedy k-centre. `watch` is told now and then how far it is and may stop it.
/// `None` where it did.
///
/// # Errors
/// As [`CoresetBuffers::new`], and [`Error::Device`] where the device was lost.
pub fn select(
    device: &Device,
    shape: CoresetShape,
    chunks: &[Chunk<'_>],
    kept: &[u32],
    samples: &[u32],
    watch: impl FnMut(Progress) -> ControlFlow<()>,
) -> Result<Option<Selection>> {
    if shape.picks == 0 {
        return Ok(Some(Selection { picks: Vec::new(), progress: Progress::default() }));
    }
    run(device, chunks, &CoresetBuffers::new(device, shape, chunks, kept, samples)?, shape.picks, watch)
}

/// [`select`] with the start of the published program: see [`CoresetBuffers::official`]. `shape.kept` counts all rows.
///
/// # Errors
/// As [`CoresetBuffers::official`], and [`Error::Device`] where the device was lost.
pub fn select_official(
    device: &Device,
    shape: CoresetShape,
    chunks: &[Chunk<'_>],
    kept: &[u32],
    samples: &[u32],
    watch: impl FnMut(Progress) -> ControlFlow<()>,
) -> Result<Option<Selection>> {
    if shape.picks == 0 {
        return Ok(Some(Selection { picks: Vec::new(), progress: Progress::default() }));
    }
    run(device, chunks, &CoresetBuffers::official(device, shape, chunks, kept, samples)?, shape.picks, watch)
}

fn run(
    device: &Device,
    chunks: &[Chunk<'_>],
    buffers: &CoresetBuffers,
    picks: u32,
    mut watch: impl FnMut(Progress) -> ControlFlow<()>,
) -> Result<Option<Selection>> {
    let coreset = Coreset { chunks, buffers };
    let mut recorder = Recorder::new(device);
    coreset.record_start(&mut recorder)?;
    recorder.run()?;
    let mut recorder = Recorder::new(device);
    coreset.record_batch(&mut recorder)?;
    let batch = recorder.finish()?;
    let mut repeats = 1_usize;
    let mut progress = Progress::default();
    loop {
        let began = Instant::now();
        Plan::submit_all(&vec![&batch; repeats])?;
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
        repeats = ((SUBMISSION / seconds) as usize).clamp(1, (2 * repeats).min(64));
    }
    Ok(Some(Selection { picks: device.read(&buffers.picks)?, progress }))
}
