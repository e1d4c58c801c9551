//! Edits of a model without a new fit: what was done, and how it is taken back.

use super::Model;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::time::{SystemTime, UNIX_EPOCH};

/// What an edit did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EditKind {
    /// Took the rows of a training image out of the bank.
    RemoveImage,
    /// Took patches of a false alarm in as normal.
    Allow,
    /// Took out the rows that excused a defect.
    Deny,
    /// Set the thresholds by good pictures; the bank stayed.
    Calibrate,
}

impl std::fmt::Display for EditKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::RemoveImage => "remove-image",
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::Calibrate => "calibrate",
        })
    }
}

/// One edit of a model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Edit {
    /// What was done.
    pub what: EditKind,
    /// Name of the image that it was done for; of an allowed one, its name among
    /// [`super::ModelInfo::images`]. Of a calibration, how many pictures it is from.
    pub image: String,
    /// When: seconds since 1970, UTC.
    pub seconds: u64,
    /// Rows that left the bank.
    pub removed: u32,
    /// Rows that came to it.
    pub added: u32,
    /// Version of the program that did it.
    pub made_by: String,
    /// [`Model::fingerprint`] after it.
    pub fingerprint: String,
}

/// This version, as model files name it.
pub(crate) const MADE_BY: &str = concat!("softpatch ", env!("CARGO_PKG_VERSION"));

impl Model {
    /// SHA-256 of what scores follow from: backbone, frame, rows and weights of the bank, and what is looked
    /// at. Models with the same fingerprint give an image the same patch scores; names, thresholds and
    /// history are no part of it.
    pub fn fingerprint(&self) -> String {
        let mut hash = Sha256::new();
        let mut part = |bytes: &[u8]| {
            hash.update((bytes.len() as u64).to_le_bytes());
            hash.update(bytes);
        };
        let info = &self.info;
        part(info.backbone.arch.as_bytes());
        info.backbone.layers.iter().for_each(|layer| part(layer.as_bytes()));
        part(info.backbone.weights_sha256.as_bytes());
        part(bytemuck::cast_slice(&[info.frame, info.grid]));
        part(bytemuck::cast_slice(&self.bank.rows));
        part(bytemuck::cast_slice(&self.bank.weights));
        if !self.bank.floors.is_empty() {
            part(bytemuck::cast_slice(&self.bank.floors));
        }
        if let Some(roi) = &self.roi {
            part(&roi.inside.iter().map(|inside| u8::from(*inside)).collect::<Vec<_>>());
        }
        format!("{:x}", hash.finalize())
    }

    /// Takes the rows that come from a training image out of the bank. The image is named as in
    /// [`ModelInfo::images`](super::ModelInfo::images), or by the end of its path where only one ends so.
    /// Thresholds stay.
    ///
    /// # Errors
    /// [`Error::InvalidOption`] where there is no such image or several, none of the rows is its, or all are.
    pub fn remove_image(&mut self, name: &str) -> Result<Edit> {
        let image = self.find_image(name)?;
        let rows = (0_u32..).zip(&self.bank.provenance).filter(|(_, from)| from[0] == image);
        let gone: Vec<u32> = rows.map(|(row, _)| row).collect();
        let name = self.info.images[image as usize].clone();
        if gone.is_empty() {
            return Err(Error::InvalidOption(format!(
                "none of the {} rows of the memory bank comes from {name}: there is nothing to remove",
                self.info.rows
            )));
        }
        self.take_rows(&gone, EditKind::RemoveImage, name)
    }

    /// Takes rows out of the bank as an edit.
    pub(crate) fn take_rows(&mut self, gone: &[u32], what: EditKind, image: String) -> Result<Edit> {
        if gone.len() >= self.bank.weights.len() {
            return Err(Error::InvalidOption(
                "all rows of the memory bank would go; a model needs some: fit anew instead".to_owned(),
            ));
        }
        let removed = self.bank.take(gone);
        let count = removed.len() as u32;
        self.removed.extend(removed);
        Ok(self.note(what, image, [count, 0]))
    }

    /// Adds patches of an image at places `[row, column]` of the grid to the bank as an edit.
    pub(crate) fn add_rows(&mut self, rows: &[f32], weight: f32, at: &[[u32; 2]], name: &str) -> Edit {
        let again = |n: usize| if n == 1 { name.to_owned() } else { format!("{name} (allowed {n})") };
        let image = (1..).map(again).find(|name| !self.info.images.contains(name)).unwrap_or_default();
        let number = self.info.images.len() as u32;
        self.info.images.push(image.clone());
        let provenance: Vec<[u32; 3]> = at.iter().map(|[y, x]| [number, *y, *x]).collect();
        self.bank.append(rows, weight, &provenance);
        self.note(EditKind::Allow, image, [0, at.len() as u32])
    }

    pub(super) fn note(&mut self, what: EditKind, image: String, [removed, added]: [u32; 2]) -> Edit {
        self.info.rows = self.bank.weights.len() as u32;
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |t| t.as_secs());
        let (made_by, fingerprint) = (MADE_BY.to_owned(), self.fingerprint());
        let edit = Edit { what, image, seconds, removed, added, made_by, fingerprint };
        self.info.history.push(edit.clone());
        edit
    }

    /// Takes the last edit back: the model is as it was before, in every bit, and the edit is forgotten.
    /// `None` where there is none. References that were kept after that edit are dropped, as they are of the
    /// edited bank.
    ///
    /// # Errors
    /// [`Error::Model`] where the file's record of the edit does not fit its bank; the model is as it was.
    pub fn undo(&mut self) -> Result<Option<Edit>> {
        let Some(edit) = self.info.history.last().cloned() else { return Ok(None) };
        let mut before = self.clone();
        before.info.history.pop();
        let damaged = || Error::Model {
            path: "<memory>".into(),
            reason: format!("the record of the last edit, {} {}, is damaged", edit.what, edit.image),
        };
        if edit.added > 0 {
            before.bank.pop(edit.added as usize).ok_or_else(damaged)?;
        }
        if edit.what == EditKind::Allow {
            let name = before.info.images.pop();
            name.filter(|name| *name == edit.image).ok_or_else(damaged)?;
        }
        if edit.what == EditKind::Calibrate {
            let replaced = before.info.replaced.pop().ok_or_else(damaged)?;
            before.put_back(replaced);
        }
        let removed = before.removed.split_off(edit.removed as usize).ok_or_else(damaged)?;
        before.bank.put_back(&removed).ok_or_else(damaged)?;
        before.info.rows = before.bank.weights.len() as u32;
        let edits = before.info.history.len();
        before.references = before.references.filter(|kept| kept.edits as usize <= edits);
        if !before.fits_together() {
            return Err(damaged());
        }
        *self = before;
        Ok(Some(edit))
    }

    /// The model before all but its first `edits` edits.
    pub(crate) fn without_edits(&self, edits: u32) -> Result<Self> {
        let mut model = self.clone();
        while model.info.history.len() > edits as usize {
            model.undo()?;
        }
        Ok(model)
    }

    /// Number of the image of this name, or of the only one whose path ends with it.
    fn find_image(&self, name: &str) -> Result<u32> {
        let images = &self.info.images;
        if let Some(at) = images.iter().position(|image| image == name) {
            return Ok(at as u32);
        }
        let tail = |image: &str| {
            let before = image.strip_suffix(name).filter(|_| !name.is_empty());
            before.is_some_and(|before| before.ends_with(['/', '\\']))
        };
        let ends: Vec<usize> = (0..images.len()).filter(|&at| tail(&images[at])).collect();
        let list = |at: &[usize]| at.iter().map(|&at| images[at].as_str()).collect::<Vec<_>>().join(", ");
        match ends.as_slice() {
            [at] => Ok(*at as u32),
            [] => {
                let mut near: Vec<usize> = (0..images.len()).collect();
                near.sort_by_key(|&at| (apart(file_name(name), file_name(&images[at])), at));
                near.truncate(3);
                Err(Error::InvalidOption(format!(
                    "{name} is none of the model's {} images; the nearest names are {}",
                    images.len(),
                    list(&near)
                )))
            }
            several => Err(Error::InvalidOption(format!(
                "{} images end with {name}: {}{}; give more of the path",
                several.len(),
                list(&several[..several.len().min(3)]),
                if several.len() > 3 { ", ..." } else { "" }
            ))),
        }
    }
}

fn file_name(path: &str) -> &str {
    path.rsplit(['/', '\\']).next().unwrap_or(path)
}

/// Characters that differ between two names (Levenshtein).
fn apart(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut corner = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let other = (corner + usize::from(x != *y)).min(row[j] + 1).min(row[j + 1] + 1);
            corner = std::mem::replace(&mut row[j + 1], other);
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_differ_by_so_many_characters() {
        for (a, b, n) in [("", "", 0), ("003.png", "003.png", 0), ("003.png", "03.png", 1), ("ab", "ba", 2)] {
            assert_eq!((apart(a, b), apart(b, a)), (n, n), "{a} {b}");
        }
        assert_eq!(file_name("a/b\\c.png"), "c.png");
    }
}
