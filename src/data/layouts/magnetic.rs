//! Magnetic tile defects as published (Huang et al. 2018): `MT_<kind>/Imgs/NAME.jpg` with the mask
//! `NAME.png`, and `MT_Free` without defects. There is no published one-class split; every fifth image of
//! `MT_Free` is for testing.

use super::draft::{Draft, Item};
use super::tree::{Folder, Picture};
use std::collections::HashMap;
use std::path::PathBuf;

/// The kind after `MT_`, in lower case.
fn kind(name: &str) -> Option<String> {
    name.to_lowercase().strip_prefix("mt_").map(str::to_owned)
}

pub(super) fn fits(top: &Folder<'_>) -> bool {
    top.folders().iter().any(|(name, _)| kind(name).as_deref() == Some("free"))
}

/// Images with their masks: `NAME.png` beside an image of another kind, or `NAME_mask.*`.
fn pictures<'a>(folder: &Folder<'a>, masks: &mut Vec<&'a Picture>) -> Vec<(&'a Picture, Option<PathBuf>)> {
    let is_png = |p: &Picture| p.path().extension().is_some_and(|e| e.eq_ignore_ascii_case("png"));
    let mut by_stem: HashMap<(&[String], String), &'a Picture> = HashMap::new();
    let (mut images, mut rest) = (Vec::new(), Vec::new());
    for &picture in &folder.pictures {
        let stem = picture.stem().to_lowercase();
        if is_png(picture) || stem.ends_with("_mask") {
            by_stem.insert((&picture.folders, stem), picture);
            rest.push(picture);
        } else {
            images.push(picture);
        }
    }
    masks.extend(rest);
    let mask = |p: &Picture| {
        let stem = p.stem().to_lowercase();
        let of = |stem: String| by_stem.get(&(p.folders.as_slice(), stem)).map(|m| m.path().to_owned());
        of(stem.clone()).or_else(|| of(format!("{stem}_mask")))
    };
    images.into_iter().map(|p| (p, mask(p))).collect()
}

pub(super) fn open<'a>(top: &Folder<'a>) -> Draft<'a> {
    let mut draft = Draft::new("magnetic_tile".to_owned(), &top.path);
    for (name, folder) in top.folders() {
        let Some(kind) = kind(&name) else { continue };
        let pictures = pictures(&folder, &mut draft.masks);
        if kind == "free" {
            draft.hold_out(pictures.into_iter().map(|(picture, _)| picture).collect());
            continue;
        }
        for (picture, mask) in pictures {
            if mask.is_none() && draft.looked_for.is_empty() {
                draft.looked_for = vec![format!("{0}.png and {0}_mask.* beside it", picture.stem())];
            }
            draft.items.push(Item { picture, defect: Some(kind.clone()), mask });
        }
    }
    draft
}
