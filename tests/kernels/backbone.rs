//! Convolutions, pooling, patches and whole backbones against the plain-Rust reference and PyTorch's
//! activations.

use crate::common::{
    DIVISION, Named, assert_close, devices, direct, gamma, noise, on_devices, on_each, resampling_error,
    tiled, turn,
};
use proptest::prelude::*;
use softpatch::low_level::gpu::{Archetype, Device, Recorder, Tuning};
use softpatch::low_level::reference;
use softpatch::low_level::shapes::{Activation, ConvShape};
use softpatch::low_level::steps::coreset::bank_rows;
use softpatch::low_level::steps::network::conv::Conv;
use softpatch::low_level::steps::network::depthwise::Depthwise;
use softpatch::low_level::steps::network::gemm::Gemm;
use softpatch::low_level::steps::network::pool::MaxPool;
use softpatch::low_level::steps::patches::means::PatchMean;
use softpatch::low_level::steps::patches::upsampling::Upsample;
use softpatch::low_level::steps::tuning::{DEPTHWISE_RUN, DIRECT_COLUMNS, DIRECT_ROWS};

/// Inputs lie in -1 .. 1: a sum of k products, bias and residual in any order, each product rounded or fused,
/// errs by at most gamma(k + 2) of the terms' sizes, which add up to k + 2; the reference was rounded once.
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
    // Rows may also be passed over above.
    let pads = (-3_i32..3, 0_u32..3);
    (sizes, prop_oneof![Just(1_u32), Just(3), Just(5)], 1_u32..3, pads).prop_filter_map(
        "the kernel fits",
        |((batch, in_h, in_w, ci, co), kernel, stride, (pad_top, pad))| {
            let out = |n: u32| Some((n + pad).checked_sub(kernel)? / stride + 1);
            Some(ConvShape {
                batch,
                in_h,
                in_w,
                in_c: 4 * ci,
                out_c: 4 * co,
                kernel_h: kernel,
                kernel_w: kernel,
                stride,
                pad_top,
                pad_left: pad,
                out_h: out(in_h.checked_add_signed(pad_top)?)?,
                out_w: out(in_w + pad)?,
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
        let _turn = turn();
        let (k, n) = (4 * k4, 4 * n4);
        let (x, w) = (noise(seed, m * k, 0.0, 1.0), noise(seed ^ 1, n * k, 0.0, 1.0));
        let (bias, add) = (noise(seed ^ 2, n, 0.0, 1.0), noise(seed ^ 3, m * n, 0.0, 1.0));
        let mut want = reference::network::gemm::gemm(&x, &w, m, k, n);
        for (i, v) in want.iter_mut().enumerate() {
            let extra = if residual { add[i] } else { 0.0 };
            *v = activate(*v + bias[i % n] + extra, activation);
        }
        on_devices(|name, device| {
            let up = |v: &[f32]| device.upload(v, "test").unwrap();
            let (tx, tw, tb, tr) = (up(&x), up(&w), up(&bias), up(&add));
            let c = device.alloc(m * n, "c").unwrap();
            run(device, |r| {
                Gemm { x: &tx, w: &tw, bias: &tb, residual: residual.then_some(&tr), c: &c,
                    m: m as u32, k: k as u32, n: n as u32, activation }.record(r)
            });
            assert_close(&format!("{name} {m}x{k}x{n}"), &device.read(&c).unwrap(), &want, bound(k), 0.0);
        });
    }

    #[test]
    fn conv_equals_the_reference(shape in shapes(), residual: bool, activation in activations(), seed: u64) {
        let _turn = turn();
        let k = (shape.kernel_h * shape.kernel_w * shape.in_c) as usize;
        let x = noise(seed, shape.input_len(), 0.0, 1.0);
        let w = noise(seed ^ 1, k * shape.out_c as usize, 0.0, 1.0);
        let bias = noise(seed ^ 2, shape.out_c as usize, 0.0, 1.0);
        let add = noise(seed ^ 3, shape.output_len(), 0.0, 1.0);
        let add = residual.then_some(add);
        let want = reference::network::conv::conv2d(&x, &w, &bias, add.as_deref(), &shape, activation);
        on_devices(|name, device| {
            let up = |v: &[f32]| device.upload(v, "test").unwrap();
            let (tx, tw, tb) = (up(&x), up(&w), up(&bias));
            let tr = add.as_deref().map(up);
            let c = device.alloc(shape.output_len(), "c").unwrap();
            run(device, |r| {
                Conv { x: &tx, w: &tw, bias: &tb, residual: tr.as_ref(), c: &c, shape, activation }.record(r)
            });
            assert_close(&format!("{name} {shape:?}"), &device.read(&c).unwrap(), &want, bound(k), 0.0);
        });
    }

    #[test]
    fn pooling_patches_and_resampling_equal_the_reference(
        shape in shapes(), out_h in 1_u32..30, out_w in 1_u32..30, seed: u64,
    ) {
        let _turn = turn();
        let c = shape.in_c;
        let shape = ConvShape { out_c: c, ..shape };
        // A window that lies in the padding alone has no maximum.
        prop_assume!(shape.pad_top < shape.kernel_h as i32 && shape.pad_left < shape.kernel_w);
        let x = noise(seed, shape.input_len(), 0.0, 1.0);
        let pooled = reference::network::pool::max_pool(&x, &shape);
        let image = shape.input_len() / shape.batch as usize;
        let size = [shape.in_h as usize, shape.in_w as usize, c as usize];
        let out = [out_h as usize, out_w as usize];
        let by_image = |f: &dyn Fn(&[f32]) -> Vec<f32>| x.chunks_exact(image).flat_map(f).collect::<Vec<f32>>();
        let patches = by_image(&|x| reference::patches::means::patch_mean3(x, size));
        let resampled = by_image(&|x| reference::patches::upsampling::upsample_bilinear(x, size, out));
        // Some of the rows; of a single image, from those rows of the coarse grid alone that they touch.
        let some = |h: u32| seed as u32 % h..h - (seed >> 32) as u32 % h.div_ceil(2).min(h - seed as u32 % h);
        let (patch_rows, out_rows) = (some(shape.in_h), some(out_h));
        let cut = |values: &[f32], [h, w]: [u32; 2], rows: &std::ops::Range<u32>| -> Vec<f32> {
            let row = (w * c) as usize;
            let image = |x: &[f32]| x[rows.start as usize * row..rows.end as usize * row].to_vec();
            values.chunks_exact(h as usize * row).flat_map(image).collect()
        };
        let patches = cut(&patches, [shape.in_h, shape.in_w], &patch_rows);
        let resampled = cut(&resampled, [out_h, out_w], &out_rows);
        let touched = |row: u32| Upsample::touched(row, shape.in_h, out_h);
        let has = match shape.batch {
            1 => touched(out_rows.start).start..touched(out_rows.end - 1).end,
            _ => 0..shape.in_h,
        };
        let coarse = cut(&x, [shape.in_h, shape.in_w], &has);
        // Outputs stand in channels 4 .. 4 + c of rows of c + 8, the rest stays 0.
        let row = c + 8;
        let embed = |values: &[f32]| -> Vec<f32> {
            values
                .chunks_exact(c as usize)
                .flat_map(|v| [&[0.0; 4], v, &[0.0; 4]].concat())
                .collect()
        };
        on_devices(|name, device| {
            let (tx, tc) = (device.upload(&x, "x").unwrap(), device.upload(&coarse, "coarse").unwrap());
            let in_shape = [shape.batch, shape.in_h, shape.in_w, c];
            let a = device.alloc(shape.output_len(), "pooled").unwrap();
            let b = device.alloc(patches.len() / c as usize * row as usize, "patches").unwrap();
            let d = device.alloc(resampled.len() / c as usize * row as usize, "resampled").unwrap();
            run(device, |r| {
                MaxPool { x: &tx, c: &a, shape }.record(r)?;
                PatchMean { x: &tx, c: &b, shape: in_shape, rows: patch_rows.clone(), row, to: 4 }.record(r)?;
                let (out, has, rows) = ([out_h, out_w], has.clone(), out_rows.clone());
                Upsample { x: &tc, c: &d, shape: in_shape, out, has, rows, row, to: 4 }.record(r)
            });
            assert_close(&format!("{name} pool {shape:?}"), &device.read(&a).unwrap(), &pooled, 0.0, 0.0);
            // A mean of nine values in -1 .. 1: nine sums, a division, and the reference's rounding.
            let mean = gamma(9 + DIVISION + 1);
            assert_close(&format!("{name} patch"), &device.read(&b).unwrap(), &embed(&patches), mean, 0.0);
            let slack = resampling_error([shape.in_h as usize, shape.in_w as usize], 2.0, 1.0);
            assert_close(&format!("{name} resample"), &device.read(&d).unwrap(), &embed(&resampled), slack, 0.0);
        });
    }

    #[test]
    fn gather_moves_rows(rows in 1_usize..60, c4 in 1_usize..5, picks in prop::collection::vec(any::<prop::sample::Index>(), 1..50)) {
        let _turn = turn();
        let c = 4 * c4;
        let x = noise(7, rows * c, 0.0, 1.0);
        let pairs: Vec<[u32; 2]> = picks.iter().enumerate().map(|(i, p)| [p.index(rows) as u32, i as u32]).collect();
        let want: Vec<f32> = pairs.iter().flat_map(|p| x[p[0] as usize * c..][..c].to_vec()).collect();
        on_devices(|name, device| {
            let (tx, tp) = (device.upload(&x, "x").unwrap(), device.upload(&pairs, "pairs").unwrap());
            let out = device.alloc(pairs.len() * c, "out").unwrap();
            run(device, |r| bank_rows::record(r, &tx, &tp, pairs.len() as u32, c as u32, &out));
            assert_close(name, &device.read(&out).unwrap(), &want, 0.0, 0.0);
        });
    }
}

/// Depthwise convolutions: kernel, stride and the run of outputs that an invocation owns are constants, each
/// set of them another pipeline to compile, so these are few; channels fill vec4s and no more, padding
/// differs from side to side, rows are passed over, and widths leave runs of 4, 7 and 8 unfinished.
pub(super) fn depthwise_shapes() -> [ConvShape; 4] {
    let shape = |[in_h, in_w, c]: [u32; 3],
                 kernel,
                 stride,
                 (pad_top, pad_left): (i32, u32),
                 [out_h, out_w]: [u32; 2]| {
        let (kernel_h, kernel_w) = (kernel, kernel);
        let [in_c, out_c] = [c, c];
        ConvShape {
            batch: 2,
            in_h,
            in_w,
            in_c,
            out_c,
            kernel_h,
            kernel_w,
            stride,
            pad_top,
            pad_left,
            out_h,
            out_w,
        }
    };
    [
        shape([17, 13, 12], 3, 1, (1, 1), [17, 13]),
        shape([10, 31, 4], 3, 2, (-3, 1), [4, 16]),
        shape([3, 15, 20], 5, 1, (2, 2), [3, 15]),
        shape([31, 26, 8], 5, 2, (2, 1), [16, 13]),
    ]
}

fn depthwise_case(name: &str, device: &Device, shape: ConvShape, activation: Activation) {
    let taps = (shape.kernel_h * shape.kernel_w) as usize;
    let x = noise(1, shape.input_len(), 0.0, 1.0);
    let w = noise(2, taps * shape.in_c as usize, 0.0, 1.0);
    let bias = noise(3, shape.in_c as usize, 0.0, 1.0);
    let want = reference::network::depthwise::depthwise(&x, &w, &bias, &shape, activation);
    let up = |v: &[f32]| device.upload(v, "test").unwrap();
    let (tx, tw, tb) = (up(&x), up(&w), up(&bias));
    let c = device.alloc(shape.output_len(), "c").unwrap();
    run(device, |r| Depthwise { x: &tx, w: &tw, bias: &tb, c: &c, shape, activation }.record(r));
    assert_close(&format!("{name} {shape:?}"), &device.read(&c).unwrap(), &want, bound(taps), 0.0);
}

#[test]
fn depthwise_equals_the_reference() {
    let _turn = turn();
    on_devices(|name, device| {
        // What sizes do to the text is the same with every flag: all of them on one device of each family,
        // two elsewhere.
        let all = [direct(), tiled()].iter().any(|(n, _)| n == name);
        for (i, shape) in depthwise_shapes().into_iter().enumerate().filter(|(i, _)| all || i % 3 == 0) {
            let activation = [Activation::None, Activation::Relu, Activation::Relu6][i % 3];
            depthwise_case(name, device, shape, activation);
        }
    });
}

/// The corners of what `softpatch tune` may choose.
#[test]
fn sizes_that_tuning_may_choose_equal_the_reference() {
    let _turn = turn();
    let without = devices()
        .iter()
        .find(|(_, d)| d.caps().archetype == Archetype::Direct && d.caps().subgroup.is_none());
    let tuned = |(name, device): &Named, tuning: Tuning| -> Named {
        (format!("{name} {tuning:?}"), device.with_tuning(tuning).unwrap())
    };
    let mut list = Vec::new();
    let own = |sizes: [[u32; 2]; 2], device: &Named| {
        sizes.map(|[rows, columns]| {
            tuned(device, Tuning::default().with(&DIRECT_ROWS, rows).with(&DIRECT_COLUMNS, columns))
        })
    };
    list.extend(own([[1, 8], [16, 8]], direct()));
    list.extend(without.map(|device| own([[2, 32], [3, 24]], device)).into_iter().flatten());
    let shape = ConvShape {
        batch: 1,
        in_h: 19,
        in_w: 11,
        in_c: 12,
        out_c: 52,
        kernel_h: 3,
        kernel_w: 3,
        stride: 2,
        pad_top: 1,
        pad_left: 0,
        out_h: 10,
        out_w: 5,
    };
    let k = 9 * 12;
    let x = noise(1, shape.input_len(), 0.0, 1.0);
    let w = noise(2, k * shape.out_c as usize, 0.0, 1.0);
    let bias = noise(3, shape.out_c as usize, 0.0, 1.0);
    let want = reference::network::conv::conv2d(&x, &w, &bias, None, &shape, Activation::None);
    on_each(&list, |name, device| {
        let up = |v: &[f32]| device.upload(v, "test").unwrap();
        let (tx, tw, tb) = (up(&x), up(&w), up(&bias));
        let c = device.alloc(shape.output_len(), "c").unwrap();
        let activation = Activation::None;
        run(device, |r| {
            Conv { x: &tx, w: &tw, bias: &tb, residual: None, c: &c, shape, activation }.record(r)
        });
        assert_close(name, &device.read(&c).unwrap(), &want, bound(k), 0.0);
    });
    let runs = |run| Tuning::default().with(&DEPTHWISE_RUN, run);
    let list: Vec<Named> =
        [1, 16].into_iter().flat_map(|run| [direct(), tiled()].map(|d| tuned(d, runs(run)))).collect();
    on_each(&list, |name, device| depthwise_case(name, device, depthwise_shapes()[0], Activation::None));
}

/// The golden image, by the formula of `tools/golden_backbone.py`.
fn golden_image() -> Vec<u8> {
    let mut pixels = Vec::new();
    for y in 0..224_u32 {
        for x in 0..224_u32 {
            for c in 0..3_u32 {
                let hash =
                    x.wrapping_mul(73_856_093) ^ y.wrapping_mul(19_349_663) ^ c.wrapping_mul(83_492_791);
                let wave = ((x * (c + 1) + y * (3 - c)) / 2) % 256;
                let block = if (x / 28 + y / 28) % 2 == 1 { 64 } else { 0 };
                pixels.push(((wave * 5 + (hash >> 16) % 256) / 8 + block).min(255) as u8);
            }
        }
    }
    pixels
}

/// Every block of the embedded backbone against PyTorch's activations of the same weights: 1e-3 of the
/// tensor's norm is the project's promise; what f32 costs is about 1e-6 (`STAGE.noise` in the file), a
/// hundred times that is held here.
#[cfg(feature = "embedded-weights")]
#[test]
fn the_embedded_backbone_equals_pytorch() {
    const RELATIVE: f64 = 1e-4;
    let _turn = turn();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/lite0.safetensors");
    let bytes = std::fs::read(path).unwrap();
    let golden = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let words = |name: String| -> Vec<[u8; 4]> {
        let data = golden.tensor(&name).unwrap_or_else(|e| panic!("{name}: {e}")).data().to_vec();
        data.chunks_exact(4).map(|b| b.try_into().unwrap()).collect()
    };
    let ints = |name: String| words(name).into_iter().map(i32::from_le_bytes).collect::<Vec<_>>();
    let floats = |name: String| words(name).into_iter().map(f32::from_le_bytes).collect::<Vec<_>>();
    let pixels = golden_image();
    let image =
        softpatch::data::Image::new(&pixels, 224, 224, 672, softpatch::data::PixelFormat::Rgb8).unwrap();
    // The kernels with checks on are the same; both families without them.
    for (name, device) in [direct(), tiled()] {
        for block in 0..=10 {
            let stage = format!("block{block}");
            let network = softpatch::low_level::backbone::efficientnet_lite(0).with_taps(&[&stage]).unwrap();
            let weights = softpatch::low_level::backbone::WeightFile::embedded();
            let mut extractor =
                softpatch::low_level::backbone::Extractor::new(device, network, &weights, 224, 1).unwrap();
            let mut feed = softpatch::low_level::backbone::Feed::new(
                device,
                extractor.network(),
                softpatch::detector::Framing::middle(224, 224),
            )
            .unwrap();
            let input = extractor.input().clone();
            feed.push(&[image], &input, 0, &(0..224)).unwrap();
            feed.submit(&[extractor.plan(1, 0).unwrap()]).unwrap();
            let (tensor, size) = extractor.last_value().unwrap();
            let len = size.iter().product::<u32>() as usize;
            let got: Vec<f32> = device.read(&tensor.slice(0, len)).unwrap();
            assert_eq!(size.map(|n| n as i32).to_vec(), ints(format!("{stage}.shape")));
            let norm = f64::from(floats(format!("{stage}.norm"))[0]);
            let ours: f64 = got.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
            assert!((ours - norm).abs() <= RELATIVE * norm, "{name} {stage}: norm {ours}, not {norm}");
            let (index, value) = (ints(format!("{stage}.index")), floats(format!("{stage}.value")));
            let worst = index
                .iter()
                .zip(&value)
                .map(|(i, v)| f64::from(got[*i as usize] - v).abs())
                .fold(0.0, f64::max);
            let rms = norm / (len as f64).sqrt();
            assert!(worst <= 8.0 * RELATIVE * rms, "{name} {stage}: a value is off by {worst}, rms {rms}");
        }
    }
}
