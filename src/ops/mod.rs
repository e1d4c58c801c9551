//! Host side of each kernel family: checks shapes, chooses the variant, records.
//!
//! An op never submits, never reads back, and allocates nothing: the caller brings every tensor.

pub mod conv;
pub mod coreset;
pub mod gemm;
pub mod group;
pub mod knn;
pub mod neighbor;

use crate::gpu::{Archetype, Caps};

/// Whether the `direct` kernels may hand values round by subgroup broadcasts: they need subgroups of exactly 8 lanes.
pub(crate) fn broadcast8(caps: &Caps) -> bool {
    caps.archetype == Archetype::Direct && caps.subgroup == Some((8, 8))
}

/// What an output goes through last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// Nothing.
    None,
    /// `max(v, 0)`.
    Relu,
    /// `min(max(v, 0), 6)`.
    Relu6,
}

impl Activation {
    /// Bounds of the clamp that computes it.
    pub(crate) fn bounds(self) -> (f32, f32) {
        match self {
            Self::None => (-f32::MAX, f32::MAX),
            Self::Relu => (0.0, f32::MAX),
            Self::Relu6 => (0.0, 6.0),
        }
    }
}
