//! Kernels on shapes of real use, each with its work and the check of its answer.

use crate::Result;
use crate::backbone::network::{Kind, Network};
use crate::detector::coreset::{Vectors, select};
use crate::gpu::{Device, Plan, Recorder, Tensor};
use crate::ops::Activation;
use crate::ops::anomaly_map::AnomalyMap;
use crate::ops::conv::{Conv, ConvShape};
use crate::ops::coreset::{Chunk, Coreset, CoresetBuffers, CoresetShape, Progress};
use crate::ops::depthwise::Depthwise;
use crate::ops::gemm::Gemm;
use crate::ops::knn::Knn;
use crate::ops::neighbor::{Bank, BankData};
use crate::reference as plain;
use std::ops::ControlFlow;

/// How large the shapes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scale {
    /// Images a batch.
    pub batch: u32,
    /// The sizes that only a GPU does in reasonable time, too.
    pub large: bool,
}

/// What a case does.
#[derive(Clone, Copy, Debug)]
pub struct Work {
    /// Floating-point operations, a multiply-add being two.
    pub flops: f64,
    /// Bytes of all operands and results, each counted once.
    pub bytes: f64,
}

/// Largest difference found, and largest that rounding explains.
type Verdict = (f64, f64);
type Check = Box<dyn Fn(&Device) -> Result<Verdict>>;
type Count = Box<dyn Fn(&Device) -> Result<Work>>;

/// A kernel on a shape, ready to run.
pub struct Case {
    /// Kernel family.
    pub kernel: &'static str,
    /// Sizes.
    pub shape: String,
    /// Times that it occurs in its network.
    pub count: u32,
    /// The work.
    pub plan: Plan,
    pub(super) check: Check,
    pub(super) work: Count,
}

impl Case {
    /// Shaders in use, with flags and constants.
    pub fn variant(&self) -> String {
        let mut all: Vec<String> = Vec::new();
        for label in self.plan.labels() {
            // Shader and flags, then constants; what follows is the shape.
            let mut words = label.split(' ');
            let name = words.next().unwrap_or_default();
            let constants = words.take_while(|w| w.contains('='));
            let variant = std::iter::once(name).chain(constants).collect::<Vec<_>>().join(" ");
            if !all.contains(&variant) {
                all.push(variant);
            }
        }
        all.join(", ")
    }

    /// Whether cooperative matrices do the work.
    pub(super) fn coop(&self) -> bool {
        self.plan.labels().any(|l| l.starts_with("gemm_coop"))
    }

    /// Checks the answer of the last run: the largest difference from the reference, and what rounding explains.
    ///
    /// # Errors
    /// What reading back says.
    pub fn check(&self, device: &Device) -> Result<Verdict> {
        (self.check)(device)
    }

    /// Operations and bytes of a run.
    ///
    /// # Errors
    /// What reading back says: some kernels count their work.
    pub fn work(&self, device: &Device) -> Result<Work> {
        (self.work)(device)
    }
}

/// Repeatable values in -0.5 .. 0.5, exact in f16 too.
fn values(len: usize, seed: usize) -> Vec<f32> {
    (0..len).map(|i| ((i.wrapping_mul(7919) + seed * 104_729) % 1021) as f32 / 1024.0 - 0.5).collect()
}

/// About `count` places among `len`, spread without a pattern of rows or columns.
fn sample(len: usize, count: usize) -> impl Iterator<Item = usize> {
    (0..count.min(len)).map(move |i| (i.wrapping_mul(2_654_435_761) + i * 97) % len)
}

fn finish(device: &Device, record: impl FnOnce(&mut Recorder) -> Result<()>) -> Result<Plan> {
    let mut recorder = Recorder::new(device);
    record(&mut recorder)?;
    recorder.finish()
}

fn store(device: &Device, f16: bool, data: &[f32]) -> Result<Tensor> {
    if f16 { device.upload_f16(data, "operand") } else { device.upload(data, "operand") }
}

fn room(device: &Device, f16: bool, len: usize) -> Result<Tensor> {
    if f16 { device.alloc_f16(len, "result") } else { device.alloc(len, "result") }
}

/// A sum of k products of values below 1/2, with what storing it as f16 takes off.
fn tolerance(k: usize, f16: bool) -> f64 {
    let (k, unit) = (k as f64, f64::from(f32::EPSILON) / 2.0);
    // Tensor cores may cut off where others round.
    let sum = 4.0 * (k + 2.0) * unit * k / 4.0;
    if f16 { sum + k / 4.0 / 2048.0 } else { sum }
}

fn check_sums(c: Tensor, len: usize, tolerance: f64, want: impl Fn(usize) -> f64 + 'static) -> Check {
    Box::new(move |device| {
        let got = device.read_values(&c)?;
        let off = |i: usize| {
            let d = (f64::from(got[i]) - want(i)).abs();
            if d.is_nan() { f64::INFINITY } else { d }
        };
        Ok((sample(len, 300).map(off).fold(0.0, f64::max), tolerance))
    })
}

fn fixed(flops: f64, values: usize, f16: bool) -> Count {
    let bytes = values as f64 * if f16 { 2.0 } else { 4.0 };
    Box::new(move |_| Ok(Work { flops, bytes }))
}

fn gemm(device: &Device, kernel: &'static str, [m, k, n]: [usize; 3], f16: bool) -> Result<Case> {
    let (x, w) = (values(m * k, 1), values(n * k, 2));
    let (tx, tw) = (store(device, f16, &x)?, store(device, f16, &w)?);
    let (bias, c) = (device.alloc(n, "bias")?, room(device, f16, m * n)?);
    let plan = finish(device, |r| {
        let (m, k, n) = (m as u32, k as u32, n as u32);
        let activation = Activation::None;
        Gemm { x: &tx, w: &tw, bias: &bias, residual: None, c: &c, m, k, n, activation }.record(r)
    })?;
    let dot = move |i: usize| {
        let (row, column) = (i / n, i % n);
        x[row * k..][..k].iter().zip(&w[column * k..][..k]).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    };
    Ok(Case {
        kernel,
        shape: format!("{m}x{k}x{n}"),
        count: 1,
        plan,
        check: check_sums(c, m * n, tolerance(k, f16), dot),
        work: fixed(2.0 * m as f64 * k as f64 * n as f64, m * k + n * k + m * n, f16),
    })
}

fn conv(device: &Device, shape: ConvShape, depthwise: bool, count: u32, f16: bool) -> Result<Case> {
    let s = shape;
    let taps = (s.kernel_h * s.kernel_w) as usize;
    let k = if depthwise { taps } else { taps * s.in_c as usize };
    let (x, w) = (values(s.input_len(), 1), values(k * s.out_c as usize, 2));
    let (tx, tw) = (store(device, f16, &x)?, store(device, f16, &w)?);
    let (bias, c) = (device.alloc(s.out_c as usize, "bias")?, room(device, f16, s.output_len())?);
    let activation = Activation::None;
    let plan = finish(device, |r| {
        if depthwise {
            return Depthwise { x: &tx, w: &tw, bias: &bias, c: &c, shape, activation }.record(r);
        }
        Conv { x: &tx, w: &tw, bias: &bias, residual: None, c: &c, shape, activation }.record(r)
    })?;
    let (flops, values) = (2.0 * (k * s.output_len()) as f64, x.len() + w.len() + s.output_len());
    let want = move |i: usize| match depthwise {
        true => plain::depthwise::depthwise_sum(&x, &w, &s, i),
        false => plain::conv::conv_sum(&x, &w, &s, i),
    };
    Ok(Case {
        kernel: if depthwise { "depthwise" } else { "conv" },
        shape: format!(
            "{}x{} s{} {}x{}x{}->{}x{}x{} b{}",
            s.kernel_h, s.kernel_w, s.stride, s.in_h, s.in_w, s.in_c, s.out_h, s.out_w, s.out_c, s.batch
        ),
        count,
        plan,
        check: check_sums(c, s.output_len(), tolerance(k, f16), want),
        work: fixed(flops, values, f16),
    })
}

/// A constructor of a case; the operands are made when it is called.
pub type Make = Box<dyn Fn(&Device) -> Result<Case>>;

/// Matrix products: squares, and the projections of embeddings.
pub fn products(scale: Scale, f16: bool) -> Vec<Make> {
    let rows = 784 * scale.batch as usize;
    let mut all: Vec<(&'static str, [usize; 3])> = vec![("gemm", [1024; 3])];
    if scale.large {
        all.push(("gemm", [4096; 3]));
    }
    if !f16 {
        all.extend([("projection", [rows, 152, 128]), ("projection", [rows, 1024, 128])]);
    }
    let make = |(kernel, size)| Box::new(move |d: &Device| gemm(d, kernel, size, f16)) as Make;
    all.into_iter().map(make).collect()
}

/// Matrix products of the sizes `[m, k, n]`.
pub(super) fn products_of(sizes: &[[usize; 3]], f16: bool) -> Vec<Make> {
    let make = |&size: &[usize; 3]| Box::new(move |d: &Device| gemm(d, "gemm", size, f16)) as Make;
    sizes.iter().map(make).collect()
}

/// The convolutions of `network` on images of 224 x 224, equal ones once, with their numbers.
pub fn backbone(network: &Network, scale: Scale, f16: bool) -> Result<Vec<Make>> {
    let sizes = network.sizes(224, 224)?;
    let mut shapes: Vec<(ConvShape, bool, u32)> = Vec::new();
    for (i, layer) in network.layers.iter().enumerate() {
        if layer.kind == Kind::MaxPool {
            continue;
        }
        let shape = network.conv_shape(i, &sizes, scale.batch);
        let depthwise = layer.kind == Kind::Depthwise;
        match shapes.iter_mut().find(|(s, d, _)| (*s, *d) == (shape, depthwise)) {
            Some((.., count)) => *count += 1,
            None => shapes.push((shape, depthwise, 1)),
        }
    }
    let make =
        |(shape, depthwise, count)| Box::new(move |d: &Device| conv(d, shape, depthwise, count, f16)) as Make;
    Ok(shapes.into_iter().map(make).collect())
}

/// The kernels of the method.
pub fn method(scale: Scale) -> Vec<Make> {
    let batch = scale.batch;
    let mut all: Vec<Make> = vec![
        Box::new(move |d| knn(d, if scale.large { 784 } else { 16 }, 209)),
        Box::new(|d| coreset(d, 4096, 128, 400)),
        Box::new(move |d| neighbor(d, 784 * batch.min(8), 16_385, 152)),
        Box::new(move |d| anomaly_map(d, batch)),
    ];
    if scale.large {
        all.push(Box::new(|d| coreset(d, 31_360, 128, 3136)));
        all.push(Box::new(move |d| neighbor(d, 784 * batch, 30_000, 1024)));
    }
    all
}

fn knn(device: &Device, groups: u32, n: u32) -> Result<Case> {
    let (r, k) = (128_u32, 6_u32);
    let one = (n * r) as usize;
    let rows = values(groups as usize * one, 3);
    let block = device.upload(&rows, "block")?;
    let lists = (groups * n * k) as usize;
    let (distances, indices) = (device.alloc(lists, "distances")?, device.alloc(lists, "indices")?);
    let plan = finish(device, |recorder| {
        Knn { block: &block, distances: &distances, indices: &indices, groups, n, r, k }.record(recorder)
    })?;
    let flops = 3.0 * f64::from(groups) * f64::from(n).powi(2) * f64::from(r);
    let last = (groups as usize - 1) * one;
    Ok(Case {
        kernel: "knn",
        shape: format!("{groups} groups of {n}x{r}, k {k}"),
        count: 1,
        plan,
        check: Box::new(move |device| {
            let (want, _) = plain::knn::knn(&rows[last..], r as usize, k as usize);
            let got: Vec<f32> = device.read(&distances)?;
            let got = &got[got.len() - want.len()..];
            let largest = want.iter().copied().fold(0.0, f32::max);
            let error = want.iter().zip(got).map(|(w, g)| f64::from((w - g).abs())).fold(0.0, f64::max);
            Ok((error, f64::from(r + 4) * f64::from(f32::EPSILON) * f64::from(largest)))
        }),
        work: fixed(flops, rows_and_lists(groups, n, r, k), false),
    })
}

fn rows_and_lists(groups: u32, n: u32, r: u32, k: u32) -> usize {
    groups as usize * n as usize * (r + 2 * k) as usize
}

/// A whole selection, batch after batch in one submission.
fn coreset(device: &Device, rows: u32, r: u32, picks: u32) -> Result<Case> {
    // Small whole numbers: distances are exact, so the picks must be the reference's, one by one.
    let z: Vec<f32> = values((rows * r) as usize, 4).iter().map(|v| (v * 40.0).round()).collect();
    let kept: Vec<u32> = (0..rows).collect();
    let samples: Vec<u32> =
        plain::coreset::start_samples(kept.len(), 0).into_iter().map(|s| s as u32).collect();
    let tensor = device.upload(&z, "rows")?;
    let chunks = [Chunk { rows: &tensor, first_row: 0, len: rows }];
    let shape = CoresetShape::new(rows, r, picks, device.caps().max_binding);
    // Once in the ordinary way, to know how many batches it takes.
    let found =
        select(device, shape, Vectors::Device(&chunks), &kept, &samples, |_| ControlFlow::Continue(()))?;
    let batches = found.map_or(0, |s| s.progress.batches);
    let buffers = CoresetBuffers::new(device, shape, &chunks, &kept, &samples)?;
    let plan = finish(device, |recorder| {
        let coreset = Coreset { chunks: &chunks, buffers: &buffers };
        coreset.record_start(recorder)?;
        (0..batches).try_for_each(|_| coreset.record_batch(recorder))
    })?;
    let (found, state) = (buffers.picks.clone(), buffers.state.clone());
    let (one, starts) = (f64::from(rows) * f64::from(r), samples.len() as f64);
    Ok(Case {
        kernel: "coreset",
        shape: format!("{picks} of {rows}x{r}, {batches} batches"),
        count: 1,
        plan,
        check: Box::new(move |device| {
            // The first picks do not depend on how many follow.
            let want = plain::coreset::greedy_coreset(&z, r as usize, &kept, 64.min(picks as usize), 0);
            let found: Vec<u32> = device.read(&found)?;
            Ok((want.iter().zip(&found).filter(|(w, f)| w != f).count() as f64, 0.0))
        }),
        // The distances that were computed, and those to the start samples.
        work: Box::new(move |device| {
            let distances = Progress::read(&device.read(&state)?).distances as f64;
            Ok(Work { flops: 3.0 * (distances * f64::from(r) + starts * one), bytes: 4.0 * one })
        }),
    })
}

fn neighbor(device: &Device, q: u32, m: u32, d: u32) -> Result<Case> {
    // As a detector chooses it.
    let head = (d as usize / 4).next_multiple_of(4).clamp(4, 64).min(d as usize / 4 * 4);
    let width = d as usize;
    // Variance falls along the values, as it does along the principal axes of real features.
    let rows = |len: u32, seed| -> Vec<f32> {
        let mut v = values((len * d) as usize, seed);
        // Equal rows would make ties.
        v.iter_mut().enumerate().for_each(|(i, v)| {
            *v = (*v + (i / width) as f32 * 1e-5) / (1.0 + (i % width) as f32 / 8.0);
        });
        v
    };
    let (queries, bank_rows) = (rows(q, 1), rows(m, 2));
    let axes: Vec<f32> = (0..head * width).map(|i| if i % width == i / width { 1.0 } else { 0.0 }).collect();
    let (weights, row_image, mean) = (vec![1.0; m as usize], vec![0; m as usize], vec![0.0; width]);
    let data = BankData {
        rows: &bank_rows,
        weights: &weights,
        row_image: &row_image,
        mean: &mean,
        axes: &axes,
        dim: d,
    };
    let bank = Bank::new(device, &data)?;
    let q = q.min(bank.max_queries(device));
    let search = bank.search(device, q)?;
    let x = device.upload(&queries[..q as usize * width], "queries")?;
    let plan = finish(device, |recorder| bank.record(recorder, &search, &x, q, None))?;
    let (best, finished) = (search.best.clone(), search.finished.clone());
    let bounds = 2.0 * f64::from(q) * f64::from(m / 8) * (head as f64 + 4.0);
    let operands = (f64::from(m) + f64::from(q)) * f64::from(d);
    Ok(Case {
        kernel: "neighbor",
        shape: format!("{q} in {m}x{d}, head {head}"),
        count: 1,
        plan,
        check: Box::new(move |device| {
            let found: Vec<[u32; 2]> = device.read(&best)?;
            let mut worst = 0.0_f64;
            for query in sample(q as usize, 12) {
                let x = &queries[query * width..][..width];
                let (_, squared) = plain::neighbor::nearest_neighbor(x, &bank_rows, width, |_, _| false);
                // Of rows that are equally near in f32 either will do: the distance decides.
                let got = f32::from_bits(found[query][0]);
                worst = worst.max(f64::from((got - squared[0]).abs() / squared[0].max(f32::MIN_POSITIVE)));
            }
            Ok((worst, f64::from(d + 5) * f64::from(f32::EPSILON)))
        }),
        // Bounds stand for tiles of 8 rows; what they leave is measured in full.
        work: Box::new(move |device| {
            let finished = f64::from(device.read::<u32>(&finished)?[0]);
            Ok(Work { flops: bounds + 3.0 * finished * f64::from(d), bytes: 4.0 * operands })
        }),
    })
}

fn anomaly_map(device: &Device, batch: u32) -> Result<Case> {
    let (grid, out) = ([28_u32; 2], [224_u32; 2]);
    let positions = 28 * 28;
    let scores: Vec<f32> = values(batch as usize * positions, 5).iter().map(|v| v + 0.5).collect();
    let map = AnomalyMap::new(device, grid, out)?;
    let x = device.upload(&scores, "scores")?;
    let (scratch, c) = (
        device.alloc(map.scratch_len(batch), "scratch")?,
        device.alloc((batch * 224 * 224) as usize, "maps")?,
    );
    let plan = finish(device, |recorder| map.record(recorder, &x, &scratch, &c, batch))?;
    // Two products with matrices of the axes.
    let flops = 2.0 * f64::from(batch) * 28.0 * 224.0 * (28.0 + 224.0);
    let values = batch as usize * (positions + 224 * 224);
    Ok(Case {
        kernel: "anomaly map",
        shape: format!("28x28->224x224 b{batch}"),
        count: 1,
        plan,
        check: Box::new(move |device| {
            let got: Vec<f32> = device.read(&c)?;
            let last = &scores[scores.len() - positions..];
            let want = plain::anomaly_map::anomaly_map(last, [28, 28], [224, 224]);
            let got = &got[got.len() - want.len()..];
            let error = want.iter().zip(got).map(|(w, g)| f64::from((w - g).abs())).fold(0.0, f64::max);
            Ok((error, 62.0 * f64::from(f32::EPSILON)))
        }),
        work: fixed(flops, values, false),
    })
}
