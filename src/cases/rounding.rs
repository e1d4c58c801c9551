//! What rounding explains of a difference, from the formula and from what WGSL lets a device do.
//!
//! WGSL's section "Accuracy of Concrete Floating Point Expressions": additions, subtractions and
//! multiplications are correctly rounded, a fused multiply-add may be two roundings or one, a division is
//! within 2.5 units in the last place, a square root what 1 / inverseSqrt gives, and denormals may be flushed
//! to zero, operands and results alike. All bounds here count roundings of half a unit.

use super::Verdict;

/// Half roundings of a division: 2.5 units in the last place.
pub const DIVISION: usize = 5;
/// Half roundings of a square root: an inverse square root within 2 units, then a division.
pub const SQUARE_ROOT: usize = 4 + DIVISION;
/// How far a logarithm may be off: 2^-21 between 0.5 and 2, else 3 units in the last place.
pub fn logarithm(value: f64) -> f64 {
    2_f64.powi(-21).max(3.0 * f64::from(f32::EPSILON) * value.abs())
}

/// Half roundings of the exponential of `value`: 3 + 2 |value| units in the last place.
pub fn exponential(value: f64) -> usize {
    2 * (3.0 + 2.0 * value.abs()).ceil() as usize
}

/// What rounding to f16 takes off at most, relative: WGSL lets a conversion take either neighbour.
pub const F16: f64 = 1.0 / 1024.0;
/// Below it f16 values may be flushed to zero.
pub const F16_SMALLEST: f64 = 1.0 / 16_384.0;
/// Tensor cores may cut off where others round, and align before they add.
pub const COOP: f64 = 4.0;

/// Relative error of `n` chained roundings, `n u / (1 - n u)` (Higham, Accuracy and Stability of Numerical
/// Algorithms, section 3.1).
pub fn gamma(n: usize) -> f64 {
    let nu = n as f64 * f64::from(f32::EPSILON) / 2.0;
    nu / (1.0 - nu)
}

/// What storing `value` adds where it is stored as f16.
pub fn stored(value: f64, f16: bool) -> f64 {
    if f16 { value.abs() * F16 + F16_SMALLEST } else { f64::from(f32::MIN_POSITIVE) }
}

/// The worst of `(got, want, allowed)`, by the ratio of difference and what is allowed.
pub fn worst(values: impl IntoIterator<Item = (f32, f64, f64)>) -> Verdict {
    let mut worst = Verdict { error: 0.0, allowed: 0.0 };
    let mut ratio = -1.0;
    for (got, want, allowed) in values {
        let error = (f64::from(got) - want).abs();
        let here = match error {
            e if e.is_nan() => f64::INFINITY,
            e if e <= allowed => e / allowed.max(f64::MIN_POSITIVE),
            e => (e / allowed.max(f64::MIN_POSITIVE)).max(1.0 + f64::EPSILON),
        };
        // Of equals the one with the larger bound says more.
        if here > ratio || (here == ratio && allowed > worst.allowed) {
            ratio = here;
            worst = Verdict { error: if error.is_nan() { f64::INFINITY } else { error }, allowed };
        }
    }
    worst
}

/// The same for a list of answers of which all have the relative error `relative` and none other.
pub fn worst_relative(got: &[f32], want: &[f32], relative: f64) -> Verdict {
    if got.len() != want.len() {
        return Verdict { error: f64::INFINITY, allowed: 0.0 };
    }
    let smallest = f64::from(f32::MIN_POSITIVE);
    worst(got.iter().zip(want).map(|(g, w)| {
        let w = f64::from(*w);
        (*g, w, relative * w.abs() + smallest)
    }))
}

/// For answers that do not round: how many are wrong.
pub fn exact<T: PartialEq>(got: &[T], want: &[T]) -> Verdict {
    let wrong = got.iter().zip(want).filter(|(g, w)| g != w).count() + got.len().abs_diff(want.len());
    Verdict { error: wrong as f64, allowed: 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_is_found_and_a_nan_is_worse_than_all() {
        let verdict = worst([(1.0, 1.1, 1.0), (2.0, 2.2, 0.1), (3.0, 3.5, 1.0)]);
        assert!((verdict.error - 0.2).abs() < 1e-9 && verdict.allowed == 0.1);
        assert!(!verdict.passed());
        assert!(worst([(1.0, 1.0, 0.0), (2.0, 2.1, 0.2)]).passed());
        assert!(!worst([(f32::NAN, 1.0, 1.0), (9.0, 1.0, 1.0)]).passed());
        assert_eq!(worst([(f32::NAN, 1.0, 1.0), (9.0, 1.0, 1.0)]).error, f64::INFINITY);
        assert!(!worst([(1.0, 1.5, 0.0)]).passed());
        assert!(!worst_relative(&[1.0], &[1.0, 2.0], 1.0).passed());
        assert_eq!(exact(&[1, 2, 3], &[1, 3, 3, 4]).error, 2.0);
    }
}
