//! Floors of bank rows against the plain-Rust ones.

use crate::common::{assert_close, gamma, noise, on_devices, turn};
use proptest::prelude::*;
use softpatch::low_level::gpu::{Device, Recorder};
use softpatch::low_level::reference::outlier::floor::floors;
use softpatch::low_level::steps::outlier::floor::Floor;

/// What a test is made of.
struct Rows {
    x: Vec<f32>,
    y: Vec<f32>,
    dim: usize,
    patches: Vec<u32>,
    others: Vec<u32>,
    scores: Vec<f32>,
    grid: [usize; 2],
    ceiling: f32,
}

impl Rows {
    fn want(&self) -> Vec<f32> {
        let numbers = [self.patches.as_slice(), &self.others];
        floors([&self.x, &self.y], self.dim, numbers, &self.scores, self.grid, self.ceiling)
    }

    fn on(&self, device: &Device) -> Vec<f32> {
        let rows = self.patches.len() as u32;
        let answer = device.alloc(rows as usize, "floors").unwrap();
        let mut recorder = Recorder::new(device);
        Floor {
            x: &device.upload(&self.x, "x").unwrap(),
            y: &device.upload(&self.y, "y").unwrap(),
            patches: &device.upload(&self.patches, "patches").unwrap(),
            others: &device.upload(&self.others, "others").unwrap(),
            scores: &device.upload(&self.scores, "scores").unwrap(),
            ceiling: self.ceiling,
            floors: &answer,
            rows,
            dim: self.dim as u32,
            images: (self.scores.len() / (self.grid[0] * self.grid[1])) as u32,
            grid: self.grid.map(|side| side as u32),
        }
        .record(&mut recorder)
        .unwrap();
        recorder.run().unwrap();
        device.read(&answer).unwrap()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn floors_are_the_references(
        rows in 1_usize..150, d4 in 1_usize..40, images in 1_usize..4, height in 1_usize..6, columns in 1_usize..6,
        seed: u64,
    ) {
        let _turn = turn();
        let (dim, all) = (4 * d4, images * height * columns);
        let patches: Vec<u32> = (0..rows).map(|i| (i * 5 % all) as u32).collect();
        let case = Rows {
            x: noise(seed, rows * dim, 0.0, 1.0),
            y: noise(seed ^ 1, rows * dim, 0.0, 1.0),
            dim,
            others: patches.iter().map(|p| if p % 7 == 3 { *p } else { p + 1 }).collect(),
            patches,
            // Patches that are not looked at have 0.
            scores: noise(seed ^ 2, all, 1.0, 1.0).into_iter().map(|v| v.max(0.0)).collect(),
            grid: [height, columns],
            ceiling: if seed % 2 == 0 { 3.0 * dim as f32 } else { f32::MAX },
        };
        let want = case.want();
        // Six times the mean of nine logarithms of scores that may be near 0, but for what is cut off at 1 and 8; and
        // a power of up to 8.
        let relative = gamma(dim + 40) + 6.0 * (2_f32.powi(-21) + gamma(14) * 3.0);
        on_devices(|name, device| assert_close(name, &case.on(device), &want, 0.0, relative));
    }
}

/// The middle of a 3x3 grid, and a corner: by hand.
#[test]
fn a_row_that_stands_out_is_farther() {
    let _turn = turn();
    let e = std::f32::consts::E;
    // Whole neighbourhood: e^(6 * 1/9 * 1.8) = e^1.2; corner of four: e^(6 * 1.8 / 4) = e^2.7 is cut at 8.
    let mut scores = vec![1.0; 9];
    scores[4] = e.powf(1.8);
    let mut case = Rows {
        x: vec![0.0; 5 * 4],
        y: [3.0, 0.0, 4.0, 0.0].repeat(5),
        dim: 4,
        patches: vec![4, 0, 4, 13, 9],
        others: vec![12, 12, 4, 0, 0],
        scores: [scores, vec![0.25; 4], vec![f32::MAX; 5]].concat(),
        grid: [3, 3],
        ceiling: f32::MAX,
    };
    // No neighbour; the largest float is cut at 8, too; dense neighbourhoods are no nearer than they are.
    let want = [25.0 * 1.2_f32.exp(), 200.0, 0.0, 200.0, 200.0];
    assert_close("reference", &case.want(), &want, 0.0, 1e-6);
    on_devices(|name, device| assert_close(name, &case.on(device), &want, 0.0, 1e-5));
    // No floor is raised past the ceiling, and none is lowered to it.
    for (ceiling, want) in
        [(110.0, [25.0 * 1.2_f32.exp(), 110.0, 0.0, 110.0, 110.0]), (20.0, [25.0, 25.0, 0.0, 25.0, 25.0])]
    {
        case.ceiling = ceiling;
        assert_close("reference", &case.want(), &want, 0.0, 1e-6);
        on_devices(|name, device| assert_close(name, &case.on(device), &want, 0.0, 1e-5));
    }
    let dense = Rows { scores: vec![0.25; 18], ceiling: f32::MAX, ..case };
    on_devices(|name, device| {
        assert_close(name, &dense.on(device), &[25.0, 25.0, 0.0, 25.0, 25.0], 0.0, 1e-6)
    });
}
