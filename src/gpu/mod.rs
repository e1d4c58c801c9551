//! The device: the only folder that names wgpu.

mod adapter;
mod cache;
mod caps;
mod coop;
mod copies;
mod device;
mod faults;
mod health;
mod kernel;
mod open;
mod options;
mod pipelines;
mod plan;
mod readback;
mod recorder;
mod reflect;
mod shader;
mod tensor;
mod tested;
mod texels;
mod timestamps;
mod transfer;
mod tuning;
mod wait;

pub use adapter::{AdapterSummary, adapters};
pub use caps::{Archetype, Caps, Coop, Feature};
pub use coop::shaders;
pub use device::Device;
pub use faults::Faults;
pub use kernel::Kernel;
pub use options::{DeviceOptions, Rewrite};
pub(crate) use plan::Recurring;
pub use plan::{Plan, StepTime};
pub use readback::{Mapped, Readback, Submission};
pub use recorder::Recorder;
pub use shader::Shader;
pub(crate) use shader::shader;
pub use tensor::Tensor;
pub(crate) use transfer::Rows;
pub use tuning::{Size, Tuning};
pub use wgpu;

/// Workgroup grid for `groups` one-dimensional workgroups: `[x, y, 1]` with `x * y >= groups` and no side
/// over `limit`. A kernel finds its index as `workgroup_id.x + workgroup_id.y * num_workgroups.x` and returns
/// where it is past the end.
pub fn grid_1d(groups: u32, limit: u32) -> [u32; 3] {
    if groups <= limit {
        return [groups.max(1), 1, 1];
    }
    let y = groups.div_ceil(limit);
    [groups.div_ceil(y), y, 1]
}
