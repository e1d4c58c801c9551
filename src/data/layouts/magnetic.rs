//! Magnetic tile defects as published (Huang et al. 2018): `MT_<kind>/Imgs/NAME.jpg` with the mask
//! `NAME.png`, and `MT_Free` without defects. There is no published one-class split; every fifth image of
//! `MT_Free` is for testing.

use super::{Category, Layout, TestItem, beside, category, hold_out, images, name_of, stem, subfolders};
use crate::Result;
use std::path::{Path, PathBuf};

pub(super) fn fits(root: &Path) -> bool {
    root.join("MT_Free").is_dir()
}

fn pictures(folder: &Path) -> Result<Vec<PathBuf>> {
    let is_jpeg = |p: &PathBuf| {
        p.extension().is_some_and(|e| e.eq_ignore_ascii_case("jpg") || e.eq_ignore_ascii_case("jpeg"))
    };
    Ok(images(folder, Layout::Magnetic)?.into_iter().filter(is_jpeg).collect())
}

pub(super) fn open(root: &Path) -> Result<Category> {
    let (train, mut items) = hold_out(pictures(&root.join("MT_Free"))?);
    for folder in subfolders(root)? {
        let name = name_of(&folder);
        let Some(kind) = name.strip_prefix("MT_").filter(|k| *k != "Free") else { continue };
        for path in pictures(&folder)? {
            let mask = path.parent().and_then(|dir| {
                let name = stem(&path);
                Some(dir.join(format!("{name}.png")))
                    .filter(|m| m.is_file())
                    .or_else(|| beside(dir, &name, "_mask"))
            });
            items.push(TestItem { path, defect: Some(kind.to_lowercase()), mask });
        }
    }
    category("magnetic_tile".to_owned(), train, items, root)
}
