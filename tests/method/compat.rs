//! The published program's choices (`compat: official`) against their specification.

use crate::common::{direct, noise, of_each_kind, on_each, turn};
use softpatch::data::MemorySource;
use softpatch::data::synth::{Material, render};
use softpatch::detector::{Backbone, Compat, Detector, Embedding, FitOptions, Quiet};
use softpatch::low_level::bank::{Choice, RowSource, Start, Vectors, select};
use softpatch::low_level::gpu::Device;
use softpatch::low_level::reference::coreset::greedy::greedy_coreset_official;
use softpatch::low_level::steps::coreset::samples::start_samples;
use softpatch::low_level::steps::coreset::{Chunk, CoresetShape};
use std::ops::ControlFlow;

/// The squared distance in the device's order of summation; a driver may fuse the multiply-adds.
fn squared(fused: bool) -> impl Fn(&[f32], &[f32]) -> f64 {
    move |x, y| {
        let mut sum = 0.0_f32;
        for (x, y) in x.chunks(4).zip(y.chunks(4)) {
            let d = |i: usize| x[i] - y[i];
            let fma = |a: f32, b: f32, c: f32| if fused { a.mul_add(b, c) } else { a * b + c };
            sum += fma(d(3), d(3), fma(d(2), d(2), fma(d(1), d(1), d(0) * d(0))));
        }
        f64::from(sum)
    }
}

struct Case {
    z: Vec<f32>,
    dims: usize,
    kept: Vec<u32>,
    picks: usize,
    seed: u64,
}

impl RowSource for Case {
    fn read(&self, first: u32, out: &mut [f32]) -> softpatch::Result<()> {
        out.copy_from_slice(&self.z[first as usize * self.dims..][..out.len()]);
        Ok(())
    }
}

impl Case {
    fn run(&self, device: &Device, cut: usize, official: bool) -> Vec<u32> {
        let rows = self.z.len() / self.dims;
        let tensors = [
            device.upload(&self.z[..cut * self.dims], "z").unwrap(),
            device.upload(&self.z[cut * self.dims..], "z").unwrap(),
        ];
        let chunks = [
            Chunk { rows: &tensors[0], first_row: 0, len: cut as u32 },
            Chunk { rows: &tensors[1], first_row: cut as u32, len: (rows - cut) as u32 },
        ];
        let open = if official { rows } else { self.kept.len() };
        let (dims, picks) = (self.dims as u32, self.picks as u32);
        let shape = CoresetShape { kept: open as u32, dims, picks, batch: 64 };
        let samples: Vec<u32> = start_samples(open, self.seed).into_iter().map(|s| s as u32).collect();
        let go = |_| ControlFlow::Continue(());
        let start = if official { Start::Official } else { Start::Kept };
        let (vectors, kept, samples) = (Vectors::Device(&chunks), &self.kept, &samples);
        select(device, Choice { shape, vectors, kept, samples, start }, go).unwrap().unwrap().picks
    }

    /// [`Case::run`] with the program's start, from vectors that are read as they are needed.
    fn stream(&self, device: &Device, piece: u32) -> Vec<u32> {
        let rows = (self.z.len() / self.dims) as u32;
        let shape = CoresetShape { kept: rows, dims: self.dims as u32, picks: self.picks as u32, batch: 64 };
        let samples: Vec<u32> =
            start_samples(rows as usize, self.seed).into_iter().map(|s| s as u32).collect();
        let vectors = Vectors::Stream { source: self, rows, piece };
        let go = |_| ControlFlow::Continue(());
        let (kept, samples, start) = (&self.kept, &samples, Start::Official);
        select(device, Choice { shape, vectors, kept, samples, start }, go).unwrap().unwrap().picks
    }

    fn check(&self) {
        let by = |fused| {
            greedy_coreset_official(&self.z, self.dims, &self.kept, self.picks, self.seed, squared(fused))
        };
        let want = by(false);
        on_each(&of_each_kind(), |name, device| {
            let got = self.run(device, self.z.len() / self.dims / 3, true);
            if got != want {
                assert_eq!(got, by(true), "{name}");
            }
            assert_eq!(self.stream(device, 170), got, "{name}");
        });
    }
}

/// In many dimensions the mean distance to the start patches is less than the distance to the nearest pick:
/// the cap bites.
#[test]
fn the_start_distances_stay_in_the_minimum() {
    let _turn = turn();
    let kept = (0..900).filter(|i| i % 7 != 3).collect();
    let case = Case { z: noise(1, 900 * 128, 0.0, 3.0), dims: 128, kept, picks: 200, seed: 5 };
    case.check();
    let (_, device) = direct();
    assert_ne!(case.run(device, 300, true), case.run(device, 300, false));
}

#[test]
fn the_first_row_may_be_a_dropped_one() {
    let _turn = turn();
    let mut z = noise(2, 500 * 16, 0.0, 1.0);
    z[123 * 16..124 * 16].fill(50.0);
    let kept: Vec<u32> = (0..500).filter(|i| *i != 123).collect();
    let case = Case { z, dims: 16, kept, picks: 120, seed: 3 };
    case.check();
    let (_, device) = direct();
    let picks = case.run(device, 200, true);
    assert_eq!(picks[0], 123);
    assert!(!case.run(device, 200, false).contains(&123));
    // All kept rows but one beside it, none of them twice.
    let mut all = Case { picks: 499, ..case }.run(device, 200, true);
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 499);
}

#[test]
fn clusters_and_duplicates_equal_the_specification() {
    let _turn = turn();
    let (rows, dims) = (1500, 36);
    let means = noise(2, 40 * dims, 0.0, 10.0);
    let spread = noise(3, rows * dims, 0.0, 0.5);
    let mut z: Vec<f32> =
        (0..rows * dims).map(|i| means[(i / dims * 7919 % 40) * dims + i % dims] + spread[i]).collect();
    // Rows 700 to 799 repeat the first hundred.
    z.copy_within(0..100 * dims, 700 * dims);
    let kept = (0..rows as u32).filter(|i| i % 5 != 1).collect();
    Case { z, dims, kept, picks: 400, seed: 1 }.check();
}

#[test]
fn more_picks_than_kept_rows_are_refused() {
    let _turn = turn();
    let (_, device) = direct();
    let rows = device.upload(&noise(4, 40 * 4, 0.0, 1.0), "z").unwrap();
    let chunks = [Chunk { rows: &rows, first_row: 0, len: 40 }];
    let shape = CoresetShape { kept: 40, dims: 4, picks: 11, batch: 64 };
    let kept: Vec<u32> = (0..10).collect();
    let vectors = Vectors::Device(&chunks);
    let choice = Choice { shape, vectors, kept: &kept, samples: &[0, 1], start: Start::Official };
    let error = select(device, choice, |_| ControlFlow::Continue(()));
    assert!(error.unwrap_err().to_string().contains("10 kept rows of 40 for 11 picks"));
}

/// A whole fit, with embeddings on the device and on disk.
#[cfg(feature = "embedded-weights")]
#[test]
fn a_fit_follows_the_published_program() {
    let _turn = turn();
    let images: Vec<_> = (0..8).map(|i| render(Material::Fabric, None, i, 64).unwrap().0).collect();
    let backbone = Backbone::embedded().unwrap();
    let (_, device) = direct();
    let fit = |options: &FitOptions| {
        Detector::fit(device, &backbone, &MemorySource(&images), options, &Quiet).unwrap().model().clone()
    };
    let small = FitOptions { resize: 64, crop: 64, projection: 32, ..FitOptions::official() };
    let official = fit(&small);
    assert_eq!(official.info.lof_k, Some(5));
    assert_eq!(official.info.options, FitOptions { embedding: Embedding::Concat, ..small.clone() });
    let ours = fit(&FitOptions { compat: Compat::None, ..small.clone() });
    assert_eq!((official.info.rows, official.info.kept), (ours.info.rows, ours.info.kept));
    assert_eq!(official.info.noise_threshold, ours.info.noise_threshold);
    assert_ne!(official.bank.provenance, ours.bank.provenance);
    // 8 images of 64 patches are 0.4 MB: all features wait on disk.
    let spooled = fit(&FitOptions { memory: 240_000, ..small });
    assert_eq!(spooled.bank, official.bank);
}
