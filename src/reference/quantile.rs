//! Quantile of the outlier scores.

/// The `q` quantile, 0 to 1, of `values`: linear between the two nearest ranks, rank `q * (n - 1)`. NumPy's default.
///
/// # Panics
/// Where there are no values or `q` is outside 0 to 1.
pub fn quantile(values: &[f32], q: f64) -> f32 {
    assert!(!values.is_empty() && (0.0..=1.0).contains(&q), "quantile {q} of {} values", values.len());
    let mut sorted = values.to_vec();
    sorted.sort_by(f32::total_cmp);
    let rank = q * (sorted.len() - 1) as f64;
    let lower = rank as usize;
    let upper = (lower + 1).min(sorted.len() - 1);
    let (a, b) = (f64::from(sorted[lower]), f64::from(sorted[upper]));
    (a + (b - a) * (rank - lower as f64)) as f32
}
