//! Depth of samples: which value is black, which is white.

/// What becomes 0 and 255 of samples of more than 8 bit. Samples of 8 bit and less are not touched.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Levels {
    /// As the file's own tags say, else all values of its integers; floating point and integers of 32 bit,
    /// which have no usual range, are refused.
    #[default]
    Found,
    /// Integers have this many significant bits, the lower ones; a larger value is an error.
    Bits(u32),
    /// From `black` to `white`; what lies outside is cut.
    Range {
        /// Becomes 0.
        black: f64,
        /// Becomes 255.
        white: f64,
    },
}

/// The depth that cameras and files have, of those from 8 to 16, that holds `bits` bits.
pub(super) fn depth_of(bits: u32) -> Option<u32> {
    [8, 10, 12, 14, 16].into_iter().find(|&depth| depth >= bits)
}

/// Why levels do not fit, and what to do.
pub(super) type Misfit = (String, &'static str);

const NAME_RANGE: &str = "Say which value is black and which is white: --black and --white, or the settings black and \
     white (`DecodeOptions::levels`)";

/// Levels that fit samples of one sort.
pub(super) enum Scale {
    Bits(u32),
    Range { black: f64, white: f64 },
}

impl Levels {
    /// For integers of 9 to 16 bit of which the file's tags call `tagged` significant.
    pub(super) fn of_integers(self, tagged: Option<u32>) -> Result<Scale, Misfit> {
        match self {
            Self::Found => Ok(Scale::Bits(tagged.unwrap_or(16).clamp(1, 16))),
            Self::Bits(bits @ 1..=16) => Ok(Scale::Bits(bits)),
            Self::Bits(bits) => Err((format!("samples cannot have {bits} bits"), "Name 1 to 16 bits")),
            Self::Range { .. } => self.of_any(String::new()),
        }
    }

    /// For floating point, signed integers and integers of more than 16 bit.
    pub(super) fn of_any(self, what: String) -> Result<Scale, Misfit> {
        match self {
            Self::Range { black, white } if black < white => Ok(Scale::Range { black, white }),
            Self::Range { .. } => Err(("white must be above black".to_owned(), NAME_RANGE)),
            _ => Err((format!("{what} have no fixed range"), NAME_RANGE)),
        }
    }
}

impl Scale {
    /// The 8-bit value of `value`.
    pub(super) fn at(&self, value: impl Into<f64> + Copy) -> Result<u8, Misfit> {
        let value: f64 = value.into();
        match *self {
            Self::Bits(bits) => {
                let most = (1u32 << bits) - 1;
                let v = value as u32;
                if v > most {
                    return Err((
                        format!("a sample is {v}, and {bits} bits end at {most}"),
                        "Name more bits, as --bits 16 does for all values (setting bits), or the range by \
                         --black and --white",
                    ));
                }
                Ok(((v * 255 + most / 2) / most) as u8)
            }
            Self::Range { .. } if value.is_nan() => {
                Err(("a sample is no number (NaN)".to_owned(), "Write the picture without such samples"))
            }
            Self::Range { black, white } => {
                Ok(((value - black) / (white - black) * 255.0).clamp(0.0, 255.0).round() as u8)
            }
        }
    }
}
