//! The plain-Rust reference against Pillow, torchvision, PyTorch and SciPy (`tools/golden_ops.py` wrote their
//! answers).

use std::collections::BTreeSet;
use std::sync::LazyLock;

use safetensors::{Dtype, SafeTensors};
use softpatch::low_level::reference::input::resize::preprocess;
use softpatch::low_level::reference::map::anomaly_map;
use softpatch::low_level::reference::network::{conv, depthwise, gemm, pool};
use softpatch::low_level::reference::patches::{means, projection, upsampling};
use softpatch::low_level::shapes::{Activation, ConvShape};
use softpatch::low_level::steps::input::geometry::{Framing, Placement};
use softpatch::low_level::steps::input::pixels::{resize_gray, resize_rgb};

/// Both sides sum in f64 and round to f32 once; where the sums differ in their last bits, the roundings may
/// go apart by one unit in the last place, 2^-23 of the value. Measured against the largest value of the
/// tensor.
const ROUNDED_ONCE: f64 = 1.2e-7;

/// First row of the projection of 4 to 3 values with seed 0, as this crate made it first: it pins the random
/// stream, since another one would change every model.
const FIRST_ROW: [f32; 4] = [0.15469712, 0.20907539, 0.22986984, -0.0340783];

/// The embeddings are kept in f32 between upsampling, pooling and pooling again: three roundings of half a
/// unit, where PyTorch in f64 has one; both ways of taking the 3x3 mean and the upsampling in one order.
const ROUNDED_BETWEEN: f64 = 4.0 * ROUNDED_ONCE;

static BYTES: &[u8] = include_bytes!("../golden/ops.safetensors");
static GOLDEN: LazyLock<SafeTensors<'static>> = LazyLock::new(|| SafeTensors::deserialize(BYTES).unwrap());

/// Shape and raw bytes of a tensor.
fn raw(name: &str, dtype: Dtype) -> (Vec<usize>, &'static [u8]) {
    let tensor = GOLDEN.tensor(name).unwrap_or_else(|e| panic!("{name}: {e}"));
    assert_eq!(tensor.dtype(), dtype, "{name}");
    (tensor.shape().to_vec(), tensor.data())
}

fn bytes(name: &str) -> (Vec<usize>, &'static [u8]) {
    raw(name, Dtype::U8)
}

fn floats(name: &str) -> (Vec<usize>, Vec<f32>) {
    let (shape, data) = raw(name, Dtype::F32);
    (shape, data.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect())
}

fn sizes(name: &str) -> Vec<u32> {
    let (_, data) = raw(name, Dtype::I32);
    data.chunks_exact(4).map(|b| i32::from_le_bytes(b.try_into().unwrap()).try_into().unwrap()).collect()
}

/// The cases of a group, `kind.0`, `kind.1`, ...; at least one.
fn cases(kind: &str) -> BTreeSet<String> {
    let names = GOLDEN.names();
    let cases: BTreeSet<String> = names
        .iter()
        .filter(|name| name.split('.').next() == Some(kind))
        .map(|name| name.rsplit_once('.').unwrap().0.to_owned())
        .collect();
    assert!(!cases.is_empty(), "no golden values of {kind}");
    cases
}

fn assert_close(case: &str, ours: &[f32], theirs: &[f32], tolerance: f64) {
    assert_eq!(ours.len(), theirs.len(), "{case}");
    let largest = theirs.iter().fold(0.0_f64, |m, &v| m.max(f64::from(v).abs()));
    for (i, (&a, &b)) in ours.iter().zip(theirs).enumerate() {
        let difference = (f64::from(a) - f64::from(b)).abs();
        assert!(difference <= tolerance * largest, "{case}[{i}]: {a} here, {b} expected, largest {largest}");
    }
}

fn conv_shape(v: &[u32]) -> ConvShape {
    ConvShape {
        batch: v[0],
        in_h: v[1],
        in_w: v[2],
        in_c: v[3],
        out_c: v[4],
        kernel_h: v[5],
        kernel_w: v[6],
        stride: v[7],
        pad_top: v[8] as i32,
        pad_left: v[9],
        out_h: v[10],
        out_w: v[11],
    }
}

fn activation(code: u32) -> Activation {
    [Activation::None, Activation::Relu, Activation::Relu6][code as usize]
}

#[test]
fn resize_is_pillow_s_bit_for_bit() {
    for case in cases("resize") {
        let (from, x) = bytes(&format!("{case}.x"));
        let (to, y) = bytes(&format!("{case}.y"));
        let resize = if from[2] == 3 { resize_rgb } else { resize_gray };
        let ours = resize(x, from[1] as u32, from[0] as u32, to[1] as u32, to[0] as u32);
        assert!(ours == y, "{case}: {from:?} to {to:?}");
    }
}

#[test]
fn geometry_is_torchvision_s() {
    let table = sizes("geometry");
    assert!(table.len() > 8 * 50);
    for row in table.chunks_exact(8) {
        let ours = Framing::middle(row[2], row[3]).place(row[0], row[1]).unwrap();
        let theirs = Placement {
            width: row[4],
            height: row[5],
            left: row[6].into(),
            top: row[7].into(),
            frame: [row[3]; 2],
        };
        assert_eq!(ours, theirs, "{row:?}");
    }
}

#[test]
fn preprocessing_is_torchvision_s_bit_for_bit() {
    for case in cases("preprocess") {
        let (shape, x) = bytes(&format!("{case}.x"));
        let size = sizes(&format!("{case}.size"));
        let three = |name: &str| floats(&format!("{case}.{name}")).1.try_into().unwrap();
        let (mean, std): ([f32; 3], [f32; 3]) = (three("mean"), three("std"));
        let ours =
            preprocess(x, shape[1] as u32, shape[0] as u32, Framing::middle(size[0], size[1]), mean, std)
                .unwrap();
        let (rgb, fourth): (Vec<&[f32]>, Vec<f32>) = ours.chunks_exact(4).map(|p| (&p[..3], p[3])).unzip();
        assert!(rgb.concat() == floats(&format!("{case}.y")).1, "{case}");
        assert!(fourth.iter().all(|&v| v == 0.0), "{case}: the fourth channel is not 0");
    }
}

#[test]
fn convolution_is_pytorch_s() {
    for case in cases("conv") {
        let of = |name: &str| floats(&format!("{case}.{name}")).1;
        let shape = sizes(&format!("{case}.shape"));
        let residual = GOLDEN.tensor(&format!("{case}.residual")).is_ok().then(|| of("residual"));
        let ours = conv::conv2d(
            &of("x"),
            &of("w"),
            &of("bias"),
            residual.as_deref(),
            &conv_shape(&shape),
            activation(shape[12]),
        );
        assert_close(&case, &ours, &of("y"), ROUNDED_ONCE);
    }
}

#[test]
fn depthwise_convolution_is_pytorch_s() {
    for case in cases("depthwise") {
        let of = |name: &str| floats(&format!("{case}.{name}")).1;
        let shape = sizes(&format!("{case}.shape"));
        let ours =
            depthwise::depthwise(&of("x"), &of("w"), &of("bias"), &conv_shape(&shape), activation(shape[12]));
        assert_close(&case, &ours, &of("y"), ROUNDED_ONCE);
    }
}

#[test]
fn max_pooling_is_pytorch_s() {
    for case in cases("pool") {
        let shape = conv_shape(&sizes(&format!("{case}.shape")));
        let ours = pool::max_pool(&floats(&format!("{case}.x")).1, &shape);
        // A maximum is one of its inputs: nothing is rounded.
        assert!(ours == floats(&format!("{case}.y")).1, "{case}");
    }
}

#[test]
fn upsampling_is_pytorch_s() {
    for case in cases("upsample") {
        let (from, x) = floats(&format!("{case}.x"));
        let (to, y) = floats(&format!("{case}.y"));
        let ours = upsampling::upsample_bilinear(&x, from.try_into().unwrap(), [to[0], to[1]]);
        assert_close(&case, &ours, &y, ROUNDED_ONCE);
    }
}

#[test]
fn embeddings_are_patchcore_s() {
    for case in cases("embed") {
        let stages: Vec<(Vec<usize>, Vec<f32>)> = (0..)
            .map(|i| format!("{case}.stage{i}"))
            .take_while(|name| GOLDEN.tensor(name).is_ok())
            .map(|name| floats(&name))
            .collect();
        let stages: Vec<(&[f32], [usize; 3])> =
            stages.iter().map(|(shape, x)| (x.as_slice(), [shape[0], shape[1], shape[2]])).collect();
        let (shape, pooled) = floats(&format!("{case}.pooled"));
        assert_close(&case, &means::embed_pooled(&stages, shape[2]), &pooled, ROUNDED_BETWEEN);
        let (_, concat) = floats(&format!("{case}.concat"));
        assert_close(&case, &means::embed_concat(&stages), &concat, ROUNDED_BETWEEN);
    }
}

#[test]
fn anomaly_maps_are_scipy_s() {
    for case in cases("map") {
        let (from, x) = floats(&format!("{case}.x"));
        let (to, y) = floats(&format!("{case}.y"));
        let ours = anomaly_map::anomaly_map(&x, [from[0], from[1]], [to[0], to[1]]);
        assert_close(&case, &ours, &y, ROUNDED_ONCE);
    }
}

#[test]
fn projection_is_a_product_with_the_seeded_matrix() {
    let matrix = softpatch::low_level::steps::patches::projection::projection_matrix(4, 3, 0);
    assert_eq!(matrix[..4], FIRST_ROW);
    let x = [1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 2.0, 0.0];
    let y = projection::project(&x, &matrix, [2, 4, 3]);
    assert_eq!(y, [matrix[0], matrix[4], matrix[8], 2.0 * matrix[2], 2.0 * matrix[6], 2.0 * matrix[10]]);
    assert_eq!(
        gemm::gemm(&[1.0, 2.0, 3.0, 4.0], &[5.0, 6.0, 7.0, 8.0, 9.0, 10.0], 2, 2, 3),
        [17.0, 23.0, 29.0, 39.0, 53.0, 67.0]
    );
}
