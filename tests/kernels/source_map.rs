//! Anomaly maps in the pixels of the source image, against the plain-Rust reference.

use crate::common::{assert_close, direct, gamma, noise, on_devices, turn};
use proptest::prelude::*;
use softpatch::low_level::bank::SourceMaps;
use softpatch::low_level::reference::map::{anomaly_map::anomaly_map, source_map::source_map};
use softpatch::low_level::steps::map::source_map::SourceAxis;

/// A grid, and how the rows and columns of a source lie on its frame.
#[derive(Clone, Copy, Debug)]
struct Shape {
    grid: [u32; 2],
    rows: SourceAxis,
    columns: SourceAxis,
}

impl Shape {
    fn pixels(&self) -> usize {
        self.rows.source as usize * self.columns.source as usize
    }

    fn reference(&self, scores: &[f32]) -> Vec<f32> {
        let axis = |a: SourceAxis| [a.source.into(), a.resized.into(), a.first, a.frame.into()];
        let grid = self.grid.map(|g| g as usize);
        source_map(scores, grid, axis(self.rows), axis(self.columns))
    }

    fn check(&self, maps: &mut SourceMaps, scores: &[f32], what: &str) {
        let mut got = vec![f32::NAN; self.pixels()];
        maps.run(scores, [self.rows, self.columns], &mut got).unwrap();
        assert_close(what, &got, &self.reference(scores), self.error(scores), 0.0);
    }

    /// Two sums of as many terms as a side of the grid has, at most, of which none is negative, with weights
    /// that add up to 1 and are rounded; the reference rounds its map and its result.
    fn error(&self, scores: &[f32]) -> f32 {
        let largest = scores.iter().copied().fold(0.0, f32::max);
        largest * gamma((self.grid[0] + self.grid[1]) as usize + 2 + 2)
    }
}

fn shapes() -> impl Strategy<Value = Shape> {
    let axis =
        (1_u32..12, 1_u32..60, 1_u32..90, 1_u32..260).prop_flat_map(|(grid, frame, resized, source)| {
            let slack = i64::from(resized) - i64::from(frame);
            (slack.min(0) - 5..=slack.max(0) + 5)
                .prop_map(move |first| (grid, SourceAxis { source, resized, first, frame }))
        });
    (axis.clone(), axis).prop_map(|((h, rows), (w, columns))| Shape { grid: [h, w], rows, columns })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn the_map_is_the_frames_map_sampled(shape in shapes(), again in shapes(), seed: u64) {
        let _turn = turn();
        let again = Shape { grid: shape.grid, ..again };
        let scores = |seed| noise(seed, (shape.grid[0] * shape.grid[1]) as usize, 1.0, 1.0);
        on_devices(|name, device| {
            // Two sizes, one of them twice: in one piece, and in strips of 64 rows.
            for most in [SourceMaps::STRIP, 1] {
                let mut maps = SourceMaps::new(device, shape.grid, most).unwrap();
                for (i, shape) in [shape, again, shape].iter().enumerate() {
                    let what = format!("{name} {i} {most} {shape:?}");
                    shape.check(&mut maps, &scores(seed.wrapping_add(i as u64)), &what);
                }
            }
        });
    }
}

#[test]
fn a_frame_that_is_the_source_has_the_frames_map() {
    let _turn = turn();
    let whole = |side| SourceAxis { source: side, resized: side, first: 0, frame: side };
    let shape = Shape { grid: [5, 7], rows: whole(40), columns: whole(56) };
    let scores = noise(3, 35, 1.0, 1.0);
    let want = anomaly_map(&scores, [5, 7], [40, 56]);
    assert_close("reference", &shape.reference(&scores), &want, 0.0, 0.0);
}

/// What the frame does not reach is 0, and only that: the published protocol's crop, and a padded frame.
#[test]
fn margins_that_the_frame_does_not_reach_are_zero() {
    let _turn = turn();
    let (_, device) = direct();
    let scores = noise(4, 16, 1.0, 0.5);
    for (axis, covered) in [
        // 100 of 200 pixels at a half: source pixels 28 to 171 lie on frame pixels 14 to 85.
        (SourceAxis { source: 200, resized: 100, first: 14, frame: 72 }, 28..172),
        (SourceAxis { source: 33, resized: 99, first: -4, frame: 120 }, 0..33),
    ] {
        let shape = Shape { grid: [4, 4], rows: axis, columns: axis };
        let mut map = vec![f32::NAN; shape.pixels()];
        let mut maps = SourceMaps::new(device, [4, 4], SourceMaps::STRIP).unwrap();
        maps.run(&scores, [axis, axis], &mut map).unwrap();
        let side = axis.source as usize;
        for (at, v) in map.iter().enumerate() {
            let inside = covered.contains(&(at / side)) && covered.contains(&(at % side));
            assert!(if inside { *v >= 0.5 - 1e-5 } else { *v == 0.0 }, "{axis:?} {at}: {v}");
        }
    }
}

#[test]
fn wrong_lengths_are_refused() {
    let _turn = turn();
    let (_, device) = direct();
    let axis = SourceAxis { source: 10, resized: 10, first: 0, frame: 10 };
    let mut maps = SourceMaps::new(device, [2, 3], SourceMaps::STRIP).unwrap();
    for (patches, out) in [(5, 100), (6, 99), (6, 0)] {
        let refused = maps.run(&vec![1.0; patches], [axis, axis], &mut vec![0.0; out]);
        assert!(refused.unwrap_err().to_string().contains("grid of 2x3"), "{patches} {out}");
    }
}
