//! A category while its images are being sorted.

use super::category::{Category, Problem};
use super::layout::OpenOptions;
use super::masks::Masks;
use super::names::{is_container, is_good};
use super::tree::{Folder, Picture};
use crate::data::left_out::{LeftOut, Reason};
use crate::data::list_files::once;
use crate::data::test_set::{TestItem, TestSet};
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// A category, with every image of its folder in one of the lists.
#[derive(Debug, Default)]
pub(super) struct Draft<'a> {
    pub name: String,
    pub root: PathBuf,
    pub train: Vec<&'a Picture>,
    pub items: Vec<Item<'a>>,
    /// Images of which nobody says whether they are good.
    pub undecided: Vec<&'a Picture>,
    /// Masks, used or not.
    pub masks: Vec<&'a Picture>,
    pub left: Vec<(&'a Picture, Reason)>,
    pub notes: Vec<String>,
    pub test_notes: Vec<String>,
    pub looked_for: Vec<String>,
    pub no_train: Option<Problem>,
    pub no_test: Option<Problem>,
}

/// A test image.
#[derive(Debug)]
pub(super) struct Item<'a> {
    pub picture: &'a Picture,
    pub defect: Option<String>,
    pub mask: Option<PathBuf>,
}

impl<'a> Draft<'a> {
    pub fn new(name: String, root: &Path) -> Self {
        Self { name, root: root.to_owned(), ..Self::default() }
    }

    pub fn good(&mut self, pictures: impl IntoIterator<Item = &'a Picture>) {
        let item = |picture| Item { picture, defect: None, mask: None };
        self.items.extend(pictures.into_iter().map(item));
    }

    /// Adds defects, each with the name of its kind, and looks for their masks.
    pub fn defects(&mut self, mut masks: Masks<'a>, defects: Vec<(&'a Picture, String)>) {
        masks.among(defects.iter().map(|(picture, _)| *picture));
        for (picture, kind) in defects {
            let mask = masks.find(picture);
            if mask.is_none() && self.looked_for.is_empty() {
                self.looked_for = masks.looked_for(picture);
            }
            self.items.push(Item { picture, defect: Some(kind), mask });
        }
        self.masks_of(&masks);
    }

    /// Notes all masks, so that none passes for an image or gets lost.
    pub fn masks_of(&mut self, masks: &Masks<'a>) {
        let lone = masks.lone();
        let is_lone: HashSet<&Path> = lone.iter().map(|mask| mask.path()).collect();
        self.masks.extend(masks.all().filter(|mask| !is_lone.contains(mask.path())));
        self.left.extend(lone.into_iter().map(|mask| (mask, Reason::LoneMask)));
    }

    /// Every fifth of the good images (the fifth, the tenth, ...) is for testing; with fewer than five, none.
    pub fn hold_out(&mut self, images: Vec<&'a Picture>) {
        let n = images.len();
        let (test, train): (Vec<_>, Vec<_>) = images.into_iter().enumerate().partition(|(i, _)| i % 5 == 4);
        if !test.is_empty() {
            self.notes
                .push(format!("{} of {n} good images, every fifth, are held out for testing", test.len()));
        }
        self.train.extend(train.into_iter().map(|(_, p)| p));
        self.good(test.into_iter().map(|(_, p)| p));
    }

    /// The category, sorted, each image once; what it uses goes into `used`, what not into `left_out`.
    pub fn finish(mut self, used: &mut HashSet<PathBuf>, left_out: &mut LeftOut) -> Category {
        self.train.sort_by(|a, b| a.path().cmp(b.path()));
        self.items.sort_by(|a, b| a.picture.path().cmp(b.picture.path()));
        let masks: HashSet<&Path> = self.items.iter().filter_map(|i| i.mask.as_deref()).collect();
        for mask in &self.masks {
            let is_used = mask.path().ancestors().take(2).any(|path| masks.contains(path));
            if !is_used && !used.contains(mask.path()) {
                left_out.add(mask.path(), Reason::Mask);
            }
        }
        self.left.iter().for_each(|(picture, reason)| left_out.add(picture.path(), *reason));
        let all = self.train.iter().chain(&self.undecided).chain(&self.masks);
        used.extend(all.map(|p| p.path().to_owned()));
        used.extend(self.left.iter().map(|(p, _)| p.path().to_owned()));
        used.extend(self.items.iter().map(|i| i.picture.path().to_owned()));

        let train = self.train.iter().map(|p| p.found.clone()).collect();
        let train = once(train, left_out).into_iter().map(|found| found.path).collect();
        let tested = self.items.iter().map(|i| i.picture.found.clone()).collect();
        let tested: HashSet<PathBuf> = once(tested, left_out).into_iter().map(|found| found.path).collect();
        let items = (self.items.into_iter())
            .filter(|i| tested.contains(i.picture.path()))
            .map(|i| TestItem { path: i.picture.path().to_owned(), defect: i.defect, mask: i.mask })
            .collect();
        let test =
            TestSet { items, notes: self.test_notes, looked_for: self.looked_for, ..TestSet::default() };
        let Self { name, root, notes, no_train, no_test, .. } = self;
        Category { name, root, train, test, notes, no_train, no_test }
    }
}

/// What an image shows after its folders' names: the first below `folder` that says something.
pub(super) fn kind_of<'p>(folder: &Folder<'_>, picture: &'p Picture) -> Option<&'p str> {
    folder.inside(picture).iter().find(|name| !is_container(name)).map(String::as_str)
}

/// Whether a kind is good by its name, or because the caller says so.
pub(super) fn counts_as_good(kind: &str, options: &OpenOptions) -> bool {
    is_good(kind) || options.take.iter().any(|take| same(last_part(take), kind))
}

/// Whether the caller named one of an image's folders, by name or by path: from the root down, or absolute.
pub(super) fn is_taken(picture: &Picture, root: &Path, options: &OpenOptions) -> bool {
    options.take.iter().any(|take| {
        let take = Path::new(take.trim_end_matches(['/', '\\']));
        let real = root.canonicalize().unwrap_or_else(|_| root.to_owned());
        let take = take.strip_prefix(root).or_else(|_| take.strip_prefix(real)).unwrap_or(take);
        let take: Vec<String> = (take.components())
            .filter(|c| !matches!(c, std::path::Component::CurDir))
            .map(|c| c.as_os_str().to_string_lossy().into_owned())
            .collect();
        let starts = picture.folders.len() >= take.len()
            && picture.folders.iter().zip(&take).all(|(have, want)| same(have, want));
        match take.as_slice() {
            [name] => picture.folders.iter().any(|have| same(have, name)),
            _ => starts,
        }
    })
}

/// The name of the folder that the caller takes.
pub(super) fn last_part(take: &str) -> &str {
    let take = take.trim_end_matches(['/', '\\']);
    take.rsplit(['/', '\\']).next().unwrap_or(take)
}

/// Names of folders, in any letter case.
fn same(a: &str, b: &str) -> bool {
    a.to_lowercase() == b.to_lowercase()
}
