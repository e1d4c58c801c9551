//! What a selection reads and writes besides the vectors, allocated.

use crate::gpu::Device;
use crate::steps::check;
use crate::steps::coreset::{Chunk, CoresetBuffers, CoresetShape, MAX_SAMPLES, Official, State};
use crate::{Error, Result};

/// How a selection starts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Start<'a> {
    /// The first pick is the kept row with the largest mean distance to the samples, which are positions
    /// among the kept rows.
    Kept,
    /// As in the published program (docs/method.md, section 11): the samples are any rows, the first pick is
    /// the row of all with the largest mean distance to them, those mean distances go on as an upper bound of
    /// every row's distance, and kept rows are chosen from the second pick on. The shape's `kept` counts all
    /// rows.
    Official,
    /// On from a bank that is there: the distances of the kept rows, of which there are no others, from the
    /// nearest of its rows. The first pick is the farthest.
    Onward(&'a [f32]),
}

/// Allocates for one selection. `kept` are the rows that may be chosen, ascending; `samples` what the first
/// pick is measured against (at most 16).
///
/// # Errors
/// [`Error::Limit`] where a buffer passes one binding or a size is out of its range, [`Error::InvalidOption`]
/// where `kept` does not ascend, leaves the chunks, or is too short.
pub fn allocate(
    device: &Device,
    shape: CoresetShape,
    chunks: &[Chunk<'_>],
    kept: &[u32],
    samples: &[u32],
    start: Start<'_>,
) -> Result<CoresetBuffers> {
    if start == Start::Kept {
        return plain(device, shape, chunks, kept, samples);
    }
    if let Start::Onward(distances) = start {
        if distances.len() != shape.kept as usize || samples.len() != 1 {
            let (n, kept) = (distances.len(), shape.kept);
            return Err(Error::InvalidOption(format!(
                "coreset: {n} distances of {kept} kept rows, and one sample"
            )));
        }
        let mut buffers = plain(device, shape, chunks, kept, samples)?;
        device.write(&buffers.distance, 0, distances);
        let every = kept.len();
        buffers.official = Some(Official {
            dropped: device.alloc(every, "coreset dropped")?,
            cap: device.alloc(every, "coreset cap")?,
            capped: device.alloc(every, "coreset capped")?,
        });
        return Ok(buffers);
    }
    let ascending = kept.windows(2).all(|w| w[0] < w[1]);
    if !ascending || kept.last().is_some_and(|&k| k >= shape.kept) || shape.picks as usize > kept.len() {
        return Err(Error::InvalidOption(format!(
            "coreset: {} kept rows of {} for {} picks do not ascend or are too few",
            kept.len(),
            shape.kept,
            shape.picks
        )));
    }
    let all: Vec<u32> = (0..shape.kept).collect();
    let mut dropped = vec![1_u32; all.len()];
    for &k in kept {
        dropped[k as usize] = 0;
    }
    let official = Official {
        dropped: device.upload(&dropped, "coreset dropped")?,
        cap: device.alloc(all.len(), "coreset cap")?,
        capped: device.alloc(all.len(), "coreset capped")?,
    };
    let official = Some(official);
    Ok(CoresetBuffers { official, ..plain(device, shape, chunks, &all, samples)? })
}

fn plain(
    device: &Device,
    shape: CoresetShape,
    chunks: &[Chunk<'_>],
    kept: &[u32],
    samples: &[u32],
) -> Result<CoresetBuffers> {
    let CoresetShape { dims, picks, batch, .. } = shape;
    if dims % 4 != 0 || dims == 0 || dims > 4096 || picks == 0 || picks > shape.kept || batch == 0 {
        return Err(Error::Limit(format!(
            "coreset {shape:?}: dims must be a multiple of 4 up to 4096, picks 1..=kept, batch not 0"
        )));
    }
    if shape.kept.div_ceil(batch) > 65_536 {
        return Err(Error::Limit(format!("coreset {shape:?}: more than 65536 patches a candidate")));
    }
    if kept.len() != shape.kept as usize || !kept.windows(2).all(|w| w[0] < w[1]) {
        return Err(Error::InvalidOption(format!("coreset: {} kept rows that do not ascend", kept.len())));
    }
    if samples.is_empty() || samples.len() > MAX_SAMPLES || samples.iter().any(|&s| s >= shape.kept) {
        return Err(Error::InvalidOption("coreset: 1 to 16 start samples among the kept rows".into()));
    }
    let mut spans = Vec::with_capacity(chunks.len());
    let mut next = 0;
    for chunk in chunks {
        check("coreset chunk", u64::from(chunk.len) * u64::from(dims), chunk.rows)?;
        let at = |row: u32| kept.partition_point(|&k| k < row) as u32;
        spans.push((at(chunk.first_row), at(chunk.first_row + chunk.len)));
        if spans.last().is_some_and(|s| s.0 != next) {
            return Err(Error::InvalidOption("coreset: kept rows between the chunks".into()));
        }
        next = spans.last().map_or(0, |s| s.1);
    }
    if next != shape.kept {
        return Err(Error::InvalidOption("coreset: kept rows past the chunks".into()));
    }
    let longest = spans.iter().map(|s| s.1 - s.0).max().unwrap_or_default();
    let slots = longest as usize + 7 * longest.min(picks) as usize;
    let (m, b, r) = (picks as usize, batch as usize, dims as usize);
    let across = shape.across() as usize;
    let listed = b.max(MAX_SAMPLES);
    let mut padded = samples.to_vec();
    padded.resize(MAX_SAMPLES, 0);
    Ok(CoresetBuffers {
        picks: device.alloc(m, "coreset picks")?,
        bank: device.alloc(m * r, "coreset bank")?,
        state: device.alloc(State::WORDS, "coreset state")?,
        shape,
        kept: device.upload(kept, "coreset kept")?,
        spans,
        samples: device.upload(&padded, "coreset samples")?,
        sample_count: samples.len() as u32,
        distance: device.alloc(kept.len(), "coreset distance")?,
        centre: device.alloc(kept.len(), "coreset centre")?,
        bins: device.alloc(65_536, "coreset bins")?,
        candidates: device.alloc(listed, "coreset candidates")?,
        chosen: device.alloc(b, "coreset chosen")?,
        rows: device.alloc(listed * r, "coreset rows")?,
        mutual: device.alloc(b * across, "coreset mutual")?,
        clusters: device.alloc(4 * m, "coreset clusters")?,
        open: device.alloc(m, "coreset clusters that can change")?,
        table: device.alloc(m * across, "coreset table")?,
        sorted: device.alloc(slots.next_multiple_of(8), "coreset sorted")?,
        official: None,
    })
}
