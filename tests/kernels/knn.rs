//! Grouped nearest neighbours against the plain-Rust search.

use crate::common::{
    Named, SQUARE_ROOT, assert_close, checked, devices, direct, distance_error, gamma, noise, on_devices,
    on_each, tiled, turn,
};
use proptest::prelude::*;
use softpatch::low_level::gpu::{Archetype, Device, Recorder};
use softpatch::low_level::reference::outlier::knn::knn;
use softpatch::low_level::steps::outlier::knn::{Knn, MAX_K};

/// Relative error of a distance whose square is exact: the root's, and the reference's.
fn root_error() -> f32 {
    gamma(SQUARE_ROOT + 1)
}

fn search(device: &Device, x: &[f32], groups: usize, n: usize, r: usize, k: usize) -> (Vec<f32>, Vec<u32>) {
    let width = Knn::width(k as u32, n as u32);
    let len = groups * n * width as usize;
    let block = device.upload(x, "block").unwrap();
    let (distances, indices) =
        (device.alloc(len, "distances").unwrap(), device.alloc(len, "indices").unwrap());
    let mut recorder = Recorder::new(device);
    Knn {
        block: &block,
        distances: &distances,
        indices: &indices,
        groups: groups as u32,
        n: n as u32,
        r: r as u32,
        k: k as u32,
    }
    .record(&mut recorder)
    .unwrap();
    recorder.run().unwrap();
    (device.read(&distances).unwrap(), device.read(&indices).unwrap())
}

fn reference(x: &[f32], n: usize, r: usize, k: usize) -> (Vec<f32>, Vec<u32>) {
    let (mut distances, mut indices) = (Vec::new(), Vec::new());
    for group in x.chunks_exact(n * r) {
        let (d, i) = knn(group, r, k);
        distances.extend(d);
        indices.extend(i);
    }
    (distances, indices)
}

/// Every other length of the lists is another pipeline to compile: few small groups, the others longer than
/// any list.
fn rows() -> impl Strategy<Value = usize> {
    prop_oneof![1 => prop::sample::select(vec![1_usize, 2, 7]), 3 => 33_usize..150]
}

fn ks() -> impl Strategy<Value = usize> {
    prop::sample::select(vec![1_usize, 6])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// Small whole numbers: every sum is exact, full of ties and duplicates, so the indices must be the same
    /// ones.
    #[test]
    fn whole_numbers_give_the_same_lists(
        groups in 1_usize..4,
        n in rows(),
        r4 in 1_usize..12,
        k in ks(),
        levels in 1_u32..6,
        mean in prop::sample::select(vec![0.0_f32, 1000.0]),
        seed in any::<u64>(),
    ) {
        let _turn = turn();
        let r = 4 * r4;
        let x: Vec<f32> = noise(seed, groups * n * r, 0.0, levels as f32 / 2.0).iter().map(|v| v.round() + mean).collect();
        let (distances, indices) = reference(&x, n, r, k);
        on_devices(|name, device| {
            let (d, i) = search(device, &x, groups, n, r, k);
            assert_close(name, &d, &distances, 0.0, root_error());
            assert_eq!(&i, &indices, "{}", name);
        });
    }

    /// Any values: the distances are the reference's, and each is the true one to the row that is named.
    #[test]
    fn distances_keep_their_digits(
        groups in 1_usize..3,
        n in rows(),
        r in prop::sample::select(vec![4_usize, 20, 64, 128]),
        k in ks(),
        mean in prop::sample::select(vec![0.0_f32, 1000.0]),
        seed in any::<u64>(),
    ) {
        let _turn = turn();
        let n = n.max(2);
        let x = noise(seed, groups * n * r, mean, 1.0);
        let (want, _) = reference(&x, n, r, k);
        let width = k.min(n - 1);
        on_devices(|name, device| {
            let (d, i) = search(device, &x, groups, n, r, k);
            assert_close(name, &d, &want, 0.0, distance_error(r));
            let row = |group: usize, i: usize| &x[(group * n + i) * r..][..r];
            for (at, list) in i.chunks_exact(width).enumerate() {
                let (group, me) = (at / n, at % n);
                let named: Vec<f32> = list
                    .iter()
                    .map(|&o| {
                        let pairs = row(group, me).iter().zip(row(group, o as usize));
                        pairs.map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum::<f64>().sqrt() as f32
                    })
                    .collect();
                let mine = &d[at * width..][..width];
                assert_close(name, mine, &named, 0.0, distance_error(r));
                let mut distinct = list.to_vec();
                distinct.sort_unstable();
                distinct.dedup();
                assert!(distinct.len() == width && !list.contains(&(me as u32)), "{}: {:?}", name, list);
                // By their squares: roots of nearly equal ones may come out in either order.
                let room = 1.0 + 2.0 * root_error();
                assert!(mine.is_sorted_by(|a, b| *a <= b * room), "{name}: {mine:?}");
            }
        });
    }
}

/// Lists of the length that is allowed at most take long to compile: one device of each kind.
#[test]
fn the_longest_lists() {
    let _turn = turn();
    let (groups, n, r, k) = (2, 70, 12, MAX_K as usize);
    let x: Vec<f32> = noise(9, groups * n * r, 0.0, 3.0).iter().map(|v| v.round()).collect();
    let (distances, indices) = reference(&x, n, r, k);
    let mut list = vec![direct().clone(), tiled().clone()];
    let plain = |(_, d): &&Named| d.caps().archetype == Archetype::Direct && d.caps().subgroup.is_none();
    list.extend(devices().iter().find(plain).cloned());
    on_each(&list, |name, device| {
        let (d, i) = search(device, &x, groups, n, r, k);
        assert_close(name, &d, &distances, 0.0, root_error());
        assert_eq!(i, indices, "{name}");
    });
}

#[test]
fn near_duplicates_far_from_zero_keep_their_distance() {
    let _turn = turn();
    let (n, r) = (40, 128);
    // Rows 2 i and 2 i + 1 differ by one unit in the last place of 1000 in one value.
    let mut x = noise(7, n * r, 1000.0, 1.0);
    for i in (0..n).step_by(2) {
        let (a, b) = x[i * r..(i + 2) * r].split_at_mut(r);
        b.copy_from_slice(a);
        b[i] = f32::from_bits(a[i].to_bits() + 1);
    }
    on_devices(|name, device| {
        let (d, i) = search(device, &x, 1, n, r, 1);
        assert_eq!(i, (0..n as u32).map(|i| i ^ 1).collect::<Vec<_>>(), "{name}");
        assert_close(name, &d, &reference(&x, n, r, 1).0, 0.0, root_error());
    });
}

#[test]
fn rows_without_finite_distances_name_themselves() {
    let _turn = turn();
    let (n, r, k) = (20, 8, 6);
    let mut x = noise(8, n * r, 0.0, 1.0);
    x[5 * r + 3] = f32::NAN;
    x[9 * r] = f32::INFINITY;
    on_devices(|name, device| {
        let (d, i) = search(device, &x, 1, n, r, k);
        for row in [5, 9] {
            assert_eq!(i[row * k..][..k], [row as u32; 6], "{name}");
            assert_eq!(d[row * k..][..k], [f32::MAX; 6], "{name}");
        }
        let others = i.chunks_exact(k).enumerate().filter(|(row, _)| ![5, 9].contains(row));
        assert!(others.into_iter().all(|(_, list)| !list.contains(&5) && !list.contains(&9)), "{name}");
    });
}

#[test]
fn refuses_what_does_not_fit() {
    let _turn = turn();
    let device = &checked()[0].1;
    let (block, list) = (device.alloc(3 * 8, "block").unwrap(), device.alloc(6, "list").unwrap());
    let knn = |n, r, k| {
        Knn { block: &block, distances: &list, indices: &list, groups: 1, n, r, k }
            .record(&mut Recorder::new(device))
    };
    assert!(knn(3, 8, 0).is_err() && knn(3, 8, MAX_K + 1).is_err());
    assert!(knn(3, 6, 2).is_err() && knn(3, 0, 2).is_err());
    assert!(knn(4, 8, 2).is_err() && knn(6, 4, 2).is_err());
    assert!(knn(1, 8, 2).is_ok() && knn(0, 8, 2).is_ok());
}
