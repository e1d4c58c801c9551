//! Sizes that differ from adapter to adapter: what they are the steps say.

use crate::{Error, Result};
use std::collections::BTreeMap;

/// A size or threshold by which a step chooses among its kernels.
#[derive(Debug)]
pub struct Size {
    /// Its name in a tuning file.
    pub name: &'static str,
    /// Suits most adapters.
    pub default: u32,
    /// Smallest value.
    pub least: u32,
    /// Largest value.
    pub most: u32,
    /// What every value is a multiple of.
    pub multiple: u32,
}

impl Size {
    fn holds(&self, value: u32) -> bool {
        (self.least..=self.most).contains(&value) && value.is_multiple_of(self.multiple)
    }

    /// Its values in words.
    fn range(&self) -> String {
        if self.multiple == 1 {
            return format!("{} to {}", self.least, self.most);
        }
        let all: Vec<_> = (self.least..=self.most).step_by(self.multiple as usize).collect();
        let (last, others) = all.split_last().unwrap_or((&self.most, &[]));
        let others: Vec<_> = others.iter().map(u32::to_string).collect();
        format!("{} or {last}", others.join(", "))
    }
}

/// Values of sizes, the default for whatever is not set. `softpatch tune` measures them. They change speed
/// and the last bits of results, nothing else.
#[derive(Clone, Default)]
pub struct Tuning(BTreeMap<&'static str, (&'static Size, u32)>);

impl Tuning {
    /// The same with another value.
    #[must_use]
    pub fn with(&self, size: &'static Size, value: u32) -> Self {
        let mut values = self.0.clone();
        // One way to say it: sizes that have their default are not listed.
        match value == size.default {
            true => values.remove(size.name),
            false => values.insert(size.name, (size, value)),
        };
        Self(values)
    }

    /// The value of `size`.
    pub fn get(&self, size: &Size) -> u32 {
        self.0.get(size.name).map_or(size.default, |(_, value)| *value)
    }

    fn values(&self) -> impl Iterator<Item = (&'static str, u32)> {
        self.0.iter().map(|(name, (_, value))| (*name, *value))
    }

    /// Checks every size against its range.
    ///
    /// # Errors
    /// [`Error::InvalidOption`] that names the size.
    pub fn validate(&self) -> Result<()> {
        match self.0.values().find(|(size, value)| !size.holds(*value)) {
            None => Ok(()),
            Some((size, _)) => Err(Error::InvalidOption(format!(
                "tuning: {} must be {}; make the table anew",
                size.name,
                size.range()
            ))),
        }
    }
}

impl PartialEq for Tuning {
    fn eq(&self, other: &Self) -> bool {
        self.values().eq(other.values())
    }
}

impl Eq for Tuning {}

impl std::fmt::Debug for Tuning {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_map().entries(self.values()).finish()
    }
}
