//! Times the shapes of `tools/peers/shapes.txt` with softpatch's kernels, on the default adapter. CSV on
//! standard output, the columns of `tools/peers/ops.py`. `peer-shapes [SECONDS [half]]`: the least time for a
//! shape, and operands and results in f16.
//!
//! Answers of operations are checked on samples against a loop in f64 before they are timed; samples of a
//! network's are printed, and `table.py` compares those of all programs. A run is one operation and the wait
//! for it, as in `tools/peers/burn/`. Weights stay where they are over the runs, as a network's do.

use std::time::Instant;

use softpatch::Result;
use softpatch::low_level::backbone::network::Kind;
use softpatch::low_level::backbone::{Extractor, WeightFile, efficientnet_lite};
use softpatch::low_level::gpu::{Device, DeviceOptions, Plan, Recorder, Tensor};
use softpatch::low_level::shapes::{Activation, ConvShape};
use softpatch::low_level::steps::network::conv::Conv;
use softpatch::low_level::steps::network::depthwise::Depthwise;
use softpatch::low_level::steps::network::gemm::Gemm;

const SHAPES: &str = include_str!("../tools/peers/shapes.txt");
const SAMPLES: usize = 200;

/// Repeatable values in -0.5 .. 0.5, the same in all three programs.
fn values(len: usize, seed: usize) -> Vec<f32> {
    (0..len).map(|i| (((i * 7919 + seed * 104_729) % 1009) as f64 / 1009.0 - 0.5) as f32).collect()
}

/// A device, and how operands and results lie there.
struct Place {
    device: Device,
    f16: bool,
}

impl Place {
    /// The tensor, and its values as they were stored.
    fn upload(&self, values: &[f32]) -> Result<(Tensor, Vec<f32>)> {
        let tensor =
            if self.f16 { self.device.upload_f16(values, "in") } else { self.device.upload(values, "in") }?;
        let stored = self.device.read_values(&tensor)?;
        Ok((tensor, stored))
    }

    fn alloc(&self, values: usize) -> Result<Tensor> {
        if self.f16 { self.device.alloc_f16(values, "out") } else { self.device.alloc(values, "out") }
    }

    fn check(&self, got: f32, want: f64, at: &str) {
        let difference = (f64::from(got) - want).abs();
        let (absolute, relative) = if self.f16 { (1e-2, 1.0 / 512.0) } else { (1e-3, 1e-5) };
        assert!(difference <= absolute + relative * want.abs(), "{at}: {got}, not {want}");
    }
}

fn plan(device: &Device, record: impl FnOnce(&mut Recorder) -> Result<()>) -> Result<Plan> {
    let mut recorder = Recorder::new(device);
    record(&mut recorder)?;
    recorder.finish()
}

/// Seconds of each run, sorted: 3 to warm up, then 5 or more.
fn timed(device: &Device, least: f64, work: &Plan) -> Result<Vec<f64>> {
    let once = || -> Result<f64> {
        let start = Instant::now();
        work.submit()?;
        device.wait()?;
        Ok(start.elapsed().as_secs_f64())
    };
    for _ in 0..3 {
        once()?;
    }
    let mut seconds = Vec::new();
    while seconds.len() < 5 || seconds.iter().sum::<f64>() < least {
        seconds.push(once()?);
    }
    seconds.sort_by(f64::total_cmp);
    Ok(seconds)
}

/// Runs once, to be checked.
fn answer(device: &Device, work: &Plan, out: &Tensor) -> Result<Vec<f32>> {
    work.submit()?;
    device.wait()?;
    device.read_values(out)
}

/// Floating-point operations and times.
fn gemm(place: &Place, [m, k, n]: [usize; 3], least: f64) -> Result<(usize, Vec<f64>)> {
    let device = &place.device;
    let ((x, a), (w, b)) = (place.upload(&values(m * k, 1))?, place.upload(&values(n * k, 2))?);
    let w = w.constant();
    let bias = device.upload(&vec![0.0_f32; n], "bias")?;
    let out = place.alloc(m * n)?;
    let work = plan(device, |r| {
        let (m, k, n) = (m as u32, k as u32, n as u32);
        Gemm { x: &x, w: &w, bias: &bias, residual: None, c: &out, m, k, n, activation: Activation::None }
            .record(r)
    })?;
    let c = answer(device, &work, &out)?;
    for i in 0..SAMPLES {
        let (row, column) = (i * 37 % m, i * 101 % n);
        let dot = (0..k).map(|i| f64::from(a[row * k + i]) * f64::from(b[column * k + i])).sum();
        place.check(c[row * n + column], dot, &format!("gemm {row} {column}"));
    }
    Ok((2 * m * k * n, timed(device, least, &work)?))
}

fn conv(place: &Place, sizes: [usize; 7], least: f64) -> Result<(usize, Vec<f64>)> {
    let device = &place.device;
    let [h, w, cin, cout, kernel, stride, groups] = sizes;
    assert!(groups == 1 || (groups == cin && cin == cout), "grouped convolutions are depthwise");
    let (pad, per) = (kernel / 2, cin / groups);
    let out_side = |side: usize| (side + 2 * pad - kernel) / stride + 1;
    let (oh, ow) = (out_side(h), out_side(w));
    let shape = ConvShape {
        batch: 1,
        in_h: h as u32,
        in_w: w as u32,
        in_c: cin as u32,
        out_c: cout as u32,
        kernel_h: kernel as u32,
        kernel_w: kernel as u32,
        stride: stride as u32,
        pad_top: pad as i32,
        pad_left: pad as u32,
        out_h: oh as u32,
        out_w: ow as u32,
    };
    // Weights are [out][ky][kx][in]; a depthwise kernel wants [ky][kx][channel].
    let weight = values(cout * kernel * kernel * per, 2);
    let taps = kernel * kernel;
    let ordered = match groups {
        1 => weight,
        _ => (0..taps * cout).map(|i| weight[i % cout * taps + i / cout]).collect(),
    };
    let ((tx, x), (tw, weight)) = (place.upload(&values(shape.input_len(), 1))?, place.upload(&ordered)?);
    let tw = tw.constant();
    let bias = device.upload(&vec![0.0_f32; cout], "bias")?;
    let out = place.alloc(shape.output_len())?;
    let work = plan(device, |r| {
        let activation = Activation::None;
        match groups {
            1 => Conv { x: &tx, w: &tw, bias: &bias, residual: None, c: &out, shape, activation }.record(r),
            _ => Depthwise { x: &tx, w: &tw, bias: &bias, c: &out, shape, activation }.record(r),
        }
    })?;
    let c = answer(device, &work, &out)?;
    for i in 0..SAMPLES {
        let (o, y, z) = (i * 101 % cout, i * 37 % oh, i * 13 % ow);
        let first = o / (cout / groups) * per;
        let mut sum = 0.0;
        for (ky, kx) in (0..taps).map(|t| (t / kernel, t % kernel)) {
            let (iy, ix) = (y * stride + ky, z * stride + kx);
            if iy < pad || ix < pad || iy >= h + pad || ix >= w + pad {
                continue;
            }
            for ch in 0..per {
                let at = ((iy - pad) * w + ix - pad) * cin + first + ch;
                let tap = ky * kernel + kx;
                let wt = if groups == 1 { (o * taps + tap) * per + ch } else { tap * cout + o };
                sum += f64::from(x[at]) * f64::from(weight[wt]);
            }
        }
        place.check(c[(y * ow + z) * cout + o], sum, &format!("conv {o} {y} {z}"));
    }
    Ok((2 * c.len() * per * taps, timed(device, least, &work)?))
}

/// EfficientNet-Lite0 to block 10, `batch` images of 224 x 224: operations, times, and samples of what comes
/// out.
fn network(device: &Device, batch: usize, least: f64) -> Result<(usize, Vec<f64>, String)> {
    let network = efficientnet_lite(0).with_taps(&["block10"])?;
    let sizes = network.sizes(224, 224)?;
    let operations = |i: usize| {
        let shape = network.conv_shape(i, &sizes, batch as u32);
        let depth = match network.layers[i].kind {
            Kind::Conv { .. } if i == 0 => 3,
            Kind::Conv { .. } => shape.in_c,
            Kind::Depthwise | Kind::MaxPool => 1,
        };
        2 * shape.output_len() * (shape.kernel_h * shape.kernel_w * depth) as usize
    };
    let flops = (0..network.layers.len()).map(operations).sum();
    let mut extractor = Extractor::new(device, network, &WeightFile::embedded(), 224, batch as u32)?;
    // The fourth value of a pixel is nothing.
    let image: Vec<f32> =
        values(batch * 224 * 224 * 3, 1).chunks(3).flat_map(|rgb| [rgb[0], rgb[1], rgb[2], 0.0]).collect();
    device.write(extractor.input(), 0, &image);
    let (out, _) = extractor.tap(0).expect("an image of 224 x 224 is computed at once");
    let work = extractor.plan(batch as u32, 0)?;
    let all = answer(device, work, &out)?;
    let all = &all[..batch * 14 * 14 * 112];
    let samples = (0..SAMPLES).map(|i| format!("{:.5}", all[i * 9973 % all.len()]));
    Ok((flops, timed(device, least, work)?, samples.collect::<Vec<_>>().join(" ")))
}

fn main() -> Result<()> {
    let least = std::env::args().nth(1).map_or(1.0, |s| s.parse().expect("SECONDS is a number"));
    // As release builds run them, whatever the profile of this build.
    let device = Device::open(&DeviceOptions { unchecked: Some(true), ..DeviceOptions::default() })?;
    let place = Place { device, f16: std::env::args().nth(2).is_some_and(|s| s == "half") };
    let caps = place.device.caps();
    let stored = if place.f16 { ", f16" } else { "" };
    let detail = format!("{}, kernels {}{stored}", caps.adapter, caps.archetype).replace('"', "'");
    println!("program,shape,ms_median,ms_min,gflops,repeats,detail,answer");
    for line in SHAPES.lines().filter(|l| !l.is_empty() && !l.starts_with('#')) {
        let (kind, sizes) = line.split_once(' ').expect("KIND SIZES");
        let sizes: Vec<usize> = sizes.split(' ').map(|s| s.parse().expect("a size")).collect();
        let mut samples = String::new();
        let (flops, seconds) = match kind {
            "gemm" => gemm(&place, sizes.try_into().expect("M K N"), least)?,
            "conv" => conv(&place, sizes.try_into().expect("seven sizes"), least)?,
            "network" if place.f16 => {
                eprintln!("{line}: left out, f32 only");
                continue;
            }
            "network" => {
                let (flops, seconds, answer) = network(&place.device, sizes[0], least)?;
                samples = answer;
                (flops, seconds)
            }
            _ => panic!("{line}: there is no {kind}"),
        };
        let median = seconds[seconds.len() / 2];
        println!(
            "softpatch,{line},{:.3},{:.3},{:.2},{},\"{detail}\",{samples}",
            median * 1e3,
            seconds[0] * 1e3,
            flops as f64 / median / 1e9,
            seconds.len()
        );
    }
    Ok(())
}
