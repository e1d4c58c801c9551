//! Nearest neighbour and soft score against the reference.

mod common;

use common::{assert_close, devices, gamma, noise, serial};
use proptest::prelude::*;
use softpatch::gpu::{Device, Recorder};
use softpatch::ops::neighbor::{BankPart, Neighbor, ShortAxes, TwoStage, bounds_len, scratch_len};
use softpatch::reference::neighbor::{nearest_neighbor, soft_scores};

struct Case {
    x: Vec<f32>,
    bank: Vec<f32>,
    dims: usize,
    weights: Vec<f32>,
    /// Images of queries and of rows.
    images: Option<(Vec<u32>, Vec<u32>)>,
}

/// Indices, squared distances, scores.
type Found = (Vec<u32>, Vec<f32>, Vec<f32>);

impl Case {
    /// Runs on `device` with the bank split at `cuts`; in two stages where rows are long enough, too, and asserts that
    /// these change no bit.
    fn run(&self, device: &Device, cuts: &[usize]) -> Found {
        let found = self.search(device, cuts, false);
        if self.dims >= 32 {
            assert_eq!(self.search(device, cuts, true), found, "two stages, {cuts:?}");
        }
        found
    }

    fn search(&self, device: &Device, cuts: &[usize], two_stages: bool) -> Found {
        let (queries, rows) = (self.x.len() / self.dims, self.bank.len() / self.dims);
        let bounds: Vec<usize> = [0].into_iter().chain(cuts.iter().copied()).chain([rows]).collect();
        let x = device.upload(&self.x, "x").unwrap();
        let weights = device.upload(&self.weights, "weights").unwrap();
        let query_image = self.images.as_ref().map(|i| device.upload(&i.0, "query image").unwrap());
        let parts: Vec<_> = bounds
            .windows(2)
            .map(|w| {
                let rows = device.upload(&self.bank[w[0] * self.dims..w[1] * self.dims], "bank").unwrap();
                let image =
                    self.images.as_ref().map(|i| device.upload(&i.1[w[0]..w[1]], "row image").unwrap());
                (rows, image, (w[1] - w[0]) as u32)
            })
            .collect();
        let bank: Vec<_> = parts
            .iter()
            .map(|(rows, image, len)| BankPart { rows, len: *len, image: image.as_ref() })
            .collect();
        let out: Vec<_> = (0..3).map(|_| device.alloc(queries, "out").unwrap()).collect();
        let scratch: Vec<_> =
            (0..2).map(|_| device.alloc(scratch_len(queries as u32), "scratch").unwrap()).collect();
        let mut recorder = Recorder::new(device);
        let axes = two_stages.then(|| ShortAxes::new(device, &self.bank, self.dims as u32).unwrap());
        let mut short_bank = Vec::new();
        for part in bank.iter().filter(|_| two_stages) {
            let short = device.alloc(ShortAxes::len(part.len), "short bank").unwrap();
            axes.as_ref().unwrap().record(&mut recorder, part.rows, &short, part.len).unwrap();
            short_bank.push(short);
        }
        let short_x = device.alloc(ShortAxes::len(queries as u32), "short x").unwrap();
        let bounds = device.alloc(bounds_len(queries as u32, rows as u32), "bounds").unwrap();
        let stages = axes.as_ref().map(|axes| TwoStage {
            axes,
            short_bank: &short_bank,
            short_x: &short_x,
            bounds: &bounds,
        });
        Neighbor {
            stages,
            x: &x,
            bank: &bank,
            weights: &weights,
            query_image: query_image.as_ref(),
            index: &out[0],
            squared: &out[1],
            score: &out[2],
            scratch_distance: &scratch[0],
            scratch_index: &scratch[1],
            queries: queries as u32,
            dims: self.dims as u32,
        }
        .record(&mut recorder)
        .unwrap();
        recorder.run().unwrap();
        (device.read(&out[0]).unwrap(), device.read(&out[1]).unwrap(), device.read(&out[2]).unwrap())
    }

    fn squared(&self, query: usize, row: usize) -> f64 {
        let (a, b) = (&self.x[query * self.dims..][..self.dims], &self.bank[row * self.dims..][..self.dims]);
        a.iter().zip(b).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum()
    }

    /// Distances and scores as the reference; the same row, or one as near but for rounding (`exact`: the same row).
    fn check(&self, exact: bool) {
        let (queries, rows) = (self.x.len() / self.dims, self.bank.len() / self.dims);
        let (want, squared) = nearest_neighbor(&self.x, queries, &self.bank, rows, self.dims);
        // Every term is >= 0: each passes one subtraction (counted twice by the square), a product and dims / 4 + 4 sums.
        let relative = gamma(self.dims / 4 + 8);
        for (name, device) in devices() {
            let (index, got, score) = self.run(device, &[]);
            assert_close(&format!("{name} squared"), &got, &squared, 0.0, relative);
            for query in 0..queries {
                let near = self.squared(query, index[query] as usize)
                    <= f64::from(squared[query]) * (1.0 + 2.0 * f64::from(relative));
                assert!(
                    near && (!exact || index[query] == want[query]),
                    "{name} query {query}: {} not {}",
                    index[query],
                    want[query]
                );
            }
            assert_close(
                &format!("{name} score"),
                &score,
                &soft_scores(&index, &got, &self.weights),
                0.0,
                gamma(1),
            );
        }
    }
}

fn integers(seed: u64, len: usize) -> Vec<f32> {
    noise(seed, len, 0.0, 2.0).into_iter().map(f32::round).collect()
}

#[test]
fn equals_the_reference() {
    let _guard = serial();
    for (queries, rows, dims) in [(1, 1, 4), (70, 900, 152), (33, 17, 1024)] {
        Case {
            x: noise(1, queries * dims, 1.0, 2.0),
            bank: noise(2, rows * dims, 1.0, 2.0),
            dims,
            weights: noise(3, rows, 1.5, 0.5),
            images: None,
        }
        .check(false);
    }
}

#[test]
fn ties_go_to_the_smaller_index() {
    let _guard = serial();
    Case {
        x: integers(1, 200 * 4),
        bank: integers(2, 3000 * 4),
        dims: 4,
        weights: noise(3, 3000, 1.0, 0.5),
        images: None,
    }
    .check(true);
}

#[test]
fn far_from_the_origin_nothing_cancels() {
    let _guard = serial();
    let (queries, rows, dims) = (40, 300, 64);
    let bank = noise(4, rows * dims, 1000.0, 0.01);
    let x =
        bank[..queries * dims].iter().zip(noise(5, queries * dims, 0.0, 0.001)).map(|(b, n)| b + n).collect();
    Case { x, bank, dims, weights: vec![1.0; rows], images: None }.check(false);
}

#[test]
fn parts_of_the_bank_change_nothing() {
    let _guard = serial();
    let (queries, rows, dims) = (50, 1000, 40);
    let case = Case {
        x: integers(1, queries * dims),
        bank: integers(2, rows * dims),
        dims,
        weights: noise(3, rows, 1.0, 0.5),
        images: Some((
            (0..queries as u32).map(|i| i % 5).collect(),
            (0..rows as u32).map(|i| i * 7 % 5).collect(),
        )),
    };
    for (name, device) in devices() {
        let whole = case.run(device, &[]);
        for cuts in [vec![1], vec![300, 301, 650], vec![999]] {
            assert_eq!(case.run(device, &cuts), whole, "{name} {cuts:?}");
        }
    }
}

#[test]
fn own_image_is_passed_over() {
    let _guard = serial();
    let (queries, rows, dims) = (90, 400, 12);
    let bank = integers(2, rows * dims);
    let images = (
        (0..queries as u32).map(|i| i % 9).collect::<Vec<_>>(),
        (0..rows as u32).map(|i| i % 8).collect::<Vec<_>>(),
    );
    let case = Case {
        x: bank[..queries * dims].to_vec(),
        bank,
        dims,
        weights: vec![2.0; rows],
        images: Some(images.clone()),
    };
    for (name, device) in devices() {
        let (index, squared, score) = case.run(device, &[]);
        for query in 0..queries {
            let mut best = (u32::MAX, f64::INFINITY);
            for row in (0..rows).filter(|r| images.1[*r] != images.0[query]) {
                if case.squared(query, row) < best.1 {
                    best = (row as u32, case.squared(query, row));
                }
            }
            assert_eq!((index[query], f64::from(squared[query])), best, "{name} query {query}");
            assert_eq!(score[query], 2.0 * squared[query], "{name} query {query}");
        }
    }
}

#[test]
fn only_the_own_image() {
    let _guard = serial();
    let images = Some((vec![3; 5], vec![3; 20]));
    let case = Case { x: integers(1, 20), bank: integers(2, 80), dims: 4, weights: vec![1.0; 20], images };
    for (name, device) in devices() {
        let (index, squared, score) = case.run(device, &[7]);
        assert_eq!(index, [u32::MAX; 5], "{name}");
        assert_eq!((squared, score), (vec![f32::MAX; 5], vec![f32::MAX; 5]), "{name}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, failure_persistence: None, ..Default::default() })]

    #[test]
    fn any_shape(queries in 1_usize..100, rows in 1_usize..300, quads in 1_usize..50, seed in 0_u64..1000, whole: bool) {
        let _guard = serial();
        let dims = 4 * quads;
        let values = |seed, len| if whole { integers(seed, len) } else { noise(seed, len, 0.0, 1.0) };
        let (x, bank) = (values(seed, queries * dims), values(seed + 1, rows * dims));
        Case { x, bank, dims, weights: noise(seed, rows, 1.0, 1.0), images: None }.check(whole);
    }
}
