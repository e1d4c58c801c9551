//! How long the choice of the memory bank will take, said where that is long.

use crate::steps::coreset::CoresetShape;
use std::time::{Duration, Instant};

/// What takes less is not worth a word.
const LONG: Duration = Duration::from_secs(60);
/// Time that a rate is measured over at least.
const MEASURED: Duration = Duration::from_secs(3);

/// Picks of a pass over the patches, as multiples of the square root of its candidates: measured, 5 to 12 on
/// patches of parts and of textures, whether they are held or streamed (docs/measurements.md).
const PICKS_PER_ROOT: f64 = 6.0;

/// Watches the first passes over the patches.
pub(super) struct Estimate {
    shape: CoresetShape,
    /// Time and passes after the first, which begins the choice and is none like the others.
    first: Option<(Instant, u32)>,
    said: bool,
}

impl Estimate {
    /// Of a choice of this shape; nothing is known of its time yet.
    pub fn new(shape: CoresetShape) -> Self {
        Self { shape, first: None, said: false }
    }

    /// After `passes` passes: once the time of one is known, what there is to say, if the choice takes long.
    /// A pass costs about the same whenever it comes, but the first ones pick far fewer rows than later ones,
    /// so that rows are no measure.
    pub fn after(&mut self, now: Instant, passes: u32) -> Option<String> {
        let &mut (began, before) = self.first.get_or_insert((now, passes));
        let passed = now - began;
        if self.said || passed < MEASURED || passes <= before {
            return None;
        }
        self.said = true;
        let CoresetShape { kept, picks, batch, .. } = self.shape;
        let all = f64::from(picks) / (PICKS_PER_ROOT * f64::from(batch).sqrt());
        let left = passed.mul_f64((all - f64::from(passes)).max(0.0) / f64::from(passes - before));
        (left >= LONG).then(|| {
            let minutes = left.as_secs_f64() / 60.0;
            format!(
                "the choice of {picks} of {kept} patches for the memory bank takes about {minutes:.0} minutes more; a \
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
        // 100 passes of 600 picks, a second each.
        let shape = CoresetShape { kept: 5_000_000, dims: 128, picks: 60_000, batch: 10_000 };
        let mut long = Estimate::new(shape);
        assert_eq!(long.after(at(100.0), 1), None);
        assert_eq!(long.after(at(101.0), 2), None);
        let said = long.after(at(104.0), 5).unwrap();
        assert!(
            said.starts_with("the choice of 60000 of 5000000 patches")
                && said.contains("about 2 minutes more"),
            "{said}"
        );
        assert_eq!(long.after(at(110.0), 11), None);
        let mut short = Estimate::new(CoresetShape { picks: 6_000, ..shape });
        assert_eq!(short.after(at(0.0), 1), None);
        assert_eq!(short.after(at(5.0), 6), None);
    }
}
