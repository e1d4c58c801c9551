//! KolektorSDD and KolektorSDD2.
//!
//! KolektorSDD has a folder for each of 50 items, `kosNN/PartM.jpg` with `PartM_label.bmp`; a label without a
//! mark means a defect-free part. Its published splits are folds for supervised training. Here, so that no
//! item is on both sides: fit on the defect-free parts of the odd items, test on those of the even items and
//! on every defect.
//!
//! KolektorSDD2 has `train/` and `test/` with `NNN.png` and `NNN_GT.png`. Fit on the defect-free images of
//! `train/`, test on all of `test/`; the defects of `train/` are left out.

use super::{
    Category, Layout, TestItem, beside, category, fail, good, images, is_blank, name_of, stem, subfolders,
};
use crate::Result;
use rayon::prelude::*;
use std::path::{Path, PathBuf};

/// Number of an item's folder.
fn item_number(folder: &Path) -> Option<u32> {
    name_of(folder).to_ascii_lowercase().strip_prefix("kos")?.parse().ok()
}

pub(super) fn fits(root: &Path) -> Result<bool> {
    Ok(subfolders(root)?.iter().any(|f| item_number(f).is_some()))
}

/// Images with their labels, and whether they are blank.
fn labelled(paths: Vec<PathBuf>, suffix: &str, layout: Layout) -> Result<Vec<(PathBuf, PathBuf, bool)>> {
    let pictures: Vec<PathBuf> = paths.into_iter().filter(|p| !stem(p).ends_with(suffix)).collect();
    pictures
        .into_par_iter()
        .map(|path| {
            let dir = path.parent().unwrap_or(Path::new("."));
            let label = beside(dir, &stem(&path), suffix).ok_or_else(|| {
                let wanted = format!("{}{suffix}", stem(&path));
                fail(
                    &path,
                    format!("the layout of {layout} has a label {wanted}.* beside it, and it is not there"),
                )
            })?;
            let blank = is_blank(&label)?;
            Ok((path, label, blank))
        })
        .collect()
}

pub(super) fn open(root: &Path) -> Result<Category> {
    let (mut train, mut items) = (Vec::new(), Vec::new());
    for folder in subfolders(root)? {
        let Some(number) = item_number(&folder) else { continue };
        for (path, label, blank) in labelled(images(&folder, Layout::Kolektor)?, "_label", Layout::Kolektor)?
        {
            if !blank {
                items.push(TestItem { path, defect: Some("defect".to_owned()), mask: Some(label) });
            } else if number % 2 == 1 {
                train.push(path);
            } else {
                items.push(good(path));
            }
        }
    }
    category("kolektor".to_owned(), train, items, root)
}

pub(super) fn fits_second(root: &Path) -> Result<bool> {
    let train = root.join("train");
    if !train.is_dir() {
        return Ok(false);
    }
    let listing = std::fs::read_dir(&train).map_err(|e| crate::Error::io(&train, "listing", e))?;
    Ok(listing.filter_map(|e| e.ok()).any(|e| stem(&e.path()).ends_with("_GT")))
}

pub(super) fn open_second(root: &Path) -> Result<Category> {
    let of = |name: &str| labelled(images(&root.join(name), Layout::Kolektor2)?, "_GT", Layout::Kolektor2);
    let train = of("train")?.into_iter().filter(|(_, _, blank)| *blank).map(|(path, _, _)| path).collect();
    let items = of("test")?
        .into_iter()
        .map(|(path, label, blank)| {
            if blank {
                good(path)
            } else {
                TestItem { path, defect: Some("defect".to_owned()), mask: Some(label) }
            }
        })
        .collect();
    category("kolektor2".to_owned(), train, items, root)
}
