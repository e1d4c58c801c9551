//! Where the thresholds of a model come from.

use serde::{Deserialize, Serialize};

/// Where the scores of good pictures come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Source {
    /// The training pictures, each against the bank without its own rows.
    Training,
    /// Pictures that somebody called good.
    Labelled,
}

/// How a threshold follows from the scores of good pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Rule {
    /// One of the scores.
    OrderStatistic,
    /// A value above all of them, by a tail of their logarithms: there are too few pictures to measure
    /// it.
    Extrapolated,
}

/// Where the thresholds of a model come from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// The wanted share of good pictures that are called anomalous.
    pub target_fpr: f64,
    /// Whose scores it is from.
    pub source: Source,
    /// How the threshold of image scores follows from them.
    pub rule: Rule,
    /// Good pictures.
    pub good: u32,
    /// Pictures whose scores were not taken for those of good ones.
    pub left_out: u32,
    /// What the true share lies in, with a confidence of 95 %, where the rule is [`Rule::OrderStatistic`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<[f64; 2]>,
}

impl Calibration {
    /// Good pictures that a rate can be measured with at least.
    pub fn needed(target_fpr: f64) -> u32 {
        // One of n + 1 equally likely places is above the largest.
        (1.0 / target_fpr - 1.0 - 1e-9).ceil().max(1.0) as u32
    }
}

/// Says where the threshold comes from, in a sentence.
impl std::fmt::Display for Calibration {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let whose = match self.source {
            Source::Training => "training pictures",
            Source::Labelled => "good pictures",
        };
        write!(f, "for false alarms of {} % from {} {whose}", percent(self.target_fpr), self.good)?;
        if self.left_out > 0 {
            write!(f, " ({} more score like defects and are left out)", self.left_out)?;
        }
        match (self.rule, self.interval) {
            (Rule::Extrapolated, _) => {
                write!(f, ", extrapolated: it takes {} to measure it", Self::needed(self.target_fpr))
            }
            (_, Some([low, high])) => {
                write!(f, ", true rate {} to {} % with 95 % confidence", percent(low), percent(high))
            }
            _ => Ok(()),
        }
    }
}

/// A share as a percentage of two digits.
fn percent(share: f64) -> String {
    let percent = 100.0 * share;
    let digits = if percent >= 9.95 { 0 } else { usize::from(percent < 0.95) + 1 };
    let text = format!("{percent:.digits$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_where_a_threshold_comes_from() {
        let measured = Calibration {
            target_fpr: 0.01,
            source: Source::Training,
            rule: Rule::OrderStatistic,
            good: 207,
            left_out: 2,
            interval: Some([0.0012, 0.0268]),
        };
        assert_eq!(
            measured.to_string(),
            "for false alarms of 1 % from 207 training pictures (2 more score like defects and are left out), true rate \
             0.12 to 2.7 % with 95 % confidence"
        );
        let guessed = Calibration {
            source: Source::Labelled,
            rule: Rule::Extrapolated,
            left_out: 0,
            interval: None,
            ..measured
        };
        assert_eq!(
            guessed.to_string(),
            "for false alarms of 1 % from 207 good pictures, extrapolated: it takes 99 to measure it"
        );
        let json = serde_json::to_string(&guessed).unwrap();
        assert!(json.contains(r#""source":"labelled","rule":"extrapolated""#), "{json}");
        assert_eq!(serde_json::from_str::<Calibration>(&json).unwrap(), guessed);
        assert_eq!([0.1, 0.05, 0.0001, 0.5, 0.123].map(percent), ["10", "5", "0.01", "50", "12"]);
    }
}
