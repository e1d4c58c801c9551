//! Cases of the memory bank: selection, search, scores, anomaly map.

use super::rounding::{exact, gamma, worst};
use super::values::{falling, positive, values, whole};
use super::{Case, Work};
use crate::Result;
use crate::bank::{Axes, Bank, BankData, Choice, Maps, Start, Vectors, allocate, select};
use crate::gpu::{Device, Recorder};
use crate::reference as plain;
use crate::steps::coreset::{Chunk, Coreset, CoresetShape, Progress};
use crate::steps::search::search::SkipOwn;
use std::ops::ControlFlow;

/// A whole selection of `picks` of `rows` rows of `r` values, batch after batch in one submission; a batch
/// has as many candidates as suit the sizes, or `batch`.
pub fn coreset(
    device: &Device,
    [rows, r, picks]: [usize; 3],
    batch: Option<u32>,
    official: bool,
) -> Result<Case> {
    // Distances of whole numbers are exact, so the picks must be the reference's, one by one.
    let z = whole(rows * r, 22);
    let kept: Vec<u32> = (0..rows as u32).filter(|i| i % 7 != 3).collect();
    let open = if official { rows } else { kept.len() };
    let samples: Vec<u32> =
        crate::steps::coreset::samples::start_samples(open, 0).into_iter().map(|s| s as u32).collect();
    let tensor = device.upload(&z, "rows")?;
    let chunks = [Chunk { rows: &tensor, first_row: 0, len: rows as u32 }];
    let mut shape = CoresetShape::new(open as u32, r as u32, picks as u32, device.caps().max_binding, false);
    shape.batch = batch.unwrap_or(shape.batch);
    // Once in the ordinary way, to know how many batches it takes.
    let go_on = |_| ControlFlow::Continue(());
    let vectors = Vectors::Device(&chunks);
    let start = if official { Start::Official } else { Start::Kept };
    let choice = Choice { shape, vectors, kept: &kept, samples: &samples, start };
    let batches = select(device, choice, go_on)?.map_or(0, |s| s.progress.batches);
    let buffers = allocate(device, shape, &chunks, &kept, &samples, start)?;
    let mut recorder = Recorder::new(device);
    let coreset = Coreset { chunks: &chunks, buffers: &buffers };
    coreset.record_start(&mut recorder)?;
    (0..batches).try_for_each(|_| coreset.record_batch(&mut recorder))?;
    let plan = recorder.finish()?;
    let (answer, state) = (buffers.picks.clone(), buffers.state.clone());
    let (one, starts) = (rows as f64 * r as f64, samples.len() as f64);
    Ok(Case {
        plan,
        check: Box::new(move |device| {
            let mut found: Vec<u32> = device.read(&answer)?;
            // The first picks do not depend on how many follow; all of many would take the reference minutes.
            let first = if rows * picks > 2_000_000 { picks.min(64) } else { picks };
            found.truncate(first);
            let want = match official {
                true => {
                    let squared = plain::distance::squared_distance;
                    plain::coreset::greedy::greedy_coreset_official(&z, r, &kept, first, 0, squared)
                }
                false => plain::coreset::greedy::greedy_coreset(&z, r, &kept, first, 0),
            };
            Ok(exact(&found, &want))
        }),
        // The distances that were computed, and those to the start samples.
        work: Box::new(move |device| {
            let distances = Progress::read(&device.read(&state)?).distances as f64;
            Ok(Work { flops: 3.0 * (distances * r as f64 + starts * one), bytes: 4.0 * one })
        }),
    })
}

/// Nearest rows of a bank `[m][d]` for `q` queries, weighted into scores.
pub fn neighbor(device: &Device, [q, m, d]: [usize; 3], skip: bool) -> Result<Case> {
    let steep = m < 1000;
    let (queries, rows) = (falling(q, d, 23, steep), falling(m, d, 24, steep));
    let weights: Vec<f32> = values(m, 25).iter().map(|w| 1.0 + w).collect();
    // The rows' values fall: their own coordinates are the axes.
    let vectors: Vec<f32> = (0..Axes::count(d) * d).map(|i| if i % d == i / d { 1.0 } else { 0.0 }).collect();
    let axes = Axes { mean: vec![0.0; d], vectors };
    let head = axes.of_device(device).0.head as usize;
    let row_image: Vec<u32> = (0..m as u32).map(|i| i % 3).collect();
    // Every fourth row is near to nobody, and some of the others vouch for no more than their length.
    let length = |row: &[f32]| row.iter().map(|v| v * v).sum::<f32>();
    let floor = |(i, row)| [length(row), 0.0, 0.25 * length(row), 0.0][i % 4];
    let floors: Vec<f32> = rows.chunks_exact(d).enumerate().map(floor).collect();
    let data = BankData {
        rows: &rows,
        weights: &weights,
        floors: &floors,
        row_image: &row_image,
        axes: &axes,
        order: None,
        dim: d as u32,
    };
    let bank = Bank::new(device, &data)?;
    let q = q.min(bank.max_queries(device) as usize);
    let search = bank.search(device, q as u32, q as u32)?;
    let x = device.upload(&queries[..q * d], "queries")?;
    let (scores, top) = (device.alloc(q, "scores")?, device.alloc(1, "top")?);
    let skip_own = skip.then_some(SkipOwn { first_image: 1, queries_per_image: q as u32 });
    let (found, answer, largest) = (search.best.clone(), scores.clone(), top.clone());
    let finished = search.finished.clone();
    // Bounds stand for tiles of 8 rows; what they leave is measured in full.
    let bounds = 2.0 * q as f64 * (m / 8) as f64 * (head + 4) as f64;
    let bytes = 4.0 * ((m + q) * d) as f64;
    let case = Case::new(
        device,
        |recorder| {
            recorder.clear(&search.finished);
            bank.record(recorder, &search, &x, 0..q as u32, skip_own)?;
            bank.record_scores(recorder, &search, [1, q as u32, 0], &scores, &top)
        },
        move |device| {
            let found: Vec<[u32; 2]> = device.read(&found)?;
            let scores: Vec<f32> = device.read(&answer)?;
            let top: Vec<f32> = device.read(&largest)?;
            let relative = gamma(d + 3);
            // Many queries against many rows would take the reference minutes.
            let checked = if q * m > 2_000_000 { 12 } else { q };
            let mut judged = Vec::new();
            for i in (0..checked).map(|c| c * (q - 1) / (checked - 1).max(1)) {
                let own = |_: usize, row: usize| skip && row_image[row] == 1;
                let (_, want) =
                    plain::search::search::nearest_neighbor(&queries[i * d..][..d], &rows, d, &floors, own);
                let want = f64::from(want[0]);
                let [distance, row] = found[i];
                judged.push((f32::from_bits(distance), want, relative * want));
                // Of rows that are equally near in f32 either will do: its distance decides, and its weight.
                let (weight, near) = match rows.get(row as usize * d..(row as usize + 1) * d) {
                    Some(r) if !own(i, row as usize) => (
                        f64::from(weights[row as usize]),
                        plain::distance::squared_distance(&queries[i * d..][..d], r)
                            .max(f64::from(floors[row as usize])),
                    ),
                    _ => (f64::NAN, f64::NAN),
                };
                judged.push((near as f32, want, 2.0 * relative * want));
                judged.push((scores[i], want * weight, (relative + gamma(1)) * want * weight));
            }
            // A maximum does not round.
            judged.push((top[0], f64::from(scores.iter().copied().fold(0.0, f32::max)), 0.0));
            Ok(worst(judged))
        },
        Work { flops: bounds, bytes },
    )?;
    Ok(case.counted(move |device| {
        let finished = f64::from(device.read::<u32>(&finished)?[0]);
        Ok(Work { flops: bounds + 3.0 * finished * d as f64, bytes })
    }))
}

/// Maps of `batch` images.
pub fn anomaly_map(device: &Device, grid: [usize; 2], out: [usize; 2], batch: usize) -> Result<Case> {
    let positions = grid[0] * grid[1];
    let scores = positive(batch * positions, 5);
    let maps = Maps::new(device, grid.map(|g| g as u32), out.map(|o| o as u32), batch)?;
    let x = device.upload(&scores, "patch scores")?;
    let answer = maps.maps.clone();
    // Two products with matrices of the axes.
    let flops = 2.0 * (batch * out[1] * grid[0] * (grid[1] + out[0])) as f64;
    let values = batch * (positions + out[0] * out[1]);
    Case::new(
        device,
        |recorder| maps.record(recorder, &x, batch as u32),
        move |device| {
            let got: Vec<f32> = device.read(&answer)?;
            let want = plain::map::anomaly_map::anomaly_map(&scores[scores.len() - positions..], grid, out);
            let got = &got[got.len() - want.len()..];
            // Two sums of at most as many terms as the grid has, with matrices whose rows add up to 1 and are
            // rounded; nothing is negative.
            let relative = gamma(grid[0] + grid[1] + 3);
            Ok(worst(got.iter().zip(&want).map(|(g, w)| {
                let w = f64::from(*w);
                (*g, w, relative * w + f64::from(f32::MIN_POSITIVE))
            })))
        },
        Work { flops, bytes: 4.0 * values as f64 },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng, SeedableRng};
    use std::cell::RefCell;

    /// What a device rounds otherwise than the reference, square roots of exact sums, must not decide a pick:
    /// else the case would fail where nothing is wrong.
    #[test]
    fn no_pick_of_the_small_selections_hangs_on_rounding() {
        for (r, official) in [(128, false), (36, false), (128, true)] {
            let (rows, picks) = (1000, 80);
            let z = whole(rows * r, 22);
            let kept: Vec<u32> = (0..rows as u32).filter(|i| i % 7 != 3).collect();
            let exact = |a: &[f32], b: &[f32]| plain::distance::squared_distance(a, b);
            let rng = RefCell::new(rand_chacha::ChaCha8Rng::seed_from_u64(1));
            // Twenty roundings of a root, on the sum that it is taken of.
            let rounded = |a: &[f32], b: &[f32]| {
                let off = rng.borrow_mut().random_range(-1.0..1.0) * gamma(20);
                exact(a, b) * (1.0 + off)
            };
            if official {
                let by = |squared: &dyn Fn(&[f32], &[f32]) -> f64| {
                    plain::coreset::greedy::greedy_coreset_official(&z, r, &kept, picks, 0, squared)
                };
                // Squared distances are exact on the device; only the means are not, which cap them.
                let want = by(&exact);
                assert_eq!(want.len(), picks);
                assert_eq!(by(&rounded)[..1], want[..1]);
            } else {
                let samples = crate::steps::coreset::samples::start_samples(kept.len(), 0);
                let row = |i: usize| &z[kept[i] as usize * r..][..r];
                let mean = |i: usize, squared: &dyn Fn(&[f32], &[f32]) -> f64| {
                    samples.iter().map(|&s| squared(row(i), row(s)).sqrt()).sum::<f64>()
                };
                let first = |squared: &dyn Fn(&[f32], &[f32]) -> f64| {
                    (0..kept.len()).max_by(|&a, &b| mean(a, squared).total_cmp(&mean(b, squared)))
                };
                assert_eq!(first(&rounded), first(&exact), "{r}");
            }
        }
    }
}
