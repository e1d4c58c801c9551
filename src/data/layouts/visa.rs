//! VisA with the list of its one-class split, `split_csv/1cls.csv`: `object,split,label,image,mask`, paths
//! from the root.

use super::{Category, TestItem, category, fail, good};
use crate::Result;
use crate::data::list::{self, wrong_line};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const LIST: &str = "split_csv/1cls.csv";
const HEADER: [&str; 5] = ["object", "split", "label", "image", "mask"];

pub(super) fn fits(root: &Path) -> bool {
    root.join(LIST).is_file()
}

pub(super) fn open(root: &Path) -> Result<Vec<Category>> {
    let file = root.join(LIST);
    let mut sets: BTreeMap<String, (Vec<PathBuf>, Vec<TestItem>)> = BTreeMap::new();
    for (line, [object, split, label, image, mask]) in list::read(&file, HEADER)? {
        let wrong = |what: String| wrong_line(&file, line, what);
        let path = root.join(&image);
        if !path.is_file() {
            return Err(fail(
                &path,
                format!("line {line} of {} names this image, and it is not there", LIST),
            ));
        }
        let is_defect = match label.as_str() {
            "normal" => false,
            "anomaly" => true,
            other => {
                return Err(wrong(format!("the label is `{other}`, not normal or anomaly")));
            }
        };
        let (train, items) = sets.entry(object).or_default();
        match (split.as_str(), is_defect) {
            ("train", false) => train.push(path),
            ("test", false) => items.push(good(path)),
            ("test", true) => items.push(TestItem {
                path,
                defect: Some("anomaly".to_owned()),
                mask: (!mask.is_empty()).then(|| root.join(&mask)).filter(|m| m.is_file()),
            }),
            ("train", true) => {
                return Err(wrong("an anomaly in the training set of one class".to_owned()));
            }
            (other, _) => {
                return Err(wrong(format!("the split is `{other}`, not train or test")));
            }
        }
    }
    if sets.is_empty() {
        return Err(fail(&file, "the list names no image"));
    }
    sets.into_iter().map(|(name, (train, items))| category(name, train, items, root)).collect()
}
