//! WGSL text + constants -> cached pipeline.
//!
//! The preprocessor knows four lines: `//#include shared/NAME.wgsl`, `//#if FLAG` (or `//#if !FLAG`), `//#else`,
//! `//#endif`; and it replaces the value of `const NAME: u32 = ...;` lines that the host names.

use super::{Archetype, Device, shaders};
use crate::{Error, Result};
use std::sync::Arc;

/// A compute pipeline with its bind-group layout.
pub struct Kernel {
    pub(super) label: String,
    pub(super) pipeline: wgpu::ComputePipeline,
    pub(super) layout: wgpu::BindGroupLayout,
    pub(super) bindings: Vec<Binding>,
}

impl std::fmt::Debug for Kernel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Kernel({})", self.label)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Binding {
    Read,
    ReadWrite,
    Uniform,
}

/// Expands includes and conditions and sets constants. Public so that tests can translate every variant.
///
/// # Errors
/// [`Error::Device`] where a line of the preprocessor is malformed, or a constant does not exist in the text.
pub fn preprocess(name: &str, text: &str, constants: &[(&str, u32)], flags: &[&str]) -> Result<String> {
    let fail = |line: &str, why: &str| Error::Device(format!("shader {name}: {why}: {line}"));
    let mut out = String::with_capacity(text.len() * 2);
    let mut used = vec![false; constants.len()];
    // One entry a nested `#if`: whether its current branch is taken.
    let mut taken: Vec<bool> = Vec::new();
    let expanded = expand_includes(name, text)?;
    for line in expanded.lines() {
        if let Some(directive) = line.trim_start().strip_prefix("//#") {
            let mut words = directive.split_whitespace();
            match (words.next(), words.next()) {
                (Some("if"), Some(flag)) => taken.push(match flag.strip_prefix('!') {
                    Some(flag) => !flags.contains(&flag),
                    None => flags.contains(&flag),
                }),
                (Some("else"), None) => match taken.last_mut() {
                    Some(t) => *t = !*t,
                    None => return Err(fail(line, "#else without #if")),
                },
                (Some("endif"), None) => {
                    taken.pop().ok_or_else(|| fail(line, "#endif without #if"))?;
                }
                _ => return Err(fail(line, "unknown directive")),
            }
            continue;
        }
        if taken.iter().any(|t| !t) {
            continue;
        }
        let constant = line.strip_prefix("const ").and_then(|l| l.split_once(": u32 = "));
        match constant.and_then(|(c, _)| constants.iter().position(|(n, _)| *n == c)) {
            Some(i) => {
                used[i] = true;
                out.push_str(&format!("const {}: u32 = {}u;", constants[i].0, constants[i].1));
            }
            None => out.push_str(line),
        }
        out.push('\n');
    }
    if !taken.is_empty() {
        return Err(fail("", "#if without #endif"));
    }
    if let Some(i) = used.iter().position(|u| !u) {
        return Err(fail(constants[i].0, "no such constant"));
    }
    Ok(out)
}

fn expand_includes(name: &str, text: &str) -> Result<String> {
    let mut out = String::with_capacity(text.len());
    for line in text.lines() {
        match line.trim_start().strip_prefix("//#include ") {
            Some(file) => {
                out.push_str(shaders::text(file.trim().trim_end_matches(".wgsl")).ok_or_else(|| {
                    Error::Device(format!("shader {name}: nothing to include under the name {file}"))
                })?)
            }
            None => out.push_str(line),
        }
        out.push('\n');
    }
    Ok(out)
}

/// The bindings of group 0 in order, read from the declarations in the text.
fn bindings(text: &str) -> Vec<Binding> {
    text.lines()
        .filter(|l| l.starts_with("@group(0) @binding("))
        .map(|l| {
            if l.contains("var<uniform>") {
                Binding::Uniform
            } else if l.contains("read_write") {
                Binding::ReadWrite
            } else {
                Binding::Read
            }
        })
        .collect()
}

/// Bytes of `var<workgroup>` in a validated module; wgpu 30 does not hold them against the limit itself.
fn workgroup_bytes(module: &wgpu::naga::Module) -> u32 {
    let mut layouter = wgpu::naga::proc::Layouter::default();
    if layouter.update(module.to_ctx()).is_err() {
        return 0;
    }
    module
        .global_variables
        .iter()
        .filter(|(_, v)| v.space == wgpu::naga::AddressSpace::WorkGroup)
        .map(|(_, v)| layouter[v.ty].size)
        .sum()
}

pub(super) fn cached(
    device: &Device,
    name: &str,
    constants: &[(&str, u32)],
    flags: &[&str],
) -> Result<Arc<Kernel>> {
    let mut flags = flags.to_vec();
    // The device's choice, not the operation's: whatever has such loads uses them where they are cheaper.
    let caps = device.caps();
    if caps.int64 && caps.archetype == Archetype::Direct && shaders::has_flag(name, "INT64") {
        flags.push("INT64");
    }
    let mut label = name.to_owned();
    for flag in &flags {
        label.push('+');
        label.push_str(flag);
    }
    for (constant, value) in constants {
        label.push_str(&format!(" {constant}={value}"));
    }
    let mut kernels = device.0.kernels.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some(kernel) = kernels.get(&label) {
        return Ok(kernel.clone());
    }
    let kernel = Arc::new(build(device, name, label.clone(), constants, &flags)?);
    kernels.insert(label, kernel.clone());
    Ok(kernel)
}

fn build(
    device: &Device,
    name: &str,
    label: String,
    constants: &[(&str, u32)],
    flags: &[&str],
) -> Result<Kernel> {
    let text = shaders::text(name).ok_or_else(|| Error::Device(format!("no shader is named {name}")))?;
    let caps = device.caps();
    let mut source = preprocess(name, text, constants, flags)?;
    if let Some(other) = device.0.rewrite.as_ref().and_then(|rewrite| rewrite.0(name, &source)) {
        source = other;
    }
    let module = wgpu::naga::front::wgsl::parse_str(&source)
        .map_err(|e| Error::Device(format!("shader {label}: {}", e.emit_to_string(&source))))?;
    let memory = workgroup_bytes(&module);
    if memory > caps.max_workgroup_memory {
        return Err(Error::Limit(format!(
            "shader {label} needs {memory} bytes of workgroup memory, the device has {}",
            caps.max_workgroup_memory
        )));
    }
    let bindings = bindings(&source);
    let wgpu_device = &device.0.wgpu;
    let (layout, pipeline) = device.scoped(&format!("shader {label}"), || {
        let descriptor = wgpu::ShaderModuleDescriptor {
            label: Some(&label),
            source: wgpu::ShaderSource::Wgsl(source.as_str().into()),
        };
        let module = if caps.unchecked {
            // SAFETY: the text is ours, every loop in it has a bound, every index stays inside its buffer: the whole
            // test suite runs the same shaders with checks on, and again with checks off.
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
                ty: wgpu::BindingType::Buffer {
                    ty: match binding {
                        Binding::Uniform => wgpu::BufferBindingType::Uniform,
                        Binding::Read => wgpu::BufferBindingType::Storage { read_only: true },
                        Binding::ReadWrite => wgpu::BufferBindingType::Storage { read_only: false },
                    },
                    has_dynamic_offset: false,
                    min_binding_size: None,
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
            entry_point: Some("main"),
            compilation_options: wgpu::PipelineCompilationOptions {
                zero_initialize_workgroup_memory: false,
                ..Default::default()
            },
            cache: device.0.cache.as_ref().map(|cache| &cache.wgpu),
        });
        (layout, pipeline)
    })?;
    device.count_created(1);
    if let Some(cache) = &device.0.cache {
        cache.grew();
    }
    Ok(Kernel { label, pipeline, layout, bindings })
}
