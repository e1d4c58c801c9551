//! Kernels by workload name, on the default adapter. Every bench checks its answer before it is timed.
//!
//! `cargo bench --bench kernels`, or with a part of a name, e.g. `-- gemm`. Times are of whole submissions,
//! waiting included; `softpatch profile` has the device's own timestamps. Records by machine and date:
//! `benches/records/`.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use softpatch::low_level::backbone::{Extractor, WeightFile, efficientnet_lite};
use softpatch::low_level::cases::{Entry, Scale, method, network, products};
use softpatch::low_level::gpu::{Device, DeviceOptions, Plan};

/// Repeatable values in -0.5 .. 0.5.
fn values(len: usize, seed: usize) -> Vec<f32> {
    (0..len).map(|i| ((i * 7919 + seed * 104_729) % 1009) as f32 / 1009.0 - 0.5).collect()
}

fn run(device: &Device, plan: &Plan) {
    plan.submit().unwrap();
    device.wait().unwrap();
}

/// The cases of `softpatch roofline`, checked once.
fn cases(c: &mut Criterion, device: &Device, entries: &[Entry]) {
    for entry in entries {
        let case = entry.make(device).unwrap();
        let verdict = case.run(device).unwrap();
        assert!(verdict.passed(), "{}: {verdict:?}", entry.id());
        let mut group = c.benchmark_group(entry.kernel);
        let flops = case.work(device).unwrap().flops;
        group.throughput(Throughput::Elements(flops as u64)).sample_size(10);
        group.bench_function(&entry.shape, |b| b.iter(|| run(device, &case.plan)));
        group.finish();
    }
}

fn backbone(c: &mut Criterion, device: &Device) {
    let network = efficientnet_lite(0).with_taps(&["block4", "block10"]).unwrap();
    let mut group = c.benchmark_group("lite0 to block 10");
    for batch in [1, 8] {
        let mut extractor =
            Extractor::new(device, network.clone(), &WeightFile::embedded(), 224, batch).unwrap();
        let image = values(224 * 224 * 4, 3);
        device.write(extractor.input(), 0, &image.repeat(batch as usize));
        let embedding = extractor.embedding().clone();
        let work = extractor.plan(batch, 0).unwrap();
        run(device, work);
        // Equal images have equal embeddings, and those are not trivial.
        let all: Vec<f32> = device.read(&embedding).unwrap();
        let one = all.len() / batch as usize;
        assert!(all.chunks_exact(one).all(|e| e == &all[..one]));
        assert!(all[..one].iter().any(|v| v.abs() > 0.1) && all.iter().all(|v| v.is_finite()));
        group.throughput(Throughput::Elements(batch.into())).sample_size(10);
        group.bench_function(format!("batch {batch}"), |b| b.iter(|| run(device, work)));
    }
    group.finish();
}

fn all(c: &mut Criterion) {
    // As release builds run them, whatever the profile of this build.
    let options = DeviceOptions { unchecked: Some(true), ..DeviceOptions::default() };
    let device = Device::open(&options).unwrap();
    println!("{} ({}), kernels {}", device.caps().adapter, device.caps().driver, device.caps().archetype);
    let scale = Scale { batch: 1, large: false };
    cases(c, &device, &products(scale, false));
    let lite = efficientnet_lite(0).with_taps(&["block4", "block10"]).unwrap();
    cases(c, &device, &network(&lite, scale, false).unwrap());
    cases(c, &device, &method(scale));
    backbone(c, &device);
}

criterion_group!(benches, all);
criterion_main!(benches);
