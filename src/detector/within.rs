//! Whether scoring fits a budget, found by going through it on a device that only counts.

use super::host::pictures;
use super::ingest::Together;
use super::persist::Share;
use super::plan::score;
use super::score::Scorer;
use crate::backbone::Backbone;
use crate::gpu::Device;
use crate::model::Model;
use crate::settings::ON_TOP;
use crate::{Error, Result};

/// Budgets that are tried for the least that would do.
const TRIES: usize = 8;

/// Bytes that count against a budget of `memory` while pictures as large as the frame are scored with their
/// maps: all but the weights, and what buffers may take whatever the budget is.
fn need(device: &Device, backbone: &Backbone, model: &Model, memory: u64) -> Result<u64> {
    let device = &device.rehearsal();
    let bank = model.bank.on_device(device)?;
    let share = Share { batch: model.info.options.batch, memory };
    let mut scorer = Scorer::on(device, backbone, model, bank, share)?;
    let [height, width] = model.info.frame;
    let (most, pixels) = (scorer.most(), u64::from(width) * u64::from(height));
    score(&mut scorer, most, [width, height])?;
    let decoded = Together::to_score(most, memory).count(pixels);
    let host =
        4 * model.bank.rows.len() as u64 + pictures(pixels, decoded, u64::MAX) + 4 * most as u64 * pixels;
    Ok((device.peak_bytes() + host).saturating_sub(scorer.extractor.weight_bytes() + ON_TOP))
}

/// Refuses a budget of `memory` bytes that scoring passes, with one that would do.
pub(super) fn check(device: &Device, backbone: &Backbone, model: &Model, memory: u64) -> Result<()> {
    // Another backbone is refused where it is used.
    if backbone.info() != model.info.backbone || need(device, backbone, model, memory)? <= memory {
        return Ok(());
    }
    let mut least = memory;
    for _ in 0..TRIES {
        let needed = need(device, backbone, model, least)?;
        if needed <= least {
            break;
        }
        least = needed.next_multiple_of(1 << 20);
    }
    let ([height, width], rows, dim) = (model.info.frame, model.info.rows, model.info.dim);
    Err(Error::Limit(format!(
        "scoring by a memory bank of {rows} rows of {dim} values, in frames of {width}x{height} pixels, does not fit \
         {:.1} MiB; --memory {}MiB would do, or a model with a smaller coreset ratio or frame",
        memory as f64 / f64::from(1 << 20),
        least.div_ceil(1 << 20)
    )))
}
