//! Tensors as textures. A CPU driver loads vec4s of eight lanes from a buffer lane by lane and word by word, each
//! behind tests of its own; from a texture it loads them together, at less than a third of the cost. Stores cost
//! more there, so that kernels write buffers, and what the next one reads is copied to a texture.

use super::device::{Device, Shared};
use super::tensor::Tensor;
use crate::Result;
use crate::process::OfProcess;
use std::sync::{Arc, Weak, atomic::Ordering};

/// Texels of a line: `shared/texels.wgsl` finds them by this number, too.
const LINE: u32 = 4096;

/// Format of four values as they are stored.
pub(super) fn format(f16: bool) -> wgpu::TextureFormat {
    if f16 { wgpu::TextureFormat::Rgba16Float } else { wgpu::TextureFormat::Rgba32Float }
}

/// Bytes of a texel.
fn texel(f16: bool) -> u64 {
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

/// A texture in lines of 4096 texels of four values, counted for as long as it lives.
pub(super) struct Texels {
    texture: OfProcess<wgpu::Texture>,
    view: OfProcess<wgpu::TextureView>,
    lines: u32,
    f16: bool,
    owner: Arc<OfProcess<Shared>>,
}

impl Texels {
    /// Room for as many texels as `tensor` has.
    fn like(device: &Device, tensor: &Tensor) -> Result<Arc<Self>> {
        let (lines, f16) = (lines(tensor), tensor.is_f16());
        let bytes = u64::from(lines) * u64::from(LINE) * texel(f16);
        device.make_room(bytes, "texels")?;
        let shown = if device.rehearses() { 1 } else { lines };
        let texture = device.scoped(&format!("allocating {bytes} bytes for 'texels'"), || {
            device.0.wgpu.create_texture(&wgpu::TextureDescriptor {
                label: Some("texels"),
                size: wgpu::Extent3d { width: LINE, height: shown, depth_or_array_layers: 1 },
                mip_level_count: 1,
                sample_count: 1,
                dimension: wgpu::TextureDimension::D2,
                format: format(f16),
                usage: wgpu::TextureUsages::STORAGE_BINDING | wgpu::TextureUsages::COPY_DST,
                view_formats: &[],
            })
        })?;
        device.count_created(1);
        device.count_bytes(bytes);
        let view = texture.create_view(&wgpu::TextureViewDescriptor::default());
        let owner = device.0.clone();
        Ok(Arc::new(Self { texture: OfProcess::new(texture), view: OfProcess::new(view), lines, f16, owner }))
    }

    pub fn view(&self) -> &wgpu::TextureView {
        &self.view
    }

    fn bytes(&self) -> u64 {
        u64::from(self.lines) * u64::from(LINE) * texel(self.f16)
    }
}

impl Drop for Texels {
    fn drop(&mut self) {
        self.owner.live_bytes.fetch_sub(self.bytes(), Ordering::Relaxed);
    }
}

fn count(tensor: &Tensor) -> u64 {
    (tensor.len().max(1) as u64 * 4).div_ceil(texel(tensor.is_f16()))
}

fn lines(tensor: &Tensor) -> u32 {
    count(tensor).div_ceil(u64::from(LINE)) as u32
}

/// A copy of a tensor to a texture, as a plan holds it.
pub(super) struct Fill {
    from: wgpu::Buffer,
    from_byte: u64,
    to: wgpu::Texture,
    texels: u32,
    f16: bool,
}

impl Fill {
    fn new(from: &Tensor, to: &Texels) -> Self {
        Self {
            from: from.buffer().clone(),
            from_byte: from.offset(),
            to: to.texture.clone(),
            texels: count(from) as u32,
            f16: from.is_f16(),
        }
    }

    /// Whole lines, then what is left.
    pub fn encode(&self, encoder: &mut wgpu::CommandEncoder) {
        let line = LINE * texel(self.f16) as u32;
        let whole = self.texels / LINE;
        for (y, width, height) in [(0, LINE, whole), (whole, self.texels % LINE, 1)] {
            if width * height == 0 {
                continue;
            }
            encoder.copy_buffer_to_texture(
                wgpu::TexelCopyBufferInfo {
                    buffer: &self.from,
                    layout: wgpu::TexelCopyBufferLayout {
                        offset: self.from_byte + u64::from(y) * u64::from(line),
                        bytes_per_row: Some(line),
                        rows_per_image: None,
                    },
                },
                wgpu::TexelCopyTextureInfo {
                    texture: &self.to,
                    mip_level: 0,
                    origin: wgpu::Origin3d { x: 0, y, z: 0 },
                    aspect: wgpu::TextureAspect::All,
                },
                wgpu::Extent3d { width, height, depth_or_array_layers: 1 },
            );
        }
    }
}

/// The textures of a tensor whose words stay: the place in its memory that each shows.
#[derive(Default)]
pub(super) struct Shown(Vec<(u64, usize, Arc<Texels>)>);

/// Textures that plans fill anew before each use. All plans of a device share them: commands come one after the
/// other, and nothing comes between such a copy and the dispatch that reads it.
#[derive(Default)]
pub(super) struct Pool(Vec<Weak<Texels>>);

impl Device {
    /// Whether a texture holds this tensor here.
    pub(crate) fn reads_texels(&self, tensor: &Tensor) -> bool {
        tensor.is_aligned() && count(tensor) <= self.caps().texels
    }

    /// The tensor with a texture that has its words for good, made at the first call.
    pub(super) fn shown(&self, tensor: &Tensor) -> Result<Tensor> {
        let mut shown = tensor.shown();
        let (at, len) = (tensor.offset(), tensor.len());
        if let Some((.., texels)) = shown.0.iter().find(|(from, words, _)| (*from, *words) == (at, len)) {
            return Ok(tensor.with_texels(texels.clone()));
        }
        let texels = Texels::like(self, tensor)?;
        if !self.rehearses() {
            self.scoped("copying to a texture", || {
                let mut encoder = self.0.wgpu.create_command_encoder(&Default::default());
                Fill::new(tensor, &texels).encode(&mut encoder);
                self.submit(encoder.finish());
            })?;
        }
        shown.0.push((at, len, texels.clone()));
        Ok(tensor.with_texels(texels))
    }

    /// The tensor with a texture that has room for it, none of `taken`, and the copy that fills it.
    pub(super) fn filled(&self, tensor: &Tensor, taken: &[Arc<Texels>]) -> Result<(Tensor, Fill)> {
        let mut pool = self.0.texels.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        pool.0.retain(|texels| texels.strong_count() > 0);
        let (lines, f16) = (lines(tensor), tensor.is_f16());
        let free = pool.0.iter().filter_map(Weak::upgrade).filter(|texels| {
            texels.f16 == f16
                && texels.lines >= lines
                && !taken.iter().any(|other| Arc::ptr_eq(other, texels))
        });
        let texels = match free.min_by_key(|texels| texels.lines) {
            Some(texels) => texels,
            None => {
                let texels = Texels::like(self, tensor)?;
                pool.0.push(Arc::downgrade(&texels));
                texels
            }
        };
        let fill = Fill::new(tensor, &texels);
        Ok((tensor.with_texels(texels), fill))
    }
}
