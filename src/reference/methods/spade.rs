//! SPADE (arXiv 2005.02357) on patch embeddings: the training images that look most alike, then their nearest
//! patch.

use crate::reference::distance::squared_distance;
use crate::reference::search::image_distance::image_distance;
use crate::reference::search::image_mean::image_mean;
use crate::steps::search::image_distance::nearest;

/// Image score (mean distance of pooled features to the `k` nearest training images) and for every patch the
/// distance to the nearest patch of those images. `train` `[images][positions][dim]`, `image`
/// `[positions][dim]`.
pub fn spade(train: &[f32], image: &[f32], positions: usize, dim: usize, k: usize) -> (f32, Vec<f32>) {
    let (pooled, own) = (image_mean(train, positions, dim), image_mean(image, positions, dim));
    let distances = image_distance(&own, &pooled, dim);
    let near = nearest(&distances, k);
    let score = near.iter().map(|&i| f64::from(distances[i])).sum::<f64>() / near.len() as f64;
    let size = positions * dim;
    let patches = image.chunks_exact(dim).map(|x| {
        let all = near.iter().flat_map(|&i| train[i * size..(i + 1) * size].chunks_exact(dim));
        all.map(|y| squared_distance(x, y)).fold(f64::INFINITY, f64::min).sqrt() as f32
    });
    (score as f32, patches.collect())
}
