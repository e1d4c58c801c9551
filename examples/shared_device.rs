//! An application with a wgpu device of its own: its kernel and softpatch run on the same device, side by
//! side.
//!
//! `cargo run --example shared_device`

use softpatch::data::MemorySource;
use softpatch::data::synth::{Material, render};
use softpatch::detector::{Backbone, Detector, FitOptions, Quiet, Size};
use softpatch::low_level::gpu::{Device, wgpu};

/// The application's own work: brightens pixels packed as `r | g << 8 | b << 16`.
const BRIGHTEN: &str = "
@group(0) @binding(0) var<storage, read_write> pixels: array<u32>;
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
    if id.x < arrayLength(&pixels) {
        let rgb = vec3u(pixels[id.x], pixels[id.x] >> 8u, pixels[id.x] >> 16u) & vec3u(255u);
        let lit = min(rgb + vec3u(20u), vec3u(255u));
        pixels[id.x] = lit.x | lit.y << 8u | lit.z << 16u;
    }
}";

fn brighten(
    device: &wgpu::Device,
    queue: &wgpu::Queue,
    rgb: &[u8],
) -> Result<Vec<u8>, Box<dyn std::error::Error>> {
    let words: Vec<u8> = rgb.chunks_exact(3).flat_map(|p| [p[0], p[1], p[2], 0]).collect();
    let buffer = |usage| {
        let size = words.len() as u64;
        device.create_buffer(&wgpu::BufferDescriptor { label: None, size, usage, mapped_at_creation: false })
    };
    let pixels =
        buffer(wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST);
    let back = buffer(wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST);
    queue.write_buffer(&pixels, 0, &words);
    let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
        label: Some("brighten"),
        source: wgpu::ShaderSource::Wgsl(BRIGHTEN.into()),
    });
    let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: Some("brighten"),
        layout: None,
        module: &module,
        entry_point: None,
        compilation_options: Default::default(),
        cache: None,
    });
    let group = device.create_bind_group(&wgpu::BindGroupDescriptor {
        label: None,
        layout: &pipeline.get_bind_group_layout(0),
        entries: &[wgpu::BindGroupEntry { binding: 0, resource: pixels.as_entire_binding() }],
    });
    let mut encoder = device.create_command_encoder(&Default::default());
    {
        let mut pass = encoder.begin_compute_pass(&Default::default());
        pass.set_pipeline(&pipeline);
        pass.set_bind_group(0, &group, &[]);
        pass.dispatch_workgroups((words.len() as u32 / 4).div_ceil(64), 1, 1);
    }
    encoder.copy_buffer_to_buffer(&pixels, 0, &back, 0, words.len() as u64);
    queue.submit([encoder.finish()]);
    back.slice(..).map_async(wgpu::MapMode::Read, |_| {});
    device.poll(wgpu::PollType::wait_indefinitely())?;
    let view = back.slice(..).get_mapped_range()?;
    Ok(view.chunks_exact(4).flat_map(|p| [p[0], p[1], p[2]]).collect())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // The application's own set-up.
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
    let adapter = pollster::block_on(instance.request_adapter(&wgpu::RequestAdapterOptions::default()))?;
    let (device, queue) = pollster::block_on(adapter.request_device(&wgpu::DeviceDescriptor {
        label: Some("application"),
        required_limits: adapter.limits(),
        ..Default::default()
    }))?;

    let shared = Device::from_wgpu(device.clone(), queue.clone());
    let images =
        (0..6).map(|i| Ok(render(Material::Metal, None, i, 80)?.0)).collect::<softpatch::Result<Vec<_>>>()?;
    let options = FitOptions { size: Size::Shorter(64), ..FitOptions::default() };
    let detector = Detector::fit(&shared, &Backbone::embedded()?, &MemorySource(&images), &options, &Quiet)?;

    let mut part = render(Material::Metal, None, 50, 80)?.0;
    let before = detector.score(&[part.as_image()?])?[0].score;
    // The application's device still does the application's work.
    part.pixels = brighten(&device, &queue, &part.pixels)?;
    let after = detector.score(&[part.as_image()?])?[0].score;
    println!("{}: score {before:.4} as it is, {after:.4} when lit differently", shared.caps().adapter);
    Ok(())
}
