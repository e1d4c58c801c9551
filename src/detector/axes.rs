//! Leading principal axes of a bank, for the bounds of the nearest-neighbour search.
//!
//! Host set-up: any orthonormal axes give exact results, good ones only let the search skip more.

use rand::Rng;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// Rows that the axes are estimated from.
const SAMPLE: usize = 2048;
/// Rounds of subspace iteration.
const ROUNDS: usize = 4;

/// Mean `[dim]` and `head` orthonormal axes `[head][dim]` close to the principal ones, by subspace iteration on a sample.
pub(super) fn principal_axes(rows: &[f32], dim: usize, head: usize) -> (Vec<f32>, Vec<f32>) {
    let count = rows.len() / dim;
    let step = count.div_ceil(SAMPLE).max(1);
    let sample: Vec<&[f32]> = rows.chunks_exact(dim).step_by(step).collect();
    let mut mean = vec![0.0_f64; dim];
    for row in &sample {
        for (m, v) in mean.iter_mut().zip(*row) {
            *m += f64::from(*v) / sample.len() as f64;
        }
    }
    let centred: Vec<Vec<f64>> =
        sample.iter().map(|row| row.iter().zip(&mean).map(|(v, m)| f64::from(*v) - m).collect()).collect();
    let mut random = ChaCha8Rng::seed_from_u64(0);
    let mut axes: Vec<Vec<f64>> =
        (0..head).map(|_| (0..dim).map(|_| random.random::<f64>() - 0.5).collect()).collect();
    orthonormalise(&mut axes, &mut random);
    for _ in 0..ROUNDS {
        let mut next = vec![vec![0.0; dim]; head];
        for row in &centred {
            for (axis, sum) in axes.iter().zip(&mut next) {
                let along: f64 = axis.iter().zip(row).map(|(a, v)| a * v).sum();
                for (s, v) in sum.iter_mut().zip(row) {
                    *s += along * v;
                }
            }
        }
        axes = next;
        orthonormalise(&mut axes, &mut random);
    }
    (mean.iter().map(|&v| v as f32).collect(), axes.concat().iter().map(|&v| v as f32).collect())
}

/// Gram-Schmidt, twice for accuracy; a vector that vanishes is replaced by a random one.
fn orthonormalise(axes: &mut [Vec<f64>], random: &mut ChaCha8Rng) {
    for i in 0..axes.len() {
        loop {
            let (done, rest) = axes.split_at_mut(i);
            let axis = &mut rest[0];
            let before: f64 = axis.iter().map(|v| v * v).sum::<f64>().sqrt();
            for _ in 0..2 {
                for other in done.iter() {
                    let along: f64 = other.iter().zip(axis.iter()).map(|(a, b)| a * b).sum();
                    for (v, o) in axis.iter_mut().zip(other) {
                        *v -= along * o;
                    }
                }
            }
            let norm: f64 = axis.iter().map(|v| v * v).sum::<f64>().sqrt();
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
            let (mean, axes) = principal_axes(&rows, 8, 4);
            assert_eq!(mean.len(), 8);
            for i in 0..4 {
                for j in 0..4 {
                    let dot: f32 = (0..8).map(|k| axes[i * 8 + k] * axes[j * 8 + k]).sum();
                    assert!((dot - if i == j { 1.0 } else { 0.0 }).abs() < 1e-5, "{i} {j} {dot}");
                }
            }
        }
    }
}
