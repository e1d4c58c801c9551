//! Times the shapes of `../shapes.txt` with burn's wgpu backend, on the adapter that wgpu prefers. CSV on
//! standard output, the columns of `ops.py`. `peers-burn [SECONDS]`: the least time for a shape.
//!
//! Every answer is checked on samples against a loop in f64 before it is timed. Convolutions run on NCHW
//! tensors and on views of NHWC ones; the faster one stands. A run is one operation and the wait for it, as
//! in `benches/peer_shapes.rs`. Networks are left out.

use std::time::Instant;

use burn::tensor::module::conv2d;
use burn::tensor::ops::ConvOptions;
use burn::tensor::{Device, Tensor, TensorData};

const SHAPES: &str = include_str!("../../shapes.txt");
const SAMPLES: usize = 200;

/// Repeatable values in -0.5 .. 0.5, the same in all three programs.
fn values(len: usize, seed: usize) -> Vec<f32> {
    (0..len).map(|i| (((i * 7919 + seed * 104_729) % 1009) as f64 / 1009.0 - 0.5) as f32).collect()
}

fn check(got: f32, want: f64, at: &str) {
    let difference = (f64::from(got) - want).abs();
    assert!(difference <= 1e-3 + 1e-5 * want.abs(), "{at}: {got}, not {want}");
}

/// Seconds of each run, sorted: 3 to warm up (burn tunes its kernels in the first), then 5 or more.
fn timed(device: &Device, least: f64, run: impl Fn() -> Tensor<4>) -> Vec<f64> {
    let once = || {
        let start = Instant::now();
        let out = run();
        device.sync().expect("the device works");
        drop(out);
        start.elapsed().as_secs_f64()
    };
    for _ in 0..3 {
        once();
    }
    let mut seconds = Vec::new();
    while seconds.len() < 5 || seconds.iter().sum::<f64>() < least {
        seconds.push(once());
    }
    seconds.sort_by(f64::total_cmp);
    seconds
}

/// Floating-point operations, and for each layout its name and times.
type Timed = (usize, Vec<(&'static str, Vec<f64>)>);

fn gemm(device: &Device, [m, k, n]: [usize; 3], least: f64) -> Timed {
    let (a, b) = (values(m * k, 1), values(n * k, 2));
    let ta = Tensor::<4>::from_data(TensorData::new(a.clone(), [1, 1, m, k]), device);
    let tb = Tensor::<4>::from_data(TensorData::new(b.clone(), [1, 1, n, k]), device).swap_dims(2, 3);
    let run = || ta.clone().matmul(tb.clone());
    let c = run().into_data().try_to_vec::<f32>().expect("f32");
    for i in 0..SAMPLES {
        let (row, column) = (i * 37 % m, i * 101 % n);
        let dot = (0..k).map(|i| f64::from(a[row * k + i]) * f64::from(b[column * k + i])).sum();
        check(c[row * n + column], dot, &format!("gemm {row} {column}"));
    }
    (2 * m * k * n, vec![("", timed(device, least, run))])
}

fn conv(device: &Device, [h, w, cin, cout, kernel, stride, groups]: [usize; 7], least: f64) -> Timed {
    let (pad, per) = (kernel / 2, cin / groups);
    let (x, weight) = (values(h * w * cin, 1), values(cout * kernel * kernel * per, 2));
    let x_nhwc = Tensor::<4>::from_data(TensorData::new(x.clone(), [1, h, w, cin]), device);
    let w_nhwc = Tensor::<4>::from_data(TensorData::new(weight.clone(), [cout, kernel, kernel, per]), device);
    // The same values, copied into the order of an NCHW tensor.
    let nchw = |t: &Tensor<4>| {
        let data = t.clone().permute([0, 3, 1, 2]).into_data();
        Tensor::<4>::from_data(data, device)
    };
    let views = (x_nhwc.clone().permute([0, 3, 1, 2]), w_nhwc.clone().permute([0, 3, 1, 2]));
    let mut flops = 0;
    let mut times = Vec::new();
    for (name, (tx, tw)) in [("nchw", (nchw(&x_nhwc), nchw(&w_nhwc))), ("nhwc", views)] {
        let run = || {
            let options = ConvOptions::new([stride; 2], [pad; 2], [1; 2], groups);
            conv2d(tx.clone(), tw.clone(), None, options)
        };
        let out = run();
        let [_, _, oh, ow] = out.dims();
        let c = out.into_data().try_to_vec::<f32>().expect("f32");
        for i in 0..SAMPLES {
            let (o, y, z) = (i * 101 % cout, i * 37 % oh, i * 13 % ow);
            let first = o / (cout / groups) * per;
            let mut sum = 0.0;
            for (ky, kx) in (0..kernel * kernel).map(|t| (t / kernel, t % kernel)) {
                let (iy, ix) = (y * stride + ky, z * stride + kx);
                if iy < pad || ix < pad || iy >= h + pad || ix >= w + pad {
                    continue;
                }
                for ch in 0..per {
                    let at = ((iy - pad) * w + ix - pad) * cin + first + ch;
                    let wt = ((o * kernel + ky) * kernel + kx) * per + ch;
                    sum += f64::from(x[at]) * f64::from(weight[wt]);
                }
            }
            check(c[(o * oh + y) * ow + z], sum, &format!("conv {o} {y} {z}"));
        }
        flops = 2 * c.len() * per * kernel * kernel;
        times.push((name, timed(device, least, run)));
    }
    (flops, times)
}

fn main() {
    let least = std::env::args().nth(1).map_or(1.0, |s| s.parse().expect("SECONDS is a number"));
    let device = Device::wgpu(Default::default());
    let adapter = device.identity().map_or_else(String::new, |i| i.name);
    println!("program,shape,ms_median,ms_min,gflops,repeats,detail");
    for line in SHAPES.lines().filter(|l| l.starts_with("gemm ") || l.starts_with("conv ")) {
        let (kind, sizes) = line.split_once(' ').expect("KIND SIZES");
        let sizes: Vec<usize> = sizes.split(' ').map(|s| s.parse().expect("a size")).collect();
        let (flops, times) = match kind {
            "gemm" => gemm(&device, sizes.try_into().expect("M K N"), least),
            _ => conv(&device, sizes.try_into().expect("seven sizes"), least),
        };
        let median = |s: &[f64]| s[s.len() / 2];
        let best = times.iter().min_by(|a, b| median(&a.1).total_cmp(&median(&b.1)));
        let (layout, seconds) = best.expect("at least one layout");
        println!(
            "burn,{line},{:.3},{:.3},{:.2},{},\"{} {layout}\"",
            median(seconds) * 1e3,
            seconds[0] * 1e3,
            flops as f64 / median(seconds) / 1e9,
            seconds.len(),
            adapter.replace('"', "'")
        );
    }
}
