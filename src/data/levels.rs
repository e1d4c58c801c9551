//! Depth of samples: which value is black, which is white.

/// What becomes 0 and 255 of samples of more than 8 bit.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Levels {
    /// As the file's own tags say, else all values of its integers; floating point and integers of 32 bit, which
    /// have no usual range, are refused.
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
