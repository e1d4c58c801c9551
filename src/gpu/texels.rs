//! Textures that kernels read in place of buffers. A CPU driver loads vec4s of eight lanes from a buffer lane by lane and
//! word by word, each behind tests of its own; from a texture it loads them together, at less than a third of the cost.

use crate::process::OfProcess;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

/// Texels of a line: `shared/texels.wgsl` finds them by this number, too.
pub(super) const LINE: u32 = 4096;

/// Format of four values as they are stored.
pub(super) fn format(f16: bool) -> wgpu::TextureFormat {
    if f16 { wgpu::TextureFormat::Rgba16Float } else { wgpu::TextureFormat::Rgba32Float }
}

/// Bytes of a texel.
pub(super) fn bytes(f16: bool) -> u64 {
    if f16 { 8 } else { 16 }
}

/// Most texels that a device's textures hold: lines are no more than its limit, and a byte's place fits 31 bits,
/// since drivers compute it as a signed number.
pub(super) fn most(limits: &wgpu::Limits) -> u64 {
    let side = limits.max_texture_dimension_2d;
    if side < LINE { 0 } else { u64::from(LINE) * u64::from(side.min((1 << 30) / (16 * LINE))) }
}

/// Whether an adapter has textures of both formats that shaders read without sampling.
pub(super) fn offered(adapter: &wgpu::Adapter) -> bool {
    [false, true].into_iter().all(|f16| {
        let features = adapter.get_texture_format_features(format(f16));
        features.allowed_usages.contains(wgpu::TextureUsages::STORAGE_BINDING)
            && features.flags.contains(wgpu::TextureFormatFeatureFlags::STORAGE_READ_ONLY)
    })
}

/// A texture in lines of texels of four values, counted for as long as it lives.
pub(super) struct Texels {
    pub texture: OfProcess<wgpu::Texture>,
    pub view: OfProcess<wgpu::TextureView>,
    pub lines: u32,
    pub f16: bool,
    /// The device's count of bytes that are alive, of which this is a part.
    pub live: Arc<AtomicU64>,
}

impl Texels {
    /// Bytes of so many lines.
    pub fn bytes(lines: u32, f16: bool) -> u64 {
        u64::from(lines) * u64::from(LINE) * bytes(f16)
    }
}

impl Drop for Texels {
    fn drop(&mut self) {
        self.live.fetch_sub(Self::bytes(self.lines, self.f16), Ordering::Relaxed);
    }
}

/// The textures of a buffer whose words stay: the byte and the words of it that each shows.
#[derive(Default)]
pub(super) struct Shown(pub Vec<(u64, usize, Arc<Texels>)>);

/// Textures that plans fill anew before each use. All plans of a device share them: commands come one after the
/// other, and nothing comes between such a copy and the dispatch that reads it.
#[derive(Default)]
pub(super) struct Pool(pub Vec<Weak<Texels>>);
