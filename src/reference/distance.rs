//! The distance that every other step is built on.

/// Squared Euclidean distance of two vectors of one length, differences and sum in `f64`.
pub fn squared_distance(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2)).sum()
}
