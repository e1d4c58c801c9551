//! Floors of bank rows: nothing is dropped, and what slipped in vouches for nothing.

use crate::common::{assert_close, direct, gamma, noise, of_each_kind, on_each, turn};
use softpatch::detector::{Discriminator, FitOptions, Group, Model, Progress, Quiet, Stage, Want};
use softpatch::low_level::gpu::Device;
use softpatch::low_level::reference::distance::squared_distance;
use softpatch::low_level::reference::outlier::floor::floors;
use softpatch::low_level::reference::outlier::lof::{from_lists, lof};
use softpatch::low_level::reference::outlier::others::{Among, others};
use softpatch::methods::{fit_embeddings, score_embeddings};
use softpatch::{Error, Result};

fn auto() -> FitOptions {
    FitOptions::default().discriminator(Discriminator::Auto)
}

/// Image scores of embeddings.
fn scores(device: &Device, model: &Model, x: &[f32], size: usize) -> Vec<f32> {
    let mut all = Vec::new();
    let load = |i: usize, out: &mut [f32]| -> Result<()> {
        out.copy_from_slice(&x[i * size..][..size]);
        Ok(())
    };
    score_embeddings(device, model, x.len() / size, Want::Scores, load, |score| {
        all.push(score.score);
        Ok(())
    })
    .unwrap();
    all
}

/// The whole way against plain Rust: whole numbers, whose neighbours do not hang on rounding, in one piece
/// and in many, with vectors in memory and on disk.
#[test]
fn floors_are_those_of_the_reference() {
    let _turn = turn();
    let (grid, images, dim) = ([3_usize, 5], 40, 32);
    let positions = grid[0] * grid[1];
    let mut x: Vec<f32> = noise(9, images * positions * dim, 0.0, 6.0).iter().map(|v| v.round()).collect();
    // An image that stands out, so that its floors meet the ceiling.
    x[7 * positions * dim..8 * positions * dim].iter_mut().for_each(|v| *v *= 2.0);
    let patch = |i: usize| &x[i * dim..][..dim];
    let by_position: Vec<Vec<f32>> = (0..positions)
        .map(|p| {
            let group: Vec<f32> = (0..images).flat_map(|i| patch(i * positions + p)).copied().collect();
            lof(&group, dim, 6)
        })
        .collect();
    let at_position: Vec<f32> =
        (0..images * positions).map(|i| by_position[i % positions][i / positions]).collect();
    let lists = others(&x, dim, 6, Among { images, grid, reach: None });
    let anywhere = from_lists(&lists, 6);
    for (group, outlier) in [(Group::Position, &at_position), (Group::Global, &anywhere)] {
        on_each(&of_each_kind(), |name, device| {
            for memory in [1 << 30, 300_000] {
                let options = auto().group(group).coreset_ratio(0.1).memory(memory);
                let grid32 = grid.map(|side| side as u32);
                let fitted = fit_embeddings(device, &x, grid32, dim as u32, &options, &Quiet).unwrap();
                assert_eq!(fitted.kept.len(), images * positions, "{name}: something was dropped");
                let bank = &fitted.model.bank;
                assert!(bank.weights.iter().all(|w| *w == 1.0), "{name}");
                let rows: Vec<u32> = (bank.provenance.iter())
                    .map(|[image, row, column]| image * positions as u32 + row * grid32[1] + column)
                    .collect();
                let near: Vec<u32> = rows.iter().map(|row| lists[*row as usize][0].1).collect();
                let of = |rows: &[u32]| -> Vec<f32> {
                    rows.iter().flat_map(|row| patch(*row as usize)).copied().collect()
                };
                // What nine of ten images score without their own rows.
                let own = |row: &u32| *row as usize / positions;
                let alone = |i: usize| {
                    let others = rows.iter().filter(|row| own(row) != i / positions);
                    let far = others.map(|row| squared_distance(patch(i), patch(*row as usize)));
                    far.fold(f64::INFINITY, f64::min)
                };
                let top =
                    |image: usize| (0..positions).map(|p| alone(image * positions + p)).fold(0.0, f64::max);
                let mut tops: Vec<f64> = (0..images).map(top).collect();
                tops.sort_by(f64::total_cmp);
                let ceiling = tops[images * 9 / 10 - 1] as f32;
                let [x, y] = [of(&rows), of(&near)];
                let want = floors([&x, &y], dim, [&rows, &near], outlier, grid, ceiling);
                let free = floors([&x, &y], dim, [&rows, &near], outlier, grid, f32::INFINITY);
                assert_ne!(want, free, "the ceiling is to matter here");
                // The logarithms of scores that have their own rounding, and a power of up to 8.
                let room = gamma(dim + 40) + 12.0 * gamma(120) + 6.0 * 2_f32.powi(-21);
                assert_close(&format!("{name} {group} within {memory}"), &bank.floors, &want, 0.0, room);
            }
        });
    }
}

/// A defect that lies in one training image is found all the same, in a good image nothing is, and the file
/// keeps that.
#[test]
fn what_slipped_in_vouches_for_nothing() {
    let _turn = turn();
    let (_, device) = direct();
    let (grid, images, dim) = ([4_u32, 4], 20, 32);
    let size = 16 * dim;
    let mut x = noise(3, images * size, 0.0, 0.1);
    let defect = |x: &mut [f32]| x[5 * dim..6 * dim].iter_mut().for_each(|v| *v += 2.0);
    defect(&mut x[7 * size..8 * size]);
    let good = noise(4, 2 * size, 0.0, 0.1);
    // The very image, and good ones.
    let test = [x[7 * size..8 * size].to_vec(), good].concat();
    let fit = |options: FitOptions| {
        fit_embeddings(device, &x, grid, dim as u32, &options.coreset_ratio(1.0), &Quiet).unwrap().model
    };
    let [blind, model] = [auto().discriminator(Discriminator::None), auto()].map(fit);
    let [missed, _, _] = scores(device, &blind, &test, size)[..] else { panic!("three scores") };
    assert_eq!(missed, 0.0, "PatchCore is to have learnt the defect");
    let found = scores(device, &model, &test, size);
    let apart = squared_distance(&[2.0; 32], &[0.0; 32]) as f32;
    assert!(found[0] > 0.8 * apart && found[0] < 2.4 * apart, "{} of {apart}", found[0]);
    assert!(found[1] < 0.05 * apart && found[2] < 0.05 * apart, "{found:?}");
    let again = Model::from_bytes(&model.to_bytes().unwrap(), "model".as_ref()).unwrap();
    assert_eq!((&again.bank.floors, scores(device, &again, &test, size)), (&model.bank.floors, found));
}

/// A file whose floors are none is refused.
#[test]
fn floors_below_zero_are_no_model() {
    let _turn = turn();
    let (_, device) = direct();
    let x = noise(5, 6 * 4 * 32, 0.0, 1.0);
    let mut model = fit_embeddings(device, &x, [2, 2], 32, &auto().coreset_ratio(0.5), &Quiet).unwrap().model;
    for bad in [-1.0, f32::NAN, f32::INFINITY] {
        model.bank.floors[3] = bad;
        let read = Model::from_bytes(&model.to_bytes().unwrap(), "model".as_ref());
        assert!(matches!(read, Err(Error::Model { .. })), "{bad}");
    }
}

/// Remembers the stages of a job, and ends it in one.
struct Watch {
    seen: std::cell::RefCell<Vec<(Stage, u64, u64)>>,
    notes: std::cell::RefCell<Vec<String>>,
    end_in: Option<Stage>,
}

impl Watch {
    fn new(end_in: Option<Stage>) -> Self {
        Self { seen: Vec::new().into(), notes: Vec::new().into(), end_in }
    }
}

impl Progress for Watch {
    fn update(&self, stage: Stage, done: u64, total: u64) {
        self.seen.borrow_mut().push((stage, done, total));
    }

    fn notice(&self, message: &str) {
        self.notes.borrow_mut().push(message.to_owned());
    }

    fn cancelled(&self) -> bool {
        self.seen.borrow().last().is_some_and(|last| Some(last.0) == self.end_in)
    }
}

/// Floors take as long as a search: whoever waits sees how far it is, and may end it.
#[test]
fn floors_are_a_stage_that_can_be_seen_and_ended() {
    let _turn = turn();
    let (_, device) = direct();
    let (grid, images, dim) = ([2_u32, 3], 5, 32_u32);
    let x = noise(3, images * 6 * dim as usize, 0.0, 1.0);
    // Little memory: the patches come in pieces.
    let options = auto().coreset_ratio(0.5).memory(300_000);
    let watch = Watch::new(None);
    let fitted = fit_embeddings(device, &x, grid, dim, &options, &watch).unwrap();
    let rows = u64::from(fitted.model.info.rows);
    let seen = watch.seen.borrow();
    let floors: Vec<(u64, u64)> = seen.iter().filter(|s| s.0 == Stage::Floors).map(|s| (s.1, s.2)).collect();
    assert_eq!((floors.first(), floors.last()), (Some(&(0, rows)), Some(&(rows, rows))), "{seen:?}");
    assert!(floors.len() > 2 && floors.windows(2).all(|w| w[0].0 <= w[1].0 && w[1].0 <= rows), "{floors:?}");
    let at = |stage| seen.iter().position(|s| s.0 == stage);
    assert!(at(Stage::Coreset) < at(Stage::Floors) && at(Stage::Floors) < at(Stage::Calibrate), "{seen:?}");
    // What is lowered is not called by LOF's name alone.
    let notes = watch.notes.borrow().join("\n");
    assert!(notes.contains("auto compares a patch with (lof-k) is lowered from 6 to 4"), "{notes}");
    let ended = fit_embeddings(device, &x, grid, dim, &options, &Watch::new(Some(Stage::Floors)));
    assert!(matches!(ended, Err(Error::Cancelled)));
}
