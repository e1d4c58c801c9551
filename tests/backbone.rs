//! Convolutions, pooling, patches and whole backbones against the plain-Rust reference and PyTorch's activations.

mod common;

use common::{assert_close, devices, gamma, noise, serial};
use proptest::prelude::*;
use softpatch::gpu::{Device, Recorder};
use softpatch::ops::conv::{Conv, ConvShape};
use softpatch::ops::depthwise::Depthwise;
use softpatch::ops::gemm::Gemm;
use softpatch::ops::patch::PatchMean;
use softpatch::ops::pool::MaxPool;
use softpatch::ops::resample::Upsample;
use softpatch::ops::{Activation, gather};
use softpatch::reference;

/// Inputs lie in -1 .. 1, so a sum of k products plus bias and residual errs by at most gamma(k + 3) * (k + 2).
fn bound(k: usize) -> f32 {
    gamma(k + 3) * (k as f32 + 2.0)
}

fn run(device: &Device, f: impl FnOnce(&mut Recorder) -> softpatch::Result<()>) {
    let mut recorder = Recorder::new(device);
    f(&mut recorder).unwrap();
    recorder.run().unwrap();
}

fn shapes() -> impl Strategy<Value = ConvShape> {
    let sizes = (1_u32..3, 1_u32..20, 1_u32..20, 1_u32..5, 1_u32..12);
    (sizes, prop_oneof![Just(1_u32), Just(3), Just(5)], 1_u32..3, 0_u32..3).prop_filter_map(
        "the kernel fits",
        |((batch, in_h, in_w, ci, co), kernel, stride, pad)| {
            let out = |n: u32| Some((n + 2 * pad).checked_sub(kernel)? / stride + 1);
            Some(ConvShape {
                batch,
                in_h,
                in_w,
                in_c: 4 * ci,
                out_c: 4 * co,
                kernel_h: kernel,
                kernel_w: kernel,
                stride,
                pad_top: pad,
                pad_left: pad,
                out_h: out(in_h)?,
                out_w: out(in_w)?,
            })
        },
    )
}

fn activations() -> impl Strategy<Value = Activation> {
    prop_oneof![Just(Activation::None), Just(Activation::Relu), Just(Activation::Relu6)]
}

fn activate(v: f32, activation: Activation) -> f32 {
    match activation {
        Activation::None => v,
        Activation::Relu => v.max(0.0),
        Activation::Relu6 => v.clamp(0.0, 6.0),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn gemm_equals_the_reference(
        m in 1_usize..150, k4 in 1_usize..20, n4 in 1_usize..40, residual: bool, activation in activations(), seed: u64,
    ) {
        let _guard = serial();
        let (k, n) = (4 * k4, 4 * n4);
        let (x, w) = (noise(seed, m * k, 0.0, 1.0), noise(seed ^ 1, n * k, 0.0, 1.0));
        let (bias, add) = (noise(seed ^ 2, n, 0.0, 1.0), noise(seed ^ 3, m * n, 0.0, 1.0));
        let mut want = reference::gemm::gemm(&x, &w, m, k, n);
        for (i, v) in want.iter_mut().enumerate() {
            let extra = if residual { add[i] } else { 0.0 };
            *v = activate(*v + bias[i % n] + extra, activation);
        }
        for (name, device) in devices() {
            let up = |v: &[f32]| device.upload(v, "test").unwrap();
            let (tx, tw, tb, tr) = (up(&x), up(&w), up(&bias), up(&add));
            let c = device.alloc(m * n, "c").unwrap();
            run(device, |r| {
                Gemm { x: &tx, w: &tw, bias: &tb, residual: residual.then_some(&tr), c: &c,
                    m: m as u32, k: k as u32, n: n as u32, activation }.record(r)
            });
            assert_close(&format!("{name} {m}x{k}x{n}"), &device.read(&c).unwrap(), &want, bound(k), 0.0);
        }
    }

    #[test]
    fn conv_equals_the_reference(shape in shapes(), residual: bool, activation in activations(), seed: u64) {
        let _guard = serial();
        let k = (shape.kernel_h * shape.kernel_w * shape.in_c) as usize;
        let x = noise(seed, shape.input_len(), 0.0, 1.0);
        let w = noise(seed ^ 1, k * shape.out_c as usize, 0.0, 1.0);
        let bias = noise(seed ^ 2, shape.out_c as usize, 0.0, 1.0);
        let add = noise(seed ^ 3, shape.output_len(), 0.0, 1.0);
        let add = residual.then_some(add);
        let want = reference::conv::conv2d(&x, &w, &bias, add.as_deref(), &shape, activation);
        for (name, device) in devices() {
            let up = |v: &[f32]| device.upload(v, "test").unwrap();
            let (tx, tw, tb) = (up(&x), up(&w), up(&bias));
            let tr = add.as_deref().map(up);
            let c = device.alloc(shape.output_len(), "c").unwrap();
            run(device, |r| {
                Conv { x: &tx, w: &tw, bias: &tb, residual: tr.as_ref(), c: &c, shape, activation }.record(r)
            });
            assert_close(&format!("{name} {shape:?}"), &device.read(&c).unwrap(), &want, bound(k), 0.0);
        }
    }

    #[test]
    fn depthwise_equals_the_reference(shape in shapes(), activation in activations(), seed: u64) {
        let _guard = serial();
        let shape = ConvShape { out_c: shape.in_c, ..shape };
        let taps = (shape.kernel_h * shape.kernel_w) as usize;
        let x = noise(seed, shape.input_len(), 0.0, 1.0);
        let w = noise(seed ^ 1, taps * shape.in_c as usize, 0.0, 1.0);
        let bias = noise(seed ^ 2, shape.in_c as usize, 0.0, 1.0);
        let want = reference::depthwise::depthwise(&x, &w, &bias, &shape, activation);
        for (name, device) in devices() {
            let up = |v: &[f32]| device.upload(v, "test").unwrap();
            let (tx, tw, tb) = (up(&x), up(&w), up(&bias));
            let c = device.alloc(shape.output_len(), "c").unwrap();
            run(device, |r| Depthwise { x: &tx, w: &tw, bias: &tb, c: &c, shape, activation }.record(r));
            assert_close(&format!("{name} {shape:?}"), &device.read(&c).unwrap(), &want, bound(taps), 0.0);
        }
    }

    #[test]
    fn pooling_patches_and_resampling_equal_the_reference(
        shape in shapes(), out_h in 1_u32..30, out_w in 1_u32..30, seed: u64,
    ) {
        let _guard = serial();
        let c = shape.in_c;
        let shape = ConvShape { out_c: c, ..shape };
        // A window that lies in the padding alone has no maximum.
        prop_assume!(shape.pad_top < shape.kernel_h);
        let x = noise(seed, shape.input_len(), 0.0, 1.0);
        let pooled = reference::pool::max_pool(&x, &shape);
        let image = shape.input_len() / shape.batch as usize;
        let size = [shape.in_h as usize, shape.in_w as usize, c as usize];
        let out = [out_h as usize, out_w as usize];
        let by_image = |f: &dyn Fn(&[f32]) -> Vec<f32>| x.chunks_exact(image).flat_map(f).collect::<Vec<f32>>();
        let patches = by_image(&|x| reference::patch::patch_mean3(x, size));
        let resampled = by_image(&|x| reference::resample::upsample_bilinear(x, size, out));
        // Outputs stand in channels 4 .. 4 + c of rows of c + 8, the rest stays 0.
        let row = c + 8;
        let embed = |values: &[f32]| -> Vec<f32> {
            values
                .chunks_exact(c as usize)
                .flat_map(|v| [&[0.0; 4], v, &[0.0; 4]].concat())
                .collect()
        };
        for (name, device) in devices() {
            let tx = device.upload(&x, "x").unwrap();
            let in_shape = [shape.batch, shape.in_h, shape.in_w, c];
            let a = device.alloc(shape.output_len(), "pooled").unwrap();
            let b = device.alloc((shape.batch * shape.in_h * shape.in_w * row) as usize, "patches").unwrap();
            let d = device.alloc((shape.batch * out_h * out_w * row) as usize, "resampled").unwrap();
            run(device, |r| {
                MaxPool { x: &tx, c: &a, shape }.record(r)?;
                PatchMean { x: &tx, c: &b, shape: in_shape, row, to: 4 }.record(r)?;
                Upsample { x: &tx, c: &d, shape: in_shape, out: [out_h, out_w], row, to: 4 }.record(r)
            });
            assert_close(&format!("{name} pool {shape:?}"), &device.read(&a).unwrap(), &pooled, 0.0, 0.0);
            assert_close(&format!("{name} patch"), &device.read(&b).unwrap(), &embed(&patches), bound(9), 0.0);
            // The position itself is computed in f32: sizes up to 30 with 1 ulp each, times the largest slope, 2.
            let slack = bound(4) + 30.0 * 4.0 * f32::EPSILON;
            assert_close(&format!("{name} resample"), &device.read(&d).unwrap(), &embed(&resampled), slack, 0.0);
        }
    }

    #[test]
    fn gather_moves_rows(rows in 1_usize..60, c4 in 1_usize..5, picks in prop::collection::vec(any::<prop::sample::Index>(), 1..50)) {
        let _guard = serial();
        let c = 4 * c4;
        let x = noise(7, rows * c, 0.0, 1.0);
        let pairs: Vec<[u32; 2]> = picks.iter().enumerate().map(|(i, p)| [p.index(rows) as u32, i as u32]).collect();
        let want: Vec<f32> = pairs.iter().flat_map(|p| x[p[0] as usize * c..][..c].to_vec()).collect();
        for (name, device) in devices() {
            let (tx, tp) = (device.upload(&x, "x").unwrap(), device.upload(&pairs, "pairs").unwrap());
            let out = device.alloc(pairs.len() * c, "out").unwrap();
            run(device, |r| gather::record(r, &tx, &tp, pairs.len() as u32, c as u32, &out));
            assert_close(name, &device.read(&out).unwrap(), &want, 0.0, 0.0);
        }
    }
}
