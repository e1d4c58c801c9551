//! PaDiM (arXiv 2011.08785): a Gaussian at every position over a random subset of channels.

use crate::reference::outlier::mahalanobis::mahalanobis_to;

/// Mahalanobis distance of every patch of `image` `[positions][dim]` to the Gaussian of the training patches
/// at its position, `train` `[images][positions][dim]`, over `channels`.
pub fn padim(train: &[f32], image: &[f32], positions: usize, dim: usize, channels: &[usize]) -> Vec<f32> {
    let pick = |row: &[f32]| channels.iter().map(|&c| row[c]).collect::<Vec<f32>>();
    let score = |p: usize| {
        let rows = train.chunks_exact(positions * dim).flat_map(|i| pick(&i[p * dim..(p + 1) * dim]));
        let (rows, own): (Vec<f32>, _) = (rows.collect(), pick(&image[p * dim..(p + 1) * dim]));
        mahalanobis_to(&rows, &own, channels.len())[0] - 1.0
    };
    (0..positions).map(score).collect()
}
