//! Storage in f16, tiles of 128 x 128 and cooperative matrices (emulated where the adapter has none) against
//! the plain-Rust reference, which is given the rounded operands: what is left is the rounding of sums and of
//! what is stored.

use crate::backbone::depthwise_shapes;
use crate::common::{
    DIVISION, F16_FLUSHED, F16_ROUNDING, Named, assert_close, devices, direct, gamma, noise, on_each,
    second_pass, turn,
};
use half::f16;
use softpatch::low_level::backbone::{Extraction, Extractor, Precision, WeightFile, efficientnet_lite};
use softpatch::low_level::gpu::{Archetype, Coop, Device, DeviceOptions, Feature, Recorder, Tensor, Tuning};
use softpatch::low_level::reference;
use softpatch::low_level::shapes::{Activation, ConvShape};
use softpatch::low_level::steps::network::conv::Conv;
use softpatch::low_level::steps::network::depthwise::Depthwise;
use softpatch::low_level::steps::network::gemm::Gemm;
use softpatch::low_level::steps::network::pool::MaxPool;
use softpatch::low_level::steps::patches::{means::PatchMean, pooling::Pooled};
use softpatch::low_level::steps::tuning::{BIG_FROM, COOP_BIG_FROM, COOP_MIDDLE_FROM, MIDDLE_FROM};
use std::sync::OnceLock;

pub(crate) fn run(device: &Device, f: impl FnOnce(&mut Recorder) -> softpatch::Result<()>) {
    let mut recorder = Recorder::new(device);
    f(&mut recorder).unwrap();
    recorder.run().unwrap();
}

/// Numbers of f16 in -1 .. 1, none subnormal: a device may take such for zero.
pub(crate) fn rounded(seed: u64, len: usize) -> Vec<f32> {
    let round = |v: f32| if v.abs() < F16_FLUSHED { 0.0 } else { f16::from_f32(v).to_f32() };
    noise(seed, len, 0.0, 1.0).into_iter().map(round).collect()
}

/// Sums of k products of numbers in -1 .. 1, bias and residual, as in `backbone.rs`; twice that, since tensor
/// cores line up several products and cut all of them off where the largest one's digits end.
fn bound(k: usize) -> f32 {
    2.0 * gamma(k + 3) * (k as f32 + 2.0)
}

/// Absolute and relative error of a sum of k products, stored as f16 or not.
fn stored(k: usize, half: bool) -> (f32, f32) {
    if half { (bound(k) + F16_FLUSHED, F16_ROUNDING) } else { (bound(k), 0.0) }
}

/// `tiled` with tiles of each size, and both kinds of checks; without cooperative matrices.
pub(crate) fn tilings() -> &'static [Named] {
    static TILINGS: OnceLock<Vec<Named>> = OnceLock::new();
    if second_pass() {
        // These have no use for subgroups.
        return &[];
    }
    TILINGS.get_or_init(|| {
        let open = |(name, big_from, middle_from, unchecked): (&str, u32, u32, bool)| {
            let options = DeviceOptions {
                archetype: Some(Archetype::Tiled),
                unchecked: Some(unchecked),
                default_limits: !unchecked,
                without: vec![Feature::Coop],
                tuning: Some(Tuning::default().with(&BIG_FROM, big_from).with(&MIDDLE_FROM, middle_from)),
                ..Default::default()
            };
            (name.to_owned(), Device::open(&options).unwrap())
        };
        let never = u32::MAX;
        let sizes = [
            ("tiled checked small", never, never, false),
            ("tiled unchecked middle", never, 1, true),
            ("tiled unchecked big", 1, 1, true),
        ];
        sizes.map(open).to_vec()
    })
}

/// Every device of the `direct` family, and `tiled` with all sizes of tiles.
pub(crate) fn plain_devices() -> &'static [Named] {
    static PLAIN: OnceLock<Vec<Named>> = OnceLock::new();
    PLAIN.get_or_init(|| {
        let direct = devices().iter().filter(|(_, d)| d.caps().archetype == Archetype::Direct);
        direct.chain(tilings()).cloned().collect()
    })
}

/// Those, and cooperative matrices of both sides with all sizes of tiles: every way to compute with f16.
pub(crate) fn half_devices() -> &'static [Named] {
    static HALF: OnceLock<Vec<Named>> = OnceLock::new();
    HALF.get_or_init(|| {
        let mut all = plain_devices().to_vec();
        if second_pass() {
            return all;
        }
        let archetype = Some(Archetype::Tiled);
        let real = Device::open(&DeviceOptions { archetype, ..Default::default() }).unwrap();
        if !real.caps().f16 {
            println!("skipped: {} has no arithmetic in f16, not even emulated matrices", real.caps().adapter);
            return all;
        }
        if real.caps().coop.is_none() {
            println!("skipped: {} has no cooperative matrices; they are emulated", real.caps().adapter);
        }
        for side in [8, 16] {
            let never = u32::MAX;
            for (name, big_from, middle_from) in
                [("small", never, never), ("middle", never, 1), ("big", 1, 1)]
            {
                let sizes = Tuning::default().with(&COOP_BIG_FROM, big_from);
                let tuning = Some(sizes.with(&COOP_MIDDLE_FROM, middle_from));
                let unchecked = Some((side == 8) == (name == "big"));
                let options = DeviceOptions {
                    archetype,
                    unchecked,
                    tuning,
                    emulate_coop: Some((side, 32)),
                    ..Default::default()
                };
                all.push((format!("coop {side} {name}, emulated"), Device::open(&options).unwrap()));
                if real.caps().coop.is_some_and(|c| c.side == side) {
                    let options = DeviceOptions { emulate_coop: None, ..options };
                    all.push((format!("coop {side} {name}"), Device::open(&options).unwrap()));
                }
            }
        }
        all
    })
}

/// Workgroup memory of `gemm_coop.wgsl` with tiles of `sides` fragments a side: two tiles, rows of which are
/// staged as far as 4 subgroups load at once and padded, and a row of fragments of f32 for each subgroup.
fn coop_bytes(coop: Coop, sides: u32) -> u32 {
    let tile = sides * coop.side;
    2 * tile * (4 * 4 * coop.lanes / tile + 2) * 8 + 4 * coop.side * (tile / 2 + 8) * 4
}

fn gemm_case(name: &str, device: &Device, half: bool, [m, k, n]: [usize; 3]) {
    let (x, w) = (rounded(1, m * k), rounded(2, n * k));
    let (bias, add) = (noise(3, n, 0.0, 1.0), rounded(4, m * n));
    let mut want = reference::network::gemm::gemm(&x, &w, m, k, n);
    want.iter_mut().enumerate().for_each(|(i, v)| *v = (*v + bias[i % n] + add[i]).max(0.0));
    let up = |v: &[f32]| if half { device.upload_f16(v, "t") } else { device.upload(v, "t") }.unwrap();
    let (tx, tw, tr, bias) = (up(&x), up(&w), up(&add), device.upload(&bias, "bias").unwrap());
    let c = if half { device.alloc_f16(m * n, "c") } else { device.alloc(m * n, "c") }.unwrap();
    run(device, |r| {
        let (m, k, n) = (m as u32, k as u32, n as u32);
        let residual = Some(&tr);
        Gemm { x: &tx, w: &tw, bias: &bias, residual, c: &c, m, k, n, activation: Activation::Relu }.record(r)
    });
    let got = device.read_values(&c).unwrap();
    let (absolute, relative) = stored(k, half);
    assert_close(&format!("{name} {m}x{k}x{n}"), &got, &want, absolute, relative);
}

/// Sizes that fill tiles, that leave part of them, and depths that end within a step.
const SIZES: [[usize; 3]; 4] = [[128, 64, 128], [150, 52, 140], [7, 4, 68], [33, 100, 8]];

#[test]
fn tiles_of_every_size_equal_the_reference() {
    let _turn = turn();
    on_each(tilings(), |name, device| {
        SIZES.iter().for_each(|&size| gemm_case(name, device, false, size));
        let built = device.built_kernels();
        for (size, kernel) in [("small", "+SMALL"), ("middle", ""), ("big", "+BIG")] {
            let used = built.contains(&format!("network/gemm_tiled{kernel}"));
            // Products of fewer columns than half a large tile take those of the middle size.
            let want = name.ends_with(size) || size == "middle" && name.ends_with("big");
            assert_eq!(used, want, "{name}: {built:?}");
        }
    });
}

#[test]
fn products_in_f16_equal_the_reference() {
    let _turn = turn();
    on_each(half_devices(), |name, device| {
        SIZES.iter().for_each(|&size| gemm_case(name, device, true, size));
        // What the capabilities allow is what was built.
        let built = device.built_kernels();
        let expected = match (device.caps().coop, device.caps().archetype) {
            (Some(_), Archetype::Tiled) => "network/gemm_coop",
            (None, Archetype::Tiled) => "network/gemm_tiled",
            (_, Archetype::Direct) => "network/gemm_direct",
        };
        let used: Vec<&String> = built
            .iter()
            .filter(|k| {
                k.starts_with("network/gemm_coop") || k.starts_with("network/gemm") && k.contains("F16")
            })
            .collect();
        assert!(!used.is_empty() && used.iter().all(|k| k.starts_with(expected)), "{name}: {built:?}");
        let caps = device.caps();
        let Some(coop) = caps.coop.filter(|_| caps.archetype == Archetype::Tiled) else {
            for (size, flag) in [("small", "SMALL"), ("big", "BIG")] {
                let want = name.ends_with(size);
                assert_eq!(used.iter().any(|k| k.contains(flag)), want, "{name}: {built:?}");
            }
            return;
        };
        let sides = [("small", 2), ("middle", 4), ("big", 8)].into_iter();
        let sides = sides.filter(|(size, _)| name.contains(size)).map(|(_, sides)| sides).max().unwrap();
        let fits = coop_bytes(coop, sides) <= caps.max_workgroup_memory;
        if !fits {
            println!("skipped: tiles of this size on {name}, whose workgroups have too little memory");
        }
        let flag = if sides == 8 { "BIG" } else { "SMALL" };
        let all = used.iter().all(|k| k.contains(flag));
        assert_eq!(used.iter().any(|k| k.contains(flag)), sides != 4 && fits, "{name}: {built:?}");
        assert!(all || sides != 2, "{name}: {built:?}");
    });
}

pub(crate) fn shape([in_h, in_w, in_c]: [u32; 3], out_c: u32, kernel: u32, stride: u32) -> ConvShape {
    let pad = kernel / 2;
    let out = |n: u32| (n + 2 * pad - kernel) / stride + 1;
    ConvShape {
        batch: 2,
        in_h,
        in_w,
        in_c,
        out_c,
        kernel_h: kernel,
        kernel_w: kernel,
        stride,
        pad_top: pad as i32,
        pad_left: pad,
        out_h: out(in_h),
        out_w: out(in_w),
    }
}

fn conv_case(name: &str, device: &Device, half: bool, shape: ConvShape) {
    let k = (shape.kernel_h * shape.kernel_w * shape.in_c) as usize;
    let (x, w) = (rounded(1, shape.input_len()), rounded(2, k * shape.out_c as usize));
    let (bias, add) = (noise(3, shape.out_c as usize, 0.0, 1.0), rounded(4, shape.output_len()));
    let want = reference::network::conv::conv2d(&x, &w, &bias, Some(&add), &shape, Activation::None);
    let up = |v: &[f32]| if half { device.upload_f16(v, "t") } else { device.upload(v, "t") }.unwrap();
    let (tx, tw, tr, tb) = (up(&x), up(&w), up(&add), device.upload(&bias, "bias").unwrap());
    let len = shape.output_len();
    let c = if half { device.alloc_f16(len, "c") } else { device.alloc(len, "c") }.unwrap();
    run(device, |r| {
        let residual = Some(&tr);
        Conv { x: &tx, w: &tw, bias: &tb, residual, c: &c, shape, activation: Activation::None }.record(r)
    });
    let got = device.read_values(&c).unwrap();
    let (absolute, relative) = stored(k, half);
    assert_close(&format!("{name} {shape:?}"), &got, &want, absolute, relative);
}

/// A stem of 4 channels, whose steps span taps; a step in the middle; a pointwise one with a stride; padding
/// on two sides.
fn convolutions() -> [ConvShape; 4] {
    let uneven = ConvShape { pad_top: 0, pad_left: 1, ..shape([9, 14, 12], 20, 3, 2) };
    [shape([21, 17, 4], 72, 7, 2), shape([13, 9, 20], 136, 3, 1), shape([8, 9, 12], 40, 1, 2), uneven]
}

#[test]
fn convolutions_in_tiles_of_both_sizes_equal_the_reference() {
    let _turn = turn();
    on_each(tilings(), |name, device| {
        convolutions().into_iter().for_each(|shape| conv_case(name, device, false, shape));
    });
}

#[test]
fn convolutions_in_f16_equal_the_reference() {
    let _turn = turn();
    on_each(half_devices(), |name, device| {
        convolutions().into_iter().for_each(|shape| conv_case(name, device, true, shape));
    });
}

#[test]
fn the_rest_of_a_backbone_in_f16_equals_the_reference() {
    let _turn = turn();
    let s = shape([13, 11, 12], 12, 3, 2);
    let x = rounded(1, s.input_len());
    let pooled = reference::network::pool::max_pool(&x, &s);
    let size = [13, 11, 12];
    let image = size.iter().product::<usize>();
    let means: Vec<f32> =
        x.chunks_exact(image).flat_map(|x| reference::patches::means::patch_mean3(x, size)).collect();
    on_each(plain_devices(), |name, device| {
        let read = |t: &Tensor| device.read_values(t).unwrap();
        let [a, _, _, b] = depthwise_shapes();
        for shape in [a, b] {
            let taps = (shape.kernel_h * shape.kernel_w) as usize;
            let channels = shape.in_c as usize;
            let (x, w) = (rounded(1, shape.input_len()), rounded(2, taps * channels));
            let (bias, activation) = (noise(3, channels, 0.0, 1.0), Activation::Relu6);
            let want = reference::network::depthwise::depthwise(&x, &w, &bias, &shape, activation);
            let up = |v: &[f32]| device.upload_f16(v, "t").unwrap();
            let (tx, tw, tb) = (up(&x), up(&w), device.upload(&bias, "bias").unwrap());
            let c = device.alloc_f16(shape.output_len(), "c").unwrap();
            run(device, |r| Depthwise { x: &tx, w: &tw, bias: &tb, c: &c, shape, activation }.record(r));
            let (absolute, relative) = stored(taps, true);
            assert_close(&format!("{name} depthwise {shape:?}"), &read(&c), &want, absolute, relative);
        }
        let tx = device.upload_f16(&x, "x").unwrap();
        let b = device.alloc_f16(s.output_len(), "c").unwrap();
        let (c, d) =
            (device.alloc(s.input_len(), "c").unwrap(), device.alloc(2 * 13 * 11 * 16, "d").unwrap());
        // An odd number of channels: values begin in either half of a word.
        let odd = [2, 13, 11, 7];
        run(device, |r| {
            MaxPool { x: &tx, c: &b, shape: s }.record(r)?;
            PatchMean { x: &tx, c: &c, shape: [2, 13, 11, 12], rows: 0..13, row: 12, to: 0 }.record(r)?;
            Pooled { x: &tx, c: &d, shape: odd, rows: 0..odd[1], side: 3, m: 16, row: 16, to: 0 }.record(r)
        });
        assert_close(&format!("{name} pool"), &read(&b), &pooled, 0.0, 0.0);
        // A mean of nine values in -1 .. 1, and the reference's rounding.
        assert_close(&format!("{name} patch"), &read(&c), &means, gamma(9 + DIVISION + 1), 0.0);
        // Against the kernel for f32 on the same values, means of 63 / 16 + 2 at most.
        let (fx, fd) = (device.upload(&x, "x").unwrap(), device.alloc(d.len(), "d").unwrap());
        run(device, |r| {
            Pooled { x: &fx, c: &fd, shape: odd, rows: 0..odd[1], side: 3, m: 16, row: 16, to: 0 }.record(r)
        });
        let twice = 2.0 * gamma(5 + DIVISION);
        assert_close(&format!("{name} pooled"), &read(&d), &read(&fd), twice, 0.0);
    });
}

/// Sums past the range of f16 become its largest number, never an infinity; mixed storage is refused.
#[test]
fn f16_saturates() {
    let _turn = turn();
    on_each(half_devices(), |name, device| {
        let (m, k, n) = (4, 64, 8);
        let x: Vec<f32> = (0..m * k).map(|i| if i / k % 2 == 0 { 300.0 } else { -300.0 }).collect();
        let tx = device.upload_f16(&x, "x").unwrap();
        let tw = device.upload_f16(&vec![300.0; n * k], "w").unwrap();
        let bias = device.alloc(n, "bias").unwrap();
        let c = device.alloc_f16(m * n, "c").unwrap();
        let sized = |c| {
            let (m, k, n) = (m as u32, k as u32, n as u32);
            let activation = Activation::None;
            Gemm { x: &tx, w: &tw, bias: &bias, residual: None, c, m, k, n, activation }
        };
        run(device, |r| sized(&c).record(r));
        let want: Vec<f32> = (0..m * n).map(|i| if i / n % 2 == 0 { 65504.0 } else { -65504.0 }).collect();
        assert_eq!(device.read_values(&c).unwrap(), want, "{name}");
        let wide = device.alloc(m * n, "c").unwrap();
        let error = sized(&wide).record(&mut Recorder::new(device)).unwrap_err().to_string();
        assert!(error.contains("f16"), "{error}");
    });
}

/// What the embedded backbone makes of an image, with the norm of the difference between precisions.
#[cfg(feature = "embedded-weights")]
#[test]
fn a_backbone_in_f16_stays_near_its_twin_in_f32() {
    let _turn = turn();
    let crop = 64;
    let image: Vec<f32> = noise(5, (crop * crop * 4) as usize, 0.0, 2.0)
        .iter()
        .enumerate()
        .map(|(i, v)| if i % 4 == 3 { 0.0 } else { *v })
        .collect();
    let halves: Vec<f16> = image.iter().map(|v| f16::from_f32(*v)).collect();
    let embed = |device: &Device, precision: Precision| {
        let network = efficientnet_lite(0).with_taps(&["block4", "block10"]).unwrap();
        let weights = WeightFile::embedded();
        let mut extractor = Extractor::with(
            device,
            network,
            &weights,
            Extraction { precision, ..Extraction::new([crop; 2]) },
        )
        .unwrap();
        match extractor.input().is_f16() {
            true => device.write(extractor.input(), 0, &halves),
            false => device.write(extractor.input(), 0, &image),
        }
        extractor.plan(1, 0).unwrap().submit().unwrap();
        (extractor.input().is_f16(), device.read_values(extractor.embedding()).unwrap())
    };
    let (_, want) = embed(&direct().1, Precision::F32);
    let norm = |v: &[f32]| v.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
    // Kernel by kernel every device is tested above; the whole way go one of them, whatever matrices the
    // adapter has ..
    let mut all = vec![direct().clone()];
    let real = |(name, _): &&Named| name.starts_with("coop") && !name.ends_with("emulated");
    all.extend(half_devices().iter().filter(real).cloned());
    // .. and one without any feature: storage as f16 needs none.
    let (device, queue) = {
        use softpatch::low_level::gpu::wgpu;
        let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
        let adapter = pollster::block_on(instance.request_adapter(&Default::default())).unwrap();
        pollster::block_on(adapter.request_device(&Default::default())).unwrap()
    };
    all.push(("without features".into(), Device::from_wgpu(device, queue)));
    on_each(&all, |name, device| {
        let (half, got) = embed(device, Precision::F16);
        assert!(half, "{name}");
        let difference: Vec<f32> = got.iter().zip(&want).map(|(g, w)| g - w).collect();
        let relative = norm(&difference) / norm(&want);
        // Input, weights and outputs of about 40 layers are rounded once each, independently: sqrt(3 * 40) *
        // 2^-11 / sqrt(3) is 0.3 %; layers that damp their input less than they make output leave room for
        // three times that. A device that cuts off makes every output smaller by 2^-11 on average, 40 of
        // which are 2 %.
        assert!(relative > 0.0 && relative < 0.03, "{name}: {relative}");
    });
}
