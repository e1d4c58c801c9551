//! Distances between images by their pooled features.

use crate::reference::distance::squared_distance;

/// `|a[i] - b[j]|` for `a` `[q][dim]` and `b` `[m][dim]`: `[q][m]`.
pub fn image_distance(a: &[f32], b: &[f32], dim: usize) -> Vec<f32> {
    a.chunks_exact(dim)
        .flat_map(|x| b.chunks_exact(dim).map(move |y| squared_distance(x, y).sqrt() as f32))
        .collect()
}
