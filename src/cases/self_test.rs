//! The kernels that are going to be used, tried on the spot.

use super::{Entry, Use, of_use};
use crate::error::WrongKernel;
use crate::gpu::{Device, Feature};
use crate::{Error, Result};
use sha2::{Digest, Sha256};
use std::sync::OnceLock;
use std::time::Instant;

/// The start of a digest of all kernels' texts.
fn kernels() -> &'static str {
    static DIGEST: OnceLock<String> = OnceLock::new();
    DIGEST.get_or_init(|| {
        let mut text = Sha256::new();
        for shader in crate::steps::shaders() {
            text.update(shader.text);
            shader.shared.iter().for_each(|(_, shared)| text.update(shared));
        }
        format!("{:x}", text.finalize())[..12].to_owned()
    })
}

/// Runs the cases of the kernels that `what` is going to use, but for those that passed on this adapter,
/// driver and version before; nothing where the device was opened without a self-test. Between two cases
/// `cancelled` is asked: a driver may take long to compile.
///
/// # Errors
/// [`Error::SelfTest`] for the first case whose answer is wrong, [`Error::Device`] where the driver refuses a
/// kernel, [`Error::Cancelled`].
pub(crate) fn self_test(device: &Device, what: &Use<'_>, cancelled: &dyn Fn() -> bool) -> Result<()> {
    let Some(tested) = device.tested(kernels()) else { return Ok(()) };
    let mut open = of_use(device, what)?;
    open.retain(|entry| !tested.knows(&entry.id()));
    if open.is_empty() {
        return Ok(());
    }
    let _stage = tracing::info_span!("self-test", cases = open.len()).entered();
    let began = Instant::now();
    for entry in &open {
        if cancelled() {
            return Err(Error::Cancelled);
        }
        try_one(device, entry)?;
    }
    tracing::info!("self-test: {} cases pass, {:.2} s", open.len(), began.elapsed().as_secs_f64());
    tested.passed(open.iter().map(Entry::id));
    Ok(())
}

fn try_one(device: &Device, entry: &Entry) -> Result<()> {
    let case = entry.make(device)?;
    let verdict = case.run(device)?;
    tracing::debug!("self-test: {}: error {:.2e} of {:.2e}", entry.id(), verdict.error, verdict.allowed);
    if verdict.passed() {
        return Ok(());
    }
    let (caps, kernels) = (device.caps(), case.kernels());
    let remedy = remedy(device, &kernels);
    Err(Error::SelfTest(Box::new(WrongKernel {
        kernels,
        case: entry.id(),
        used_by: entry.used_by,
        error: verdict.error,
        allowed: verdict.allowed,
        adapter: format!("{} ({}, {})", caps.adapter, caps.backend, caps.driver),
        remedy,
    })))
}

/// What the owner of an adapter on which `kernels` fail can do.
pub fn remedy(device: &Device, kernels: &[String]) -> String {
    let caps = device.caps();
    let uses = |text: &str| kernels.iter().any(|k| k.contains(text));
    let mut off: Vec<&str> = Vec::new();
    off.extend((uses("+SUBGROUP") || uses("search/search_direct")).then_some(Feature::Subgroup.name()));
    off.extend(uses("+INT64").then_some(Feature::Int64.name()));
    off.extend(uses("+TEXELS").then_some(Feature::Texels.name()));
    off.extend((uses("network/gemm_coop") && !uses("+SOFT")).then_some(Feature::Coop.name()));
    off.extend(caps.unchecked.then_some("unchecked"));
    let mut text = "update the driver, or choose another adapter with --device".to_owned();
    if !off.is_empty() {
        text = format!("{text}; SOFTPATCH_DISABLE={} switches off what these kernels use", off.join(","));
    }
    if uses("F16") || uses("network/gemm_coop") {
        text.push_str("; a model that is fitted with --precision f32 does without f16");
    }
    text
}
