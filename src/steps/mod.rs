//! Host side of each kernel family: checks shapes, chooses the variant, records.
//!
//! An op never submits, never reads back, and allocates nothing: the caller brings every tensor.

pub mod coreset;
pub mod input;
pub mod map;
pub mod network;
pub mod outlier;
pub mod patches;
pub mod search;
pub mod tuning;

use crate::gpu::{Archetype, Caps, Shader, Tensor};
use crate::{Error, Result};

/// The kernels of all steps.
pub fn shaders() -> Vec<&'static Shader> {
    let folders = [
        input::shaders(),
        network::shaders(),
        patches::shaders(),
        outlier::shaders(),
        coreset::shaders(),
        search::shaders(),
        map::shaders(),
    ];
    folders.concat()
}

/// Whether the `direct` kernels may hand values round by subgroup broadcasts: they need subgroups of exactly
/// 8 lanes.
pub(crate) fn broadcast8(caps: &Caps) -> bool {
    caps.archetype == Archetype::Direct && caps.subgroup == Some((8, 8))
}

/// Refuses a tensor of fewer than `expected` values.
pub(crate) fn check(what: &str, expected: u64, tensor: &Tensor) -> Result<()> {
    if (tensor.values() as u64) < expected {
        return Err(Error::Limit(format!(
            "{what} needs {expected} values, its buffer has {}",
            tensor.values()
        )));
    }
    Ok(())
}

/// Whether `tensors` are stored as f16, all or none of them.
fn stored_f16(what: &str, tensors: &[&Tensor]) -> Result<bool> {
    let f16 = tensors.iter().filter(|t| t.is_f16()).count();
    if f16 != 0 && f16 != tensors.len() {
        return Err(Error::Limit(format!("{what}: {f16} of {} tensors are f16, not all", tensors.len())));
    }
    Ok(f16 > 0)
}

/// The flag for that.
fn flag_f16(f16: bool) -> &'static [&'static str] {
    if f16 { &["F16"] } else { &[] }
}

/// Refuses a channel count that does not fill whole vec4s.
fn check_vec4(what: &str, channels: u32) -> Result<()> {
    if channels == 0 || !channels.is_multiple_of(4) {
        return Err(Error::Limit(format!("{what}: {channels} is not a positive multiple of 4")));
    }
    Ok(())
}

/// Product of sizes without overflow.
fn words(sizes: &[u32]) -> u64 {
    sizes.iter().map(|&s| u64::from(s)).product()
}

/// Grid of workgroups of 64 for `items` independent invocations.
///
/// # Errors
/// [`Error::Limit`] where the items cannot be counted in a u32.
fn grid_64(what: &str, items: u64, caps: &Caps) -> Result<[u32; 3]> {
    let groups = items.div_ceil(64);
    if items > u64::from(u32::MAX) - 64 * u64::from(caps.max_groups) {
        return Err(Error::Limit(format!("{what}: {items} items are more than one dispatch counts")));
    }
    Ok(crate::gpu::grid_1d(groups as u32, caps.max_groups))
}
