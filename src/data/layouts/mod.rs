//! The directory layouts of the published data sets, recognised by what lies in the folder.
//!
//! | layout | recognised by | training images |
//! |---|---|---|
//! | VisA | `split_csv/1cls.csv` | what the list calls `train` |
//! | KolektorSDD | folders `kosNN/` with `PartN.jpg` | defect-free parts of odd folders |
//! | KolektorSDD2 | `train/NNN.png` beside `NNN_GT.png` | defect-free images of `train/` |
//! | magnetic tile | folders `MT_Free/Imgs/`, `MT_Blowhole/Imgs/`, ... | four of five images of `MT_Free` |
//! | BTAD | `NN/train/ok` | `train/ok` |
//! | MVTec LOCO | `test/logical_anomalies`, `test/structural_anomalies` | `train/good` |
//! | MVTec 3D-AD | `train/good/rgb` | `train/good/rgb` |
//! | MVTec AD, MPDD and all sets brought to that layout | `train/`, `test/good/` | `train/` |
//! | a plain folder | `good/` beside folders of defects | four of five images of `good/` |

mod btad;
mod category;
mod kolektor;
mod layout;
mod loco;
mod magnetic;
mod mvtec;
mod mvtec3d;
mod plain;
mod visa;

use super::decode::{DecodeOptions, IMAGE_EXTENSIONS, decode_file};
use super::left_out::LeftOut;
use super::list_files::list_images;
use super::test_set::{TestItem, TestSet};
use crate::{Error, Result};
pub use category::Category;
pub use layout::Layout;
use std::path::{Path, PathBuf};

/// How a folder is opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpenOptions {
    /// The layout; `None` recognises it by what is there.
    pub layout: Option<Layout>,
    /// Folders whose images are good, by name or by path below the root, where their names do not say so.
    pub take: Vec<String>,
    /// Fit on all images, whatever the folders' names are; masks never count.
    pub all: bool,
}

/// A data set in one of the known layouts.
///
/// ```
/// use softpatch::data::{Dataset, Layout};
/// # use softpatch::data::synth::{Material, SynthOptions, generate};
/// # let folder = tempfile::tempdir().unwrap();
/// # let options = SynthOptions {
/// #     materials: vec![Material::Metal],
/// #     train: 2,
/// #     test_good: 1,
/// #     test_per_defect: 1,
/// #     size: 64,
/// #     ..Default::default()
/// # };
/// # generate(folder.path(), &options, &|_, _| {})?;
/// # let root = folder.path();
///
/// let set = Dataset::open(root)?;
/// assert_eq!(set.layout, Layout::Mvtec);
/// for category in &set.categories {
///     let (train, test) = (category.train.len(), category.test.items.len());
///     println!("{}: {train} to fit on, {test} to test on", category.name);
/// }
/// # assert_eq!(set.categories[0].name, "metal");
/// # Ok::<(), softpatch::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dataset {
    /// The layout.
    pub layout: Layout,
    /// What it was told by.
    pub evidence: String,
    /// Its categories, sorted by name, at least one.
    pub categories: Vec<Category>,
    /// What the folder holds and no category uses.
    pub left_out: LeftOut,
}

impl Dataset {
    /// Recognises the layout of `root`, which holds either categories or is one itself, and lists its images.
    ///
    /// # Errors
    /// [`Error::Dataset`] where no layout fits, naming what was looked for, or where the recognised layout
    /// lacks a part, naming it; [`Error::Io`] where a folder or list cannot be read.
    pub fn open(root: impl AsRef<Path>) -> Result<Self> {
        Self::open_with(root, &OpenOptions::default())
    }

    /// [`open`](Self::open), as `options` say.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_with(root: impl AsRef<Path>, _options: &OpenOptions) -> Result<Self> {
        let root = root.as_ref();
        if !root.is_dir() {
            let reason =
                if root.exists() { "a folder is needed, this is a file" } else { "there is no such folder" };
            return Err(fail(root, reason));
        }
        let (layout, mut categories) = if visa::fits(root) {
            (Layout::Visa, visa::open(root)?)
        } else if kolektor::fits(root)? {
            (Layout::Kolektor, vec![kolektor::open(root)?])
        } else if kolektor::fits_second(root)? {
            (Layout::Kolektor2, vec![kolektor::open_second(root)?])
        } else if magnetic::fits(root) {
            (Layout::Magnetic, vec![magnetic::open(root)?])
        } else if root.join("train").is_dir() {
            let (layout, category) = one(root)?;
            (layout, vec![category])
        } else {
            many(root)?
        };
        categories.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Self { layout, evidence: String::new(), categories, left_out: LeftOut::default() })
    }

    /// The only category.
    ///
    /// # Errors
    /// [`Error::Dataset`] where there are several, naming one.
    pub(super) fn one(&self, root: &Path) -> Result<&Category> {
        match self.categories.as_slice() {
            [category] => Ok(category),
            _ => Err(fail(
                root,
                format!(
                    "this is a folder of categories; name one of them, for example {}",
                    self.categories[0].root.display()
                ),
            )),
        }
    }

    /// Keeps the categories of these names, in the set's order.
    ///
    /// # Errors
    /// [`Error::InvalidOption`] naming a category that is not there, and those that are.
    pub fn only(mut self, names: &[String]) -> Result<Self> {
        if let Some(name) = names.iter().find(|name| self.categories.iter().all(|c| &c.name != *name)) {
            let known: Vec<&str> = self.categories.iter().map(|c| c.name.as_str()).collect();
            return Err(Error::InvalidOption(format!(
                "there is no category {name}; there are {}",
                known.join(", ")
            )));
        }
        self.categories.retain(|c| names.contains(&c.name));
        Ok(self)
    }
}

/// A folder of categories, or a plain folder.
fn many(root: &Path) -> Result<(Layout, Vec<Category>)> {
    let folders: Vec<PathBuf> = subfolders(root)?.into_iter().filter(|f| f.join("train").is_dir()).collect();
    if folders.is_empty() {
        if plain::fits(root) {
            return Ok((Layout::Plain, vec![plain::open(root)?]));
        }
        return Err(fail(
            root,
            "this is no data set that is known here: looked for train/ (MVTec AD and alike) here and in the \
             folders below, split_csv/1cls.csv (VisA), kos01/ (KolektorSDD), MT_Free/ (magnetic tile), and \
             good/ \
             beside folders of defects (plain folder)",
        ));
    }
    let mut opened = Vec::with_capacity(folders.len());
    for folder in &folders {
        opened.push(one(folder)?);
    }
    Ok((opened[0].0, opened.into_iter().map(|(_, category)| category).collect()))
}

/// A folder that holds `train/`.
fn one(folder: &Path) -> Result<(Layout, Category)> {
    if btad::fits(folder) {
        Ok((Layout::Btad, btad::open(folder)?))
    } else if loco::fits(folder) {
        Ok((Layout::Loco, loco::open(folder)?))
    } else if mvtec3d::fits(folder) {
        Ok((Layout::Mvtec3d, mvtec3d::open(folder)?))
    } else {
        Ok((Layout::Mvtec, mvtec::open(folder)?))
    }
}

/// The last part of a path as a name.
fn name_of(path: &Path) -> String {
    let named = path.file_name().map(|n| n.to_string_lossy().into_owned());
    named
        .or_else(|| path.canonicalize().ok()?.file_name().map(|n| n.to_string_lossy().into_owned()))
        .unwrap_or_else(|| "set".to_owned())
}

fn fail(path: &Path, reason: impl Into<String>) -> Error {
    Error::Dataset { path: path.to_owned(), reason: reason.into() }
}

/// Images in `dir` and below it, at least one.
fn images(dir: &Path, layout: Layout) -> Result<Vec<PathBuf>> {
    if !dir.is_dir() {
        return Err(fail(dir, format!("the layout of {layout} has this folder, and it is not there")));
    }
    let images = list_images(dir)?.images;
    if images.is_empty() {
        return Err(fail(
            dir,
            format!("looked for images ({}), and there is none", IMAGE_EXTENSIONS.join(", ")),
        ));
    }
    Ok(images)
}

/// Folders in `dir`, sorted, those that begin with a dot left out.
fn subfolders(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut folders = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(|e| Error::io(dir, "listing", e))? {
        let entry = entry.map_err(|e| Error::io(dir, "listing", e))?;
        if !entry.file_name().as_encoded_bytes().starts_with(b".") && entry.path().is_dir() {
            folders.push(entry.path());
        }
    }
    folders.sort_unstable();
    Ok(folders)
}

/// `dir/<stem><suffix>.<any extension of an image>`.
fn beside(dir: &Path, stem: &str, suffix: &str) -> Option<PathBuf> {
    let lower = IMAGE_EXTENSIONS.iter().map(|e| (*e).to_owned());
    let upper = IMAGE_EXTENSIONS.iter().map(|e| e.to_uppercase());
    lower.chain(upper).map(|e| dir.join(format!("{stem}{suffix}.{e}"))).find(|p| p.is_file())
}

fn stem(path: &Path) -> String {
    path.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Whether a label image marks nothing.
fn is_blank(mask: &Path) -> Result<bool> {
    Ok(decode_file(mask, &DecodeOptions::default())?.pixels.iter().all(|&v| v == 0))
}

fn good(path: PathBuf) -> TestItem {
    TestItem { path, defect: None, mask: None }
}

/// A category, its lists sorted and checked for being there.
fn category(
    name: String,
    mut train: Vec<PathBuf>,
    mut items: Vec<TestItem>,
    root: &Path,
) -> Result<Category> {
    if train.is_empty() {
        return Err(fail(root, format!("{name}: there is no normal image to fit on")));
    }
    if items.is_empty() {
        return Err(fail(root, format!("{name}: there is no image to test on")));
    }
    train.sort_unstable();
    items.sort_by(|a, b| a.path.cmp(&b.path));
    let test = TestSet { items, ..TestSet::default() };
    Ok(Category { name, root: root.to_owned(), train, test, ..Category::default() })
}

/// Every fifth of the good images (the fifth, the tenth, ...) is for testing; with fewer than five, none.
fn hold_out(images: Vec<PathBuf>) -> (Vec<PathBuf>, Vec<TestItem>) {
    let (mut train, mut test) = (Vec::new(), Vec::new());
    for (i, path) in images.into_iter().enumerate() {
        if i % 5 == 4 { test.push(good(path)) } else { train.push(path) }
    }
    (train, test)
}
