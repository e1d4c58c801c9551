//! What the kernels of a selection are given and hand on: `shaders/shared/coreset.wgsl`.

/// The uniform.
#[repr(C)]
#[derive(Clone, Copy, Default, bytemuck::Pod, bytemuck::Zeroable)]
pub(super) struct Params {
    pub kept: u32,
    pub r4: u32,
    pub picks: u32,
    pub batch: u32,
    pub across: u32,
    pub pos0: u32,
    pub pos1: u32,
    pub row0: u32,
    pub listed: u32,
    pub level: u32,
    pub members: u32,
    pub scale: f32,
}

/// What lies in [`super::CoresetBuffers::state`].
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, bytemuck::Pod, bytemuck::Zeroable)]
pub struct State {
    /// Picks so far.
    pub picked: u32,
    /// The first of this batch.
    pub first: u32,
    /// Picks of this batch.
    pub count: u32,
    /// Bits of the least distance of a candidate.
    pub least: u32,
    /// Position that candidates lie before.
    pub before: u32,
    /// Histogram that is still to be looked at; 0: none.
    pub level: u32,
    /// Bin that it splits.
    pub edge: u32,
    /// Patches that were far enough to be candidates.
    pub candidates: u32,
    /// Clusters that can still change.
    pub clusters: u32,
    /// Tiles of eight patches to look at.
    pub tiles: u32,
    /// Lower word of the patch-pick distances computed.
    pub distances_low: u32,
    /// Upper word.
    pub distances_high: u32,
    /// Batches so far.
    pub batches: u32,
}

impl State {
    /// Words of one.
    pub const WORDS: usize = size_of::<Self>() / 4;
}

/// How far a selection is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Picks so far.
    pub picked: u32,
    /// Batches so far.
    pub batches: u32,
    /// Patch-pick distances that the updates computed; one at a time it would be `kept` per pick.
    pub distances: u64,
}

impl Progress {
    /// From what was read of [`super::CoresetBuffers::state`].
    pub fn read(state: &[State]) -> Self {
        let state = state.first().copied().unwrap_or_default();
        Self {
            picked: state.picked,
            batches: state.batches,
            distances: u64::from(state.distances_high) << 32 | u64::from(state.distances_low),
        }
    }
}
