//! Which files are masks, and which mask is whose.
//!
//! A mask lies in a folder that is called after masks (`ground_truth`, `gt`, `masks`, `label`, ...) beside
//! the image or beside any folder above it, in folders named as the image's or flat, or it lies beside the
//! image itself with a suffix such as `_mask`. Letter case does not matter, nor does the kind of file. A
//! folder with the image's name stands for all masks in it, as MVTec LOCO has them.

use super::names::{is_container, is_mask_folder, is_surely_mask_folder, split_of};
use super::tree::{Folder, Picture};
use crate::data::decode::{DecodeOptions, IMAGE_EXTENSIONS, decode_samples};
use rayon::prelude::*;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};

/// What a mask's name adds before and behind that of its image, those of published sets first.
const ADDED: [(&str, &str); 16] = [
    ("", "_mask"),
    ("", ""),
    ("", "_gt"),
    ("", "_label"),
    ("", "_labels"),
    ("", "-mask"),
    ("", ".mask"),
    ("", "_masks"),
    ("", "-gt"),
    ("", "-label"),
    ("", "_ground_truth"),
    ("", "_groundtruth"),
    ("", "_seg"),
    ("mask_", ""),
    ("gt_", ""),
    ("label_", ""),
];

/// The masks of a category, by folder and name.
pub(super) struct Masks<'a> {
    /// Folder of the category; masks are looked for up to it.
    base: Folder<'a>,
    /// Files by folder (names from the category down, in lower case) and stem in lower case.
    files: HashMap<(Vec<String>, String), Vec<&'a Picture>>,
    /// Folders that hold masks, likewise, with their paths.
    folders: HashMap<Vec<String>, PathBuf>,
    /// Of each folder those in it that are called after masks.
    roots: HashMap<Vec<String>, BTreeSet<String>>,
    /// The images, which may have masks.
    images: Vec<&'a Picture>,
    /// How often a stem occurs among the images that masks are looked for; see [`Self::among`].
    stems: HashMap<String, usize>,
}

impl<'a> Masks<'a> {
    /// Tells images from masks in a category.
    pub fn split(base: &Folder<'a>) -> (Vec<&'a Picture>, Self) {
        let (mut images, mut masks) = (Vec::new(), Vec::new());
        let shared: HashSet<Vec<String>> = base.pictures.iter().map(|p| base.inside(p).to_vec()).collect();
        for &picture in &base.pictures {
            match mask_folder(base.inside(picture), &shared) {
                Some(_) => masks.push(picture),
                None => images.push(picture),
            }
        }
        let mut index = Self {
            base: base.clone(),
            files: HashMap::new(),
            folders: HashMap::new(),
            roots: HashMap::new(),
            images: Vec::new(),
            stems: HashMap::new(),
        };
        for mask in masks {
            let inside = base.inside(mask);
            if let Some(at) = mask_folder(inside, &shared) {
                index.roots.entry(lower(&inside[..at])).or_default().insert(inside[at].to_lowercase());
            }
            index.add(mask);
        }
        let beside = beside(base, &images);
        let (beside, images) = images.into_iter().partition(|p| beside.contains(p.path()));
        Vec::into_iter(beside).for_each(|mask| index.add(mask));
        index.images.clone_from(&images);
        (images, index)
    }

    /// Names all images that may have a mask: folders of masks that do not follow those of the images are
    /// looked into only for stems that occur once among them.
    pub fn among<'p>(&mut self, images: impl Iterator<Item = &'p Picture>) {
        images.for_each(|image| *self.stems.entry(image.stem().to_lowercase()).or_default() += 1);
    }

    fn add(&mut self, mask: &'a Picture) {
        let folder = lower(self.base.inside(mask));
        let same = self.files.entry((folder.clone(), mask.stem().to_lowercase())).or_default();
        same.push(mask);
        let rank = |p: &Picture| {
            let extension = p.path().extension().map(|e| e.to_string_lossy().to_lowercase());
            IMAGE_EXTENSIONS
                .iter()
                .position(|known| extension.as_deref() == Some(*known))
                .unwrap_or(usize::MAX)
        };
        same.sort_by_key(|p| rank(p));
        let path = mask.path().parent().unwrap_or(Path::new(""));
        self.folders.entry(folder).or_insert_with(|| path.to_owned());
    }

    /// All masks, whosesoever.
    pub fn all(&self) -> impl Iterator<Item = &'a Picture> {
        self.files.values().flatten().copied()
    }

    /// The masks of no image.
    pub fn lone(&self) -> Vec<&'a Picture> {
        let owned: HashSet<PathBuf> = self.images.iter().filter_map(|image| self.find(image)).collect();
        self.all().filter(|mask| !mask.path().ancestors().take(2).any(|path| owned.contains(path))).collect()
    }

    /// Whether some mask lies below `folder`.
    pub fn any_below(&self, folder: &Folder<'_>) -> bool {
        self.all().any(|mask| mask.path().starts_with(&folder.path))
    }

    /// The mask of an image, or the folder of its masks.
    pub fn find(&self, image: &Picture) -> Option<PathBuf> {
        let own = lower(self.base.inside(image));
        self.places(image).iter().find_map(|place| self.in_folder(place, image, *place == own))
    }

    /// Where [`find`](Self::find) looks for the mask of an image, for messages.
    pub fn looked_for(&self, image: &Picture) -> Vec<String> {
        let stem = image.stem();
        let names = self.base.pictures.iter().flat_map(|p| self.base.inside(p));
        let in_case: HashMap<String, &String> = names.map(|name| (name.to_lowercase(), name)).collect();
        let name = |folder: &[String]| {
            let names = folder.iter().map(|name| in_case.get(name).copied().unwrap_or(name));
            format!("{}{stem}_mask.*", names.map(|name| format!("{name}/")).collect::<String>())
        };
        let mut places: Vec<String> = self.places(image).iter().map(|place| name(place)).collect();
        if self.roots.is_empty() {
            places.push(format!("ground_truth/, gt/, masks/ or labels/ in {}", self.base.path.display()));
        }
        places.push(format!("each also as {stem}.*, {stem}_gt.*, {stem}_label.* and the like"));
        places
    }

    /// Folders that may hold an image's mask, from the nearest on.
    fn places(&self, image: &Picture) -> Vec<Vec<String>> {
        let inside = lower(self.base.inside(image));
        let unique = self.stems.get(&image.stem().to_lowercase()).is_none_or(|&n| n < 2);
        let mut places = vec![inside.clone()];
        let mut flat = Vec::new();
        for at in (0..=inside.len()).rev() {
            let (above, below) = inside.split_at(at);
            // Folders that say nothing of what is in them are mostly not repeated among the masks.
            let kinds: Vec<String> = below
                .iter()
                .filter(|name| !is_container(name) && split_of(name).is_none())
                .cloned()
                .collect();
            for root in self.roots.get(above).into_iter().flatten() {
                let place = |below: &[String]| [above, std::slice::from_ref(root), below].concat();
                places.extend([place(below), place(&kinds)]);
                if kinds.is_empty() {
                    continue;
                }
                flat.extend([place(&kinds[..1]), place(&below[..1]), place(&[])]);
            }
        }
        // Where folders of masks do not follow those of the images, a stem has to tell an image from all
        // others.
        if unique {
            places.extend(flat);
        }
        let mut seen = HashSet::new();
        places.retain(|place| seen.insert(place.clone()));
        places
    }

    fn in_folder(&self, folder: &[String], image: &Picture, beside: bool) -> Option<PathBuf> {
        // Some programs put the mask's extension behind the image's whole name.
        let (stem, name) = (image.stem(), image.name());
        for (before, behind) in ADDED {
            if beside && before.is_empty() && behind.is_empty() {
                continue;
            }
            for part in [&stem, &name] {
                let wanted = format!("{before}{part}{behind}");
                let Some(found) = self.files.get(&(folder.to_vec(), wanted.to_lowercase())) else { continue };
                let same_case = found.iter().find(|mask| mask.stem().starts_with(part.as_str()));
                return same_case.or(found.first()).map(|mask| mask.path().to_owned());
            }
        }
        let own = [folder, &[stem.to_lowercase()]].concat();
        self.folders.get(&own).cloned()
    }
}

/// Masks beside their images: files whose name is that of another image and a suffix for masks, and that look
/// like masks.
fn beside<'a>(base: &Folder<'_>, images: &[&'a Picture]) -> HashSet<&'a Path> {
    let names: HashSet<(&[String], String)> =
        images.iter().map(|p| (base.inside(p), p.stem().to_lowercase())).collect();
    let mut alike: HashMap<(&[String], usize), Vec<&'a Path>> = HashMap::new();
    for image in images {
        let stem = image.stem().to_lowercase();
        let added = ADDED.iter().position(|(before, behind)| {
            let whose = stem.strip_prefix(before).and_then(|rest| rest.strip_suffix(behind));
            whose
                .is_some_and(|whose| whose != stem && names.contains(&(base.inside(image), whose.to_owned())))
        });
        if let Some(added) = added {
            alike.entry((base.inside(image), added)).or_default().push(image.path());
        }
    }
    let mut found = HashSet::new();
    for paths in alike.into_values() {
        // Thousands of masks need not all be decoded to see that they are masks.
        let sample: Vec<&Path> = paths.iter().copied().step_by(paths.len().div_ceil(8)).collect();
        if sample.into_par_iter().all(may_be_mask) {
            found.extend(paths);
        } else {
            found.par_extend(paths.into_par_iter().filter(|path| may_be_mask(path)));
        }
    }
    found
}

/// The first of an image's folders that holds masks; `shared` are all folders with images.
fn mask_folder(inside: &[String], shared: &HashSet<Vec<String>>) -> Option<usize> {
    (0..inside.len()).find(|&at| {
        let name = &inside[at];
        if !is_mask_folder(name) {
            return false;
        }
        // In `test/`, a folder `label` or `mask` may be a kind of defect: masks follow the images' folders,
        // or lie below images that lie in `test/` itself.
        let in_split = at > 0 && split_of(&inside[at - 1]).is_some();
        let elsewhere = || {
            let (above, own) = (&inside[..at], &inside[..=at]);
            shared.iter().any(|other| other.starts_with(above) && !other.starts_with(own))
        };
        is_surely_mask_folder(name)
            || if !in_split {
                elsewhere()
            } else {
                let mirrored = [&inside[..at], &inside[at + 1..]].concat();
                shared.contains(&inside[..at]) || (inside.len() > at + 1 && shared.contains(&mirrored))
            }
    })
}

/// Whether a file beside an image can be its mask: few values hold most of its pixels. What cannot be decoded
/// is judged by its name.
fn may_be_mask(path: &Path) -> bool {
    let Ok(samples) = decode_samples(path, &DecodeOptions::default()) else { return true };
    let channels = samples.channels.max(1) as usize;
    let mut counts: HashMap<&[u16], usize> = HashMap::new();
    samples.values.chunks_exact(channels).for_each(|pixel| *counts.entry(pixel).or_default() += 1);
    let mut counts: Vec<usize> = counts.into_values().collect();
    counts.sort_unstable_by(|a, b| b.cmp(a));
    // A mask has its background and few classes; a JPEG of one blurs their borders. A photograph spreads.
    let most: usize = counts.iter().take(4).sum();
    2 * most >= samples.values.len() / channels
}

fn lower(names: &[String]) -> Vec<String> {
    names.iter().map(|name| name.to_lowercase()).collect()
}
