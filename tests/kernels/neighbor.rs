//! The exact two-stage nearest neighbour against brute force.

use crate::common::{assert_close, gamma, noise, on_devices, turn};
use proptest::prelude::*;
use softpatch::low_level::bank::{Axes, Bank, BankData};
use softpatch::low_level::gpu::{Device, Recorder};
use softpatch::low_level::reference::search::search::{nearest_neighbor, soft_scores};
use softpatch::low_level::steps::search::search::SkipOwn;

struct Case {
    queries: Vec<f32>,
    bank: Vec<f32>,
    dim: usize,
    axes: usize,
}

/// Relative error of a squared distance: a difference's rounding counts twice, its square rounds, and so does
/// the sum of `dim` terms of one sign in whatever order; the reference rounds once.
fn square_error(dim: usize) -> f32 {
    gamma(3 + dim + 1)
}

/// Axes. By the values of a row, 5 of them are a head and 8 further ones, or 9 and 4, or 13 and none. These are
/// constants of the kernels, as is what 8 lanes need for a row: others are other pipelines to compile, so rows
/// have 36 to 64 values.
const AXES: usize = 13;

fn quarters() -> std::ops::Range<usize> {
    9..17
}

/// Unit vectors: orthonormal, and as bad as axes get where the variance lies elsewhere.
fn unit_axes(count: usize, dim: usize) -> Vec<f32> {
    (0..count * dim).map(|i| if i % dim == i / dim { 1.0 } else { 0.0 }).collect()
}

/// Rows and squared distances found on `device`, scores with the given weights, and rows measured in full.
fn search(
    device: &Device,
    case: &Case,
    weights: &[f32],
    floors: &[f32],
    row_image: &[u32],
    skip: Option<SkipOwn>,
) -> (Vec<u32>, Vec<f32>, Vec<f32>, u32) {
    let q = (case.queries.len() / case.dim) as u32;
    let axes = Axes { mean: vec![0.25; case.dim], vectors: unit_axes(case.axes, case.dim) };
    let (rows, dim) = (&case.bank, case.dim as u32);
    let data = BankData { rows, weights, floors, row_image, axes: &axes, order: None, dim };
    let bank = Bank::new(device, &data).unwrap();
    let search = bank.search(device, q, q).unwrap();
    let x = device.upload(&case.queries, "queries").unwrap();
    let (scores, top) = (device.alloc(q as usize, "scores").unwrap(), device.alloc(1, "top").unwrap());
    let mut recorder = Recorder::new(device);
    bank.record(&mut recorder, &search, &x, 0..q, skip).unwrap();
    bank.record_scores(&mut recorder, &search, [1, q, 0], &scores, &top).unwrap();
    recorder.run().unwrap();
    let best: Vec<[u32; 2]> = device.read(&search.best).unwrap();
    let scores: Vec<f32> = device.read(&scores).unwrap();
    let top: Vec<f32> = device.read(&top).unwrap();
    assert_eq!(top[0], scores.iter().copied().fold(0.0, f32::max));
    let finished: Vec<u32> = device.read(&search.finished).unwrap();
    (
        best.iter().map(|b| b[1]).collect(),
        best.iter().map(|b| f32::from_bits(b[0])).collect(),
        scores,
        finished[0],
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// Small integers: distances are exact in f32, so rows must be equal, ties included.
    #[test]
    fn equals_brute_force_with_ties(
        q in 1_usize..90, m in 1_usize..150, d4 in quarters(), span in 1_u64..6, images in 1_u32..5,
        seed: u64, skip: bool, floored: bool,
    ) {
        let _turn = turn();
        let dim = 4 * d4;
        let whole = |seed, len| noise(seed, len, 0.0, span as f32).iter().map(|v| v.round()).collect::<Vec<f32>>();
        let case = Case { queries: whole(seed, q * dim), bank: whole(seed ^ 1, m * dim), dim, axes: AXES };
        let weights = noise(seed ^ 2, m, 1.0, 0.5);
        // As far as rows lie from each other, for some.
        let floor = |v: f32| if v > 0.0 { (v * dim as f32 * span as f32).round() } else { 0.0 };
        let floors: Vec<f32> = noise(seed ^ 3, if floored { m } else { 0 }, 0.0, 1.0).into_iter().map(floor).collect();
        let row_image: Vec<u32> = (0..m as u32).map(|r| r % images).collect();
        let per_image = q.div_ceil(images as usize) as u32;
        let skip = skip.then_some(SkipOwn { first_image: 0, queries_per_image: per_image });
        let (rows, squared) = nearest_neighbor(&case.queries, &case.bank, dim, &floors, |query, row| {
            skip.is_some_and(|s| row_image[row] == query as u32 / s.queries_per_image)
        });
        let scores = soft_scores(&squared, &rows, &weights);
        on_devices(|name, device| {
            let found = search(device, &case, &weights, &floors, &row_image, skip);
            assert_eq!(&found.0, &rows, "{}", name);
            assert_eq!(&found.1, &squared, "{}", name);
            // One product on either side.
            assert_close(name, &found.2, &scores, 0.0, gamma(2));
        });
    }

    #[test]
    fn equals_brute_force_on_real_values(
        q in 1_usize..40, m in 1_usize..400, d4 in quarters(), offset in 0_u32..3, seed: u64, floored: bool,
    ) {
        let _turn = turn();
        let dim = 4 * d4;
        // Far from the origin and from the mean that is subtracted: bounds cancel there.
        let mean = [0.0, 30.0, 1000.0][offset as usize];
        let case = Case {
            queries: noise(seed, q * dim, mean, 1.0),
            bank: noise(seed ^ 1, m * dim, mean, 1.0),
            dim,
            axes: AXES,
        };
        let (weights, row_image) = (vec![1.0; m], vec![0; m]);
        let floor = |v: f32| v.max(0.0) * dim as f32;
        let floors: Vec<f32> = noise(seed ^ 3, if floored { m } else { 0 }, 0.0, 1.0).into_iter().map(floor).collect();
        let (_, squared) = nearest_neighbor(&case.queries, &case.bank, dim, &floors, |_, _| false);
        on_devices(|name, device| {
            let found = search(device, &case, &weights, &floors, &row_image, None);
            assert_close(name, &found.1, &squared, 0.0, square_error(dim));
        });
    }
}

#[test]
fn finds_equal_rows_and_their_first() {
    let _turn = turn();
    let (dim, m) = (40, 100);
    let row = noise(3, dim, 5.0, 1.0);
    let case = Case { queries: row.repeat(3), bank: row.repeat(m), dim, axes: AXES };
    on_devices(|name, device| {
        let (rows, squared, ..) = search(device, &case, &vec![1.0; m], &[], &vec![0; m], None);
        assert_eq!(rows, [0, 0, 0], "{name}");
        assert_eq!(squared, [0.0; 3], "{name}");
    });
}

/// Data whose variance lies in the leading axes: most rows must not be measured in full.
#[test]
fn the_bound_spares_work() {
    let _turn = turn();
    let (dim, m, q) = (64, 3000, 50);
    let shrink = |v: Vec<f32>| -> Vec<f32> {
        v.iter().enumerate().map(|(i, v)| v / (1.0 + (i % 64) as f32)).collect()
    };
    let case = Case {
        queries: shrink(noise(1, q * dim, 0.0, 1.0)),
        bank: shrink(noise(2, m * dim, 0.0, 1.0)),
        dim,
        axes: AXES,
    };
    let (_, want) = nearest_neighbor(&case.queries, &case.bank, dim, &[], |_, _| false);
    on_devices(|name, device| {
        let (rows, _, _, finished) = search(device, &case, &vec![1.0; m], &[], &vec![0; m], None);
        // Of rows that are equally far but for rounding, either may be named.
        let squared: Vec<f32> = (case.queries.chunks_exact(dim).zip(&rows))
            .map(|(query, &row)| {
                let pairs = query.iter().zip(&case.bank[row as usize * dim..]);
                pairs.map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum::<f64>() as f32
            })
            .collect();
        assert_close(name, &squared, &want, 0.0, 2.0 * square_error(dim));
        assert!((finished as usize) < m * q / 20, "{name}: {finished} of {} rows finished", m * q);
    });
}

/// A patch that equals a row is no nearer to it than its floor, and another row may be nearer.
#[test]
fn a_row_vouches_for_no_more_than_its_floor() {
    let _turn = turn();
    let dim = 40;
    let mut bank = vec![0.0_f32; 3 * dim];
    (bank[dim], bank[2 * dim]) = (2.0, 10.0);
    let case = Case { queries: vec![0.0; dim], bank, dim, axes: AXES };
    for (floors, row, distance) in [
        ([0.0, 0.0, 0.0], 0, 0.0),
        ([3.0, 0.0, 0.0], 0, 3.0),
        ([5.0, 0.0, 0.0], 1, 4.0),
        ([900.0, 400.0, 0.0], 2, 100.0),
    ] {
        on_devices(|name, device| {
            let (rows, squared, ..) = search(device, &case, &[1.0; 3], &floors, &[0; 3], None);
            assert_eq!((rows[0], squared[0]), (row, distance), "{name} {floors:?}");
        });
    }
}

/// Values that are no numbers, of any bits, end the search like others.
#[test]
fn not_a_number_ends() {
    let _turn = turn();
    let (dim, m) = (40, 100);
    for bits in [0xffff_ffff_u32, 0x7fc0_0000, 0xffc0_0000] {
        let mut queries = noise(5, 2 * dim, 0.0, 1.0);
        queries[3] = f32::from_bits(bits);
        let case = Case { queries: queries.clone(), bank: noise(6, m * dim, 0.0, 1.0), dim, axes: AXES };
        let (want, _) = nearest_neighbor(&queries[dim..], &case.bank, dim, &[], |_, _| false);
        on_devices(|name, device| {
            let q = Case { queries: case.queries.clone(), bank: case.bank.clone(), ..case };
            let (rows, squared, ..) = search(device, &q, &vec![1.0; m], &[], &vec![0; m], None);
            assert_eq!(rows[1], want[0], "{name}");
            assert_eq!(squared[0], f32::INFINITY, "{name}");
        });
    }
}
