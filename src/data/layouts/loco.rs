//! MVTec LOCO AD. A defect image has several masks, one a region, in a folder of its own:
//!
//! ```text
//! category/train/good/000.png
//! category/validation/good/000.png                          not used: there is nothing to validate here
//! category/test/{good,logical_anomalies,structural_anomalies}/000.png
//! category/ground_truth/logical_anomalies/000/000.png       its union counts: the mask is the folder
//! ```

use super::{Category, Layout, TestItem, category, fail, good, images, name_of, stem};
use crate::Result;
use std::path::Path;

const KINDS: [&str; 2] = ["logical_anomalies", "structural_anomalies"];

pub(super) fn fits(folder: &Path) -> bool {
    KINDS.iter().any(|kind| folder.join("test").join(kind).is_dir())
}

pub(super) fn open(folder: &Path) -> Result<Category> {
    let train = images(&folder.join("train").join("good"), Layout::Loco)?;
    let test = folder.join("test");
    let mut items: Vec<TestItem> = images(&test.join("good"), Layout::Loco)?.into_iter().map(good).collect();
    for kind in KINDS {
        for path in images(&test.join(kind), Layout::Loco)? {
            let masks = folder.join("ground_truth").join(kind).join(stem(&path));
            if !masks.is_dir() {
                return Err(fail(&masks, format!("{} has no folder of masks", path.display())));
            }
            items.push(TestItem { path, defect: Some(kind.to_owned()), mask: Some(masks) });
        }
    }
    category(name_of(folder), train, items, folder)
}
