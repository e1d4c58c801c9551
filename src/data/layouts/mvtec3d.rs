//! MVTec 3D-AD, its colour images only:
//!
//! ```text
//! category/train/good/rgb/000.png           beside xyz/, which is not read
//! category/test/<defect>/rgb/000.png
//! category/test/<defect>/gt/000.png
//! ```

use super::{Category, Layout, TestItem, category, fail, good, images, name_of, stem, subfolders};
use crate::Result;
use std::path::Path;

pub(super) fn fits(folder: &Path) -> bool {
    folder.join("train").join("good").join("rgb").is_dir()
}

pub(super) fn open(folder: &Path) -> Result<Category> {
    let train = images(&folder.join("train").join("good").join("rgb"), Layout::Mvtec3d)?;
    let test = folder.join("test");
    if !test.is_dir() {
        return Err(fail(folder, "looked for test/<defect>/rgb/, and there is no test/"));
    }
    let mut items = Vec::new();
    for kind in subfolders(&test)? {
        let name = name_of(&kind);
        for path in images(&kind.join("rgb"), Layout::Mvtec3d)? {
            if name == "good" {
                items.push(good(path));
                continue;
            }
            let mask = super::beside(&kind.join("gt"), &stem(&path), "");
            items.push(TestItem { path, defect: Some(name.clone()), mask });
        }
    }
    category(name_of(folder), train, items, folder)
}
