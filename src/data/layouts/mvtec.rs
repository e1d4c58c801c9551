//! MVTec AD and the many sets that share its layout: `train/good`, `test/good`, `test/<defect>`,
//! `ground_truth/<defect>`.

use super::{Category, Layout, TestItem, beside, category, images, name_of, stem};
use crate::Result;
use std::path::Path;

pub(super) fn open(folder: &Path) -> Result<Category> {
    let train = images(&folder.join("train"), Layout::Mvtec)?;
    let test = folder.join("test");
    let mut items = Vec::new();
    for path in images(&test, Layout::Mvtec)? {
        let inside = path.strip_prefix(&test).unwrap_or(&path).to_owned();
        let kind = inside.iter().next().map(|k| k.to_string_lossy().into_owned()).filter(|k| k != "good");
        let dir = folder.join("ground_truth").join(inside.parent().unwrap_or(Path::new("")));
        let mask =
            kind.as_ref().and_then(|_| ["_mask", ""].iter().find_map(|s| beside(&dir, &stem(&path), s)));
        items.push(TestItem { path, defect: kind, mask });
    }
    category(name_of(folder), train, items, folder)
}
