//! BeanTech AD: `NN/train/ok`, `NN/test/{ok,ko}`, `NN/ground_truth/ko` with masks of the image's stem, .bmp
//! or .png.

use super::{Category, Layout, TestItem, beside, category, good, images, name_of, stem};
use crate::Result;
use std::path::Path;

pub(super) fn fits(folder: &Path) -> bool {
    folder.join("train").join("ok").is_dir()
}

pub(super) fn open(folder: &Path) -> Result<Category> {
    let train = images(&folder.join("train").join("ok"), Layout::Btad)?;
    let test = folder.join("test");
    let mut items: Vec<TestItem> = images(&test.join("ok"), Layout::Btad)?.into_iter().map(good).collect();
    let masks = folder.join("ground_truth").join("ko");
    for path in images(&test.join("ko"), Layout::Btad)? {
        let mask = beside(&masks, &stem(&path), "");
        items.push(TestItem { path, defect: Some("ko".to_owned()), mask });
    }
    category(name_of(folder), train, items, folder)
}
