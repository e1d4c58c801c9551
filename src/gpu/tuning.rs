//! Tile sizes that differ from adapter to adapter.

use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// Sizes and thresholds by which kernel variants are chosen. `softpatch tune` measures them; the defaults suit most
/// adapters. They change speed and the last bits of results, nothing else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct Tuning {
    /// Matrix products of the `tiled` family: tiles of 128 x 128 outputs are used from so many workgroups on, 64 x 64 below.
    pub big_from: u32,
    /// The same with cooperative matrices.
    pub coop_big_from: u32,
    /// Matrix products of the `direct` family: rows that a lane owns, 1 to 16.
    pub direct_rows: u32,
    /// Columns that a workgroup of that family owns, 8, 16, 24 or 32.
    pub direct_columns: u32,
    /// Outputs of a row that an invocation of the depthwise convolution owns, 1 to 16; 0: by the width.
    pub depthwise_run: u32,
}

impl Default for Tuning {
    fn default() -> Self {
        Self { big_from: 128, coop_big_from: 128, direct_rows: 4, direct_columns: 16, depthwise_run: 0 }
    }
}

impl Tuning {
    /// Checks every size against its range.
    ///
    /// # Errors
    /// [`Error::InvalidOption`] that names the size.
    pub fn validate(&self) -> Result<()> {
        let fail = |what: &str| Err(Error::InvalidOption(format!("tuning: {what}; make the table anew")));
        if !(1..=16).contains(&self.direct_rows) {
            return fail("direct-rows must be 1 to 16");
        }
        if !(8..=32).contains(&self.direct_columns) || !self.direct_columns.is_multiple_of(8) {
            return fail("direct-columns must be 8, 16, 24 or 32");
        }
        if self.depthwise_run > 16 {
            return fail("depthwise-run must be 0 to 16");
        }
        Ok(())
    }
}
