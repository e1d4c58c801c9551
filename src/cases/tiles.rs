//! Products with tiles of every size that a device has, whichever it would choose.

use super::{Case, Entry};
use crate::Result;
use crate::gpu::{Archetype, Device};
use crate::steps::tuning::{BIG_FROM, COOP_BIG_FROM, COOP_MIDDLE_FROM};

/// The device with the largest tiles that its kernels have, however small the product.
fn large(device: &Device) -> Result<Device> {
    let sizes = device.tuning().with(&BIG_FROM, 1).with(&COOP_BIG_FROM, 1);
    device.with_tuning(sizes.with(&COOP_MIDDLE_FROM, 1))
}

/// The same with the smallest.
fn small_tiles(device: &Device) -> Result<Device> {
    let never = u32::MAX;
    let sizes = device.tuning().with(&BIG_FROM, never).with(&COOP_BIG_FROM, never);
    device.with_tuning(sizes.with(&COOP_MIDDLE_FROM, never))
}

/// The same with tiles of a middle size, which cooperative matrices have.
fn middle(device: &Device) -> Result<Device> {
    let never = u32::MAX;
    device.with_tuning(device.tuning().with(&COOP_BIG_FROM, never).with(&COOP_MIDDLE_FROM, 1))
}

/// A product or convolution, and on GPUs the same with tiles of every size.
pub(super) fn tiles(
    all: &mut Vec<Entry>,
    device: &Device,
    (kernel, f16): (&'static str, bool),
    (shape, used_by): (&str, &'static str),
    make: impl Fn(&Device) -> Result<Case> + Clone + 'static,
) {
    all.push(Entry::new(kernel, shape, used_by, make.clone()));
    if device.caps().archetype != Archetype::Tiled {
        return;
    }
    type Sized = fn(&Device) -> Result<Device>;
    let sizes: [(&str, Sized); 3] = [("small", small_tiles), ("middle", middle), ("large", large)];
    let matrices = f16 && device.caps().coop.is_some();
    for (name, sized) in sizes.into_iter().filter(|(name, _)| matrices || *name != "middle") {
        let make = make.clone();
        all.push(Entry::new(kernel, format!("{shape}, {name} tiles"), used_by, move |d| make(&sized(d)?)));
    }
}
