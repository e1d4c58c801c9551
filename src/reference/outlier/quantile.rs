//! The threshold between patches that are kept and patches that are dropped. docs/method.md, section 5.

/// The `q` quantile (`q` clamped to 0..=1) of `values` with linear interpolation, as `numpy.quantile`
/// computes it.
///
/// NaN values do not count (`numpy.nanquantile`); NaN where no value is left.
pub fn quantile(values: &[f32], q: f64) -> f32 {
    let mut sorted: Vec<f32> = values.iter().copied().filter(|v| !v.is_nan()).collect();
    if sorted.is_empty() {
        return f32::NAN;
    }
    sorted.sort_by(f32::total_cmp);
    let last = sorted.len() - 1;
    let at = q.clamp(0.0, 1.0) * last as f64;
    let below = at.floor();
    let fraction = at - below;
    let (a, b) = (f64::from(sorted[below as usize]), f64::from(sorted[last.min(below as usize + 1)]));
    // Of equals or at a sample exactly, nothing is interpolated: an infinite neighbour would make it NaN.
    if fraction == 0.0 || a == b { a as f32 } else { (a + (b - a) * fraction) as f32 }
}

/// The patches that survive denoising: the `1 - tau` quantile of `scores`, and the ascending indices of the
/// scores that are not above it. A NaN score is dropped.
///
/// The comparison is made with the threshold as returned, rounded to `f32`, so a caller that repeats it gets
/// the same.
pub fn keep(scores: &[f32], tau: f64) -> (f32, Vec<u32>) {
    let threshold = quantile(scores, 1.0 - tau);
    let kept = scores.iter().enumerate().filter(|&(_, &score)| score <= threshold);
    (threshold, kept.map(|(index, _)| index as u32).collect())
}
