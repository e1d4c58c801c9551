//! The size of a model's frame, as a setting.

use crate::{Error, Result};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;

/// Least side of a frame in pixels.
pub(crate) const LEAST: u32 = 64;
/// Largest side of a frame in pixels.
pub(crate) const MOST: u32 = 4096;
/// Longer side by shorter side of a frame at most.
pub(crate) const ASPECT: u32 = 32;
/// Pixels that a frame has where nothing else is said: those of the published 256 x 256.
const AREA: f64 = 65_536.0;

/// How large the frame is that pictures are brought to whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Size {
    /// About as many pixels as 256 x 256, in the aspect of the training pictures.
    #[default]
    Auto,
    /// So many pixels on its shorter side, in the aspect of the training pictures.
    Shorter(u32),
    /// These sides.
    Exact {
        /// Columns.
        width: u32,
        /// Rows.
        height: u32,
    },
}

impl Size {
    /// Rows and columns of the frame for pictures whose width is `aspect` times their height: multiples of
    /// `stride`.
    ///
    /// # Errors
    /// [`Error::InvalidOption`] where a side is not 64 to 4096, or one is more than 32 times the other.
    pub(crate) fn frame(self, aspect: f64, stride: u32) -> Result<[u32; 2]> {
        let [width, height] = match self {
            Self::Auto => [(AREA * aspect).sqrt(), (AREA / aspect).sqrt()],
            Self::Shorter(side) => {
                let side = f64::from(side);
                if aspect >= 1.0 { [side * aspect, side] } else { [side, side / aspect] }
            }
            Self::Exact { width, height } => [width, height].map(f64::from),
        };
        let whole = |side: f64| ((side / f64::from(stride)).round().max(1.0) * f64::from(stride)) as u32;
        // A strip that is a little thinner than a frame can be is still a frame.
        let least = LEAST.next_multiple_of(stride);
        let [width, height] = [width, height].map(|side| match self {
            Self::Auto => whole(side).max(least),
            _ => whole(side),
        });
        let (short, long) = (width.min(height), width.max(height));
        if short < LEAST || long > MOST || long / short > ASPECT {
            return Err(Error::InvalidOption(format!(
                "the frame would be {width}x{height} pixels (pictures of {aspect:.3} : 1); its sides must be {LEAST} \
                 to {MOST}, and one at most {ASPECT} times the other: set size to WIDTHxHEIGHT, or cut the pictures"
            )));
        }
        Ok([height, width])
    }

    fn check(self) -> Option<Self> {
        let side = |v: u32| (LEAST..=MOST).contains(&v);
        let fits = match self {
            Self::Auto => true,
            Self::Shorter(v) => side(v),
            Self::Exact { width, height } => {
                side(width) && side(height) && width.max(height) / width.min(height) <= ASPECT
            }
        };
        fits.then_some(self)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Shorter(side) => write!(f, "{side}"),
            Self::Exact { width, height } => write!(f, "{width}x{height}"),
        }
    }
}

impl FromStr for Size {
    type Err = Error;

    /// # Errors
    /// [`Error::InvalidOption`] where it is neither `auto`, nor a side, nor `WIDTHxHEIGHT` within 64 to 4096.
    fn from_str(text: &str) -> Result<Self> {
        let number = |text: &str| text.parse::<u32>().ok();
        let size = match text.split_once(['x', 'X']) {
            _ if text == "auto" => Some(Self::Auto),
            None => number(text).map(Self::Shorter),
            Some((width, height)) => {
                number(width).zip(number(height)).map(|(width, height)| Self::Exact { width, height })
            }
        };
        size.and_then(Self::check).ok_or_else(|| {
            Error::InvalidOption(format!(
                "`{text}` is no size: auto, the shorter side or WIDTHxHEIGHT in pixels, {LEAST} to {MOST}, one side at \
                 most {ASPECT} times the other"
            ))
        })
    }
}

impl Serialize for Size {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        match self {
            // A number in TOML and JSON, too.
            Self::Shorter(side) => serializer.serialize_u32(*side),
            _ => serializer.serialize_str(&self.to_string()),
        }
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Number(u32),
            Text(String),
        }
        let text = match Written::deserialize(deserializer)? {
            Written::Number(side) => side.to_string(),
            Written::Text(text) => text,
        };
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_they_are_written() {
        for text in ["auto", "256", "640x480", "4096x128"] {
            let size: Size = text.parse().unwrap();
            assert_eq!(size.to_string(), text);
            let json = serde_json::to_string(&size).unwrap();
            assert_eq!(serde_json::from_str::<Size>(&json).unwrap(), size);
        }
        for text in ["", "big", "63", "4097", "64x", "x64", "64x4097", "64x2112", "-5", "1e3"] {
            assert!(text.parse::<Size>().is_err(), "{text}");
        }
    }

    #[test]
    fn frames_have_the_aspect_of_the_pictures() {
        let frame = |size: &str, aspect: f64| size.parse::<Size>().unwrap().frame(aspect, 16).unwrap();
        assert_eq!(frame("auto", 1.0), [256, 256]);
        // 256 x 635 pixels: 163 x 403 of the same area, in steps of 16.
        assert_eq!(frame("auto", 256.0 / 635.0), [400, 160]);
        assert_eq!(frame("256", 256.0 / 635.0), [640, 256]);
        assert_eq!(frame("256", 2.0), [256, 512]);
        assert_eq!(frame("640x100", 1.0), [96, 640]);
        assert_eq!(frame("auto", 20.0), [64, 1152]);
        for (size, aspect) in [(Size::Auto, 1000.0), (Size::Shorter(4000), 2.0), (Size::Shorter(64), 0.02)] {
            let error = size.frame(aspect, 16).unwrap_err().to_string();
            assert!(error.contains("set size to WIDTHxHEIGHT"), "{error}");
        }
    }
}
