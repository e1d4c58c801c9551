//! VisA with the list of its one-class split, `split_csv/1cls.csv`: `object,split,label,image,mask`, paths from the root.

use super::{Category, TestItem, category, fail, good};
use crate::data::split_csv::Records;
use crate::{Error, Result};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const LIST: &str = "split_csv/1cls.csv";
const HEADER: [&str; 5] = ["object", "split", "label", "image", "mask"];

pub(super) fn fits(root: &Path) -> bool {
    root.join(LIST).is_file()
}

pub(super) fn open(root: &Path) -> Result<Vec<Category>> {
    let file = root.join(LIST);
    let text = std::fs::read_to_string(&file).map_err(|e| Error::io(&file, "reading", e))?;
    let mut records = Records::new(&text);
    let expected = || fail(&file, format!("line 1: expected the columns {}", HEADER.join(",")));
    match records.next() {
        Some(Ok((_, fields))) if fields == HEADER => {}
        _ => return Err(expected()),
    }
    let mut sets: BTreeMap<String, (Vec<PathBuf>, Vec<TestItem>)> = BTreeMap::new();
    for record in records {
        let (line, fields) = record.map_err(|(line, what)| fail(&file, format!("line {line}: {what}")))?;
        let Ok([object, split, label, image, mask]) = <[String; 5]>::try_from(fields) else {
            return Err(fail(&file, format!("line {line}: expected the columns {}", HEADER.join(","))));
        };
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
                return Err(fail(
                    &file,
                    format!("line {line}: the label is `{other}`, not normal or anomaly"),
                ));
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
                return Err(fail(&file, format!("line {line}: an anomaly in the training set of one class")));
            }
            (other, _) => {
                return Err(fail(&file, format!("line {line}: the split is `{other}`, not train or test")));
            }
        }
    }
    if sets.is_empty() {
        return Err(fail(&file, "the list names no image"));
    }
    sets.into_iter().map(|(name, (train, items))| category(name, train, items, root)).collect()
}
