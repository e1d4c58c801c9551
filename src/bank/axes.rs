//! Leading principal axes of rows, for the bounds of the nearest-neighbour search and the order of the
//! coreset's sums.
//!
//! Host set-up: any orthonormal axes give exact results, good ones only let the search skip more.

use crate::gpu::{Archetype, Device};
use crate::steps::search::lift::{Lifted, TAIL};
use crate::steps::search::search::SearchShape;
use rand::Rng;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

/// Rows that the axes are estimated from.
const SAMPLE: usize = 2048;
/// Rounds of subspace iteration.
const ROUNDS: usize = 4;

/// Values of a lifted row at most.
const MOST: usize = 128;

/// Values of a head and its tail at most: where they are a lane's registers, or further axes follow.
const HEAD: usize = 64;

/// Rows' mean and leading axes.
#[derive(Clone, Debug, PartialEq)]
pub struct Axes {
    /// `[dim]`: what is subtracted before the axes are applied; any value is right, the mean is fast.
    pub mean: Vec<f32>,
    /// `[count][dim]` orthonormal axes, the first the most telling. Fewer of them are axes, too.
    pub vectors: Vec<f32>,
}

impl Axes {
    /// Leading axes by which rows of `dim` values are compared before they are measured.
    pub fn count(dim: usize) -> usize {
        let head = share(dim, HEAD);
        // Up to half of the values in all, with a tail for each part.
        let more = (dim / 2 / 4 * 4).min(MOST).saturating_sub(head);
        (head - TAIL + more.saturating_sub(TAIL)).min(dim)
    }

    /// As many axes of `rows` `[count][dim]` as any device uses.
    pub fn principal(rows: &[f32], dim: usize) -> Self {
        Self::new(rows, dim, Self::count(dim))
    }

    /// Whether the mean is of numbers, and the axes are orthonormal but for their rounding, and so few as any
    /// device uses: to look at thousands takes minutes.
    pub fn are_orthonormal(&self) -> bool {
        let dim = self.mean.len();
        if dim == 0 || self.vectors.is_empty() || !self.vectors.len().is_multiple_of(dim) {
            return false;
        }
        let axes: Vec<&[f32]> = self.vectors.chunks_exact(dim).collect();
        let near = |i: usize, j: usize| {
            let dot: f64 = axes[i].iter().zip(axes[j]).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
            // A component is rounded by half a unit of its own size. NaN is not near.
            (dot - f64::from(u8::from(i == j))).abs() <= dim as f64 * f64::from(f32::EPSILON)
        };
        self.mean.iter().all(|v| v.is_finite())
            && axes.len() <= dim.min(MOST)
            && (0..axes.len()).all(|i| (0..=i).all(|j| near(i, j)))
    }

    /// How vectors lie that are lifted with these axes, and the axes `[values][dim]`; those that stand for a
    /// tail are zero.
    pub fn of_device(&self, device: &Device) -> (Lifted, Vec<f32>) {
        let further = SearchShape::new(device.caps()).further_axes;
        let most = if device.caps().archetype == Archetype::Direct && !further { MOST } else { HEAD };
        self.lay(most, further)
    }

    /// The same with heads of `most` values at most, and further axes behind them or not.
    fn lay(&self, most: usize, further: bool) -> (Lifted, Vec<f32>) {
        let dim = self.mean.len();
        let count = self.vectors.len() / dim;
        let heads = (share(dim, most) - TAIL).min(count);
        let more = if further { count - heads } else { 0 };
        let place = |axes: usize| if axes == 0 { 0 } else { (axes + TAIL).next_multiple_of(4) };
        let (head, behind) = (place(heads), place(more));
        let mut vectors = self.vectors[..heads * dim].to_vec();
        vectors.resize(head * dim, 0.0);
        vectors.extend(&self.vectors[heads * dim..(heads + more) * dim]);
        vectors.resize((head + behind) * dim, 0.0);
        (Lifted { head: head as u32, more: behind as u32 }, vectors)
    }

    /// Mean and `head` axes close to the principal ones of `rows` `[count][dim]`, by subspace iteration on a
    /// sample.
    pub fn new(rows: &[f32], dim: usize, head: usize) -> Self {
        let count = rows.len() / dim;
        let step = count.div_ceil(SAMPLE).max(1);
        let sample: Vec<&[f32]> = rows.chunks_exact(dim).step_by(step).collect();
        let mut mean = vec![0.0_f64; dim];
        for row in &sample {
            for (m, v) in mean.iter_mut().zip(*row) {
                *m += f64::from(*v) / sample.len() as f64;
            }
        }
        let centre = |row: &&[f32]| row.iter().zip(&mean).map(|(v, m)| f64::from(*v) - m).collect();
        let centred: Vec<Vec<f64>> = sample.iter().map(centre).collect();
        let mut random = ChaCha8Rng::seed_from_u64(0);
        let mut axes: Vec<Vec<f64>> =
            (0..head).map(|_| (0..dim).map(|_| random.random::<f64>() - 0.5).collect()).collect();
        orthonormalise(&mut axes, &mut random);
        for _ in 0..ROUNDS {
            axes = axes.par_iter().map(|axis| covariance_times(&centred, axis)).collect();
            orthonormalise(&mut axes, &mut random);
        }
        let narrow = |values: &[f64]| values.iter().map(|&v| v as f32).collect();
        Self { mean: narrow(&mean), vectors: narrow(&axes.concat()) }
    }
}

/// Values of a head and its tail for rows of `dim` values: a quarter, in whole vectors; measured at 152.
fn share(dim: usize, most: usize) -> usize {
    (dim / 4 / 4 * 4).clamp(8, most)
}

/// The rows' covariance times `axis`, but for a factor.
fn covariance_times(centred: &[Vec<f64>], axis: &[f64]) -> Vec<f64> {
    let mut sum = vec![0.0; axis.len()];
    for row in centred {
        let along = dot(axis, row);
        sum.iter_mut().zip(row).for_each(|(s, v)| *s += along * v);
    }
    sum
}

/// Summed in eight lanes, which do not wait for each other.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let (a, rest_a) = a.as_chunks::<8>();
    let (b, rest_b) = b.as_chunks::<8>();
    let mut lanes = [0.0; 8];
    for (a, b) in a.iter().zip(b) {
        lanes.iter_mut().zip(a.iter().zip(b)).for_each(|(lane, (a, b))| *lane += a * b);
    }
    lanes.iter().sum::<f64>() + rest_a.iter().zip(rest_b).map(|(a, b)| a * b).sum::<f64>()
}

/// Gram-Schmidt, twice for accuracy; a vector that vanishes is replaced by a random one.
fn orthonormalise(axes: &mut [Vec<f64>], random: &mut ChaCha8Rng) {
    for i in 0..axes.len() {
        loop {
            let (done, rest) = axes.split_at_mut(i);
            let axis = &mut rest[0];
            let before = dot(axis, axis).sqrt();
            for _ in 0..2 {
                for other in done.iter() {
                    let along = dot(other, axis);
                    for (v, o) in axis.iter_mut().zip(other) {
                        *v -= along * o;
                    }
                }
            }
            let norm = dot(axis, axis).sqrt();
            if norm > 1e-9 * before && norm > 1e-30 {
                axis.iter_mut().for_each(|v| *v /= norm);
                break;
            }
            axis.iter_mut().for_each(|v| *v = random.random::<f64>() - 0.5);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_are_orthonormal_even_for_constant_rows() {
        for rows in [vec![1.5; 40 * 8], (0..320).map(|i| ((i * 37) % 11) as f32).collect::<Vec<_>>()] {
            let found = Axes::new(&rows, 8, 4);
            assert!(found.are_orthonormal());
            let Axes { mean, vectors: axes } = found;
            assert_eq!(mean.len(), 8);
            for i in 0..4 {
                for j in 0..4 {
                    let dot: f32 = (0..8).map(|k| axes[i * 8 + k] * axes[j * 8 + k]).sum();
                    assert!((dot - if i == j { 1.0 } else { 0.0 }).abs() < 1e-5, "{i} {j} {dot}");
                }
            }
        }
    }

    /// By others the search would pass over rows that are near, or take for ever.
    #[test]
    fn what_are_no_axes_are_known() {
        let right = Axes { mean: vec![0.0; 3], vectors: vec![1.0, 0.0, 0.0, 0.0, 1.0, 0.0] };
        assert!(right.are_orthonormal());
        for vectors in [
            vec![1.0, 0.0, 0.0, 0.8, 0.6, 0.0],
            vec![1.0, 0.0, 0.0, 0.0, 1.1, 0.0],
            vec![1.0, 0.0, 0.0, 0.0, f32::NAN, 0.0],
            vec![1.0, 0.0, 0.0, 0.0, 1.0],
            Vec::new(),
        ] {
            assert!(!Axes { vectors: vectors.clone(), ..right.clone() }.are_orthonormal(), "{vectors:?}");
        }
        assert!(!Axes { mean: vec![0.0, f32::INFINITY, 0.0], ..right }.are_orthonormal());
        let unit = |count: usize| {
            let dim = 2 * MOST;
            let vectors = (0..count * dim).map(|i| f32::from(u8::from(i / dim == i % dim))).collect();
            Axes { mean: vec![0.0; dim], vectors }
        };
        assert!(unit(MOST).are_orthonormal() && !unit(MOST + 1).are_orthonormal());
    }

    #[test]
    fn axes_lie_before_the_tails_that_they_need() {
        let unit = |count: usize, dim: usize| {
            let vectors = (0..count * dim).map(|i| f32::from(u8::from(i / dim == i % dim))).collect();
            Axes { mean: vec![0.0; dim], vectors }
        };
        // Axes as models have them, of today and of before there were two parts.
        for (dim, count, most, further, head, more) in [
            (152, Axes::count(152), HEAD, true, 36, 40),
            (152, Axes::count(152), HEAD, false, 36, 0),
            (152, 33, HEAD, true, 36, 0),
            (1024, Axes::count(1024), HEAD, true, 64, 64),
            (1024, 125, HEAD, true, 64, 68),
            (1024, 125, MOST, false, 128, 0),
            (1024, 125, HEAD, false, 64, 0),
            (16, Axes::count(16), HEAD, true, 8, 0),
            (4, Axes::count(4), HEAD, true, 8, 0),
        ] {
            let (lifted, axes) = unit(count, dim).lay(most, further);
            assert_eq!(lifted, Lifted { head, more }, "{count} axes of {dim}");
            assert_eq!(axes.len(), lifted.values() as usize * dim);
            let used: Vec<usize> = axes
                .chunks_exact(dim)
                .enumerate()
                .filter(|(_, axis)| axis.iter().any(|v| *v != 0.0))
                .map(|(at, _)| at)
                .collect();
            let expected = count.min(head as usize - TAIL + (more as usize).saturating_sub(TAIL));
            assert_eq!(used.len(), expected, "each axis once");
            let tail = |at: usize| (head as usize - TAIL..head as usize).contains(&at);
            assert!(
                used.iter()
                    .all(|&at| !tail(at) && at < lifted.values() as usize - TAIL * usize::from(more > 0))
            );
        }
    }

    #[test]
    fn fewer_axes_are_the_first_of_more() {
        let rows: Vec<f32> = (0..40 * 24).map(|i| ((i * 37) % 101) as f32).collect();
        let (all, some) = (Axes::new(&rows, 24, 12), Axes::new(&rows, 24, 5));
        assert_eq!(all.vectors[..5 * 24], some.vectors);
    }
}
