//! Cases of what becomes of feature maps: patches, embeddings, whole images.

use super::rounding::{DIVISION, SQUARE_ROOT, exact, gamma, worst, worst_relative};
use super::values::{operand, store, values};
use super::{Case, Work};
use crate::Result;
use crate::gpu::Device;
use crate::reference as plain;
use crate::steps::coreset::bank_rows;
use crate::steps::patches::means::PatchMean;
use crate::steps::patches::pooling::Pooled;
use crate::steps::patches::upsampling::Upsample;
use crate::steps::search::{image_distance, image_mean};

/// What moves `values` words and computes little.
fn moves(values: usize) -> Work {
    Work { flops: 0.0, bytes: 4.0 * values as f64 }
}

/// 3x3 means of `[h, w, c]`.
pub fn patch(device: &Device, [h, w, c]: [usize; 3], f16: bool) -> Result<Case> {
    let x = operand(h * w * c, 12, f16);
    let want = plain::patches::means::patch_mean3(&x, [h, w, c]);
    let (len, row) = (2 * want.len(), c as u32 + 4);
    let x = store(device, f16, &x)?;
    // Beside other columns, which stay.
    let out = device.alloc(h * w * (c + 4), "patches")?;
    let answer = out.clone();
    Case::new(
        device,
        |recorder| {
            let shape = [1, h as u32, w as u32, c as u32];
            PatchMean { x: &x, c: &out, shape, rows: 0..h as u32, row, to: 4 }.record(recorder)
        },
        move |device| {
            let got: Vec<f32> = device.read(&answer)?;
            let rows = got.chunks_exact(c + 4).zip(want.chunks_exact(c));
            let untouched = rows.clone().flat_map(|(g, _)| &g[..4]).map(|g| (*g, 0.0, 0.0));
            // Eight additions of values up to 1/2, a division, and the reference's own rounding.
            let means = rows.flat_map(|(g, w)| g[4..].iter().zip(w));
            let means = means.map(|(g, w)| (*g, f64::from(*w), gamma(9 + DIVISION) / 2.0));
            Ok(worst(untouched.chain(means)))
        },
        moves(len),
    )
}

/// Adaptive means of the patches of `[h, w, c]` to `m` values.
pub fn pooled(device: &Device, [h, w, c]: [usize; 3], side: usize, m: usize, f16: bool) -> Result<Case> {
    let x = operand(h * w * c, 13, f16);
    let n = c * side * side;
    let patches = if side == 3 { plain::patches::means::patches3(&x, [h, w, c]) } else { x.clone() };
    let want = plain::patches::means::adaptive_average(&patches, n, m);
    let len = x.len() + want.len();
    let x = store(device, f16, &x)?;
    let out = device.alloc(want.len(), "pooled patches")?;
    let answer = out.clone();
    Case::new(
        device,
        |recorder| {
            let shape = [1, h as u32, w as u32, c as u32];
            let (side, m) = (side as u32, m as u32);
            Pooled { x: &x, c: &out, shape, rows: 0..h as u32, side, m, row: m, to: 0 }.record(recorder)
        },
        move |device| {
            // A mean of n / m values up to 1/2, one more or two where it does not come out even, and the
            // reference's rounding.
            let allowed = gamma(n / m + 3 + DIVISION) / 2.0;
            let got: Vec<f32> = device.read(&answer)?;
            Ok(worst(got.iter().zip(&want).map(|(g, w)| (*g, f64::from(*w), allowed))))
        },
        moves(len),
    )
}

/// Bilinear upsampling of `[h, w, c]` to `out`.
pub fn resample(device: &Device, [h, w, c]: [usize; 3], out: [usize; 2]) -> Result<Case> {
    let x = values(h * w * c, 14);
    let want = plain::patches::upsampling::upsample_bilinear(&x, [h, w, c], out);
    let len = x.len() + want.len();
    let x = device.upload(&x, "coarse")?;
    let fine = device.alloc(want.len(), "fine")?;
    let answer = fine.clone();
    Case::new(
        device,
        |recorder| {
            let (shape, out) = ([1, h as u32, w as u32, c as u32], out.map(|o| o as u32));
            let (has, rows) = (0..h as u32, 0..out[0]);
            Upsample { x: &x, c: &fine, shape, out, has, rows, row: c as u32, to: 0 }.record(recorder)
        },
        move |device| {
            // A position (o + 1/2) in / out - 1/2 is a product, a division and a difference of numbers up to
            // `in`, so its fraction, which weighs values that lie up to 1 apart, is off by so much in each
            // axis; it changes continuously where the position crosses a row. Then seven roundings of
            // weights, products and sums up to 1/2, and the reference's.
            let position = |side: usize| side as f64 * gamma(2 + DIVISION);
            let allowed = position(h) + position(w) + gamma(8) / 2.0;
            let got: Vec<f32> = device.read(&answer)?;
            Ok(worst(got.iter().zip(&want).map(|(g, w)| (*g, f64::from(*w), allowed))))
        },
        moves(len),
    )
}

/// Chosen rows of `columns` values.
pub fn gather_rows(device: &Device, rows: usize, columns: usize) -> Result<Case> {
    let x = values(rows * columns, 15);
    // Row i to place 7 i mod rows: each once where 7 does not divide the number of rows.
    let pairs: Vec<[u32; 2]> = (0..rows as u32).map(|i| [i, 7 * i % rows as u32]).collect();
    let mut want = vec![0.0; x.len()];
    for [from, to] in &pairs {
        let (from, to) = (*from as usize * columns, *to as usize * columns);
        want[to..to + columns].copy_from_slice(&x[from..from + columns]);
    }
    let (x, pairs) = (device.upload(&x, "x")?, device.upload(&pairs, "pairs")?);
    let c = device.alloc(want.len(), "c")?;
    let (len, answer) = (2 * want.len(), c.clone());
    Case::new(
        device,
        |recorder| bank_rows::record(recorder, &x, &pairs, rows as u32, columns as u32, &c),
        move |device| Ok(exact(&device.read::<f32>(&answer)?, &want)),
        moves(len),
    )
}

/// Mean embeddings of whole images.
pub fn mean(device: &Device, [images, positions, dim]: [usize; 3]) -> Result<Case> {
    let x = values(images * positions * dim, 16);
    let want = plain::search::image_mean::image_mean(&x, positions, dim);
    let (len, x) = (x.len(), device.upload(&x, "x")?);
    let c = device.alloc(want.len(), "means")?;
    let answer = c.clone();
    Case::new(
        device,
        |recorder| image_mean::record(recorder, &x, [images, positions, dim].map(|v| v as u32), &c),
        move |device| {
            // Differences of up to 1 to the first position, their sum and its division, the first position
            // again, the reference.
            let allowed = gamma(positions + 3 + DIVISION);
            let got: Vec<f32> = device.read(&answer)?;
            Ok(worst(got.iter().zip(&want).map(|(g, w)| (*g, f64::from(*w), allowed))))
        },
        moves(len),
    )
}

/// Distances between `q` and `m` rows.
pub fn distance(device: &Device, [q, m, dim]: [usize; 3]) -> Result<Case> {
    let (a, b) = (values(q * dim, 17), values(m * dim, 18));
    let want = plain::search::image_distance::image_distance(&a, &b, dim);
    let (a, b) = (device.upload(&a, "a")?, device.upload(&b, "b")?);
    let c = device.alloc(want.len(), "distances")?;
    let answer = c.clone();
    let flops = 3.0 * (q * m * dim) as f64;
    Case::new(
        device,
        |recorder| image_distance::record(recorder, &a, &b, [q, m, dim].map(|v| v as u32), &c),
        move |device| {
            // A difference, squared, is three roundings, its sum dim - 1; the root halves that.
            Ok(worst_relative(&device.read(&answer)?, &want, gamma((dim + 2) / 2 + SQUARE_ROOT)))
        },
        Work { flops, bytes: 4.0 * ((q + m) * dim + q * m) as f64 },
    )
}
