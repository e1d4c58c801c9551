//! Embeddings at hand against banks that no detector scores by: those of an edit on trial, and of a model
//! before its edits.

use super::patch_scorer::{Examined, Nearest, queries};
use crate::Result;
use crate::bank::MemoryBank;
use crate::gpu::{Device, Recorder};

/// The row of `bank` that each of `embeddings` `[patches][dim]` is nearest to; `memory` bounds the search.
pub(super) fn nearest(
    device: &Device,
    bank: &MemoryBank,
    embeddings: &[f32],
    memory: u64,
) -> Result<Vec<Option<Nearest>>> {
    let (dim, on_device) = (bank.dim().max(1), bank.on_device(device)?);
    let count = (embeddings.len() / dim) as u32;
    if count == 0 {
        return Ok(Vec::new());
    }
    let most = queries(device, &on_device, [1, count], memory);
    let search = on_device.search(device, most, count)?;
    let mut found = Vec::with_capacity(count as usize);
    for (i, piece) in embeddings.chunks(most as usize * dim).enumerate() {
        let (first, here) = (i as u32 * most, (piece.len() / dim) as u32);
        let x = device.upload(piece, "embeddings")?;
        let mut recorder = Recorder::new(device);
        on_device.record(&mut recorder, &search, &x, first..first + here, None)?;
        recorder.run()?;
        let best: Vec<[u32; 2]> = device.read(&search.best.slice(0, 2 * here as usize))?;
        found.extend(best.into_iter().map(Nearest::of));
    }
    Ok(found)
}

/// The same for an image that was examined by another bank: patches that were not looked at are not now.
pub(super) fn examined_by(
    device: &Device,
    bank: &MemoryBank,
    examined: &Examined,
    memory: u64,
) -> Result<Vec<Option<Nearest>>> {
    let mut found = nearest(device, bank, &examined.embeddings, memory)?;
    for (found, before) in found.iter_mut().zip(&examined.nearest) {
        *found = found.filter(|_| before.is_some());
    }
    Ok(found)
}

/// Patch scores by the weights of `bank`, 0 where there is nothing near.
pub(super) fn patch_scores(bank: &MemoryBank, nearest: &[Option<Nearest>]) -> Vec<f32> {
    let score = |n: &Nearest| bank.weights.get(n.row as usize).map_or(n.distance, |w| w * n.distance);
    nearest.iter().map(|nearest| nearest.as_ref().map_or(0.0, score)).collect()
}

/// The largest of patch scores, which is an image's.
pub(super) fn top(patches: impl IntoIterator<Item = f32>) -> f32 {
    patches.into_iter().fold(0.0, f32::max)
}
