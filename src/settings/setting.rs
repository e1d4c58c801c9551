//! What a setting is called, what values it takes, and reading and writing it as a text.

use super::size::{LEAST, MOST};
use crate::{Error, Result};
use std::str::FromStr;

/// A setting of options `O`. [`SETTINGS`](super::SETTINGS) has all of a fit; programs build their arguments
/// and configuration from it.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct SettingOf<O> {
    /// Its name in model files, in TOML and as an argument, e.g. `lof-k`.
    pub name: &'static str,
    /// What its value is called in a usage text.
    pub value_name: &'static str,
    /// What it does, without its range; of a switch that is on by default, what turning it off does.
    pub help: &'static str,
    /// The values it takes.
    pub values: Values,
    pub(super) read: fn(&O) -> String,
    pub(super) write: fn(&mut O, &str) -> Result<()>,
}

/// The values that a setting takes.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Values {
    /// On or off.
    Switch,
    /// One of these names.
    OneOf(&'static [&'static str]),
    /// A share of something: over 0, or also 0, and below 1, or also 1.
    Share {
        /// Whether it may be 0.
        zero: bool,
        /// Whether it may be 1.
        one: bool,
    },
    /// A whole number.
    Whole {
        /// The least.
        from: u32,
        /// The most.
        to: u32,
        /// What it must be a multiple of.
        multiple_of: u32,
    },
    /// The share of something that is rare: 0.0001 to 0.5, or 0 where none is asked for.
    Rate,
    /// Any whole number of 64 bits.
    AnyWhole,
    /// Any finite number.
    Number,
    /// A [`Size`](super::Size).
    Size,
    /// A number of bytes.
    Bytes,
}

impl std::fmt::Display for Values {
    /// What follows "it must be".
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match *self {
            Self::Switch => f.write_str("true or false"),
            Self::OneOf([one]) => f.write_str(one),
            Self::OneOf([most @ .., last]) => write!(f, "{} or {last}", most.join(", ")),
            Self::OneOf([]) => Ok(()),
            Self::Share { zero, one } => {
                f.write_str(if zero { "at least 0" } else { "over 0" })?;
                f.write_str(if one { " and at most 1" } else { " and below 1" })
            }
            Self::Whole { from, to, multiple_of: 1 } => write!(f, "{from} to {to}"),
            Self::Whole { from, to, multiple_of } => {
                write!(f, "a multiple of {multiple_of} from {from} to {to}")
            }
            Self::Rate => f.write_str("0.0001 to 0.5, or 0 for none"),
            Self::AnyWhole => f.write_str("a whole number from 0 on"),
            Self::Number => f.write_str("a number"),
            Self::Size => {
                write!(f, "auto, a shorter side or WIDTHxHEIGHT, sides of {LEAST} to {MOST} pixels")
            }
            Self::Bytes => f.write_str("a number of bytes"),
        }
    }
}

impl Values {
    /// Whether a value, as [`SettingOf::get`] writes it, lies in the range. What its type alone ensures is
    /// not looked at.
    fn holds(&self, text: &str) -> bool {
        match *self {
            Self::Share { zero, one } => text.parse::<f64>().is_ok_and(|v| {
                (if zero { v >= 0.0 } else { v > 0.0 }) && (if one { v <= 1.0 } else { v < 1.0 })
            }),
            Self::Whole { from, to, multiple_of } => {
                text.parse::<u32>().is_ok_and(|v| (from..=to).contains(&v) && v.is_multiple_of(multiple_of))
            }
            Self::Rate => text.parse::<f64>().is_ok_and(|v| v == 0.0 || (0.0001..=0.5).contains(&v)),
            Self::Number => text.parse::<f64>().is_ok_and(f64::is_finite),
            Self::Switch | Self::OneOf(_) | Self::AnyWhole | Self::Bytes | Self::Size => true,
        }
    }
}

impl<O: Default> SettingOf<O> {
    /// Its value as a text that [`SettingOf::set`] reads.
    pub fn get(&self, options: &O) -> String {
        (self.read)(options)
    }

    /// The published value.
    pub fn default(&self) -> String {
        self.get(&O::default())
    }

    /// Sets it to what a text says. The range is looked at where options are used.
    ///
    /// # Errors
    /// [`Error::InvalidOption`], with name and range, where the text is no such value.
    pub fn set(&self, options: &mut O, text: &str) -> Result<()> {
        (self.write)(options, text).map_err(|_| self.out_of_range(text))
    }

    /// # Errors
    /// [`Error::InvalidOption`], with name and range, where the value is outside.
    pub(super) fn check(&self, options: &O) -> Result<()> {
        let text = self.get(options);
        if self.values.holds(&text) { Ok(()) } else { Err(self.out_of_range(&text)) }
    }

    fn out_of_range(&self, text: &str) -> Error {
        Error::InvalidOption(format!("{} is {text}, it must be {}", self.name, self.values))
    }
}

/// Reads a value of any type, for [`SettingOf::set`], which says what is wrong.
pub(super) fn read<T: FromStr>(text: &str) -> Result<T> {
    text.trim().parse().map_err(|_| Error::InvalidOption(text.to_owned()))
}

/// From a field each: the struct, [`Default`], a method of its name, and an entry of [`SETTINGS`].
macro_rules! settings {
    (
        $(#[$outer:meta])*
        struct $options:ident;
        $(
            $(#[$meta:meta])*
            $field:ident: $type:ty = $default:expr,
            $name:literal $value_name:literal in $values:expr,
            $help:expr;
        )*
    ) => {
        $(#[$outer])*
        pub struct $options {
            $($(#[$meta])* pub $field: $type,)*
        }

        impl Default for $options {
            fn default() -> Self {
                Self { $($field: $default,)* }
            }
        }

        /// One method a field: `options.crop(256)`.
        impl $options {$(
            #[doc = concat!("Sets [`", stringify!($field), "`](field@FitOptions::", stringify!($field), ").")]
            #[must_use]
            pub fn $field(self, $field: $type) -> Self {
                Self { $field, ..self }
            }
        )*}

        /// Every setting, in the order of the fields.
        pub const SETTINGS: &[Setting] = &[$(
            SettingOf {
                name: $name,
                value_name: $value_name,
                help: $help,
                values: $values,
                read: |options| options.$field.to_string(),
                write: |options, text| Ok(options.$field = setting::read(text)?),
            },
        )*];
    };
}
pub(super) use settings;
