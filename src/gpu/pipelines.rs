//! Declared kernels to pipelines, each built once.

use super::caps::Archetype;
use super::device::Device;
use super::kernel::{Kernel, Kind};
use super::reflect::{Needs, needs};
use super::shader::Shader;
use super::texels;
use crate::{Error, Result};
use std::sync::Arc;

impl Device {
    /// The pipeline of `shader` with the given constants and flags, built at the first call.
    ///
    /// # Errors
    /// [`Error::Device`] where the text has a fault or the driver refuses it, [`Error::Limit`] where its
    /// workgroup needs more than the device has.
    pub fn kernel(&self, shader: &Shader, constants: &[(&str, u32)], flags: &[&str]) -> Result<Arc<Kernel>> {
        let mut flags = flags.to_vec();
        // The device's choice, not the step's: whatever has such loads uses them where they are cheaper.
        let caps = self.caps();
        if caps.int64 && caps.archetype == Archetype::Direct && shader.asks_for("INT64") {
            flags.push("INT64");
        }
        let mut label = shader.label();
        for flag in &flags {
            label.push('+');
            label.push_str(flag);
        }
        for (constant, value) in constants {
            label.push_str(&format!(" {constant}={value}"));
        }
        if self.rehearses() {
            return Ok(Arc::new(Kernel { label, built: None, bindings: Vec::new() }));
        }
        let mut kernels = self.0.kernels.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(kernel) = kernels.get(&label) {
            return Ok(kernel.clone());
        }
        let kernel = Arc::new(build(self, shader, label.clone(), constants, &flags)?);
        kernels.insert(label, kernel.clone());
        Ok(kernel)
    }
}

fn buffer(ty: wgpu::BufferBindingType) -> wgpu::BindingType {
    wgpu::BindingType::Buffer { ty, has_dynamic_offset: false, min_binding_size: None }
}

fn build(
    device: &Device,
    shader: &Shader,
    label: String,
    constants: &[(&str, u32)],
    flags: &[&str],
) -> Result<Kernel> {
    let caps = device.caps();
    let mut source = shader.source(constants, flags)?;
    if let Some(other) = device.0.rewrite.as_ref().and_then(|rewrite| rewrite.0(&shader.label(), &source)) {
        source = other;
    }
    let module = wgpu::naga::front::wgsl::parse_str(&source)
        .map_err(|e| Error::Device(format!("shader {label}: {}", e.emit_to_string(&source))))?;
    let Needs { bindings, workgroup_bytes: memory } = needs(&label, &module, shader.entry)?;
    if memory > caps.max_workgroup_memory {
        return Err(Error::Limit(format!(
            "shader {label} needs {memory} bytes of workgroup memory, the device has {}",
            caps.max_workgroup_memory
        )));
    }
    let wgpu_device = &device.0.wgpu;
    let built = device.scoped(&format!("shader {label}"), || {
        let descriptor = wgpu::ShaderModuleDescriptor {
            label: Some(&label),
            source: wgpu::ShaderSource::Wgsl(source.as_str().into()),
        };
        let module = if caps.unchecked {
            // SAFETY: the text is ours, every loop in it has a bound, every index stays inside its buffer:
            // the whole test suite runs the same shaders with checks on, and again with checks off.
            unsafe {
                wgpu_device.create_shader_module_trusted(descriptor, wgpu::ShaderRuntimeChecks::unchecked())
            }
        } else {
            wgpu_device.create_shader_module(descriptor)
        };
        let entries: Vec<_> = bindings
            .iter()
            .enumerate()
            .map(|(i, binding)| wgpu::BindGroupLayoutEntry {
                binding: i as u32,
                visibility: wgpu::ShaderStages::COMPUTE,
                ty: match binding.kind {
                    Kind::Uniform => buffer(wgpu::BufferBindingType::Uniform),
                    Kind::Read => buffer(wgpu::BufferBindingType::Storage { read_only: true }),
                    Kind::ReadWrite => buffer(wgpu::BufferBindingType::Storage { read_only: false }),
                    Kind::Texels { f16 } => wgpu::BindingType::StorageTexture {
                        access: wgpu::StorageTextureAccess::ReadOnly,
                        format: texels::format(f16),
                        view_dimension: wgpu::TextureViewDimension::D2,
                    },
                },
                count: None,
            })
            .collect();
        let layout = wgpu_device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
            label: Some(&label),
            entries: &entries,
        });
        let pipeline_layout = wgpu_device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: Some(&label),
            bind_group_layouts: &[Some(&layout)],
            immediate_size: 0,
        });
        let pipeline = wgpu_device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(&label),
            layout: Some(&pipeline_layout),
            module: &module,
            entry_point: Some(shader.entry),
            compilation_options: wgpu::PipelineCompilationOptions {
                zero_initialize_workgroup_memory: false,
                ..Default::default()
            },
            cache: device.0.cache.as_ref().map(|cache| &cache.wgpu),
        });
        (pipeline, layout)
    })?;
    device.count_created(1);
    if let Some(cache) = &device.0.cache {
        cache.grew();
    }
    Ok(Kernel { label, built: Some(built), bindings })
}
