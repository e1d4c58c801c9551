//! VisA. With the list of its one-class split, `split_csv/1cls.csv`: `object,split,label,image,mask`, paths
//! from the root; the folder of one object follows the list beside it, too. Without a list, the whole set or
//! one object, `candle/Data/Images/{Normal,Anomaly}` and `candle/Data/Masks/Anomaly`: every fifth normal
//! image is for testing.

use super::draft::{Draft, Item};
use super::masks::Masks;
use super::names::is_good;
use super::tree::{Folder, Picture};
use crate::data::left_out::Reason;
use crate::data::list::{self, wrong_line};
use crate::{Error, Result};
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

pub(super) const LIST: &str = "split_csv/1cls.csv";
const HEADER: [&str; 5] = ["object", "split", "label", "image", "mask"];

/// Whether a folder is one object: `Data/Images/Normal` or `Data/Images/Anomaly` lies in it.
pub(super) fn is_object(folder: &Folder<'_>) -> bool {
    folder.pictures.iter().any(|p| kind(folder, p).is_some())
}

/// Below which of the two folders of an object's images one lies.
fn kind<'p>(folder: &Folder<'_>, picture: &'p Picture) -> Option<&'p str> {
    match folder.inside(picture) {
        [data, images, kind, ..] => {
            let fits = data.eq_ignore_ascii_case("data")
                && images.eq_ignore_ascii_case("images")
                && ["normal", "anomaly"].iter().any(|name| kind.eq_ignore_ascii_case(name));
            fits.then_some(kind)
        }
        _ => None,
    }
}

pub(super) fn open_object<'a>(folder: &Folder<'a>) -> Draft<'a> {
    let mut draft = Draft::new(folder.name(), &folder.path);
    let (images, masks) = Masks::split(folder);
    let (mut good, mut defects) = (Vec::new(), Vec::new());
    for picture in images {
        match kind(folder, picture) {
            Some(name) if is_good(name) => good.push(picture),
            Some(_) => defects.push((picture, "anomaly".to_owned())),
            None => draft.left.push((picture, Reason::Outside)),
        }
    }
    draft.hold_out(good);
    draft.defects(masks, defects);
    draft
}

/// The objects of the list, where there is one: of all in the list, or of the one whose folder `root` is,
/// which lies beside the list then.
pub(super) fn open_list<'a>(root: &Path, top: &Folder<'a>) -> Result<Option<Vec<Draft<'a>>>> {
    let above = root.parent().filter(|above| root.file_name().is_some() && above.join(LIST).is_file());
    let (root, only) = match (root.join(LIST).is_file(), above) {
        (true, _) => (root, None),
        (false, Some(above)) => (above, Some(top.name())),
        _ => return Ok(None),
    };
    let file = root.join(LIST);
    let by_path: HashMap<&Path, &'a Picture> = top.pictures.iter().map(|p| (p.path(), *p)).collect();
    let mut sets: BTreeMap<String, Draft<'a>> = BTreeMap::new();
    for (line, [object, split, label, image, mask]) in list::read(&file, HEADER)? {
        if only.as_ref().is_some_and(|only| *only != object) {
            continue;
        }
        let wrong = |what: String| wrong_line(&file, line, what);
        let path = root.join(&image);
        let Some(&picture) = by_path.get(path.as_path()) else {
            let reason = format!("line {line} of {LIST} names this image, and it is not there");
            return Err(Error::Dataset { path, reason });
        };
        let is_defect = match label.as_str() {
            "normal" => false,
            "anomaly" => true,
            other => {
                return Err(wrong(format!("the label is `{other}`, not normal or anomaly")));
            }
        };
        let draft =
            sets.entry(object.clone()).or_insert_with(|| Draft::new(object.clone(), &root.join(&object)));
        match (split.as_str(), is_defect) {
            ("train", false) => draft.train.push(picture),
            ("test", false) => draft.good([picture]),
            ("test", true) => {
                let mask = listed_mask(root, &mask, &by_path, draft);
                draft.items.push(Item { picture, defect: Some("anomaly".to_owned()), mask });
            }
            ("train", true) => {
                return Err(wrong("an anomaly in the training set of one class".to_owned()));
            }
            (other, _) => {
                return Err(wrong(format!("the split is `{other}`, not train or test")));
            }
        }
    }
    if sets.is_empty() && only.is_some() {
        return Ok(None);
    }
    if sets.is_empty() {
        return Err(Error::Dataset { path: file, reason: "the list names no image".to_owned() });
    }
    Ok(Some(sets.into_values().collect()))
}

/// The mask that a line names, where it is there.
fn listed_mask<'a>(
    root: &Path,
    mask: &str,
    by_path: &HashMap<&Path, &'a Picture>,
    draft: &mut Draft<'a>,
) -> Option<PathBuf> {
    let path = root.join(mask);
    match by_path.get(path.as_path()) {
        Some(found) if !mask.is_empty() => {
            draft.masks.push(found);
            Some(path)
        }
        _ => {
            if draft.looked_for.is_empty() {
                draft.looked_for =
                    vec![if mask.is_empty() { format!("a mask in {LIST}") } else { mask.to_owned() }];
            }
            None
        }
    }
}
