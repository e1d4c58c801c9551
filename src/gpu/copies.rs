//! Tensors copied to textures. To store to a texture costs more than to a buffer, so that kernels write buffers; what they
//! read as a texture is copied there, once where its words stay.

use super::device::Device;
use super::tensor::Tensor;
use super::texels::{self, LINE, Texels};
use crate::Result;
use crate::process::OfProcess;
use std::sync::{Arc, PoisonError, Weak};

fn texels_of(tensor: &Tensor) -> u64 {
    (tensor.len().max(1) as u64 * 4).div_ceil(texels::bytes(tensor.is_f16()))
}

fn lines_of(tensor: &Tensor) -> u32 {
    texels_of(tensor).div_ceil(u64::from(LINE)) as u32
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
            texels: texels_of(from) as u32,
            f16: from.is_f16(),
        }
    }

    /// Whole lines, then what is left.
    pub fn encode(&self, encoder: &mut wgpu::CommandEncoder) {
        let line = LINE * texels::bytes(self.f16) as u32;
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

impl Device {
    /// Whether a texture holds this tensor here.
    pub(crate) fn reads_texels(&self, tensor: &Tensor) -> bool {
        tensor.is_aligned() && texels_of(tensor) <= self.caps().texels
    }

    /// A texture with room for as many texels as `tensor` has.
    fn texels_like(&self, tensor: &Tensor) -> Result<Arc<Texels>> {
        let (lines, f16) = (lines_of(tensor), tensor.is_f16());
        let bytes = Texels::bytes(lines, f16);
        self.make_room(bytes, "texels")?;
        let height = if self.rehearses() { 1 } else { lines };
        let texture = self.scoped(&format!("allocating {bytes} bytes for 'texels'"), || {
            self.0.wgpu.create_texture(&wgpu::TextureDescriptor {
                label: Some("texels"),
                size: wgpu::Extent3d { width: LINE, height, depth_or_array_layers: 1 },
                mip_level_count: 1,
                sample_count: 1,
                dimension: wgpu::TextureDimension::D2,
                format: texels::format(f16),
                usage: wgpu::TextureUsages::STORAGE_BINDING | wgpu::TextureUsages::COPY_DST,
                view_formats: &[],
            })
        })?;
        self.count_created(1);
        self.count_bytes(bytes);
        let view = OfProcess::new(texture.create_view(&wgpu::TextureViewDescriptor::default()));
        Ok(Arc::new(Texels {
            texture: OfProcess::new(texture),
            view,
            lines,
            f16,
            live: self.0.live_bytes.clone(),
        }))
    }

    /// The tensor, whose words stay, with a texture that has them for good. It is made at the first call, and filled
    /// before the next submission.
    pub(super) fn shown(&self, tensor: &Tensor) -> Result<Tensor> {
        let mut shown = tensor.shown();
        let (at, len) = (tensor.offset(), tensor.len());
        if let Some((.., texels)) = shown.0.iter().find(|(from, words, _)| (*from, *words) == (at, len)) {
            return Ok(tensor.with_texels(texels.clone()));
        }
        let texels = self.texels_like(tensor)?;
        if !self.rehearses() {
            let commands = self.scoped("recording", || {
                let mut encoder = self.0.wgpu.create_command_encoder(&Default::default());
                Fill::new(tensor, &texels).encode(&mut encoder);
                encoder.finish()
            })?;
            self.0.fills.lock().unwrap_or_else(PoisonError::into_inner).push(commands);
        }
        shown.0.push((at, len, texels.clone()));
        Ok(tensor.with_texels(texels))
    }

    /// The tensor with a texture that has room for it, none of `taken`, and the copy that fills it.
    pub(super) fn filled(&self, tensor: &Tensor, taken: &[Arc<Texels>]) -> Result<(Tensor, Fill)> {
        let mut pool = self.0.texels.lock().unwrap_or_else(PoisonError::into_inner);
        pool.0.retain(|texels| texels.strong_count() > 0);
        let (lines, f16) = (lines_of(tensor), tensor.is_f16());
        let free = pool.0.iter().filter_map(Weak::upgrade).filter(|texels| {
            texels.f16 == f16
                && texels.lines >= lines
                && !taken.iter().any(|other| Arc::ptr_eq(other, texels))
        });
        let texels = match free.min_by_key(|texels| texels.lines) {
            Some(texels) => texels,
            None => {
                let texels = self.texels_like(tensor)?;
                pool.0.push(Arc::downgrade(&texels));
                texels
            }
        };
        let fill = Fill::new(tensor, &texels);
        Ok((tensor.with_texels(texels), fill))
    }
}
