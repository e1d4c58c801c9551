//! What the true share of a population above one of its draws lies in.

/// Where a falling function is 0, in `[low, high]`.
fn falling_root([mut low, mut high]: [f64; 2], f: impl Fn(f64) -> f64) -> f64 {
    for _ in 0..100 {
        let middle = f64::midpoint(low, high);
        if f(middle) > 0.0 {
            low = middle;
        } else {
            high = middle;
        }
    }
    f64::midpoint(low, high)
}

/// Probability of fewer than `k` of `n` independent events of probability `p`.
fn fewer(k: usize, n: usize, p: f64) -> f64 {
    let (yes, no) = (p.ln(), (-p).ln_1p());
    let mut choose = 0.0;
    let mut sum = 0.0;
    for j in 0..k {
        if j > 0 {
            choose += ((n + 1 - j) as f64 / j as f64).ln();
        }
        sum += (choose + j as f64 * yes + (n - j) as f64 * no).exp();
    }
    sum.min(1.0)
}

/// What the share of a population above the `k`-th largest of `n` independent draws lies in, with probability
/// 0.95, both sides alike: that share has the Beta distribution of `k` and `n + 1 - k`. `k` is 1 to `n`.
pub(super) fn share_above(k: usize, n: usize) -> [f64; 2] {
    // The share is at most p where at least k of n uniform draws are.
    [0.975, 0.025].map(|q| falling_root([0.0, 1.0], |p| fewer(k, n, p) - q))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(found: f64, want: f64, relative: f64) {
        assert!((found / want - 1.0).abs() < relative, "{found} {want}");
    }

    /// Values of binomial sums in decimal numbers of 60 digits.
    #[test]
    fn values_are_those_of_exact_sums() {
        for (k, n, want) in [
            (1, 99, [0.000_255_702_736_665_961_5, 0.036_575_744_983_478_944]),
            (5, 99, [0.016_599_911_329_843_484, 0.100_227_906_568_749_36]),
            (30, 299, [0.068_724_315_599_374_09, 0.136_319_325_721_882_85]),
        ] {
            let found = share_above(k, n);
            close(found[0], want[0], 1e-9);
            close(found[1], want[1], 1e-9);
        }
        // The largest of n: 1 - q^(1/n).
        for n in [20, 500, 5000] {
            let [low, high] = share_above(1, n);
            close(low, 1.0 - 0.975_f64.powf(1.0 / n as f64), 1e-9);
            close(high, 1.0 - 0.025_f64.powf(1.0 / n as f64), 1e-9);
        }
    }

    /// What the interval promises: of draws whose distribution is known, it holds the true share in 95 of
    /// 100.
    #[test]
    fn the_interval_covers() {
        use rand::{Rng, SeedableRng};
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(7);
        let (n, k, runs) = (60, 3, 4000);
        let [low, high] = share_above(k, n);
        let mut held = 0;
        for _ in 0..runs {
            let mut draws: Vec<f64> = (0..n).map(|_| rng.random()).collect();
            draws.sort_by(f64::total_cmp);
            let share = 1.0 - draws[n - k];
            held += usize::from((low..=high).contains(&share));
        }
        let held = held as f64 / runs as f64;
        // Three deviations of the count.
        assert!((held - 0.95).abs() < 0.0104, "{held}");
    }
}
