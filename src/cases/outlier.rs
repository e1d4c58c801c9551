//! Cases of the discriminators: groups, neighbours, outlier scores, quantile.

use super::rounding::{DIVISION, SQUARE_ROOT, exact, exponential, gamma, logarithm, worst, worst_relative};
use super::values::{positive, values, whole};
use super::{Case, Verdict, Work};
use crate::Result;
use crate::bank::StripBuilder;
use crate::gpu::{Device, Recorder, Tensor};
use crate::reference as plain;
use crate::reference::outlier::others::{Among, others as plain_others};
use crate::steps::outlier::floor::Floor;
use crate::steps::outlier::group::{Centre, Gather};
use crate::steps::outlier::knn::Knn;
use crate::steps::outlier::lof::{Lof, ScoreMap};
use crate::steps::outlier::mahalanobis::{Mahalanobis, MahalanobisTo};
use crate::steps::outlier::nearest::Nearest;
use crate::steps::outlier::others::{Others, Strip};
use crate::steps::outlier::quantile::{Keep, Quantile};

/// Sizes of groups.
#[derive(Clone, Copy, Debug)]
pub struct Groups {
    /// Groups.
    pub groups: usize,
    /// Rows of a group.
    pub n: usize,
    /// Values of a row.
    pub r: usize,
    /// Neighbours.
    pub k: usize,
}

impl std::fmt::Display for Groups {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { groups, n, r, k } = self;
        write!(f, "{groups} groups of {n}x{r}, k {k}")
    }
}

/// Groups of rows, their lists of neighbours, and their scores.
struct Lists {
    sizes: Groups,
    rows: Vec<f32>,
    block: Tensor,
    distances: Tensor,
    indices: Tensor,
    scores: Tensor,
}

impl Lists {
    /// Neighbours are a choice, which must not hang on rounding: `operands` makes rows of whole numbers where
    /// lists are searched, whose squared distances are exact.
    fn new(device: &Device, sizes: Groups, operands: fn(usize, u64) -> Vec<f32>) -> Result<Self> {
        let Groups { groups, n, r, k } = sizes;
        let rows = operands(groups * n * r, 20);
        let lists = groups * n * Knn::width(k as u32, n as u32).max(1) as usize;
        Ok(Self {
            sizes,
            block: device.upload(&rows, "block")?,
            rows,
            distances: device.alloc(lists, "distances")?,
            indices: device.alloc(lists, "indices")?,
            scores: device.alloc(groups * n, "scores")?,
        })
    }

    fn record(&self, recorder: &mut Recorder) -> Result<()> {
        let Self { block, distances, indices, .. } = self;
        let [groups, n, r, k] = self.counts();
        Knn { block, distances, indices, groups, n, r, k }.record(recorder)
    }

    fn counts(&self) -> [u32; 4] {
        let Groups { groups, n, r, k } = self.sizes;
        [groups, n, r, k].map(|v| v as u32)
    }

    /// Where scores go: image by image.
    fn to(&self) -> ScoreMap<'_> {
        ScoreMap { scores: &self.scores, positions: self.sizes.groups as u32, p0: 0 }
    }

    /// `f` of the last group, as [`Lists::to`] orders it among the others.
    fn check(
        self,
        relative: f64,
        f: impl Fn(&[f32]) -> Vec<f32> + 'static,
    ) -> impl Fn(&Device) -> Result<Verdict> + 'static {
        let Groups { groups, n, r, .. } = self.sizes;
        move |device| {
            let got: Vec<f32> = device.read(&self.scores)?;
            let mut verdicts = Vec::new();
            for group in [0, groups - 1] {
                let got: Vec<f32> = got.iter().skip(group).step_by(groups).copied().collect();
                let want = f(&self.rows[group * n * r..(group + 1) * n * r]);
                verdicts.push(worst_relative(&got, &want, relative));
            }
            Ok(worse(verdicts))
        }
    }

    fn work(&self) -> Work {
        let Groups { groups, n, r, k } = self.sizes;
        let flops = 3.0 * groups as f64 * (n * n) as f64 * r as f64;
        Work { flops, bytes: 4.0 * (groups * n * (r + 2 * k)) as f64 }
    }
}

/// The one that fails, else the one with the larger error or bound.
fn worse(verdicts: Vec<Verdict>) -> Verdict {
    let key = |v: &Verdict| (!v.passed(), v.error, v.allowed);
    let none = Verdict { error: 0.0, allowed: 0.0 };
    verdicts.into_iter().fold(none, |a, b| if key(&b) > key(&a) { b } else { a })
}

/// A distance: three roundings of a squared difference, `r - 1` of their sum, halved by the root and its own.
fn distance_error(r: usize) -> f64 {
    gamma((r + 2) / 2 + SQUARE_ROOT)
}

/// Distances to the nearest rows of each group.
pub fn knn(device: &Device, sizes: Groups) -> Result<Case> {
    let lists = Lists::new(device, sizes, whole)?;
    let work = lists.work();
    let Groups { groups, n, r, k } = sizes;
    let (distances, rows) = (lists.distances.clone(), lists.rows.clone());
    Case::new(
        device,
        |recorder| lists.record(recorder),
        move |device| {
            let got: Vec<f32> = device.read(&distances)?;
            let one = got.len() / groups;
            let ends = [0, groups - 1].map(|g| {
                let (want, _) = plain::outlier::knn::knn(&rows[g * n * r..(g + 1) * n * r], r, k);
                worst_relative(&got[g * one..(g + 1) * one], &want, distance_error(r))
            });
            Ok(worse(ends.to_vec()))
        },
        work,
    )
}

/// Distances to the nearest patches of other images, in windows of 3 x 3 positions or anywhere. Two strips,
/// so that lists go from one to the next.
pub fn others(device: &Device, [images, r, k]: [usize; 3], window: bool) -> Result<Case> {
    let grid = [2, 3];
    let reach = window.then_some(1);
    let (patches, half) = (6 * images, 3 * images);
    let x = whole(patches * r, 24);
    // Image by image, grid row by grid row; without windows each half of all.
    let strip = |part: usize| -> Result<Strip> {
        let (columns, n) = if window { (3, images) } else { (1, half) };
        let mut builder = StripBuilder::new(device, columns, n, r)?;
        for column in 0..columns {
            let id = |i: usize| if window { 6 * i + 3 * part + column } else { half * part + i };
            let ids: Vec<u32> = (0..n).map(|i| id(i) as u32).collect();
            let rows: Vec<f32> = ids.iter().flat_map(|&id| &x[id as usize * r..][..r]).copied().collect();
            builder.sort_and_push(&rows, &ids);
        }
        Ok(builder.finish())
    };
    let strips = [strip(0)?, strip(1)?];
    let distances = device.alloc(patches * k, "distances")?;
    let indices = device.alloc(patches * k, "indices")?;
    let answer = distances.clone();
    Case::new(
        device,
        |recorder| {
            for (q, c) in [(0, 0), (0, 1), (1, 1), (1, 0)] {
                let (queries, candidates) = (&strips[q], &strips[c]);
                let (distances, indices) = (&distances, &indices);
                let (tiles, ends) = (0..queries.columns * queries.tiles, [q == c, q != c]);
                let [r, k] = [r, k].map(|v| v as u32);
                Others { queries, candidates, distances, indices, tiles, reach: 1, positions: 6, r, k, ends }
                    .record(recorder)?;
            }
            Ok(())
        },
        move |device| {
            let got: Vec<f32> = device.read(&answer)?;
            let lists = plain_others(&x, r, k, Among { images, grid, reach });
            let want: Vec<f32> = lists.iter().flatten().map(|&(distance, _)| distance as f32).collect();
            Ok(worst_relative(&got, &want, distance_error(r)))
        },
        // As far as nothing is left out.
        Work {
            flops: 3.0 * (patches * patches * r) as f64 * if window { 7.0 / 9.0 } else { 1.0 },
            bytes: 4.0 * (patches * (r + 2 * k)) as f64,
        },
    )
}

/// Floors of `rows` bank rows of `dim` values, among them some without a neighbour, and scores that do not
/// count.
pub fn floor(device: &Device, [rows, dim]: [usize; 2]) -> Result<Case> {
    let (images, grid) = (5, [3, 4]);
    let all = images * 12;
    // Of squared distances of about `dim` times 1 to 8.
    let ceiling = 4.0 * dim as f32;
    let (x, y) = (values(rows * dim, 26), values(rows * dim, 27));
    let patches: Vec<u32> = (0..rows).map(|i| (i * 7 % all) as u32).collect();
    let others: Vec<u32> =
        patches.iter().map(|p| if p % 9 == 4 { *p } else { (p + 12) % all as u32 }).collect();
    // From dense to far out, so that both ends of the range are met.
    let mut scores: Vec<f32> =
        positive(all, 28).iter().enumerate().map(|(i, v)| v + 0.5 + (i / 12) as f32 / 4.0).collect();
    scores.iter_mut().step_by(11).for_each(|score| *score = 0.0);
    let tensor = |values: &[f32], name| device.upload(values, name);
    let (xs, ys, score) = (tensor(&x, "rows")?, tensor(&y, "neighbours")?, tensor(&scores, "scores")?);
    let (own, other) = (device.upload(&patches, "numbers")?, device.upload(&others, "numbers")?);
    let floors = device.alloc(rows, "floors")?;
    let answer = floors.clone();
    Case::new(
        device,
        |recorder| {
            let (rows, dim, images) = (rows as u32, dim as u32, images as u32);
            let grid = grid.map(|side| side as u32);
            let (x, y, patches, others, scores) = (&xs, &ys, &own, &other, &score);
            Floor { x, y, patches, others, scores, ceiling, floors: &floors, rows, dim, images, grid }
                .record(recorder)
        },
        move |device| {
            let got: Vec<f32> = device.read(&answer)?;
            let want =
                plain::outlier::floor::floors([&x, &y], dim, [&patches, &others], &scores, grid, ceiling);
            // Of scores of up to 8: the power, times the mean of 9 logarithms, which the exponential makes relative.
            let most = 8_f64.ln();
            let power =
                f64::from(plain::outlier::floor::POWER) * (logarithm(most) + gamma(9 + DIVISION) * most);
            let raised = exponential(plain::outlier::floor::MOST.ln());
            Ok(worst_relative(&got, &want, gamma(dim + 4 + raised) + power))
        },
        Work { flops: 3.0 * (rows * dim) as f64, bytes: 8.0 * (rows * dim) as f64 },
    )
}

/// Local outlier factors.
pub fn lof(device: &Device, sizes: Groups) -> Result<Case> {
    let lists = Lists::new(device, sizes, whole)?;
    let density = device.alloc(sizes.groups * sizes.n, "density")?;
    let (r, k, work) = (sizes.r, sizes.k, lists.work());
    let mut recorder = Recorder::new(device);
    lists.record(&mut recorder)?;
    let [groups, n, _, neighbours] = lists.counts();
    let (distances, indices) = (&lists.distances, &lists.indices);
    Lof { distances, indices, density: &density, to: lists.to(), groups, n, k: neighbours }
        .record(&mut recorder)?;
    // A density is 1 over a mean of distances: k - 1 sums and two divisions; a factor is a mean of quotients
    // of two of them.
    let relative = 2.0 * (distance_error(r) + gamma(k + 2 + 2 * DIVISION)) + gamma(k + 2 * DIVISION);
    let plan = recorder.finish()?;
    let check = lists.check(relative, move |g| plain::outlier::lof::lof(g, r, k));
    Ok(Case { plan, check: Box::new(check), work: Box::new(move |_| Ok(work)) })
}

/// Distances to the nearest row, plus 1.
pub fn nearest(device: &Device, sizes: Groups) -> Result<Case> {
    let lists = Lists::new(device, sizes, whole)?;
    let (r, work) = (sizes.r, lists.work());
    let mut recorder = Recorder::new(device);
    lists.record(&mut recorder)?;
    let [groups, n, _, k] = lists.counts();
    Nearest { distances: &lists.distances, to: lists.to(), groups, n, k }.record(&mut recorder)?;
    let plan = recorder.finish()?;
    let check = lists.check(distance_error(r) + gamma(1), move |g| plain::outlier::nearest::nearest(g, r));
    Ok(Case { plan, check: Box::new(check), work: Box::new(move |_| Ok(work)) })
}

/// Mahalanobis distances within each group, or with `others` of other rows to it.
pub fn mahalanobis(device: &Device, sizes: Groups, others: bool) -> Result<Case> {
    let lists = Lists::new(device, sizes, values)?;
    let Groups { n, r, .. } = sizes;
    let factors = device.alloc(sizes.groups * r * r, "factors")?;
    // Blocks are overwritten, so every run starts from copies.
    let fresh = device.upload(&lists.rows, "rows")?;
    let rows = device.alloc(lists.rows.len(), "other rows")?;
    let mut recorder = Recorder::new(device);
    recorder.copy(&fresh, 0, &lists.block, 0, lists.rows.len());
    let [groups, count, width, _] = lists.counts();
    if others {
        recorder.copy(&fresh, 0, &rows, 0, lists.rows.len());
        let (block, to) = (&lists.block, lists.to());
        MahalanobisTo { block, factors: &factors, rows: &rows, to, groups, n: count, q: count, r: width }
            .record(&mut recorder)?;
    } else {
        let (block, to) = (&lists.block, lists.to());
        Mahalanobis { block, factors: &factors, to, groups, n: count, r: width }.record(&mut recorder)?;
    }
    let flops = groups as f64 * (r * r) as f64 * (2.0 * n as f64 + r as f64 / 3.0);
    let work = Work { flops, bytes: 4.0 * (2 * lists.rows.len() + groups as usize * r * r) as f64 };
    // Backward stable (Higham, chapter 10): half the condition times the roundings of covariance, factor and
    // solution. The largest eigenvalue of a covariance of values in -1/2 .. 1/2, whose variance is 1/12, is
    // near 1/12 (1 + sqrt(r / n))^2 (Marchenko and Pastur), the smallest no less than the ridge of 0.01;
    // twice that.
    let condition = 2.0 * ((1.0 + (r as f64 / n as f64).sqrt()).powi(2) / 12.0 / 0.01 + 1.0);
    let relative = 0.5 * condition * gamma(n + 3 * r + (DIVISION + SQUARE_ROOT) * 2);
    let plan = recorder.finish()?;
    let check = lists.check(relative, move |g| plain::outlier::mahalanobis::mahalanobis(g, r));
    Ok(Case { plan, check: Box::new(check), work: Box::new(move |_| Ok(work)) })
}

/// Patches gathered by position, and perhaps centred.
pub fn group(device: &Device, sizes: Groups, centred: bool) -> Result<Case> {
    let Groups { groups, n, r, .. } = sizes;
    let z = values(n * groups * r, 23);
    let x = device.upload(&z, "z")?;
    let block = device.alloc(groups * n * r, "block")?;
    let answer = block.clone();
    let len = 4 * z.len();
    Case::new(
        device,
        |recorder| {
            let [images, groups, r] = [n, groups, r].map(|v| v as u32);
            let gathered = Gather {
                z: &x,
                block: &block,
                rows: 0..images * groups,
                n: images,
                positions: groups,
                p0: 0,
                groups,
                r,
            };
            gathered.record(recorder)?;
            if !centred {
                return Ok(());
            }
            Centre { block: &block, groups, n: images, r }.record(recorder)
        },
        move |device| {
            let got: Vec<f32> = device.read(&answer)?;
            let at = |group: usize, image: usize, i: usize| f64::from(z[(image * groups + group) * r + i]);
            // Differences of up to 1 to the first row, their sum and its division, and the difference to
            // that.
            let allowed = if centred { gamma(n + 3 + DIVISION) } else { 0.0 };
            Ok(worst((0..got.len()).map(|index| {
                let [group, image, i] = [index / r / n, index / r % n, index % r];
                let mean = (0..n).map(|image| at(group, image, i)).sum::<f64>() / n as f64;
                let mean = if centred { mean } else { 0.0 };
                (got[index], at(group, image, i) - mean, allowed)
            })))
        },
        Work { flops: 0.0, bytes: 4.0 * len as f64 },
    )
}

/// The quantile of `len` scores and the scores that stay.
pub fn quantile(device: &Device, len: usize, q: f64) -> Result<Case> {
    let scores = values(len, 21);
    let x = device.upload(&scores, "scores")?;
    let state = device.alloc(Quantile::STATE, "state")?;
    let threshold = device.alloc(1, "threshold")?;
    let starts = device.alloc(Keep::starts_len(len as u32), "starts")?;
    let (kept, count) = (device.alloc(len, "kept")?, device.alloc(1, "count")?);
    let (answer, list, number) = (threshold.clone(), kept.clone(), count.clone());
    Case::new(
        device,
        |recorder| {
            let len = len as u32;
            let (scores, threshold) = (&x, &threshold);
            Quantile { scores, len, q, state: &state, threshold }.record(recorder)?;
            Keep { scores, threshold, len, starts: &starts, kept: &kept, count: &count }.record(recorder)
        },
        move |device| {
            let got: Vec<f32> = device.read(&answer)?;
            let want = plain::outlier::quantile::quantile(&scores, q);
            // One interpolation between values below 1/2.
            let threshold = worst([(got[0], f64::from(want), gamma(4) / 2.0)]);
            let count: Vec<u32> = device.read(&number)?;
            let mut kept: Vec<u32> = device.read(&list)?;
            kept.truncate(count[0] as usize);
            // By the device's own threshold: nothing rounds.
            let stay = |i: &u32| scores[*i as usize] <= got[0];
            let stays: Vec<u32> = (0..len as u32).filter(stay).collect();
            Ok(worse(vec![threshold, exact(&kept, &stays)]))
        },
        Work { flops: 0.0, bytes: 20.0 * len as f64 },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Squared distances of the operands are exact in f32 whatever the order of their sums, so that no
    /// neighbour hangs on rounding.
    #[test]
    fn distances_of_the_operands_are_exact() {
        let r = 4096;
        let rows = whole(2 * r, 20);
        assert!(rows.iter().all(|v| v.fract() == 0.0 && v.abs() <= 20.0));
        // Each term is at most 40 squared, and so many of them stay below 2^24.
        assert!(r * 40 * 40 < 1 << 24);
    }
}
