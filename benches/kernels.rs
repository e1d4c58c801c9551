//! Kernels by workload name, on the default adapter. Every bench checks its answer before it is timed.
//!
//! `cargo bench --bench kernels`, or with a part of a name, e.g. `-- gemm`. Times are of whole submissions, waiting
//! included; `softpatch bench --time` has the device's own timestamps. Records by machine and date: `benches/records/`.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use softpatch::backbone::{Extractor, WeightFile, efficientnet_lite};
use softpatch::gpu::{Device, DeviceOptions, Plan, Recorder, Tensor};
use softpatch::ops::Activation;
use softpatch::ops::conv::{Conv, ConvShape};
use softpatch::ops::gemm::Gemm;
use softpatch::ops::neighbor::{Bank, BankData};
use softpatch::reference;

/// Repeatable values in -0.5 .. 0.5.
fn values(len: usize, seed: usize) -> Vec<f32> {
    (0..len).map(|i| ((i * 7919 + seed * 104_729) % 1009) as f32 / 1009.0 - 0.5).collect()
}

fn plan(device: &Device, record: impl FnOnce(&mut Recorder) -> softpatch::Result<()>) -> Plan {
    let mut recorder = Recorder::new(device);
    record(&mut recorder).unwrap();
    recorder.finish().unwrap()
}

fn run(device: &Device, plan: &Plan) {
    plan.submit().unwrap();
    device.wait().unwrap();
}

/// Compares words `at` of `tensor` with `want`.
fn check(device: &Device, tensor: &Tensor, want: impl Iterator<Item = (usize, f64)>, tolerance: f64) {
    let got: Vec<f32> = device.read(tensor).unwrap();
    for (at, want) in want {
        let difference = (f64::from(got[at]) - want).abs();
        assert!(difference <= tolerance, "word {at} is {}, not {want}", got[at]);
    }
}

fn gemm(c: &mut Criterion, device: &Device, [m, k, n]: [usize; 3]) {
    let (x, w) = (values(m * k, 1), values(n * k, 2));
    let up = |v: &[f32]| device.upload(v, "bench").unwrap();
    let (tx, tw, bias) = (up(&x), up(&w), up(&vec![0.0; n]));
    let out = device.alloc(m * n, "c").unwrap();
    let work = plan(device, |r| {
        let (m, k, n) = (m as u32, k as u32, n as u32);
        Gemm { x: &tx, w: &tw, bias: &bias, residual: None, c: &out, m, k, n, activation: Activation::None }
            .record(r)
    });
    run(device, &work);
    let dot = |row: usize, column: usize| -> f64 {
        (0..k).map(|i| f64::from(x[row * k + i]) * f64::from(w[column * k + i])).sum()
    };
    let sample = (0..500).map(|i| (i * 37 % m, i * 101 % n)).map(|(r, c)| (r * n + c, dot(r, c)));
    check(device, &out, sample, 1e-3);
    let mut group = c.benchmark_group("gemm");
    group.throughput(Throughput::Elements(2 * (m * k * n) as u64)).sample_size(10);
    group.bench_function(format!("{m}x{k}x{n}"), |b| b.iter(|| run(device, &work)));
    group.finish();
}

fn conv(c: &mut Criterion, device: &Device) {
    let shape = ConvShape {
        batch: 1,
        in_h: 56,
        in_w: 56,
        in_c: 64,
        out_c: 64,
        kernel_h: 3,
        kernel_w: 3,
        stride: 1,
        pad_top: 1,
        pad_left: 1,
        out_h: 56,
        out_w: 56,
    };
    let (x, w, bias) = (values(shape.input_len(), 1), values(64 * 9 * 64, 2), vec![0.0; 64]);
    let want = reference::conv::conv2d(&x, &w, &bias, None, &shape, Activation::None);
    let up = |v: &[f32]| device.upload(v, "bench").unwrap();
    let (tx, tw, tb) = (up(&x), up(&w), up(&bias));
    let out = device.alloc(shape.output_len(), "c").unwrap();
    let work = plan(device, |r| {
        Conv { x: &tx, w: &tw, bias: &tb, residual: None, c: &out, shape, activation: Activation::None }
            .record(r)
    });
    run(device, &work);
    check(device, &out, want.iter().map(|v| f64::from(*v)).enumerate(), 1e-3);
    let mut group = c.benchmark_group("conv");
    group.throughput(Throughput::Elements(2 * 56 * 56 * 64 * 9 * 64)).sample_size(20);
    group.bench_function("3x3 64->64 at 56x56", |b| b.iter(|| run(device, &work)));
    group.finish();
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
        let work = extractor.plan(batch).unwrap();
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

fn search(c: &mut Criterion, device: &Device) {
    let (q, m, d, head) = (784_usize, 16_385_usize, 152_usize, 40_usize);
    // Variance falls along the values as it does along the principal axes of real features.
    let rows = |len, seed| -> Vec<f32> {
        let mut v = values(len, seed);
        v.iter_mut().enumerate().for_each(|(i, v)| *v /= 1.0 + (i % d) as f32 / 8.0);
        v
    };
    let (queries, bank_rows) = (rows(q * d, 1), rows(m * d, 2));
    let axes: Vec<f32> = (0..head * d).map(|i| if i % d == i / d { 1.0 } else { 0.0 }).collect();
    let data = BankData {
        rows: &bank_rows,
        weights: &vec![1.0; m],
        row_image: &vec![0; m],
        mean: &vec![0.0; d],
        axes: &axes,
        dim: d as u32,
    };
    let bank = Bank::new(device, &data).unwrap();
    let buffers = bank.search(device, q as u32).unwrap();
    let x = device.upload(&queries, "queries").unwrap();
    let work = plan(device, |r| bank.record(r, &buffers, &x, q as u32, None));
    run(device, &work);
    let found: Vec<[u32; 2]> = device.read(&buffers.best).unwrap();
    let sample = 40;
    let (want, _) =
        reference::neighbor::nearest_neighbor(&queries[..sample * d], &bank_rows, d, |_, _| false);
    assert!(want.iter().zip(&found).all(|(row, found)| *row == found[1]));
    let mut group = c.benchmark_group("nearest neighbour");
    group.sample_size(10);
    group.bench_function(format!("{q} in {m}x{d}"), |b| b.iter(|| run(device, &work)));
    group.finish();
}

fn all(c: &mut Criterion) {
    // As release builds run them, whatever the profile of this build.
    let options = DeviceOptions { unchecked: Some(true), ..DeviceOptions::default() };
    let device = Device::open(&options).unwrap();
    println!("{} ({}), kernels {}", device.caps().adapter, device.caps().driver, device.caps().archetype);
    gemm(c, &device, [1024, 1024, 1024]);
    gemm(c, &device, [6272, 152, 128]);
    conv(c, &device);
    backbone(c, &device);
    search(c, &device);
}

criterion_group!(benches, all);
criterion_main!(benches);
