//! The embedded weights through the plain-Rust operations, against PyTorch's activations of the same weights
//! and image (`tools/golden_backbone.py` describes both and the file).

use half::f16;
use safetensors::{Dtype, SafeTensors};
use sha2::{Digest, Sha256};
use softpatch::low_level::reference::input::resize::preprocess;
use softpatch::low_level::reference::network::{conv::conv2d, depthwise::depthwise};
use softpatch::low_level::shapes::{Activation, ConvShape};

/// Side of the image.
const SIDE: u32 = 224;

/// Strides of the depthwise convolutions of blocks 0 to 10.
const STRIDES: [u32; 11] = [1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1];

/// Batch norm's eps in EfficientNet.
const EPS: f64 = 1e-3;

/// Each layer's result is rounded to f32 on both sides, in other places (batch norm is folded here, and sums
/// are in f64): the golden file says how far PyTorch's own f32 result is from f64 (`noise`, up to 1e-6 of the
/// norm); ours is as far again on the other side, plus folded weights rounded to f32. 4 times the noise, at
/// least that of one rounding.
const NOISES: f64 = 4.0;

/// Least noise assumed of a stage, relative to its norm: one rounding to f32.
const LEAST_NOISE: f64 = 6e-8;

/// A single value may be off by more than the root mean square of all: 8 of those, for 200 values of a
/// tensor.
const DEVIATIONS: f64 = 8.0;

/// The golden image, by the formula of `tools/golden_backbone.py`.
fn image() -> Vec<u8> {
    let mut pixels = Vec::new();
    for y in 0..SIDE {
        for x in 0..SIDE {
            for c in 0..3 {
                let hash = x.wrapping_mul(73_856_093)
                    ^ y.wrapping_mul(19_349_663)
                    ^ u32::wrapping_mul(c, 83_492_791);
                let wave = ((x * (c + 1) + y * (3 - c)) / 2) % 256;
                let block = if (x / 28 + y / 28) % 2 == 1 { 64 } else { 0 };
                pixels.push(((wave * 5 + (hash >> 16) % 256) / 8 + block).min(255) as u8);
            }
        }
    }
    pixels
}

/// Convolution weights `[out][in][k][k]` of an f16 file, batch norm folded in.
struct Layer {
    /// `[out][k][k][in]`.
    w: Vec<f32>,
    bias: Vec<f32>,
    /// Output channels, input channels (1: depthwise), kernel.
    shape: [usize; 3],
}

impl Layer {
    fn load(weights: &SafeTensors, conv: &str, norm: &str) -> Self {
        let of = |name: String| -> (Vec<usize>, Vec<f64>) {
            let tensor = weights.tensor(&name).unwrap_or_else(|e| panic!("{name}: {e}"));
            assert_eq!(tensor.dtype(), Dtype::F16, "{name}");
            let data = tensor.data().chunks_exact(2);
            (
                tensor.shape().to_vec(),
                data.map(|b| f16::from_le_bytes(b.try_into().unwrap()).to_f64()).collect(),
            )
        };
        let (shape, values) = of(format!("{conv}.weight"));
        let vector = |name: &str| of(format!("{norm}.{name}")).1;
        let (gamma, beta) = (vector("weight"), vector("bias"));
        let (mean, variance) = (vector("running_mean"), vector("running_var"));
        let [out, inputs, k] = [shape[0], shape[1], shape[2]];
        let scale: Vec<f64> = gamma.iter().zip(&variance).map(|(g, v)| g / (v + EPS).sqrt()).collect();
        let mut w = Vec::with_capacity(values.len());
        for o in 0..out {
            for tap in 0..k * k {
                for i in 0..inputs {
                    w.push((values[(o * inputs + i) * k * k + tap] * scale[o]) as f32);
                }
            }
        }
        let bias = (0..out).map(|o| (beta[o] - mean[o] * scale[o]) as f32).collect();
        Self { w, bias, shape: [out, inputs, k] }
    }

    /// TensorFlow's SAME padding: the odd zero goes below and to the right.
    fn run(
        &self,
        x: &[f32],
        [h, w, c]: [u32; 3],
        stride: u32,
        residual: Option<&[f32]>,
        activation: Activation,
    ) -> (Vec<f32>, [u32; 3]) {
        let [out, inputs, k] = self.shape;
        let (out_h, out_w) = (h.div_ceil(stride), w.div_ceil(stride));
        let pad = |n: u32, out: u32| ((out - 1) * stride + k as u32).saturating_sub(n) / 2;
        let shape = ConvShape {
            batch: 1,
            in_h: h,
            in_w: w,
            in_c: c,
            out_c: out as u32,
            kernel_h: k as u32,
            kernel_w: k as u32,
            stride,
            pad_top: pad(h, out_h) as i32,
            pad_left: pad(w, out_w),
            out_h,
            out_w,
        };
        let y = if inputs == 1 {
            // [c][k][k] -> [k][k][c]
            let taps: Vec<f32> = (0..k * k * out).map(|i| self.w[i % out * k * k + i / out]).collect();
            depthwise(x, &taps, &self.bias, &shape, activation)
        } else if inputs < c as usize {
            // The image's fourth channel is 0: so is its weight.
            let padded: Vec<f32> = self.w.chunks_exact(inputs).flat_map(|w| [w, &[0.0]].concat()).collect();
            conv2d(x, &padded, &self.bias, residual, &shape, activation)
        } else {
            conv2d(x, &self.w, &self.bias, residual, &shape, activation)
        };
        (y, [out_h, out_w, out as u32])
    }
}

/// Compares a stage with the golden file.
fn check(golden: &SafeTensors, stage: &str, y: &[f32], shape: [u32; 3]) {
    let words = |name: &str| -> Vec<[u8; 4]> {
        let name = format!("{stage}.{name}");
        let data = golden.tensor(&name).unwrap_or_else(|e| panic!("{name}: {e}")).data();
        data.chunks_exact(4).map(|b| b.try_into().unwrap()).collect()
    };
    let floats = |name: &str| -> Vec<f64> {
        words(name).into_iter().map(|b| f64::from(f32::from_le_bytes(b))).collect()
    };
    let expected: Vec<u32> = words("shape").into_iter().map(u32::from_le_bytes).collect();
    assert_eq!(expected, shape, "{stage}");
    let (norm, noise) = (floats("norm")[0], floats("noise")[0].max(LEAST_NOISE));
    let ours = y.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>().sqrt();
    assert!((ours / norm - 1.0).abs() <= NOISES * noise, "{stage}: norm {ours}, expected {norm}");
    let bound = DEVIATIONS * NOISES * noise * norm / (y.len() as f64).sqrt();
    for (index, value) in words("index").into_iter().map(u32::from_le_bytes).zip(floats("value")) {
        let ours = f64::from(y[index as usize]);
        assert!((ours - value).abs() <= bound, "{stage}[{index}]: {ours}, expected {value} within {bound}");
    }
}

#[test]
fn golden_image_is_regenerated_bit_for_bit() {
    let golden = SafeTensors::deserialize(include_bytes!("../golden/lite0.safetensors")).unwrap();
    let words = golden.tensor("image.sha256_words").unwrap();
    let digest: Vec<u8> = words.data().chunks_exact(4).flat_map(|word| word.iter().rev().copied()).collect();
    assert_eq!(Sha256::digest(image()).as_slice(), digest);
}

#[test]
fn embedded_backbone_is_pytorch_s() {
    let golden = SafeTensors::deserialize(include_bytes!("../golden/lite0.safetensors")).unwrap();
    let weights =
        SafeTensors::deserialize(include_bytes!("../../weights/efficientnet_lite0_b10.safetensors")).unwrap();
    let input = preprocess(
        &image(),
        SIDE,
        SIDE,
        softpatch::detector::Framing::middle(SIDE, SIDE),
        [127.0; 3],
        [128.0; 3],
    )
    .unwrap();
    let stem = Layer::load(&weights, "_conv_stem", "_bn0");
    let (mut x, mut shape) = stem.run(&input, [SIDE, SIDE, 4], 2, None, Activation::Relu6);
    check(&golden, "stem", &x, shape);
    for (i, stride) in STRIDES.into_iter().enumerate() {
        let layer = |conv: &str, norm: &str| {
            Layer::load(&weights, &format!("_blocks.{i}.{conv}"), &format!("_blocks.{i}.{norm}"))
        };
        let (mut y, mut inner) = (x.clone(), shape);
        // Block 0 does not expand.
        if i > 0 {
            (y, inner) = layer("_expand_conv", "_bn0").run(&y, inner, 1, None, Activation::Relu6);
        }
        (y, inner) = layer("_depthwise_conv", "_bn1").run(&y, inner, stride, None, Activation::Relu6);
        let project = layer("_project_conv", "_bn2");
        let shortcut = stride == 1 && project.shape[0] == shape[2] as usize;
        (x, shape) = project.run(&y, inner, 1, shortcut.then_some(x.as_slice()), Activation::None);
        check(&golden, &format!("block{i}"), &x, shape);
    }
}
