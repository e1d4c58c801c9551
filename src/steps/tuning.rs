//! The sizes by which steps choose among their kernels, and how a tuning file holds them: numbers by name.

use crate::gpu::{Size, Tuning};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serializer};
use std::collections::BTreeMap;

/// Matrix products of the `tiled` family: tiles of 128 x 128 outputs are used from so many workgroups on, 64
/// x 64 below.
pub static BIG_FROM: Size = Size { name: "big-from", default: 128, least: 0, most: u32::MAX, multiple: 1 };
/// And tiles of 64 x 64 from so many workgroups on, 32 x 32 below.
pub static MIDDLE_FROM: Size = Size { name: "middle-from", ..BIG_FROM };
/// The same as [`BIG_FROM`] with cooperative matrices, of a half of these sides where they are 8 x 8.
pub static COOP_BIG_FROM: Size = Size { name: "coop-big-from", ..BIG_FROM };
/// The same as [`MIDDLE_FROM`] with cooperative matrices.
pub static COOP_MIDDLE_FROM: Size = Size { name: "coop-middle-from", ..BIG_FROM };
/// Matrix products of the `direct` family: rows that a lane owns.
pub static DIRECT_ROWS: Size = Size { name: "direct-rows", default: 4, least: 1, most: 16, multiple: 1 };
/// Columns that a workgroup of that family owns.
pub static DIRECT_COLUMNS: Size =
    Size { name: "direct-columns", default: 24, least: 8, most: 32, multiple: 8 };
/// Outputs of a row that an invocation of the depthwise convolution owns; 0: by the width.
pub static DEPTHWISE_RUN: Size = Size { name: "depthwise-run", default: 0, least: 0, most: 16, multiple: 1 };

/// All of them.
static ALL: [&Size; 7] = [
    &BIG_FROM,
    &MIDDLE_FROM,
    &COOP_BIG_FROM,
    &COOP_MIDDLE_FROM,
    &DIRECT_ROWS,
    &DIRECT_COLUMNS,
    &DEPTHWISE_RUN,
];

/// Every size with its value.
pub fn values(tuning: &Tuning) -> BTreeMap<&'static str, u32> {
    ALL.iter().map(|size| (size.name, tuning.get(size))).collect()
}

/// Writes every size: for `#[serde(with)]`.
///
/// # Errors
/// What the serializer says.
pub fn serialize<S: Serializer>(tuning: &Tuning, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(values(tuning))
}

/// Reads sizes; those that are missing have their defaults. Ranges are not checked.
///
/// # Errors
/// What the deserializer says, and for a name that is no size's.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Tuning, D::Error> {
    let mut tuning = Tuning::default();
    for (name, value) in BTreeMap::<String, u32>::deserialize(deserializer)? {
        let size = ALL.into_iter().find(|size| size.name == name).ok_or_else(|| {
            let names = ALL.map(|size| format!("`{}`", size.name)).join(", ");
            D::Error::custom(format!("unknown field `{name}`, expected one of {names}"))
        })?;
        tuning = tuning.with(size, value);
    }
    Ok(tuning)
}
