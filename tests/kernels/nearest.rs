//! The nearest-neighbour score against the plain-Rust one.

use crate::common::{assert_close, distance_error, gamma, noise, on_devices, turn};
use proptest::prelude::*;
use softpatch::low_level::gpu::Recorder;
use softpatch::low_level::reference;
use softpatch::low_level::steps::outlier::{knn::Knn, lof::ScoreMap, nearest::Nearest};

/// Relative error of distance + 1: that of the distance and one addition.
fn score_tolerance(r: usize) -> f32 {
    distance_error(r) + gamma(1)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn scores(
        groups in 1_u32..4,
        n in 1_u32..120,
        r4 in 1_u32..33,
        k in prop::sample::select(vec![1_u32, 6]),
        mean in prop::sample::select(vec![0.0_f32, 1000.0]),
        constant in any::<bool>(),
    ) {
        let _turn = turn();
        let r = 4 * r4;
        let x = noise(5, (groups * n * r) as usize, mean, if constant { 0.0 } else { 1.0 });
        let (positions, p0) = (groups + 2, 1);
        let mut want = vec![0.0; (n * positions) as usize];
        for (b, group) in x.chunks_exact((n * r) as usize).enumerate() {
            for (i, s) in reference::outlier::nearest::nearest(group, r as usize).into_iter().enumerate() {
                want[i * positions as usize + p0 as usize + b] = s;
            }
        }
        on_devices(|name, device| {
            let len = (groups * n * Knn::width(k, n)) as usize;
            let block = device.upload(&x, "block").unwrap();
            let distances = device.alloc(len, "distances").unwrap();
            let indices = device.alloc(len, "indices").unwrap();
            let scores = device.alloc(want.len(), "scores").unwrap();
            let to = ScoreMap { scores: &scores, positions, p0 };
            let mut recorder = Recorder::new(device);
            Knn { block: &block, distances: &distances, indices: &indices, groups, n, r, k }
                .record(&mut recorder)
                .unwrap();
            Nearest { distances: &distances, to, groups, n, k }.record(&mut recorder).unwrap();
            recorder.run().unwrap();
            assert_close(name, &device.read::<f32>(&scores).unwrap(), &want, 0.0, score_tolerance(r as usize));
        });
    }
}
