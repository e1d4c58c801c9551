//! Pooled features of an image, as SPADE compares images. arXiv 2005.02357.

/// Mean over positions of `x` `[images][positions][dim]`: `[images][dim]`.
pub fn image_mean(x: &[f32], positions: usize, dim: usize) -> Vec<f32> {
    x.chunks_exact(positions * dim)
        .flat_map(|image| {
            (0..dim).map(move |d| {
                let sum: f64 = image.iter().skip(d).step_by(dim).map(|&v| f64::from(v)).sum();
                (sum / positions as f64) as f32
            })
        })
        .collect()
}
