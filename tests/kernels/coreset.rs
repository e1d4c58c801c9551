//! The batched greedy coreset against plain greedy, index by index.

use crate::common::{SQUARE_ROOT, checked, direct, gamma, noise, on_devices, turn};
use proptest::prelude::*;
use softpatch::Error;
use softpatch::low_level::bank::{Choice, RowSource, Selection, Start, Vectors, select};
use softpatch::low_level::gpu::Device;
use softpatch::low_level::reference::coreset::greedy::greedy_coreset;
use softpatch::low_level::steps::coreset::samples::start_samples;
use softpatch::low_level::steps::coreset::{Chunk, CoresetShape};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU32, Ordering};

struct Case {
    z: Vec<f32>,
    dims: usize,
    kept: Vec<u32>,
    picks: usize,
    batch: u32,
    seed: u64,
}

struct Rows<'a> {
    z: &'a [f32],
    dims: usize,
}

impl RowSource for Rows<'_> {
    fn read(&self, first: u32, out: &mut [f32]) -> softpatch::Result<()> {
        out.copy_from_slice(&self.z[first as usize * self.dims..][..out.len()]);
        Ok(())
    }
}

/// Fails after a number of reads.
struct Failing<'a> {
    rows: Rows<'a>,
    left: AtomicU32,
}

impl RowSource for Failing<'_> {
    fn read(&self, first: u32, out: &mut [f32]) -> softpatch::Result<()> {
        let counted = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1));
        counted.map_err(|_| Error::InvalidOption("no more reads".into()))?;
        self.rows.read(first, out)
    }
}

impl Case {
    fn rows(&self) -> usize {
        self.z.len() / self.dims
    }

    fn samples(&self) -> Vec<u32> {
        start_samples(self.kept.len(), self.seed).into_iter().map(|s| s as u32).collect()
    }

    /// Runs on `device` with the rows split at `cuts`.
    fn run(&self, device: &Device, cuts: &[usize]) -> Selection {
        let mut bounds = vec![0];
        bounds.extend_from_slice(cuts);
        bounds.push(self.rows());
        let tensors: Vec<_> = bounds
            .windows(2)
            .map(|w| device.upload(&self.z[w[0] * self.dims..w[1] * self.dims], "z").unwrap())
            .collect();
        let chunks: Vec<_> = tensors
            .iter()
            .zip(bounds.windows(2))
            .map(|(rows, w)| Chunk { rows, first_row: w[0] as u32, len: (w[1] - w[0]) as u32 })
            .collect();
        let shape = CoresetShape {
            kept: self.kept.len() as u32,
            dims: self.dims as u32,
            picks: self.picks.min(self.kept.len()) as u32,
            batch: self.batch,
        };
        self.select(device, shape, Vectors::Device(&chunks))
    }

    /// Runs on `device` with `piece` rows there at a time.
    fn stream(&self, device: &Device, piece: u32) -> Selection {
        let source = Rows { z: &self.z, dims: self.dims };
        let shape = CoresetShape {
            kept: self.kept.len() as u32,
            dims: self.dims as u32,
            picks: self.picks.min(self.kept.len()) as u32,
            batch: self.batch,
        };
        let vectors = Vectors::Stream { source: &source, rows: self.rows() as u32, piece };
        self.select(device, shape, vectors)
    }

    fn select(&self, device: &Device, shape: CoresetShape, vectors: Vectors<'_>) -> Selection {
        let (kept, samples, start) = (&self.kept, &self.samples(), Start::Kept);
        let choice = Choice { shape, vectors, kept, samples, start };
        select(device, choice, |_| ControlFlow::Continue(())).unwrap().unwrap()
    }

    /// Plain greedy after the first pick, with the distance `d`.
    fn plain(&self, first: u32, d: impl Fn(&[f32], &[f32]) -> f32) -> Vec<u32> {
        let row = |i: u32| &self.z[i as usize * self.dims..][..self.dims];
        let mut near = vec![f32::MAX; self.kept.len()];
        let mut picks = vec![first];
        while picks.len() < self.picks.min(self.kept.len()) {
            let last = *picks.last().unwrap();
            let mut best: Option<usize> = None;
            for (i, &k) in self.kept.iter().enumerate() {
                near[i] = if k == last { -1.0 } else { near[i].min(d(row(k), row(last))) };
                if near[i] >= 0.0 && best.is_none_or(|b| near[i] > near[b]) {
                    best = Some(i);
                }
            }
            picks.push(self.kept[best.unwrap()]);
        }
        picks
    }

    /// Relative error of a squared distance: differences count twice, squares once, the sum of one sign in
    /// any order.
    fn square_error(&self) -> f64 {
        f64::from(gamma(self.dims + 3))
    }

    /// The first pick's mean distance to the samples is the largest, but for rounding: of the squares, which
    /// the root halves, of the root, and of the sum, for either of two that are compared.
    fn check_start(&self, first: u32) {
        let row = |i: u32| &self.z[i as usize * self.dims..][..self.dims];
        let sum = |k: u32| -> f64 {
            let distance = |s: &u32| -> f64 {
                let pairs = row(k).iter().zip(row(self.kept[*s as usize]));
                pairs.map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>().sqrt()
            };
            self.samples().iter().map(distance).sum()
        };
        let largest = self.kept.iter().map(|&k| sum(k)).fold(0.0, f64::max);
        let error = self.square_error() / 2.0 + f64::from(gamma(SQUARE_ROOT + self.samples().len()));
        assert!(sum(first) >= largest * (1.0 - 2.0 * error), "start {first}: {} of {largest}", sum(first));
    }

    fn check(&self, name: &str, got: &Selection) {
        self.check_start(got.picks[0]);
        let fused = |a: f32, b: f32, c: f32| a.mul_add(b, c);
        let split = |a: f32, b: f32, c: f32| a * b + c;
        let by = |fma: &dyn Fn(f32, f32, f32) -> f32| {
            self.plain(got.picks[0], |x, y| {
                let mut sum = 0.0;
                for (x, y) in x.chunks(4).zip(y.chunks(4)) {
                    let d = |i: usize| x[i] - y[i];
                    sum += fma(d(3), d(3), fma(d(2), d(2), fma(d(1), d(1), d(0) * d(0))));
                }
                sum
            })
        };
        // To the bit where the device rounds to the nearest, fused or not. Rounding is free to go either way:
        // then every pick is the farthest but for that.
        if got.picks != by(&split) && got.picks != by(&fused) {
            let what = format!("{name}: {} rows of {}, batch {}", self.rows(), self.dims, self.batch);
            assert!(self.z.iter().any(|v| v.fract() != 0.0), "{what}: sums of whole numbers are exact");
            println!("{what}: not to the bit");
            self.check_greedy(&what, &got.picks);
        }
    }

    /// No kept row is farther from the picks before than each pick is, but for what two squared distances are
    /// off.
    fn check_greedy(&self, what: &str, picks: &[u32]) {
        let row = |i: u32| &self.z[i as usize * self.dims..][..self.dims];
        let mut near = vec![f64::INFINITY; self.kept.len()];
        let at = |pick: u32| self.kept.iter().position(|&k| k == pick).expect("a kept row");
        for (n, pair) in picks.windows(2).enumerate() {
            for (near, &k) in near.iter_mut().zip(&self.kept) {
                let pairs = row(k).iter().zip(row(pair[0]));
                *near = near.min(pairs.map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum());
            }
            near[at(pair[0])] = -1.0;
            let (mine, largest) = (near[at(pair[1])], near.iter().copied().fold(0.0, f64::max));
            let least = largest * (1.0 - 2.0 * self.square_error());
            assert!(mine >= least, "{what}: pick {} is {mine} away, not {largest}", n + 1);
        }
    }
}

/// Values -6..=6, of which squared distances are exact: many ties.
fn integers(seed: u64, len: usize) -> Vec<f32> {
    noise(seed, len, 0.0, 6.0).into_iter().map(f32::round).collect()
}

fn check_all(case: &Case) {
    on_devices(|name, device| {
        case.check(name, &case.run(device, &[]));
    });
}

#[test]
fn real_values_equal_plain_greedy() {
    let _turn = turn();
    let kept = (0..900).filter(|i| i % 7 != 3).collect();
    check_all(&Case { z: noise(1, 900 * 128, 0.0, 3.0), dims: 128, kept, picks: 200, batch: 64, seed: 5 });
}

#[test]
fn clusters_equal_plain_greedy() {
    let _turn = turn();
    let (rows, dims) = (1500, 36);
    let means = noise(2, 40 * dims, 0.0, 10.0);
    let spread = noise(3, rows * dims, 0.0, 0.5);
    let z = (0..rows * dims).map(|i| means[(i / dims * 7919 % 40) * dims + i % dims] + spread[i]).collect();
    let case = Case { z, dims, kept: (0..rows as u32).collect(), picks: 400, batch: 128, seed: 1 };
    check_all(&case);
    let progress = case.run(&checked()[0].1, &[]).progress;
    assert!(
        progress.distances < 1500 * 400 / 5,
        "the triangle inequality passed over too little: {progress:?}"
    );
}

#[test]
fn integers_equal_the_reference() {
    let _turn = turn();
    let case =
        Case { z: integers(4, 700 * 8), dims: 8, kept: (0..700).collect(), picks: 300, batch: 64, seed: 9 };
    let want = greedy_coreset(&case.z, 8, &case.kept, 300, 9);
    on_devices(|name, device| {
        assert_eq!(case.run(device, &[]).picks, want, "{name}");
    });
}

#[test]
fn equal_rows_come_in_order_of_index() {
    let _turn = turn();
    on_devices(|name, device| {
        let kept: Vec<u32> = (0..500).filter(|i| i % 3 != 0).collect();
        let case =
            Case { z: vec![2.5; 500 * 4], dims: 4, kept: kept.clone(), picks: 300, batch: 64, seed: 0 };
        assert_eq!(case.run(device, &[]).picks, kept[..300], "{name}");
    });
}

#[test]
fn duplicates_and_more_picks_than_rows() {
    let _turn = turn();
    let base = integers(6, 30 * 12);
    let z: Vec<f32> = (0..600).flat_map(|i| base[(i * 17 % 30) * 12..][..12].to_vec()).collect();
    for picks in [599, 5000] {
        check_all(&Case { z: z.clone(), dims: 12, kept: (0..600).collect(), picks, batch: 64, seed: 3 });
    }
}

#[test]
fn chunks_change_nothing() {
    let _turn = turn();
    let kept = (0..800).filter(|i| !(300..420).contains(i) && i % 11 != 0).collect();
    let case = Case { z: noise(8, 800 * 128, 1.0, 2.0), dims: 128, kept, picks: 250, batch: 64, seed: 2 };
    on_devices(|name, device| {
        let whole = case.run(device, &[]).picks;
        assert_eq!(case.run(device, &[1, 310, 400, 401, 799]).picks, whole, "{name}");
    });
}

#[test]
fn streaming_changes_nothing() {
    let _turn = turn();
    let kept = (0..800).filter(|i| !(300..420).contains(i) && i % 11 != 0).collect();
    let case = Case { z: noise(8, 800 * 128, 1.0, 2.0), dims: 128, kept, picks: 250, batch: 64, seed: 2 };
    on_devices(|name, device| {
        let whole = case.run(device, &[]).picks;
        for piece in [37, 799] {
            assert_eq!(case.stream(device, piece).picks, whole, "{name}, pieces of {piece}");
        }
    });
    // Ties, and picks until nothing is left.
    let case =
        Case { z: integers(4, 300 * 8), dims: 8, kept: (0..300).collect(), picks: 300, batch: 64, seed: 9 };
    let device = &direct().1;
    assert_eq!(case.stream(device, 64).picks, case.run(device, &[]).picks);
}

#[test]
fn a_failing_read_ends_a_selection() {
    let _turn = turn();
    let z = noise(8, 200 * 16, 1.0, 2.0);
    let kept: Vec<u32> = (0..200).collect();
    let shape = CoresetShape { kept: 200, dims: 16, picks: 100, batch: 64 };
    // Within the samples, the first distances, the candidates, an update.
    for reads in [3, 12, 100, 170] {
        let source = Failing { rows: Rows { z: &z, dims: 16 }, left: AtomicU32::new(reads) };
        let vectors = Vectors::Stream { source: &source, rows: 200, piece: 50 };
        let samples = &[0, 9, 20, 50];
        let choice = Choice { shape, vectors, kept: &kept, samples, start: Start::Kept };
        let error = select(&direct().1, choice, |_| ControlFlow::Continue(()));
        assert!(error.unwrap_err().to_string().contains("no more reads"), "{reads}");
    }
}

#[test]
fn batch_changes_nothing() {
    let _turn = turn();
    let mut case = Case {
        z: noise(9, 600 * 16, 0.0, 1.0),
        dims: 16,
        kept: (0..600).collect(),
        picks: 90,
        batch: 1,
        seed: 2,
    };
    let device = &direct().1;
    let one = case.run(device, &[]);
    assert_eq!(one.progress.batches, 89);
    for batch in [2, 63, 64, 100] {
        case.batch = batch;
        assert_eq!(case.run(device, &[]).picks, one.picks, "batch {batch}");
    }
}

#[test]
fn watching_can_stop_it() {
    let _turn = turn();
    let case = Case {
        z: noise(9, 600 * 16, 0.0, 1.0),
        dims: 16,
        kept: (0..600).collect(),
        picks: 90,
        batch: 1,
        seed: 2,
    };
    let device = &direct().1;
    let rows = device.upload(&case.z, "z").unwrap();
    let chunks = [Chunk { rows: &rows, first_row: 0, len: 600 }];
    let shape = CoresetShape { kept: 600, dims: 16, picks: 90, batch: 1 };
    let (vectors, kept, samples) = (Vectors::Device(&chunks), &case.kept, &case.samples());
    let choice = Choice { shape, vectors, kept, samples, start: Start::Kept };
    let stopped = select(device, choice, |_| ControlFlow::Break(())).unwrap();
    assert!(stopped.is_none());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, failure_persistence: None, ..Default::default() })]

    #[test]
    fn any_shape(
        // How many rows the start is measured from, 10 but for the smallest sets, is a constant of a kernel.
        rows in prop_oneof![1 => 1_usize..3, 7 => 60_usize..300],
        quads in 1_usize..40,
        picks in 1_usize..120,
        seed in 0_u64..1000,
        whole: bool,
        keep in 1_u32..5,
    ) {
        let _turn = turn();
        let dims = 4 * quads;
        let z = if whole { integers(seed, rows * dims) } else { noise(seed, rows * dims, 0.0, 1.0) };
        let mut kept: Vec<u32> = (0..rows as u32).filter(|i| (i * 31 + seed as u32) % 5 < keep).collect();
        if kept.is_empty() {
            kept.push(0);
        }
        check_all(&Case { z, dims, kept, picks, batch: 64, seed });
    }
}
