//! Cases of the backbone's layers.

use super::rounding::{COOP, exact, gamma, stored, worst};
use super::values::{operand, places, room, store, values};
use super::{Case, Work};
use crate::Result;
use crate::gpu::{Device, Tensor};
use crate::reference as plain;
use crate::shapes::{Activation, ConvShape};
use crate::steps::input::geometry::Framing;
use crate::steps::input::resize::{AxisTaps, Columns, record_rows};
use crate::steps::network::conv::Conv;
use crate::steps::network::depthwise::Depthwise;
use crate::steps::network::gemm::Gemm;
use crate::steps::network::pool::MaxPool;

/// How a layer ends and is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// Stored as f16.
    pub f16: bool,
    /// With a residual.
    pub residual: bool,
    /// What the sum goes through.
    pub activation: Activation,
}

impl End {
    /// Neither residual nor activation.
    pub fn plain(f16: bool) -> Self {
        Self { f16, residual: false, activation: Activation::None }
    }
}

fn activate(v: f64, activation: Activation) -> f64 {
    match activation {
        Activation::None => v,
        Activation::Relu => v.max(0.0),
        Activation::Relu6 => v.clamp(0.0, 6.0),
    }
}

/// A sum of products with bias and residual: `k` roundings of the products and of their sum, two of what is
/// added, and of what is stored.
fn check_sums(
    c: Tensor,
    end: End,
    coop: bool,
    k: usize,
    // The sum, and the sum of its terms' sizes, at a place.
    want: impl Fn(usize) -> (f64, f64) + 'static,
) -> impl Fn(&Device) -> Result<super::Verdict> + 'static {
    let relative = if coop { COOP } else { 1.0 } * gamma(k + 2);
    move |device| {
        let got = device.read_values(&c)?;
        Ok(worst(places(c.values()).into_iter().map(|i| {
            let (sum, size) = want(i);
            let want = activate(sum, end.activation);
            // A clamp brings values no farther apart.
            (got[i], want, relative * size + stored(sum, end.f16))
        })))
    }
}

fn work(flops: f64, values: usize, f16: bool) -> Work {
    Work { flops, bytes: values as f64 * if f16 { 2.0 } else { 4.0 } }
}

/// Matrix product `[m, k, n]`.
pub fn gemm(device: &Device, [m, k, n]: [usize; 3], end: End) -> Result<Case> {
    let End { f16, activation, .. } = end;
    let (x, w) = (operand(m * k, 1, f16), operand(n * k, 2, f16));
    let (b, r) = (values(n, 3), operand(m * n, 4, f16));
    let (tx, tw) = (store(device, f16, &x)?, store(device, f16, &w)?.constant());
    let bias = device.upload(&b, "bias")?;
    let residual = end.residual.then(|| store(device, f16, &r)).transpose()?;
    let c = room(device, f16, m * n)?;
    let coop = f16 && device.caps().coop.is_some();
    let want = move |i: usize| {
        let (row, column) = (i / n, i % n);
        let products = x[row * k..][..k].iter().zip(&w[column * k..][..k]);
        let products = products.map(|(a, b)| f64::from(*a) * f64::from(*b));
        let added = [Some(b[column]), end.residual.then(|| r[i])].into_iter().flatten().map(f64::from);
        products.chain(added).fold((0.0, 0.0), |(sum, size), v| (sum + v, size + v.abs()))
    };
    Case::new(
        device,
        |recorder| {
            let (m, k, n) = (m as u32, k as u32, n as u32);
            let (x, w, bias, c, residual) = (&tx, &tw, &bias, &c, residual.as_ref());
            Gemm { x, w, bias, residual, c, m, k, n, activation }.record(recorder)
        },
        check_sums(c.clone(), end, coop, k, want),
        work(2.0 * m as f64 * k as f64 * n as f64, m * k + n * k + m * n, f16),
    )
}

/// Convolution, or with `depthwise` a depthwise one.
pub fn conv(device: &Device, s: ConvShape, depthwise: bool, end: End) -> Result<Case> {
    let End { f16, activation, .. } = end;
    let taps = (s.kernel_h * s.kernel_w) as usize;
    let k = if depthwise { taps } else { taps * s.in_c as usize };
    let channels = s.out_c as usize;
    let (x, w) = (operand(s.input_len(), 1, f16), operand(k * channels, 2, f16));
    // A few channels pass the bounds of the activation; in the others, the last among them, a clamp would
    // hide faults.
    let large = |i: usize| if i % 5 == 1 { 20.0 } else { 1.0 };
    let b: Vec<f32> = values(channels, 3).into_iter().enumerate().map(|(i, v)| large(i) * v).collect();
    let r = if end.residual { operand(s.output_len(), 4, f16) } else { Vec::new() };
    let (tx, tw) = (store(device, f16, &x)?, store(device, f16, &w)?.constant());
    let bias = device.upload(&b, "bias")?;
    let residual = end.residual.then(|| store(device, f16, &r)).transpose()?;
    let c = room(device, f16, s.output_len())?;
    let coop = f16 && !depthwise && device.caps().coop.is_some();
    let (flops, len) = (2.0 * (k * s.output_len()) as f64, x.len() + w.len() + s.output_len());
    let sum =
        if depthwise { plain::network::depthwise::depthwise_sum } else { plain::network::conv::conv_sum };
    let sizes = |v: &[f32]| -> Vec<f32> { v.iter().map(|v| v.abs()).collect() };
    let (xs, ws) = (sizes(&x), sizes(&w));
    let want = move |i: usize| {
        let added = [b[i % channels], r.get(i).copied().unwrap_or(0.0)].map(f64::from);
        let [bias, residual] = added.map(f64::abs);
        (sum(&x, &w, &s, i) + added[0] + added[1], sum(&xs, &ws, &s, i) + bias + residual)
    };
    Case::new(
        device,
        |recorder| {
            let (x, w, bias, c, shape) = (&tx, &tw, &bias, &c, s);
            if depthwise {
                return Depthwise { x, w, bias, c, shape, activation }.record(recorder);
            }
            Conv { x, w, bias, residual: residual.as_ref(), c, shape, activation }.record(recorder)
        },
        check_sums(c.clone(), end, coop, k, want),
        work(flops, len, f16),
    )
}

/// Maximum pooling, which does not round.
pub fn pool(device: &Device, shape: ConvShape, f16: bool) -> Result<Case> {
    let x = operand(shape.input_len(), 11, f16);
    let want = plain::network::pool::max_pool(&x, &shape);
    let (x, c) = (store(device, f16, &x)?, room(device, f16, want.len())?);
    let len = shape.input_len() + want.len();
    let answer = c.clone();
    Case::new(
        device,
        |recorder| MaxPool { x: &x, c: &c, shape }.record(recorder),
        move |device| Ok(exact(&device.read_values(&answer)?, &want)),
        work(0.0, len, f16),
    )
}

/// Antialiased resize of two images of `w` x `h` pixels, frame, normalisation.
pub fn resize(device: &Device, [w, h]: [u32; 2], framing: Framing, f16: bool) -> Result<Case> {
    let rgb: Vec<u8> =
        values((2 * w * h * 3) as usize, 1).iter().map(|v| ((v + 0.5) * 255.0) as u8).collect();
    let (mean, std) = ([127.0, 116.28, 103.53], [128.0, 57.12, 57.375]);
    let resized = rgb
        .chunks_exact((w * h * 3) as usize)
        .map(|image| plain::input::resize::preprocess(image, w, h, framing, mean, std));
    let resized = resized.collect::<Result<Vec<_>>>()?;
    let placement = framing.place(w, h)?;
    let [frame_h, frame_w] = framing.frame;
    let axis = |input: u32, output: u32, first: i64, frame: u32| -> Result<AxisTaps> {
        let table = crate::steps::input::taps::resize_table(input, output);
        let kept = crate::steps::input::taps::frame_outputs(&table, first, frame);
        let window: Vec<[u32; 2]> = kept.iter().map(|&o| [table.start[o], table.count[o]]).collect();
        let coefficients: Vec<i32> =
            kept.iter().flat_map(|&o| &table.coefficients[o * table.taps..][..table.taps]).copied().collect();
        Ok(AxisTaps {
            window: device.upload(&window, "resize window")?,
            coefficients: device.upload(&coefficients, "resize coefficients")?,
            out: frame,
            taps: table.taps as u32,
        })
    };
    let rows = axis(w, placement.width, placement.left, frame_w)?;
    let columns = axis(h, placement.height, placement.top, frame_h)?;
    let packed: Vec<u32> =
        rgb.chunks_exact(3).map(|p| u32::from(p[0]) | u32::from(p[1]) << 8 | u32::from(p[2]) << 16).collect();
    let x = device.upload(&packed, "pixels")?;
    let between = device.alloc((2 * h * frame_w) as usize, "resized rows")?;
    // In two parts, as large frames are: of each part, both images.
    let parts = [0..frame_h / 2, frame_h / 2..frame_h];
    let line = 4 * frame_w as usize;
    let part_of = |image: &[f32], rows: &std::ops::Range<u32>| {
        image[rows.start as usize * line..rows.end as usize * line].to_vec()
    };
    let want: Vec<f32> =
        parts.iter().flat_map(|rows| resized.iter().flat_map(|image| part_of(image, rows))).collect();
    let c = room(device, f16, want.len())?;
    let len = packed.len() + (2 * h * frame_w) as usize + want.len();
    let answer = c.clone();
    Case::new(
        device,
        |recorder| {
            record_rows(recorder, &x, [2 * h, w], &rows, &between, 0)?;
            let scale = std.map(|s| 1.0 / s);
            let (x, axis, c, images, in_rows) = (&between, &columns, &c, 2, h);
            let pass = Columns {
                x,
                images,
                first_row: 0,
                in_rows,
                w: frame_w,
                axis,
                rows: 0..0,
                mean,
                scale,
                c,
                to: 0,
            };
            for rows in parts {
                let to = images * rows.start * frame_w * 4;
                Columns { rows, to, ..pass }.record(recorder)?;
            }
            Ok(())
        },
        move |device| {
            // The 8-bit values are the reference's bit for bit. What is left: a difference, the rounding of 1
            // / std on the host, a product, and the reference's own two.
            let got = device.read_values(&answer)?;
            Ok(worst(got.iter().zip(&want).map(|(g, w)| {
                let want = f64::from(*w);
                (*g, want, gamma(5) * want.abs() + stored(want, f16))
            })))
        },
        work(0.0, len, false),
    )
}
