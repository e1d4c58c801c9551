//! What the host sides check and choose alike.

use crate::gpu::{Archetype, Caps, Device, Recorder, Tensor};
use crate::{Error, Result};
use std::ops::Range;

/// Whether the `direct` kernels may hand values round by subgroup broadcasts: they need subgroups of exactly
/// 8 lanes.
pub(crate) fn broadcast8(caps: &Caps) -> bool {
    caps.archetype == Archetype::Direct && caps.subgroup == Some((8, 8))
}

/// Whether kernels of the `direct` family read this tensor as a texture. Only where they have subgroups of 8 and words
/// of 64 bits, too: the drivers that gain by it have both, and every other combination would be one more to test.
pub(crate) fn reads_texels(device: &Device, tensor: &Tensor) -> bool {
    texels(device.caps()) && device.reads_texels(tensor)
}

/// The same of operands that a texture holds.
pub(crate) fn texels(caps: &Caps) -> bool {
    broadcast8(caps) && caps.int64 && caps.texels > 0
}

/// The tensor as a dispatch binds it: as a texture, or as it is.
pub(crate) fn bound(recorder: &mut Recorder, texels: bool, tensor: &Tensor) -> Result<Tensor> {
    if texels { recorder.texels(tensor) } else { Ok(tensor.clone()) }
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
pub(super) fn stored_f16(what: &str, tensors: &[&Tensor]) -> Result<bool> {
    let f16 = tensors.iter().filter(|t| t.is_f16()).count();
    if f16 != 0 && f16 != tensors.len() {
        return Err(Error::Limit(format!("{what}: {f16} of {} tensors are f16, not all", tensors.len())));
    }
    Ok(f16 > 0)
}

/// The flag for that.
pub(super) fn flag_f16(f16: bool) -> &'static [&'static str] {
    if f16 { &["F16"] } else { &[] }
}

/// Refuses a channel count that does not fill whole vec4s.
pub(super) fn check_vec4(what: &str, channels: u32) -> Result<()> {
    if channels == 0 || !channels.is_multiple_of(4) {
        return Err(Error::Limit(format!("{what}: {channels} is not a positive multiple of 4")));
    }
    Ok(())
}

/// First and number of `rows`, which must be among `h`.
pub(super) fn rows_of(what: &str, rows: &Range<u32>, h: u32) -> Result<(u32, u32)> {
    if rows.start > rows.end || rows.end > h {
        return Err(Error::Limit(format!("{what}: rows {rows:?} of {h}")));
    }
    Ok((rows.start, rows.end - rows.start))
}

/// Product of sizes without overflow.
pub(super) fn words(sizes: &[u32]) -> u64 {
    sizes.iter().map(|&s| u64::from(s)).product()
}

/// Grid of workgroups of 64 for `items` independent invocations.
///
/// # Errors
/// [`Error::Limit`] where the items cannot be counted in a u32.
pub(super) fn grid_64(what: &str, items: u64, caps: &Caps) -> Result<[u32; 3]> {
    let groups = items.div_ceil(64);
    if items > u64::from(u32::MAX) - 64 * u64::from(caps.max_groups) {
        return Err(Error::Limit(format!("{what}: {items} items are more than one dispatch counts")));
    }
    Ok(crate::gpu::grid_1d(groups as u32, caps.max_groups))
}
