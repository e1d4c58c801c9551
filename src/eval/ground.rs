//! The pixels in which maps and masks are compared.

use crate::steps::input::geometry::{Framing, Placement};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// The size in which the pixels of maps and masks are compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum MetricSize {
    /// That of each source image: all its pixels count, also those that the model does not look at.
    #[default]
    Source,
    /// That of the model's frame, and only what it shows, as published programs evaluate the middle square.
    Frame,
    /// All images whole in so many columns and rows.
    Sides {
        /// Columns.
        width: u32,
        /// Rows.
        height: u32,
    },
}

impl MetricSize {
    /// Rows and columns in which an image of `[width, height]` pixels is compared.
    pub fn of(self, [width, height]: [u32; 2], framing: Framing) -> [u32; 2] {
        match self {
            Self::Source => [height, width],
            Self::Frame => framing.frame,
            Self::Sides { width, height } => [height, width],
        }
    }
}

impl fmt::Display for MetricSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Source => f.write_str("source"),
            Self::Frame => f.write_str("frame"),
            Self::Sides { width, height } => write!(f, "{width}x{height}"),
        }
    }
}

impl From<MetricSize> for String {
    fn from(size: MetricSize) -> Self {
        size.to_string()
    }
}

impl TryFrom<String> for MetricSize {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl FromStr for MetricSize {
    type Err = Error;

    /// # Errors
    /// [`Error::InvalidOption`] where it is neither `source` nor `frame` nor one or two sides of 1 to 8192.
    fn from_str(text: &str) -> Result<Self> {
        let side = |text: &str| text.parse::<u32>().ok().filter(|side| (1..=8192).contains(side));
        let sides = match text.split_once(['x', 'X']) {
            None => side(text).map(|side| (side, side)),
            Some((width, height)) => side(width).zip(side(height)),
        };
        match (text, sides) {
            ("source", _) => Ok(Self::Source),
            ("frame", _) => Ok(Self::Frame),
            (_, Some((width, height))) => Ok(Self::Sides { width, height }),
            _ => Err(Error::InvalidOption(format!(
                "`{text}` is no size to compare pixels in: source, frame, a side or WIDTHxHEIGHT"
            ))),
        }
    }
}

/// How much of a defect lies in what a model looks at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Seen {
    /// All of it, or nobody knows where it is.
    #[default]
    Wholly,
    /// A part.
    Partly,
    /// Nothing: the model cannot find it.
    Not,
}

impl Seen {
    /// Of what `marked` `[height][width]` marks in a picture of this size that lies in a frame so.
    pub(super) fn of(marked: &[bool], [width, height]: [u32; 2], placement: &Placement) -> Self {
        let [columns, rows] = placement.covered([width, height]);
        let (mut inside, mut all) = (0_u64, 0_u64);
        for (y, row) in (0..).zip(marked.chunks_exact(width.max(1) as usize)) {
            all += row.iter().filter(|m| **m).count() as u64;
            if rows.contains(&y) {
                let part = &row[columns.start as usize..columns.end as usize];
                inside += part.iter().filter(|m| **m).count() as u64;
            }
        }
        match inside {
            n if n == all => Self::Wholly,
            0 => Self::Not,
            _ => Self::Partly,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_they_are_written() {
        for text in ["source", "frame", "640x480"] {
            assert_eq!(text.parse::<MetricSize>().unwrap().to_string(), text);
        }
        assert_eq!("256".parse::<MetricSize>().unwrap(), MetricSize::Sides { width: 256, height: 256 });
        for text in ["", "0", "8193", "3x", "whole"] {
            assert!(text.parse::<MetricSize>().is_err(), "{text}");
        }
    }

    #[test]
    fn defects_beside_the_frame_are_not_seen() {
        // The middle 4 x 4 of 8 x 8.
        let placement = Framing::middle(8, 4).place(8, 8).unwrap();
        let marks = |at: &[usize]| (0..64).map(|i| at.contains(&i)).collect::<Vec<bool>>();
        let seen = |at: &[usize]| Seen::of(&marks(at), [8, 8], &placement);
        assert_eq!(seen(&[18, 45]), Seen::Wholly);
        assert_eq!(seen(&[17, 18]), Seen::Partly);
        assert_eq!(seen(&[0, 17, 46, 58]), Seen::Not);
        assert_eq!(seen(&[]), Seen::Wholly);
    }
}
