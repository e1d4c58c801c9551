//! The images below a root, by folder.

use super::names::{Split, is_mask_folder, is_surely_mask_folder, split_of};
use crate::data::left_out::LeftOut;
use crate::data::list_files::{Found, Walked, walk};
use crate::{Error, Result};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// An image file and the folders that lead to it.
#[derive(Debug)]
pub(super) struct Picture {
    pub found: Found,
    /// Names of the folders from the root down to it.
    pub folders: Vec<String>,
}

impl Picture {
    pub fn path(&self) -> &Path {
        &self.found.path
    }

    /// File name without its extension.
    pub fn stem(&self) -> String {
        self.path().file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default()
    }

    /// File name.
    pub fn name(&self) -> String {
        self.path().file_name().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default()
    }
}

/// All image files below a root.
#[derive(Debug)]
pub(super) struct Tree {
    pub pictures: Vec<Picture>,
    pub left_out: LeftOut,
}

impl Tree {
    /// Walks the folders below `root`. A folder that several links lead to is entered once in each split, and
    /// as often as it is linked below folders of masks, since equal masks are often one file.
    pub fn read(root: &Path) -> Result<Self> {
        let Walked { files, left_out } = walk(root, &|below| {
            let folders = names(below);
            if folders.iter().any(|name| is_mask_folder(name)) {
                return None;
            }
            Some(match folders.iter().find_map(|name| split_of(name)) {
                None => 0,
                Some(Split::Train) => 1,
                Some(Split::Test) => 2,
                Some(Split::Validation) => 3,
            })
        })?;
        let picture = |found: Found| {
            let below = found.path.strip_prefix(root).unwrap_or(&found.path);
            Picture { folders: names(below.parent().unwrap_or(Path::new(""))), found }
        };
        let mut pictures: Vec<Picture> = files.into_iter().map(picture).collect();
        pictures.extend(masks_beside(root)?);
        Ok(Self { pictures, left_out })
    }

    /// The root as a folder.
    pub fn top<'a>(&'a self, root: &Path) -> Folder<'a> {
        Folder { path: root.to_owned(), depth: 0, pictures: self.pictures.iter().collect() }
    }
}

/// The masks of a test split that was opened itself: they lie beside it. They are taken as if they lay in it.
fn masks_beside(root: &Path) -> Result<Vec<Picture>> {
    let Ok(real) = root.canonicalize() else { return Ok(Vec::new()) };
    let is_test = real.file_name().is_some_and(|n| split_of(&n.to_string_lossy()) == Some(Split::Test));
    let Some(above) = root.parent().filter(|p| is_test && !p.as_os_str().is_empty()).or(real.parent()) else {
        return Ok(Vec::new());
    };
    let mut pictures = Vec::new();
    if !is_test {
        return Ok(pictures);
    }
    for entry in std::fs::read_dir(above).map_err(|e| Error::io(above, "listing", e))?.flatten() {
        if !is_surely_mask_folder(&entry.file_name().to_string_lossy()) || !entry.path().is_dir() {
            continue;
        }
        for found in walk(&entry.path(), &|_| None)?.files {
            let below = found.path.strip_prefix(above).unwrap_or(&found.path);
            pictures.push(Picture { folders: names(below.parent().unwrap_or(Path::new(""))), found });
        }
    }
    Ok(pictures)
}

/// The names of a path's parts.
fn names(path: &Path) -> Vec<String> {
    path.iter().map(|name| name.to_string_lossy().into_owned()).collect()
}

/// A folder with all images in it and below it.
#[derive(Clone, Debug)]
pub(super) struct Folder<'a> {
    pub path: PathBuf,
    /// Number of folders from the root down to it.
    pub depth: usize,
    pub pictures: Vec<&'a Picture>,
}

impl<'a> Folder<'a> {
    /// Its name, also where it was opened as `.`.
    pub fn name(&self) -> String {
        let named = |path: &Path| path.file_name().map(|n| n.to_string_lossy().into_owned());
        named(&self.path)
            .or_else(|| named(&self.path.canonicalize().ok()?))
            .unwrap_or_else(|| "set".to_owned())
    }

    /// Images in the folder itself.
    pub fn loose(&self) -> Vec<&'a Picture> {
        self.pictures.iter().copied().filter(|p| p.folders.len() == self.depth).collect()
    }

    /// Folders in it that hold images, in it or below, by name.
    pub fn folders(&self) -> Vec<(String, Folder<'a>)> {
        let mut folders: BTreeMap<&str, Folder<'a>> = BTreeMap::new();
        for picture in &self.pictures {
            let Some(name) = picture.folders.get(self.depth) else { continue };
            let path = || picture.path().ancestors().nth(picture.folders.len() - self.depth);
            let empty = || Folder {
                path: path().unwrap_or(&self.path).to_owned(),
                depth: self.depth + 1,
                pictures: Vec::new(),
            };
            folders.entry(name).or_insert_with(empty).pictures.push(picture);
        }
        folders.into_iter().map(|(name, folder)| (name.to_owned(), folder)).collect()
    }

    /// The names of the folders from this one down to an image.
    pub fn inside<'p>(&self, picture: &'p Picture) -> &'p [String] {
        picture.folders.get(self.depth..).unwrap_or_default()
    }

    /// The folders of a split.
    pub fn split(&self, split: Split) -> Vec<Folder<'a>> {
        let named = self.folders().into_iter().filter(|(name, _)| split_of(name) == Some(split));
        named.map(|(_, folder)| folder).collect()
    }

    /// Whether it holds a folder of a split.
    pub fn has_splits(&self) -> bool {
        self.folders().iter().any(|(name, _)| split_of(name).is_some())
    }

    /// The folders in it with the number of their images, for messages: `ok (16), ng (6)`.
    pub fn describe(&self) -> String {
        let mut parts: Vec<String> =
            self.folders().iter().map(|(name, f)| format!("{name}/ ({})", f.pictures.len())).collect();
        match self.loose().len() {
            0 => {}
            n if parts.is_empty() => parts.push(format!("{n} images")),
            n => parts.push(format!("{n} images beside them")),
        }
        // A message names what a reader can take in.
        let more = parts.len().saturating_sub(12);
        parts.truncate(12);
        if more > 0 {
            parts.push(format!("{more} more"));
        }
        parts.join(", ")
    }
}
