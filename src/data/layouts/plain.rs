//! A plain folder: `good/` (or `normal/`, `ok/`) beside one folder for each kind of defect, masks in
//! `ground_truth/<defect>/` or `masks/<defect>/` under the image's stem, with `_mask` or without. Every fifth
//! good image is for testing.

use super::{
    Category, Layout, TestItem, beside, category, fail, hold_out, images, name_of, stem, subfolders,
};
use crate::Result;
use crate::data::list_files::list_images;
use std::path::{Path, PathBuf};

const GOOD: [&str; 3] = ["good", "normal", "ok"];
const MASKS: [&str; 2] = ["ground_truth", "masks"];

fn good_folder(root: &Path) -> Option<PathBuf> {
    GOOD.iter().map(|name| root.join(name)).find(|f| f.is_dir())
}

pub(super) fn fits(root: &Path) -> bool {
    good_folder(root).is_some()
}

pub(super) fn open(root: &Path) -> Result<Category> {
    let Some(folder) = good_folder(root) else { return Err(fail(root, "there is no folder good/")) };
    let (train, mut items) = hold_out(images(&folder, Layout::Plain)?);
    for kind in subfolders(root)? {
        let name = name_of(&kind);
        if kind == folder || MASKS.contains(&name.as_str()) {
            continue;
        }
        for path in list_images(&kind)?.images {
            let mask = MASKS.iter().find_map(|masks| {
                let dir = root.join(masks).join(&name);
                ["_mask", ""].iter().find_map(|suffix| beside(&dir, &stem(&path), suffix))
            });
            items.push(TestItem { path, defect: Some(name.clone()), mask });
        }
    }
    if !items.iter().any(TestItem::is_defect) {
        return Err(fail(root, "there are good images, and no folder of defects beside them to test on"));
    }
    category(name_of(root), train, items, root)
}
