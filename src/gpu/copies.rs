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

impl Tensor {
    /// Bytes of the textures that have its words for good.
    pub(crate) fn texel_bytes(&self) -> u64 {
        if !self.is_constant() {
            return 0;
        }
        self.shown().0.iter().map(|(.., texels)| Texels::bytes(texels.lines, texels.f16)).sum()
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
        let [width, height] = if self.rehearses() { [1, 1] } else { [LINE, lines] };
        let texture = self.scoped(&format!("allocating {bytes} bytes for 'texels'"), || {
            self.0.wgpu.create_texture(&wgpu::TextureDescriptor {
                label: Some("texels"),
                size: wgpu::Extent3d { width, height, depth_or_array_layers: 1 },
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

#[cfg(test)]
mod tests {
    use super::super::caps::{Archetype, Feature};
    use super::super::options::DeviceOptions;
    use super::super::recorder::Recorder;
    use super::super::shader::Shader;
    use super::*;
    use half::f16;

    /// `c = a + 2 b`, texel by texel.
    static SUM: Shader = Shader {
        name: "test",
        entry: "main",
        text: "
//#if F16
alias Texels = texture_storage_2d<rgba16float, read>;
//#else
alias Texels = texture_storage_2d<rgba32float, read>;
//#endif
@group(0) @binding(0) var a: Texels;
@group(0) @binding(1) var b: Texels;
@group(0) @binding(2) var<storage, read_write> c: array<vec4<f32>>;
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) me: u32) {
    let i = wid.x * 64u + me;
    let at = vec2(i % 4096u, i / 4096u);
    if (i < arrayLength(&c)) { c[i] = textureLoad(a, at) + 2.0 * textureLoad(b, at); }
}",
        shared: &[],
        variants: &[&[], &["F16"]],
    };

    fn device() -> Option<Device> {
        let archetype = Some(Archetype::Direct);
        let device = Device::open(&DeviceOptions { archetype, ..DeviceOptions::default() }).unwrap();
        if device.caps().texels == 0 {
            println!("skipped: {} reads no textures", device.caps().adapter);
            return None;
        }
        Some(device)
    }

    /// The sum of two tensors of `values` values.
    fn sum(device: &Device, [a, b]: [&Tensor; 2], values: usize) -> Vec<f32> {
        let c = device.alloc(values, "c").unwrap();
        let flags: &[&str] = if a.is_f16() { &["F16"] } else { &[] };
        let kernel = device.kernel(&SUM, &[], flags).unwrap();
        let mut recorder = Recorder::new(device);
        let [a, b] = [recorder.texels(a).unwrap(), recorder.texels(b).unwrap()];
        let groups = (values as u32 / 4).div_ceil(64);
        recorder.dispatch(&kernel, "", &[&a, &b, &c], &(), [groups, 1, 1]).unwrap();
        recorder.run().unwrap();
        device.read(&c).unwrap()
    }

    #[test]
    fn a_texture_has_the_words_of_its_tensor() {
        let Some(device) = device() else { return };
        let line = 4 * LINE as usize;
        let before = device.live_bytes();
        // Less than a line, one, and a few with a rest; the second by turns constant and not.
        for (n, values) in [4, line - 4, line, line + 4, 3 * line + 520].into_iter().enumerate() {
            let a: Vec<f32> = (0..values).map(|i| i as f32).collect();
            let b: Vec<f32> = (0..values).map(|i| 0.5 * (i % 977) as f32).collect();
            let want: Vec<f32> = a.iter().zip(&b).map(|(a, b)| a + 2.0 * b).collect();
            // From the middle of their buffers on.
            let part = |data: &[f32], first: usize| {
                let whole = [&vec![-7.0; first], data].concat();
                device.upload(&whole, "part").unwrap()
            };
            let (in_a, in_b) = (part(&a, 64), part(&b, 128));
            let in_b = if n % 2 == 0 { in_b.constant() } else { in_b };
            let [ta, tb] = [in_a.slice(64, values), in_b.slice(128, values)];
            for _ in 0..2 {
                assert!(sum(&device, [&ta, &tb], values) == want, "{values} values");
            }
            // What is not constant is read as it is now.
            device.write(&in_a, 64, &b);
            let want: Vec<f32> = b.iter().map(|b| b + 2.0 * b).collect();
            assert!(sum(&device, [&ta, &tb], values) == want, "{values} values, after a change");
        }
        assert_eq!(device.live_bytes(), before, "textures are counted, and go with their tensors");
        // Of either sign, and down to the smallest f16 there is.
        let halves: Vec<f32> = (0..line + 8)
            .map(|i| (i % 1021) as f32 - 500.0)
            .map(|v| if v > 0.0 { v } else { v * 2.0_f32.powi(-24) })
            .collect();
        let of = |data: &[f32]| device.upload_f16(data, "halves").unwrap();
        let want: Vec<f32> = halves.iter().map(|h| 3.0 * f16::from_f32(*h).to_f32()).collect();
        assert!(sum(&device, [&of(&halves), &of(&halves).constant()], halves.len()) == want, "f16");
    }

    /// Textures that are filled anew are shared by all plans, and yet each dispatch reads its own.
    #[test]
    fn plans_that_share_a_texture_read_what_they_copied() {
        let Some(device) = device() else { return };
        let kernel = device.kernel(&SUM, &[], &[]).unwrap();
        let plan = |value: f32, values: usize| {
            let x = device.upload(&vec![value; values], "x").unwrap();
            let y = device.upload(&vec![10.0 * value; values], "y").unwrap();
            let c = device.alloc(values, "c").unwrap();
            let mut recorder = Recorder::new(&device);
            let [tx, ty] = [recorder.texels(&x).unwrap(), recorder.texels(&y).unwrap()];
            recorder.dispatch(&kernel, "", &[&tx, &ty, &c], &(), [values as u32 / 256, 1, 1]).unwrap();
            (recorder.finish().unwrap(), c)
        };
        let one = plan(1.0, 5120);
        let live = device.live_bytes();
        let two = plan(2.0, 4096);
        assert!(device.live_bytes() - live < 1 << 17, "no textures of its own");
        for _ in 0..3 {
            for ((plan, c), value) in [(&one, 1.0), (&two, 2.0)] {
                plan.submit().unwrap();
                assert!(device.read::<f32>(c).unwrap().iter().all(|v| *v == 21.0 * value));
            }
        }
        let both: [&super::super::plan::Plan; 2] = [&two.0, &one.0];
        super::super::plan::Plan::submit_all(&both).unwrap();
        for ((_, c), value) in [(&one, 1.0), (&two, 2.0)] {
            assert!(device.read::<f32>(c).unwrap().iter().all(|v| *v == 21.0 * value));
        }
    }

    #[test]
    #[should_panic(expected = "was declared constant")]
    fn what_is_constant_is_not_written() {
        let device = Device::open(&DeviceOptions::default()).unwrap();
        let x = device.upload(&[1.0_f32; 4], "x").unwrap().constant();
        device.write(&x, 0, &[2.0_f32]);
    }

    #[test]
    fn without_textures_there_are_none() {
        let options = DeviceOptions { without: vec![Feature::Texels], ..DeviceOptions::default() };
        assert_eq!(Device::open(&options).unwrap().caps().texels, 0);
        let limits = |side| wgpu::Limits { max_texture_dimension_2d: side, ..wgpu::Limits::default() };
        let most = [4095, 4096, 8192, 32_768].map(|side| texels::most(&limits(side)));
        // 2^30 bytes at most.
        assert_eq!(most, [0, 4096 * 4096, 4096 * 8192, 1 << 26]);
    }
}
