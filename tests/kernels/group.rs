//! Gathering by grid position is exact; centring keeps the digits of values far from 0.

use crate::common::{DIVISION, assert_close, checked, gamma, noise, on_devices, turn};
use proptest::prelude::*;
use softpatch::low_level::gpu::Recorder;
use softpatch::low_level::steps::outlier::group::{Centre, Gather};

/// A difference to the first row is at most `2 * spread` and rounded once; so is the mean of all of them,
/// rounded at every sum and at the division. The last difference is no larger; it and the reference's are
/// rounded once.
fn centre_tolerance(n: usize, spread: f32) -> f32 {
    2.0 * spread * gamma(1 + n + DIVISION + 2)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn gathers_chunks_exactly(
        n in 1_u32..9,
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..3),
        positions in 1_u32..20,
        span in (0_u32..20, 1_u32..20),
        r4 in 1_u32..9,
    ) {
        let _turn = turn();
        let r = 4 * r4;
        // Chunks are cut anywhere, within images, too.
        let mut ends: Vec<u32> = cuts.iter().map(|c| c.index((n * positions) as usize) as u32).collect();
        ends.push(n * positions);
        ends.sort_unstable();
        let chunks: Vec<u32> = ends.iter().scan(0, |start, &end| Some(end - std::mem::replace(start, end))).collect();
        let p0 = span.0.min(positions - 1);
        let groups = span.1.min(positions - p0);
        let z = noise(1, (n * positions * r) as usize, 0.0, 1.0);
        let mut want = Vec::new();
        for b in 0..groups {
            for i in 0..n {
                let start = ((i * positions + p0 + b) * r) as usize;
                want.extend_from_slice(&z[start..start + r as usize]);
            }
        }
        on_devices(|name, device| {
            let block = device.alloc(want.len(), "block").unwrap();
            let mut recorder = Recorder::new(device);
            let mut first = 0;
            for &patches in chunks.iter().filter(|&&patches| patches > 0) {
                let words = |patches: u32| (patches * r) as usize;
                let chunk = device.upload(&z[words(first)..words(first + patches)], "z").unwrap();
                let rows = first..first + patches;
                Gather { z: &chunk, block: &block, rows, n, positions, p0, groups, r }
                    .record(&mut recorder)
                    .unwrap();
                first += patches;
            }
            recorder.run().unwrap();
            assert!(device.read::<f32>(&block).unwrap() == want, "{}", name);
        });
    }

    #[test]
    fn centres(groups in 1_usize..9, n in 1_usize..80, r4 in 1_usize..9, mean in prop::sample::select(vec![0.0_f32, 1000.0])) {
        let _turn = turn();
        let r = 4 * r4;
        let x = noise(2, groups * n * r, mean, 1.0);
        let mut want = vec![0.0; x.len()];
        for b in 0..groups {
            for c in 0..r {
                let at = |i: usize| (b * n + i) * r + c;
                let mean = (0..n).map(|i| f64::from(x[at(i)])).sum::<f64>() / n as f64;
                for i in 0..n {
                    want[at(i)] = (f64::from(x[at(i)]) - mean) as f32;
                }
            }
        }
        on_devices(|name, device| {
            let block = device.upload(&x, "block").unwrap();
            let mut recorder = Recorder::new(device);
            Centre { block: &block, groups: groups as u32, n: n as u32, r: r as u32 }.record(&mut recorder).unwrap();
            recorder.run().unwrap();
            assert_close(name, &device.read::<f32>(&block).unwrap(), &want, centre_tolerance(n, 1.0), 0.0);
        });
    }
}

#[test]
fn refuses_what_does_not_fit() {
    let _turn = turn();
    let device = &checked()[0].1;
    let z = device.alloc(2 * 3 * 4, "z").unwrap();
    let gather = |first, p0, r, block: usize| {
        let block = device.alloc(block, "block").unwrap();
        let rows = first..first + 6;
        Gather { z: &z, block: &block, rows, n: 2, positions: 3, p0, groups: 2, r }
            .record(&mut Recorder::new(device))
    };
    assert!(gather(0, 1, 4, 16).is_ok());
    assert!(gather(1, 1, 4, 16).is_err(), "patches past the end");
    assert!(gather(0, 2, 4, 16).is_err(), "positions past the end");
    assert!(gather(0, 1, 3, 16).is_err(), "depth not a multiple of 4");
    assert!(gather(0, 1, 4, 15).is_err(), "block too small");
}
