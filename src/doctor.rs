//! Every kernel against its plain-Rust twin on one adapter.

mod method;

use crate::Result;
use crate::gpu::{Device, Recorder, Tensor, Tuning};
use crate::ops::anomaly_map::AnomalyMap;
use crate::ops::conv::{Conv, ConvShape};
use crate::ops::depthwise::Depthwise;
use crate::ops::gemm::Gemm;
use crate::ops::patch::PatchMean;
use crate::ops::pool::MaxPool;
use crate::ops::resample::Upsample;
use crate::ops::resize::{AxisTaps, record_columns, record_rows};
use crate::ops::{Activation, gather};
use crate::reference as plain;
use rand::{Rng, SeedableRng};
use std::time::Instant;

/// What a check found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measured {
    /// Largest absolute difference from the reference.
    pub error: f64,
    /// What rounding in f32 explains.
    pub tolerance: f64,
    /// Seconds of one run, submission included, pipeline building not.
    pub seconds: f64,
}

/// A kernel that was checked, or could not be run.
#[derive(Debug)]
pub struct Check {
    /// Kernel family, the name of its shader.
    pub name: &'static str,
    /// Sizes.
    pub shape: &'static str,
    /// What was found, or why the kernel did not run.
    pub outcome: Result<Measured>,
}

impl Check {
    /// Whether the kernel ran and its error is within the tolerance.
    pub fn passed(&self) -> bool {
        self.outcome.as_ref().is_ok_and(|m| m.error <= m.tolerance)
    }
}

type Run = fn(&Device) -> Result<Measured>;

/// The checks in order: kernel, shape, function. A new kernel gets a line here.
const CHECKS: &[(&str, &str, Run)] = &[
    ("resize", "640x480 -> 256, crop 224", resize),
    ("gemm", "197x152x128", gemm),
    ("gemm", "197x152x128, large tiles", gemm_large),
    ("gemm", "197x152x128, f16", gemm_f16),
    ("gemm", "197x152x128, f16, large tiles", gemm_f16_large),
    ("conv", "3x3 stride 2, 57x57x32 -> 48", conv),
    ("depthwise", "5x5, 28x28x240", depthwise),
    ("pool", "3x3 stride 2, 56x56x64", pool),
    ("patch", "28x28x40", patch),
    ("resample", "14x14x112 -> 28x28", resample),
    ("gather", "300 rows of 152", gather_rows),
    ("anomaly_map", "28x28 -> 224x224", anomaly_map),
    ("knn", "6 groups of 67x32, k 6", method::knn),
    ("lof", "6 groups of 67x32, k 6", method::lof),
    ("nearest", "6 groups of 67x32", method::nearest),
    ("mahalanobis", "6 groups of 67x32", method::mahalanobis),
    ("quantile", "85 % of 10 000", method::quantile),
    ("coreset", "200 of 2 000 x 32", method::coreset),
    ("neighbor", "196 in 3 000 x 64", method::neighbor),
];

/// Runs all checks on `device`, the kernel variants being those that its capabilities ask for; `report` gets each as it
/// ends. Returns whether all passed. A kernel that the driver refuses is a failed check, not an error.
///
/// # Errors
/// None at present; device loss shows in the checks.
pub fn run(device: &Device, report: &mut dyn FnMut(&Check)) -> Result<bool> {
    let mut all = true;
    for &(name, shape, check) in CHECKS {
        let check = Check { name, shape, outcome: check(device) };
        all &= check.passed();
        report(&check);
    }
    Ok(all)
}

/// Values uniform in -1 .. 1.
fn noise(seed: u64, len: usize) -> Vec<f32> {
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
    (0..len).map(|_| 2.0 * rng.random::<f32>() - 1.0).collect()
}

fn absolute(values: &[f32]) -> Vec<f32> {
    values.iter().map(|v| v.abs()).collect()
}

fn largest(values: &[f32]) -> f64 {
    values.iter().fold(0.0, |m, v| m.max(f64::from(v.abs())))
}

/// Relative error of `n` chained roundings (Higham, Accuracy and Stability of Numerical Algorithms, section 3.1).
fn gamma(n: u32) -> f64 {
    let nu = f64::from(n) * f64::from(f32::EPSILON) / 2.0;
    nu / (1.0 - nu)
}

/// Runs what `record` records twice, the first time to build pipelines, and compares `c` with `want`.
fn measure(
    device: &Device,
    c: &Tensor,
    want: &[f32],
    tolerance: f64,
    record: impl Fn(&mut Recorder) -> Result<()>,
) -> Result<Measured> {
    let mut recorder = Recorder::new(device);
    record(&mut recorder)?;
    let plan = recorder.finish()?;
    plan.submit()?;
    device.wait()?;
    let started = Instant::now();
    plan.submit()?;
    device.wait()?;
    let seconds = started.elapsed().as_secs_f64();
    let got = device.read_values(c)?;
    // A NaN on either side is as wrong as can be.
    let difference = |(g, w): (&f32, &f32)| {
        let d = (f64::from(*g) - f64::from(*w)).abs();
        if d.is_nan() { f64::INFINITY } else { d }
    };
    let error = got.iter().zip(want).map(difference).fold(0.0, f64::max);
    Ok(Measured { error, tolerance, seconds })
}

fn resize(device: &Device) -> Result<Measured> {
    let (w, h, side, crop) = (640, 480, 256, 224);
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
    let rgb: Vec<u8> = (0..w * h * 3).map(|_| rng.random()).collect();
    let (mean, std) = ([127.0; 3], [128.0; 3]);
    let want = plain::resize::preprocess(&rgb, w, h, side, crop, mean, std)?;
    let geometry = plain::resize::resize_shorter_side_geometry(w, h, side, crop)?;
    let axis = |input: u32, output: u32, first: u32| -> Result<AxisTaps> {
        let table = plain::resize::resize_table(input, output);
        let kept = first as usize..(first + crop) as usize;
        let window: Vec<[u32; 2]> = kept.clone().map(|o| [table.start[o], table.count[o]]).collect();
        Ok(AxisTaps {
            window: device.upload(&window, "resize window")?,
            coefficients: device.upload(
                &table.coefficients[kept.start * table.taps..kept.end * table.taps],
                "resize coefficients",
            )?,
            out: crop,
            taps: table.taps as u32,
        })
    };
    let rows = axis(w, geometry.width, geometry.left)?;
    let columns = axis(h, geometry.height, geometry.top)?;
    let packed: Vec<u32> =
        rgb.chunks_exact(3).map(|p| u32::from(p[0]) | u32::from(p[1]) << 8 | u32::from(p[2]) << 16).collect();
    let x = device.upload(&packed, "pixels")?;
    let between = device.alloc((h * crop) as usize, "resized rows")?;
    let c = device.alloc(want.len(), "resized")?;
    // The 8-bit values are the reference's bit for bit; what is left is the rounding of the normalisation.
    measure(device, &c, &want, 4.0 * f64::from(f32::EPSILON), |recorder| {
        record_rows(recorder, &x, [h, w], &rows, &between, 0)?;
        record_columns(recorder, &between, [crop, 0], &columns, mean, std.map(|s| 1.0 / s), &c, 0)
    })
}

fn gemm(device: &Device) -> Result<Measured> {
    product(device, false)
}

fn gemm_f16(device: &Device) -> Result<Measured> {
    product(device, true)
}

/// The device with the largest tiles that its kernels have, however small the product.
fn large(device: &Device) -> Result<Device> {
    device.with_tuning(Tuning { big_from: 1, coop_big_from: 1, ..device.tuning().clone() })
}

fn gemm_large(device: &Device) -> Result<Measured> {
    product(&large(device)?, false)
}

fn gemm_f16_large(device: &Device) -> Result<Measured> {
    product(&large(device)?, true)
}

fn product(device: &Device, f16: bool) -> Result<Measured> {
    let [m, k, n] = [197_u32, 152, 128];
    let sizes = [m as usize, k as usize, n as usize];
    let (mut x, mut w) = (noise(2, sizes[0] * sizes[1]), noise(3, sizes[2] * sizes[1]));
    if f16 {
        x.iter_mut().chain(&mut w).for_each(|v| *v = half::f16::from_f32(*v).to_f32());
    }
    let want = plain::gemm::gemm(&x, &w, sizes[0], sizes[1], sizes[2]);
    let size = largest(&plain::gemm::gemm(&absolute(&x), &absolute(&w), sizes[0], sizes[1], sizes[2]));
    let up = |v: &[f32]| if f16 { device.upload_f16(v, "operand") } else { device.upload(v, "operand") };
    let (x, w, bias) = (up(&x)?, up(&w)?, device.alloc(sizes[2], "bias")?);
    let c = if f16 { device.alloc_f16(want.len(), "c")? } else { device.alloc(want.len(), "c")? };
    // Tensor cores may cut off where others round; what is stored as f16 is rounded by up to 2^-11.
    let tolerance =
        if f16 { 4.0 * gamma(k + 2) * size + largest(&want) / 2048.0 } else { gamma(k + 2) * size };
    measure(device, &c, &want, tolerance, |recorder| {
        Gemm { x: &x, w: &w, bias: &bias, residual: None, c: &c, m, k, n, activation: Activation::None }
            .record(recorder)
    })
}

fn conv(device: &Device) -> Result<Measured> {
    let shape = ConvShape {
        batch: 2,
        in_h: 57,
        in_w: 57,
        in_c: 32,
        out_c: 48,
        kernel_h: 3,
        kernel_w: 3,
        stride: 2,
        pad_top: 1,
        pad_left: 1,
        out_h: 29,
        out_w: 29,
    };
    let (x, w) = (noise(4, shape.input_len()), noise(5, 48 * 9 * 32));
    let (bias, residual) = (noise(6, 48), noise(7, shape.output_len()));
    let want = plain::conv::conv2d(&x, &w, &bias, Some(&residual), &shape, Activation::Relu);
    let size = largest(&plain::conv::conv2d(
        &absolute(&x),
        &absolute(&w),
        &absolute(&bias),
        Some(&absolute(&residual)),
        &shape,
        Activation::None,
    ));
    let (x, w) = (device.upload(&x, "x")?, device.upload(&w, "w")?);
    let (bias, residual) = (device.upload(&bias, "bias")?, device.upload(&residual, "residual")?);
    let c = device.alloc(want.len(), "c")?;
    measure(device, &c, &want, gamma(9 * 32 + 3) * size, |recorder| {
        Conv {
            x: &x,
            w: &w,
            bias: &bias,
            residual: Some(&residual),
            c: &c,
            shape,
            activation: Activation::Relu,
        }
        .record(recorder)
    })
}

fn depthwise(device: &Device) -> Result<Measured> {
    let shape = ConvShape {
        batch: 2,
        in_h: 28,
        in_w: 28,
        in_c: 240,
        out_c: 240,
        kernel_h: 5,
        kernel_w: 5,
        stride: 1,
        pad_top: 2,
        pad_left: 2,
        out_h: 28,
        out_w: 28,
    };
    let (x, w, bias) = (noise(8, shape.input_len()), noise(9, 25 * 240), noise(10, 240));
    let want = plain::depthwise::depthwise(&x, &w, &bias, &shape, Activation::Relu6);
    let size = largest(&plain::depthwise::depthwise(
        &absolute(&x),
        &absolute(&w),
        &absolute(&bias),
        &shape,
        Activation::None,
    ));
    let (x, w, bias) = (device.upload(&x, "x")?, device.upload(&w, "w")?, device.upload(&bias, "bias")?);
    let c = device.alloc(want.len(), "c")?;
    measure(device, &c, &want, gamma(27) * size, |recorder| {
        Depthwise { x: &x, w: &w, bias: &bias, c: &c, shape, activation: Activation::Relu6 }.record(recorder)
    })
}

fn pool(device: &Device) -> Result<Measured> {
    let shape = ConvShape {
        batch: 2,
        in_h: 56,
        in_w: 56,
        in_c: 64,
        out_c: 64,
        kernel_h: 3,
        kernel_w: 3,
        stride: 2,
        pad_top: 1,
        pad_left: 1,
        out_h: 28,
        out_w: 28,
    };
    let x = noise(11, shape.input_len());
    let want = plain::pool::max_pool(&x, &shape);
    let (x, c) = (device.upload(&x, "x")?, device.alloc(want.len(), "c")?);
    // A maximum does not round.
    measure(device, &c, &want, 0.0, |recorder| MaxPool { x: &x, c: &c, shape }.record(recorder))
}

fn patch(device: &Device) -> Result<Measured> {
    let x = noise(12, 28 * 28 * 40);
    let want = plain::patch::patch_mean3(&x, [28, 28, 40]);
    let (x, c) = (device.upload(&x, "x")?, device.alloc(want.len(), "c")?);
    measure(device, &c, &want, gamma(10), |recorder| {
        PatchMean { x: &x, c: &c, shape: [1, 28, 28, 40], row: 40, to: 0 }.record(recorder)
    })
}

fn resample(device: &Device) -> Result<Measured> {
    let x = noise(13, 14 * 14 * 112);
    let want = plain::resample::upsample_bilinear(&x, [14, 14, 112], [28, 28]);
    let (x, c) = (device.upload(&x, "x")?, device.alloc(want.len(), "c")?);
    measure(device, &c, &want, gamma(12), |recorder| {
        Upsample { x: &x, c: &c, shape: [1, 14, 14, 112], out: [28, 28], row: 112, to: 0 }.record(recorder)
    })
}

fn gather_rows(device: &Device) -> Result<Measured> {
    let (rows, columns) = (300_usize, 152_usize);
    let x = noise(14, rows * columns);
    // Row i to place (7 i) mod 300: each once.
    let pairs: Vec<[u32; 2]> = (0..rows as u32).map(|i| [i, 7 * i % rows as u32]).collect();
    let mut want = vec![0.0; x.len()];
    for [from, to] in &pairs {
        let (from, to) = (*from as usize * columns, *to as usize * columns);
        want[to..to + columns].copy_from_slice(&x[from..from + columns]);
    }
    let (x, pairs) = (device.upload(&x, "x")?, device.upload(&pairs, "pairs")?);
    let c = device.alloc(want.len(), "c")?;
    measure(device, &c, &want, 0.0, |recorder| {
        gather::record(recorder, &x, &pairs, rows as u32, columns as u32, &c)
    })
}

fn anomaly_map(device: &Device) -> Result<Measured> {
    let scores = absolute(&noise(15, 28 * 28));
    let want = plain::anomaly_map::anomaly_map(&scores, [28, 28], [224, 224]);
    let map = AnomalyMap::new(device, [28, 28], [224, 224])?;
    let scores = device.upload(&scores, "scores")?;
    let (scratch, c) = (device.alloc(map.scratch_len(1), "scratch")?, device.alloc(want.len(), "map")?);
    // Two products of 28 terms with matrices whose rows add up to 1.
    measure(device, &c, &want, gamma(2 * 31), |recorder| map.record(recorder, &scores, &scratch, &c, 1))
}
