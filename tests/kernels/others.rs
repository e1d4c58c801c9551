//! Neighbours in other images against the plain-Rust search.

use crate::common::{
    DIVISION, SQUARE_ROOT, assert_close, checked, direct, distance_error, gamma, noise, on_devices, on_each,
    tiled, turn,
};
use proptest::prelude::*;
use softpatch::low_level::bank::{StripBuilder, tile_order};
use softpatch::low_level::gpu::{Device, Recorder};
use softpatch::low_level::reference::outlier::lof::from_lists;
use softpatch::low_level::reference::outlier::others::{Among, others};
use softpatch::low_level::steps::outlier::knn::MAX_K;
use softpatch::low_level::steps::outlier::lof::{Lof, ScoreMap};
use softpatch::low_level::steps::outlier::others::{Others, Strip, boxed, tile};

/// Strips of x `[images][h][w][r]`: its grid rows, or `parts` of all patches.
fn strips(device: &Device, x: &[f32], r: usize, among: Among, parts: usize) -> Vec<Strip> {
    let Among { images, grid: [h, w], reach } = among;
    let row = |id: u32| &x[id as usize * r..][..r];
    let rows = |ids: &[u32]| ids.iter().flat_map(|&id| row(id)).copied().collect::<Vec<f32>>();
    if reach.is_none() {
        let heads: Vec<f32> = x.chunks_exact(r).flat_map(|row| &row[..boxed(r)]).copied().collect();
        let order = tile_order(device, &heads, boxed(r));
        let part = order.len().div_ceil(parts).next_multiple_of(tile(device.caps()));
        let strip = |ids: &[u32]| {
            let mut builder = StripBuilder::new(device, 1, ids.len(), r).unwrap();
            builder.push(rows(ids), ids);
            builder.finish()
        };
        return order.chunks(part).map(strip).collect();
    }
    let strip = |y: usize| {
        let mut builder = StripBuilder::new(device, w, images, r).unwrap();
        for column in 0..w {
            let ids: Vec<u32> = (0..images).map(|i| (i * h * w + y * w + column) as u32).collect();
            builder.sort_and_push(&rows(&ids), &ids);
        }
        builder.finish()
    };
    (0..h).map(strip).collect()
}

struct Found {
    distances: Vec<f32>,
    indices: Vec<u32>,
    factors: Vec<f32>,
}

/// Lists of `k` of the patches, and factors from them; a submission has up to `pace` tiles of queries.
fn search(device: &Device, x: &[f32], [r, k]: [usize; 2], among: Among, parts: usize, pace: u32) -> Found {
    let strips = strips(device, x, r, among, parts);
    let len = x.len() / r;
    let lists = |name: &str| device.alloc(len * k, name).unwrap();
    let (distances, indices) = (lists("distances"), lists("indices"));
    let (density, scores) = (device.alloc(len, "density").unwrap(), device.alloc(len, "scores").unwrap());
    let mut recorder = Recorder::new(device);
    let reach = among.reach.unwrap_or_default();
    for (q, queries) in strips.iter().enumerate() {
        // In any order.
        let compared: Vec<usize> =
            (0..strips.len()).filter(|c| among.reach.is_none() || c.abs_diff(q) <= reach).collect();
        for (i, &c) in compared.iter().enumerate() {
            let all = queries.columns * queries.tiles;
            for start in (0..all).step_by(pace as usize) {
                Others {
                    queries,
                    candidates: &strips[c],
                    distances: &distances,
                    indices: &indices,
                    tiles: start..all.min(start + pace),
                    reach: reach as u32,
                    positions: (among.grid[0] * among.grid[1]) as u32,
                    r: r as u32,
                    k: k as u32,
                    ends: [i == 0, i + 1 == compared.len()],
                }
                .record(&mut recorder)
                .unwrap();
            }
        }
    }
    let to = ScoreMap { scores: &scores, positions: 1, p0: 0 };
    let (n, k) = (len as u32, k as u32);
    Lof { distances: &distances, indices: &indices, density: &density, to, groups: 1, n, k }
        .record(&mut recorder)
        .unwrap();
    recorder.run().unwrap();
    Found {
        distances: device.read(&distances).unwrap(),
        indices: device.read(&indices).unwrap(),
        factors: device.read(&scores).unwrap(),
    }
}

/// The reference's lists, filled up as the kernel does it.
fn filled(lists: &[Vec<(f64, u32)>], k: usize) -> (Vec<f32>, Vec<u32>) {
    let entry = |(at, list): (usize, &Vec<(f64, u32)>)| {
        let found = list.iter().map(|&(d, o)| (d as f32, o));
        found.chain(std::iter::repeat((f32::MAX, at as u32))).take(k).collect::<Vec<_>>()
    };
    lists.iter().enumerate().flat_map(entry).unzip()
}

/// As in `lof.rs`.
fn factor_tolerance(r: usize, k: usize) -> f32 {
    2.0 * distance_error(r) + gamma(3 * (k + 2 * DIVISION + 1))
}

fn check(device: &Device, name: &str, x: &[f32], [r, k]: [usize; 2], among: Among, parts: usize, pace: u32) {
    let found = search(device, x, [r, k], among, parts, pace);
    let lists = others(x, r, k, among);
    let (distances, indices) = filled(&lists, k);
    // Relative error of a distance whose square is exact: the root's, and the reference's.
    assert_close(name, &found.distances, &distances, 0.0, gamma(SQUARE_ROOT + 1));
    assert_eq!(found.indices, indices, "{name} {among:?}");
    assert_close(name, &found.factors, &from_lists(&lists, k), 0.0, factor_tolerance(r, k));
}

fn whole(seed: u64, len: usize, levels: u32) -> Vec<f32> {
    noise(seed, len, 0.0, levels as f32 / 2.0).iter().map(|v| v.round()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10))]

    /// Small whole numbers: every sum is exact, full of ties and duplicates, so the indices must be the same
    /// ones, whatever the strips and the submissions.
    #[test]
    fn whole_numbers_give_the_same_lists(
        images in prop_oneof![1 => 2_usize..4, 3 => 17_usize..80],
        grid in (1_usize..4, 1_usize..5),
        r4 in prop::sample::select(vec![1_usize, 11]),
        reach in prop::sample::select(vec![None, Some(1_usize), Some(2), Some(7)]),
        levels in 2_u32..7,
        parts in 1_usize..4,
        pace in prop::sample::select(vec![1_u32, 3, 1000]),
        seed in any::<u64>(),
    ) {
        let _turn = turn();
        let (r, grid) = (4 * r4, [grid.0, grid.1]);
        let among = Among { images, grid, reach };
        let side = grid.map(|side| side as u32);
        let k = Others::width(6, images as u32, side, reach.map(|r| r as u32)) as usize;
        // Two lengths alone: every other one is another pipeline to compile.
        let k = if k < 6 { 1 } else { k };
        let x = whole(seed, images * grid[0] * grid[1] * r, levels);
        on_devices(|name, device| check(device, name, &x, [r, k], among, parts, pace));
    }

    /// Rows whose spread falls along their values, so that most tiles and candidates are left: distances are
    /// the reference's, and each is the true one to the patch that is named.
    #[test]
    fn what_is_left_out_is_far(
        reach in prop::sample::select(vec![None, Some(1_usize)]),
        mean in prop::sample::select(vec![0.0_f32, 1000.0]),
        seed in any::<u64>(),
    ) {
        let _turn = turn();
        let (images, grid, r, k) = (60, [3, 4], 64, 6);
        let mut x = noise(seed, images * 12 * r, 0.0, 1.0);
        x.iter_mut().enumerate().for_each(|(i, v)| *v = mean + *v * 8.0 / (1 + i % r) as f32);
        let among = Among { images, grid, reach };
        let (want, _) = filled(&others(&x, r, k, among), k);
        on_devices(|name, device| {
            let found = search(device, &x, [r, k], among, 2, 1000);
            assert_close(name, &found.distances, &want, 0.0, distance_error(r));
            for (me, list) in found.indices.chunks_exact(k).enumerate() {
                let row = |i: usize| &x[i * r..][..r];
                for (s, &o) in list.iter().enumerate() {
                    let pairs = row(me).iter().zip(row(o as usize));
                    let true_one = pairs.map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum::<f64>().sqrt();
                    let got = found.distances[me * k + s];
                    assert_close(name, &[got], &[true_one as f32], 0.0, distance_error(r));
                    assert!(o as usize / 12 != me / 12 && !list[..s].contains(&o), "{name}: {me} {list:?}");
                }
            }
        });
    }
}

/// Lists of the length that is allowed at most take long to compile: one device of each kind.
#[test]
fn the_longest_lists() {
    let _turn = turn();
    let (among, k) = (Among { images: 20, grid: [2, 2], reach: None }, MAX_K as usize);
    let x = whole(9, 20 * 4 * 12, 6);
    on_each(&[direct().clone(), tiled().clone()], |name, device| {
        check(device, name, &x, [12, k], among, 2, 1000);
    });
}

/// Patches that are no numbers, as those under a mask, are no neighbours and have none; whole tiles of them,
/// and an image of nothing else.
#[test]
fn patches_that_are_no_numbers_disturb_no_other() {
    let _turn = turn();
    let (images, grid, r, k) = (40, [2, 3], 36, 6);
    for reach in [None, Some(1)] {
        let among = Among { images, grid, reach };
        let mut x = whole(5, images * 6 * r, 5);
        for i in 0..images {
            // A position of every other image, one value alone, and all of an image.
            if i % 2 == 0 {
                x[(i * 6 + 4) * r..][..r].fill(f32::INFINITY);
            }
            if i % 7 == 0 {
                x[(i * 6 + 1) * r + 35] = f32::NAN;
            }
        }
        x[11 * 6 * r..12 * 6 * r].fill(f32::INFINITY);
        on_devices(|name, device| check(device, name, &x, [r, k], among, 2, 1000));
    }
}

/// Fewer candidates than a list has entries.
#[test]
fn lists_that_are_not_full_name_their_own_patch() {
    let _turn = turn();
    let among = Among { images: 2, grid: [1, 3], reach: Some(1) };
    let x = whole(6, 2 * 3 * 8, 9);
    on_devices(|name, device| {
        let found = search(device, &x, [8, 6], among, 1, 1000);
        let (distances, indices) = filled(&others(&x, 8, 6, among), 6);
        assert_close(name, &found.distances, &distances, 0.0, gamma(SQUARE_ROOT + 1));
        assert_eq!(found.indices, indices, "{name}");
        assert_eq!(found.factors, [f32::MAX; 6], "{name}");
    });
}

#[test]
fn lists_are_as_long_as_the_fewest_candidates() {
    let width = Others::width;
    assert_eq!(width(6, 2, [5, 5], Some(1)), 4);
    assert_eq!(width(6, 2, [1, 5], Some(1)), 2);
    assert_eq!(width(6, 3, [5, 5], Some(2)), 6);
    assert_eq!(width(6, 2, [2, 2], None), 4);
    assert_eq!(width(6, 1, [5, 5], None), 0);
}

#[test]
fn refuses_what_does_not_fit() {
    let _turn = turn();
    let device = &checked()[0].1;
    let among = Among { images: 3, grid: [1, 2], reach: Some(1) };
    let x = noise(1, 3 * 2 * 8, 0.0, 1.0);
    let strips = strips(device, &x, 8, among, 1);
    let list = device.alloc(6 * 2, "list").unwrap();
    let record = |r, k, end, positions| {
        let (queries, candidates) = (&strips[0], &strips[0]);
        let (distances, indices) = (&list, &list);
        let ends = [true, true];
        Others { queries, candidates, distances, indices, tiles: 0..end, reach: 1, positions, r, k, ends }
            .record(&mut Recorder::new(device))
    };
    assert!(record(8, 2, 2, 2).is_ok() && record(8, 2, 0, 2).is_ok());
    assert!(record(8, 0, 2, 2).is_err() && record(8, MAX_K + 1, 2, 2).is_err());
    assert!(record(6, 2, 2, 2).is_err() && record(12, 2, 2, 2).is_err());
    assert!(record(8, 2, 3, 2).is_err() && record(8, 2, 2, 0).is_err());
    let mut long = strips[0].clone();
    long.tiles += 1;
    let error = Others {
        queries: &strips[0],
        candidates: &long,
        distances: &list,
        indices: &list,
        tiles: 0..2,
        reach: 1,
        positions: 2,
        r: 8,
        k: 2,
        ends: [true, true],
    }
    .record(&mut Recorder::new(device));
    assert!(error.is_err());
}
