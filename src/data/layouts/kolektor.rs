//! KolektorSDD and KolektorSDD2.
//!
//! KolektorSDD has a folder for each of 50 items, `kosNN/PartM.jpg` with `PartM_label.bmp`; a label without a
//! mark means a defect-free part. Its published splits are folds for supervised training. Here, so that no
//! item is on both sides: fit on the defect-free parts of the odd items, test on those of the even items and
//! on every defect.
//!
//! KolektorSDD2 has `train/` and `test/` with `NNN.png` and `NNN_GT.png`. Fit on the defect-free images of
//! `train/`, test on all of `test/`; the defects of `train/` are left out.

use super::draft::{Draft, Item};
use super::layout::Layout;
use super::names::Split;
use super::tree::{Folder, Picture};
use crate::data::left_out::Reason;
use crate::data::mask_file::is_blank;
use crate::{Error, Result};
use rayon::prelude::*;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// Number of an item's folder.
fn item_number(name: &str) -> Option<u32> {
    name.to_ascii_lowercase().strip_prefix("kos")?.parse().ok()
}

pub(super) fn fits(top: &Folder<'_>) -> bool {
    top.folders().iter().any(|(name, _)| item_number(name).is_some())
}

/// An image with its label.
struct Labelled<'a> {
    picture: &'a Picture,
    label: &'a Picture,
    blank: bool,
}

/// The images of a folder with their labels, which lie beside them and end as `suffix` says.
fn labelled<'a>(folder: &Folder<'a>, suffix: &str, layout: Layout) -> Result<Vec<Labelled<'a>>> {
    let key = |p: &Picture| (p.folders.clone(), p.stem().to_lowercase());
    let by_stem: HashMap<_, &Picture> = folder.pictures.iter().map(|p| (key(p), *p)).collect();
    let pictures: Vec<&Picture> = (folder.pictures.iter().copied())
        .filter(|p| {
            let (folders, stem) = key(p);
            stem.strip_suffix(suffix).is_none_or(|stem| !by_stem.contains_key(&(folders, stem.to_owned())))
        })
        .collect();
    let of = |picture: &'a Picture| {
        let (folders, stem) = key(picture);
        let label = *by_stem.get(&(folders, format!("{stem}{suffix}"))).ok_or_else(|| Error::Dataset {
            path: picture.path().to_owned(),
            reason: format!(
                "the layout of {} has a label {}{suffix}.* beside it, and it is not there",
                layout.title(),
                picture.stem()
            ),
        })?;
        Ok(Labelled { picture, label, blank: is_blank(label.path())? })
    };
    pictures.into_par_iter().map(of).collect()
}

fn defect<'a>(of: &Labelled<'a>) -> Item<'a> {
    let mask: PathBuf = of.label.path().to_owned();
    Item { picture: of.picture, defect: Some("defect".to_owned()), mask: Some(mask) }
}

pub(super) fn open<'a>(top: &Folder<'a>) -> Result<Draft<'a>> {
    let mut draft = Draft::new("kolektor".to_owned(), &top.path);
    for (name, folder) in top.folders() {
        let Some(number) = item_number(&name) else { continue };
        for part in labelled(&folder, "_label", Layout::Kolektor)? {
            draft.masks.push(part.label);
            match (part.blank, number % 2) {
                (false, _) => draft.items.push(defect(&part)),
                (true, 1) => draft.train.push(part.picture),
                (true, _) => draft.good([part.picture]),
            }
        }
    }
    draft.notes.push("the defect-free parts of the odd items are fitted on, the rest is tested".to_owned());
    Ok(draft)
}

/// Whether images in `train/` itself have labels `_GT` beside them.
pub(super) fn fits_second(top: &Folder<'_>) -> bool {
    top.split(Split::Train).iter().any(|train| {
        let loose = train.loose();
        let stems: Vec<String> = loose.iter().map(|p| p.stem().to_lowercase()).collect();
        let known: std::collections::HashSet<&str> = stems.iter().map(String::as_str).collect();
        stems.iter().any(|stem| stem.strip_suffix("_gt").is_some_and(|of| known.contains(of)))
    })
}

pub(super) fn open_second<'a>(top: &Folder<'a>) -> Result<Draft<'a>> {
    let mut draft = Draft::new("kolektor2".to_owned(), &top.path);
    for part in parts(top, Split::Train)? {
        draft.masks.push(part.label);
        if part.blank {
            draft.train.push(part.picture);
        } else {
            draft.left.push((part.picture, Reason::TrainDefect));
        }
    }
    for part in parts(top, Split::Test)? {
        draft.masks.push(part.label);
        if part.blank { draft.good([part.picture]) } else { draft.items.push(defect(&part)) }
    }
    Ok(draft)
}

fn parts<'a>(top: &Folder<'a>, split: Split) -> Result<Vec<Labelled<'a>>> {
    let mut all = Vec::new();
    for folder in top.split(split) {
        all.extend(labelled(&folder, "_gt", Layout::Kolektor2)?);
    }
    Ok(all)
}

/// What `layout` needs and `root` lacks.
pub(super) fn missing(root: &Path, layout: Layout) -> Error {
    let looked_for = match layout {
        Layout::Kolektor => "folders kos01/, kos02/, ... with PartN.jpg and PartN_label.bmp",
        _ => "train/ with NNN.png and NNN_GT.png beside each other",
    };
    Error::Dataset {
        path: root.to_owned(),
        reason: format!("the layout of {} has {looked_for}, and there are none", layout.title()),
    }
}
