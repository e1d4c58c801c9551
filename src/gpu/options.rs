//! How to open a device.

use super::caps::{Archetype, Feature};
use super::faults::Faults;
use super::tuning::Tuning;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// How to open a device.
#[derive(Clone, Debug, Default)]
pub struct DeviceOptions {
    /// Adapter index as listed by [`adapters`](super::adapters), or a part of its name (case ignored); the
    /// fastest kind if `None`.
    pub adapter: Option<String>,
    /// Prefers an integrated GPU to a discrete one where `adapter` is `None`.
    pub low_power: bool,
    /// Forces a kernel family; by adapter type if `None`.
    pub archetype: Option<Archetype>,
    /// Forces shaders with (`Some(false)`) or without (`Some(true)`) injected checks; by build type if
    /// `None`.
    pub unchecked: Option<bool>,
    /// Folder for what the device remembers: which kernels passed their self-test, and, where a Vulkan GPU
    /// driver offers that, compiled pipelines (a file that is read as the device opens and written as it is
    /// dropped). Nothing is written where this is `None`.
    pub cache: Option<PathBuf>,
    /// Leaves out the self-test: before a model is fitted or scores with kernels that have not been used on
    /// this adapter, driver and version before, each runs once at a small shape and is compared with plain
    /// Rust.
    pub no_self_test: bool,
    /// Stays within WebGPU's default limits though the adapter offers more.
    pub default_limits: bool,
    /// Does without these, as on an adapter that lacks them; so does `SOFTPATCH_DISABLE`.
    pub without: Vec<Feature>,
    /// Runs the kernels for cooperative matrices of this side (8 or 16), held by so many lanes (16, 32 or
    /// 64), with matrices in ordinary registers, on an adapter with f16: very slow, for tests of these
    /// kernels on machines without such matrices.
    pub emulate_coop: Option<(u32, u32)>,
    /// Tile sizes measured on this adapter, see [`Tuning`]; the defaults if `None`.
    pub tuning: Option<Tuning>,
    /// How long the device may work on one submission, half a second's work at most on the slowest adapter that
    /// was tried, before it counts as lost; half a minute if `None`.
    pub timeout: Option<Duration>,
    /// Loses the device on purpose, for tests.
    #[doc(hidden)]
    pub faults: Option<Arc<Faults>>,
    /// Puts faults into shaders, for tests that they are found.
    #[doc(hidden)]
    pub rewrite: Option<Rewrite>,
}

/// Gives a shader of that name another text before it is compiled; `None` leaves it as it is.
#[doc(hidden)]
#[derive(Clone)]
pub struct Rewrite(pub Arc<Fault>);

/// Name and text to another text.
#[doc(hidden)]
pub type Fault = dyn Fn(&str, &str) -> Option<String> + Send + Sync;

impl std::fmt::Debug for Rewrite {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Rewrite")
    }
}
