//! How long the choice of the memory bank will take, said where that is long.

use std::time::{Duration, Instant};

/// What takes less is not worth a word.
const LONG: Duration = Duration::from_secs(60);
/// Time that a rate is measured over at least.
const MEASURED: Duration = Duration::from_secs(3);

/// Watches the first passes over the patches.
pub(super) struct Estimate {
    /// Time and picks after the first pass, which begins the choice and is none like the others.
    first: Option<(Instant, u32)>,
    said: bool,
}

impl Estimate {
    /// Nothing is known yet.
    pub fn new() -> Self {
        Self { first: None, said: false }
    }

    /// After a pass, with `picked` of `picks` rows chosen among `patches`: once a rate is known, what there is to
    /// say, if that takes long. The first passes are the slowest, since fewer distances can be left out.
    pub fn after(&mut self, now: Instant, [picked, picks]: [u32; 2], patches: usize) -> Option<String> {
        let &mut (began, before) = self.first.get_or_insert((now, picked));
        let passed = now - began;
        if self.said || passed < MEASURED || picked <= before {
            return None;
        }
        self.said = true;
        let left = passed.mul_f64(f64::from(picks - picked.min(picks)) / f64::from(picked - before));
        (left >= LONG).then(|| {
            let minutes = left.as_secs_f64() / 60.0;
            format!(
                "the choice of {picks} of {patches} patches for the memory bank takes up to {minutes:.0} minutes more; a \
                 smaller coreset ratio takes less"
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_takes_long_is_said_once() {
        let began = Instant::now();
        let at = |seconds: f64| began + Duration::from_secs_f64(seconds);
        let mut long = Estimate::new();
        assert_eq!(long.after(at(100.0), [100, 10_100], 5_000_000), None);
        assert_eq!(long.after(at(101.0), [200, 10_100], 5_000_000), None);
        let said = long.after(at(104.0), [500, 10_100], 5_000_000).unwrap();
        assert!(
            said.starts_with("the choice of 10100 of 5000000 patches") && said.contains("up to 2 minutes"),
            "{said}"
        );
        assert_eq!(long.after(at(110.0), [600, 10_100], 5_000_000), None);
        let mut short = Estimate::new();
        assert_eq!(short.after(at(0.0), [100, 2000], 1000), None);
        assert_eq!(short.after(at(5.0), [1000, 2000], 1000), None);
    }
}
