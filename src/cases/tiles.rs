//! Products with tiles of every size that a device has, whichever it would choose.

use super::{Case, Entry};
use crate::Result;
use crate::gpu::{Archetype, Device};
use crate::steps::tuning::{BIG_FROM, COOP_BIG_FROM, COOP_MIDDLE_FROM, MIDDLE_FROM};

/// The device with large and middle tiles from so many workgroups on.
fn from(device: &Device, large: u32, middle: u32) -> Result<Device> {
    let sizes = device.tuning().with(&BIG_FROM, large).with(&COOP_BIG_FROM, large);
    device.with_tuning(sizes.with(&MIDDLE_FROM, middle).with(&COOP_MIDDLE_FROM, middle))
}

/// A product or convolution, and on GPUs the same with tiles of every size.
pub(super) fn tiles(
    all: &mut Vec<Entry>,
    device: &Device,
    kernel: &'static str,
    (shape, used_by): (&str, &'static str),
    make: impl Fn(&Device) -> Result<Case> + Clone + 'static,
) {
    all.push(Entry::new(kernel, shape, used_by, make.clone()));
    if device.caps().archetype != Archetype::Tiled {
        return;
    }
    const NEVER: u32 = u32::MAX;
    for (name, large, middle) in [("small", NEVER, NEVER), ("middle", NEVER, 1), ("large", 1, 1)] {
        let make = make.clone();
        let make = move |device: &Device| make(&from(device, large, middle)?);
        all.push(Entry::new(kernel, format!("{shape}, {name} tiles"), used_by, make));
    }
}
