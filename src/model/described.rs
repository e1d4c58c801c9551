//! A model as a document for programs.

use super::Model;
use crate::settings::SETTINGS;
use crate::{Error, Result};
use serde::Serialize;
use serde_json::json;
use std::collections::BTreeMap;

impl Model {
    /// How many rows of the memory bank each of `info.images` has.
    pub fn rows_of_images(&self) -> Vec<u32> {
        let mut rows = vec![0_u32; self.info.images.len()];
        self.bank.provenance.iter().for_each(|from| rows[from[0] as usize] += 1);
        rows
    }

    /// What `softpatch model MODEL info --json` prints: `info`, and beside it `settings` (texts by name),
    /// `rows_of_images`, `fingerprint`, `references` (or null) and `history`.
    ///
    /// # Errors
    /// [`Error::Internal`] where a value has no place in JSON, which none has.
    pub fn document(&self) -> Result<impl Serialize + use<>> {
        let settings: BTreeMap<&str, String> =
            SETTINGS.iter().map(|setting| (setting.name, setting.get(&self.info.options))).collect();
        let mut document =
            serde_json::to_value(&self.info).map_err(|e| Error::Internal(format!("a model as JSON: {e}")))?;
        document["settings"] = json!(settings);
        document["rows_of_images"] = json!(self.rows_of_images());
        document["fingerprint"] = json!(self.fingerprint());
        document["references"] = json!(self.references);
        document["history"] = json!(self.info.history);
        Ok(document)
    }
}
