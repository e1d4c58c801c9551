//! How much each row of the memory bank vouches for: docs/method.md, section 5.

use super::Progress;
use super::features::Features;
use super::others::nearest_elsewhere;
use crate::Result;
use crate::gpu::{Device, Recorder};
use crate::steps::outlier::floor::Floor;

/// Squared distances below which no patch is from the bank rows `rows` (numbers of patches), whose embeddings
/// are `bank`: those to the nearest patches of other images, which the projected vectors find, raised by
/// `scores` of all patches.
pub(super) fn floors(
    device: &Device,
    features: &Features,
    rows: &[u32],
    bank: &[f32],
    scores: &[f32],
    progress: &dyn Progress,
) -> Result<Vec<f32>> {
    let near = nearest_elsewhere(device, features, rows, progress)?;
    let (images, grid) = (features.images as u32, [features.positions / features.columns, features.columns]);
    let scores = device.upload(scores, "outlier scores")?;
    let dim = features.dim;
    let most = ((device.caps().max_binding / 4) as usize / dim).min(features.at_a_time());
    let mut floors = Vec::with_capacity(rows.len());
    let pieces = rows.chunks(most).zip(near.chunks(most)).zip(bank.chunks(most * dim));
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
