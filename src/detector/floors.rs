//! How much each row of the memory bank vouches for: docs/method.md, section 5.

use super::features::Features;
use super::others::nearest_elsewhere;
use super::top_scores::TopScores;
use super::{Progress, Stage};
use crate::bank::MemoryBank;
use crate::gpu::{Device, Recorder};
use crate::steps::outlier::floor::Floor;
use crate::{Error, Result};

/// Squared distances below which no patch is from the rows of `bank`, which are the patches of the numbers
/// `rows` and have no floors yet: those to the nearest patches of other images, which the projected vectors
/// find, raised by `scores` of all patches.
pub(super) fn floors(
    device: &Device,
    features: &Features,
    rows: &[u32],
    bank: &mut MemoryBank,
    scores: &[f32],
    memory: u64,
    progress: &dyn Progress,
) -> Result<Vec<f32>> {
    let _stage = tracing::info_span!("floors", rows = rows.len()).entered();
    let ceiling = ceiling(device, features, bank, memory, progress)?;
    let near = nearest_elsewhere(device, features, rows, progress)?;
    let (images, grid) = (features.images as u32, [features.positions / features.columns, features.columns]);
    let scores = device.upload(scores, "outlier scores")?;
    let dim = features.dim;
    let most = ((device.caps().max_binding / 4) as usize / dim).min(features.at_a_time());
    let mut floors = Vec::with_capacity(rows.len());
    let pieces = rows.chunks(most).zip(near.chunks(most)).zip(bank.rows.chunks(most * dim));
    for ((patches, others), x) in pieces {
        let count = patches.len();
        let answer = device.alloc(count, "floors")?;
        let mut recorder = Recorder::new(device);
        Floor {
            x: &device.upload(x, "bank rows")?,
            y: &device.upload(&features.gather(others)?, "neighbours of bank rows")?,
            patches: &device.upload(patches, "numbers of bank rows")?,
            others: &device.upload(others, "numbers of neighbours")?,
            scores: &scores,
            ceiling,
            floors: &answer,
            rows: count as u32,
            dim: dim as u32,
            images,
            grid: grid.map(|side| side as u32),
        }
        .record(&mut recorder)?;
        recorder.run()?;
        floors.extend(device.read::<f32>(&answer)?);
    }
    Ok(floors)
}

/// The score that nine of ten training images do not pass, each against the bank without its own rows: what
/// stands out in the others may be dirt. The largest float where every row is an image's own: a shader may take
/// for granted that nothing is infinite.
fn ceiling(
    device: &Device,
    features: &Features,
    bank: &mut MemoryBank,
    memory: u64,
    progress: &dyn Progress,
) -> Result<f32> {
    let ready = bank.prepare(device)?;
    let by = TopScores::new(device, &ready, bank, features, features.left(memory))?;
    let mut tops = Vec::with_capacity(features.images);
    while tops.len() < features.images {
        // Rows are counted afterwards: a beginning that lasts.
        progress.update(Stage::Floors, 0, bank.weights.len() as u64);
        if progress.cancelled() {
            return Err(Error::Cancelled);
        }
        let count = by.together().min(features.images - tops.len());
        tops.extend(by.score(tops.len() as u32, count)?);
    }
    tops.sort_unstable_by(f32::total_cmp);
    let last = (9 * tops.len()).div_ceil(10).saturating_sub(1);
    Ok(tops.get(last).map_or(f32::MAX, |top| top.min(f32::MAX)))
}
