//! `pooled` patches against the plain-Rust specification.

use crate::common::{DIVISION, assert_close, direct, gamma, noise, resampling_error, tiled, turn};
use proptest::prelude::*;
use softpatch::low_level::gpu::{Device, Recorder};
use softpatch::low_level::reference::patches::means::{adaptive_average, embed_pooled};
use softpatch::low_level::steps::patches::pooling::Pooled;
use softpatch::low_level::steps::patches::upsampling::Upsample;

/// Values that a stage's patch is reduced to.
const STAGE: u32 = 1024;

/// Two stages of a batch to embeddings, as the extractor records it.
fn embed(device: &Device, stages: &[(Vec<f32>, [u32; 3])], batch: u32, dim: u32) -> Vec<f32> {
    let [h, w, _] = stages[0].1;
    let row = stages.len() as u32 * STAGE;
    let words = |sizes: &[u32]| sizes.iter().product::<u32>() as usize;
    let joined = device.alloc(words(&[batch, h, w, row]), "joined").unwrap();
    let out = device.alloc(words(&[batch, h, w, dim]), "embedding").unwrap();
    let mut recorder = Recorder::new(device);
    let mut kept = Vec::new();
    for (i, (x, [sh, sw, sc])) in stages.iter().enumerate() {
        let x = device.upload(x, "stage").unwrap();
        let coarse = device.alloc(words(&[batch, *sh, *sw, STAGE]), "coarse").unwrap();
        let shape = [batch, *sh, *sw, *sc];
        let pool = |c, row, to| Pooled { x: &x, c, shape, rows: 0..shape[1], side: 3, m: STAGE, row, to };
        if i == 0 {
            pool(&joined, row, 0).record(&mut recorder).unwrap();
        } else {
            pool(&coarse, STAGE, 0).record(&mut recorder).unwrap();
            let (shape, to) = ([batch, *sh, *sw, STAGE], i as u32 * STAGE);
            let (has, rows) = (0..shape[1], 0..h);
            Upsample { x: &coarse, c: &joined, shape, out: [h, w], has, rows, row, to }
                .record(&mut recorder)
                .unwrap();
        }
        kept.push((x, coarse));
    }
    let shape = [batch, h, w, row];
    Pooled { x: &joined, c: &out, shape, rows: 0..h, side: 1, m: dim, row: dim, to: 0 }
        .record(&mut recorder)
        .unwrap();
    recorder.run().unwrap();
    device.read(&out).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10))]

    /// Channels that do not divide, stages of unlike grids, all sizes of embedding.
    #[test]
    fn embeddings_equal_the_specification(
        batch in 1_u32..3, h in 1_u32..6, w in 1_u32..6, h1 in 1_u32..5, w1 in 1_u32..5,
        c0 in 1_u32..90, c1 in 1_u32..200, dim4 in 16_u32..=256, seed: u64,
    ) {
        let _turn = turn();
        let dim = 4 * dim4;
        let sizes = [[h, w, c0], [h1, w1, c1]];
        let stages: Vec<_> = sizes
            .iter()
            .enumerate()
            .map(|(i, &s)| (noise(seed ^ i as u64, (batch * s[0] * s[1] * s[2]) as usize, 0.3, 1.0), s))
            .collect();
        let mut want = Vec::new();
        for image in 0..batch as usize {
            let one: Vec<(&[f32], [usize; 3])> = stages
                .iter()
                .map(|(x, s)| (&x[x.len() / batch as usize * image..][..x.len() / batch as usize], s.map(|n| n as usize)))
                .collect();
            want.extend(embed_pooled(&one, dim as usize));
        }
        // Values up to 1.3: means of at most 9 * 200 / 1024 + 2 of them, resampling, means of at most 2048 /
        // 64 + 2.
        let resampling = resampling_error([h1 as usize, w1 as usize], 2.6, 1.3);
        let bound = 1.3 * gamma(4 + DIVISION + 34 + DIVISION + 1) + resampling;
        for (name, device) in [direct(), tiled()] {
            let what = format!("{name} {sizes:?} -> {dim} b{batch}");
            assert_close(&what, &embed(device, &stages, batch, dim), &want, bound, 0.0);
        }
    }

    /// Columns `to ..` of wider rows, any neighbourhood; other columns stay as they are.
    #[test]
    fn rows_are_pooled_in_place(n in 1_u32..3000, m4 in 1_u32..80, before4 in 0_u32..3, after4 in 0_u32..3, seed: u64) {
        let _turn = turn();
        let (m, rows) = (4 * m4, 3_usize);
        let x = noise(seed, rows * n as usize, 0.0, 1.0);
        let pooled = adaptive_average(&x, n as usize, m as usize);
        let row = m + 4 * (before4 + after4);
        let want: Vec<f32> = pooled
            .chunks_exact(m as usize)
            .flat_map(|p| [vec![7.0; 4 * before4 as usize], p.to_vec(), vec![7.0; 4 * after4 as usize]].concat())
            .collect();
        let (_, device) = direct();
        let tx = device.upload(&x, "x").unwrap();
        let out = device.upload(&vec![7.0_f32; rows * row as usize], "out").unwrap();
        let mut recorder = Recorder::new(device);
        let shape = [1, 1, rows as u32, n];
        Pooled { x: &tx, c: &out, shape, rows: 0..shape[1], side: 1, m, row, to: 4 * before4 }.record(&mut recorder).unwrap();
        recorder.run().unwrap();
        // Means of n / m + 2 values at most.
        let bound = gamma((n / m) as usize + 2 + DIVISION + 1);
        assert_close(&format!("{n} -> {m}"), &device.read(&out).unwrap(), &want, bound, 0.0);
    }
}

#[test]
fn sizes_out_of_range_are_refused() {
    let _turn = turn();
    let (_, device) = direct();
    let x = device.alloc(9 * 4, "x").unwrap();
    let c = device.alloc(9 * 8, "c").unwrap();
    let ok = Pooled { x: &x, c: &c, shape: [1, 3, 3, 4], rows: 0..3, side: 3, m: 8, row: 8, to: 0 };
    let record = |p: Pooled<'_>| p.record(&mut Recorder::new(device)).map_err(|e| e.to_string());
    for (bad, says) in [
        (Pooled { side: 2, ..ok.clone() }, "side 2"),
        (Pooled { to: 4, ..ok.clone() }, "columns 4 to 4 + 8 of 8"),
        (Pooled { rows: 2..4, ..ok.clone() }, "rows 2..4 of 3"),
        (Pooled { m: 6, ..ok.clone() }, "6 is not a positive multiple of 4"),
        (Pooled { shape: [1, 3, 3, 0], ..ok.clone() }, "0 values"),
        (Pooled { shape: [1, 3, 4, 4], ..ok.clone() }, "pooled x needs 48 values"),
        (Pooled { shape: [1, 3, 3, 100_000_000], ..ok.clone() }, "2^32"),
    ] {
        let message = record(bad).unwrap_err();
        assert!(message.contains(says), "{message}");
    }
}
