//! A data set: its layout, its categories, and what it leaves out.

use super::category::Category;
use super::draft::{Draft, counts_as_good, is_taken, kind_of};
use super::layout::{Layout, OpenOptions};
use super::names::{Split, is_mask_folder, is_surely_mask_folder, split_of};
use super::tree::{Folder, Tree};
use super::{kolektor, magnetic, plain, splits, visa};
use crate::data::decode::IMAGE_EXTENSIONS;
use crate::data::left_out::{LeftOut, Reason};
use crate::data::list_files::{Listing, once};
use crate::{Error, Result};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};

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
///     let (train, test) = (category.require_train()?.len(), category.require_test()?.items.len());
///     println!("{}: {train} to fit on, {test} to test on", category.name);
/// }
/// # assert_eq!(set.categories[0].name, "metal");
/// # Ok::<(), softpatch::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dataset {
    /// The layout; of the first category, where they differ.
    pub layout: Layout,
    /// What it was told by.
    pub evidence: String,
    /// Its categories, sorted by name, at least one.
    pub categories: Vec<Category>,
    /// What the folder holds and no category uses.
    pub left_out: LeftOut,
    /// All its images, whatever their part in it is, and what is none: masks and the like. This is what to
    /// score where labels are of no account.
    pub all: Listing,
}

impl Dataset {
    /// Tells the layout of `root`, which holds either categories or is one itself, and sorts its images. Any
    /// folder with an image is a data set; what it lacks for fitting or for testing,
    /// [`Category::require_train`] and [`Category::require_test`] say.
    ///
    /// # Errors
    /// [`Error::Dataset`] where `root` is no folder, holds no image, or lacks a part of a published layout,
    /// naming it; [`Error::Image`] where a label that decides whether an image is good cannot be read;
    /// [`Error::Io`] where a folder or list cannot be read.
    pub fn open(root: impl AsRef<Path>) -> Result<Self> {
        Self::open_with(root, &OpenOptions::default())
    }

    /// [`open`](Self::open), as `options` say.
    ///
    /// # Errors
    /// As [`open`](Self::open); [`Error::Dataset`] where the folder has not the layout that `options` name,
    /// and
    /// [`Error::InvalidOption`] where a folder to take is not there.
    pub fn open_with(root: impl AsRef<Path>, options: &OpenOptions) -> Result<Self> {
        let root = root.as_ref();
        let mut tree = Tree::read(root)?;
        let mut left_out = std::mem::take(&mut tree.left_out);
        let top = tree.top(root);
        if top.pictures.is_empty() {
            return Err(no_images(root, &left_out));
        }
        check_taken(root, &tree, options)?;
        let (layout, evidence, drafts) = sort(root, &top, options)?;
        let all = every_image(root, &tree, &drafts, &left_out);
        let mut used = HashSet::new();
        let mut categories: Vec<Category> =
            drafts.into_iter().map(|draft| draft.finish(&mut used, &mut left_out)).collect();
        tell_apart(&mut categories, root);
        categories.sort_by(|a, b| a.name.cmp(&b.name));
        for picture in tree.pictures.iter().filter(|p| !used.contains(p.path())) {
            let is_mask = picture.folders.iter().any(|name| is_mask_folder(name));
            left_out.add(picture.path(), if is_mask { Reason::LoneMask } else { Reason::Outside });
        }
        // Masks beside a split that was opened itself are looked at, and are none of its files.
        left_out.paths.retain(|left| left.path.starts_with(root));
        left_out.paths.sort_unstable();
        Ok(Self { layout, evidence, categories, left_out, all })
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

    /// The only category.
    ///
    /// # Errors
    /// [`Error::Dataset`] where there are several, naming one.
    pub fn one(&self) -> Result<&Category> {
        match self.categories.as_slice() {
            [category] => Ok(category),
            several => {
                let first = several.first().map(|c| c.root.clone()).unwrap_or_default();
                Err(Error::Dataset {
                    path: first.parent().unwrap_or(Path::new("")).to_owned(),
                    reason: format!(
                        "this is a folder of categories; name one of its {}, for example {}",
                        several.len(),
                        first.display()
                    ),
                })
            }
        }
    }
}

/// Every picture that is no mask and of no other sensor, once.
fn every_image(root: &Path, tree: &Tree, drafts: &[Draft<'_>], left_out: &LeftOut) -> Listing {
    let mut left_out = left_out.clone();
    let mut apart: HashMap<&Path, Reason> = HashMap::new();
    for draft in drafts {
        apart.extend(draft.masks.iter().map(|p| (p.path(), Reason::Mask)));
        let other = |reason: &Reason| matches!(reason, Reason::Mask | Reason::LoneMask | Reason::OtherSensor);
        apart.extend(draft.left.iter().filter(|(_, r)| other(r)).map(|(p, r)| (p.path(), *r)));
    }
    let mut images = Vec::new();
    for picture in tree.pictures.iter().filter(|p| p.path().starts_with(root)) {
        let in_masks = picture.folders.iter().any(|name| is_mask_folder(name));
        match apart.get(picture.path()).copied().or(in_masks.then_some(Reason::Mask)) {
            Some(reason) => left_out.add(picture.path(), reason),
            None => images.push(picture.found.clone()),
        }
    }
    let images = once(images, &mut left_out).into_iter().map(|found| found.path).collect();
    left_out.paths.sort_unstable();
    Listing { images, left_out }
}

/// Layout, evidence, and categories.
type Sorted<'a> = (Layout, String, Vec<Draft<'a>>);

fn sort<'a>(root: &Path, top: &Folder<'a>, options: &OpenOptions) -> Result<Sorted<'a>> {
    if let Some(layout) = options.layout {
        return as_told(root, top, layout, options);
    }
    if let Some(drafts) = visa::open_list(root, top)? {
        return Ok((Layout::Visa, visa::LIST.to_owned(), drafts));
    }
    let objects = objects(top);
    if !objects.is_empty() {
        let drafts = objects.iter().map(visa::open_object).collect();
        return Ok((Layout::Visa, "Data/Images/ with Normal/ or Anomaly/".to_owned(), drafts));
    }
    if kolektor::fits(top) {
        return Ok((Layout::Kolektor, "folders kos01/, kos02/, ...".to_owned(), vec![kolektor::open(top)?]));
    }
    if kolektor::fits_second(top) {
        let evidence = "images beside labels _GT in train/".to_owned();
        return Ok((Layout::Kolektor2, evidence, vec![kolektor::open_second(top)?]));
    }
    if magnetic::fits(top) {
        return Ok((Layout::Magnetic, "MT_Free/".to_owned(), vec![magnetic::open(top)]));
    }
    let folders = with_splits(top);
    if !folders.is_empty() {
        return of_splits(root, &folders, None, options);
    }
    if plain::fits(top, options) {
        return Ok((Layout::Plain, good_folders(top, options), vec![plain::open(root, top, options)]));
    }
    let below = image_folders(top);
    let plain: Vec<&Folder<'a>> = below.iter().filter(|f| plain::fits(f, options)).collect();
    if let Some(first) = plain.first() {
        let drafts = plain.iter().map(|folder| plain::open(root, folder, options)).collect();
        return Ok((Layout::Plain, good_folders(first, options), drafts));
    }
    match below.as_slice() {
        // A folder around the set, as archives have it.
        [inner] if top.loose().is_empty() && holds_set(inner) => sort(root, inner, options),
        _ => Ok((
            Layout::Images,
            "no folder that tells labels".to_owned(),
            vec![plain::open_images(root, top, options)],
        )),
    }
}

/// Whether a folder, or one in it, has splits or the like.
fn holds_set(folder: &Folder<'_>) -> bool {
    !objects(folder).is_empty()
        || kolektor::fits(folder)
        || magnetic::fits(folder)
        || folder
            .folders()
            .iter()
            .any(|(_, inner)| plain::fits(inner, &OpenOptions::default()) || holds_set(inner))
}

/// The folders that the caller's layout has.
fn as_told<'a>(root: &Path, top: &Folder<'a>, layout: Layout, options: &OpenOptions) -> Result<Sorted<'a>> {
    let lacks = |looked_for: &str| Error::Dataset {
        path: root.to_owned(),
        reason: format!("the layout of {} has {looked_for}; found {}", layout.title(), top.describe()),
    };
    let drafts = match layout {
        Layout::Visa => match (visa::open_list(root, top)?, objects(top).as_slice()) {
            (Some(drafts), _) => drafts,
            (None, []) => return Err(lacks("split_csv/1cls.csv, or Data/Images/ with Normal/ and Anomaly/")),
            (None, objects) => objects.iter().map(visa::open_object).collect(),
        },
        Layout::Kolektor if !kolektor::fits(top) => return Err(kolektor::missing(root, layout)),
        Layout::Kolektor => vec![kolektor::open(top)?],
        Layout::Kolektor2 if !kolektor::fits_second(top) => return Err(kolektor::missing(root, layout)),
        Layout::Kolektor2 => vec![kolektor::open_second(top)?],
        Layout::Magnetic if !magnetic::fits(top) => return Err(lacks("folders MT_Free/, MT_Crack/, ...")),
        Layout::Magnetic => vec![magnetic::open(top)],
        Layout::Plain if !top.folders().iter().any(|(name, _)| counts_as_good(name, options)) => {
            return Err(lacks("good/ (ok/, normal/, ...) beside a folder for each kind of defect"));
        }
        Layout::Plain => vec![plain::open(root, top, options)],
        Layout::Images => vec![plain::open_images(root, top, options)],
        Layout::Mvtec | Layout::Loco | Layout::Mvtec3d | Layout::Btad => {
            let folders = with_splits(top);
            if folders.is_empty() {
                return Err(lacks("train/ and test/, here or in the folders below"));
            }
            return of_splits(root, &folders, Some(layout), options);
        }
    };
    Ok((layout, "as asked".to_owned(), drafts))
}

/// Categories with `train/` and `test/`.
fn of_splits<'a>(
    root: &Path,
    folders: &[Folder<'a>],
    told: Option<Layout>,
    options: &OpenOptions,
) -> Result<Sorted<'a>> {
    let mut first = None;
    let mut drafts = Vec::with_capacity(folders.len());
    for folder in folders {
        let (layout, evidence) = match told {
            Some(layout) => (layout, "as asked".to_owned()),
            None => splits::layout_of(folder),
        };
        drafts.push(splits::open(root, folder, layout, options)?);
        first.get_or_insert((layout, evidence));
    }
    let (layout, evidence) = first.unwrap_or((Layout::Mvtec, String::new()));
    Ok((layout, evidence, drafts))
}

/// The folder itself, or those in it, that hold folders of splits.
fn with_splits<'a>(top: &Folder<'a>) -> Vec<Folder<'a>> {
    if top.has_splits() {
        return vec![top.clone()];
    }
    let with = |folder: &Folder<'_>| {
        folder.folders().iter().any(|(name, _)| split_of(name).is_some_and(|s| s != Split::Validation))
    };
    let below = image_folders(top);
    if below.iter().any(with) {
        return below.into_iter().filter(with).collect();
    }
    // Folders around sets, as archives have them, and folders of several sets.
    below.iter().flat_map(with_training).collect()
}

/// The folders with training images, the folder itself among them.
fn with_training<'a>(folder: &Folder<'a>) -> Vec<Folder<'a>> {
    if !folder.split(Split::Train).is_empty() {
        return vec![folder.clone()];
    }
    image_folders(folder).iter().flat_map(with_training).collect()
}

/// The folders in `folder` that are not called after masks.
fn image_folders<'a>(folder: &Folder<'a>) -> Vec<Folder<'a>> {
    let folders = folder.folders().into_iter().filter(|(name, _)| !is_surely_mask_folder(name));
    folders.map(|(_, folder)| folder).collect()
}

/// Names categories of one name after the folders around them, too.
fn tell_apart(categories: &mut [Category], root: &Path) {
    let names: Vec<String> = categories.iter().map(|c| c.name.clone()).collect();
    for category in categories {
        if names.iter().filter(|name| **name == category.name).count() > 1 {
            let below = category.root.strip_prefix(root).unwrap_or(&category.root);
            category.name = below.iter().map(|n| n.to_string_lossy()).collect::<Vec<_>>().join("_");
        }
    }
}

/// The objects of VisA: the folder itself, or those in it.
fn objects<'a>(top: &Folder<'a>) -> Vec<Folder<'a>> {
    if visa::is_object(top) {
        return vec![top.clone()];
    }
    top.folders().into_iter().map(|(_, folder)| folder).filter(visa::is_object).collect()
}

fn good_folders(folder: &Folder<'_>, options: &OpenOptions) -> String {
    let kinds = folder.pictures.iter().filter_map(|p| kind_of(folder, p));
    let good: BTreeSet<&str> = kinds.filter(|kind| counts_as_good(kind, options)).collect();
    let good: Vec<String> = good.into_iter().map(|name| format!("{name}/")).collect();
    format!("{} beside other folders", good.join(", "))
}

/// That every folder to take is there.
fn check_taken(root: &Path, tree: &Tree, options: &OpenOptions) -> Result<()> {
    for take in &options.take {
        let one = OpenOptions { take: vec![take.clone()], ..OpenOptions::default() };
        if !tree.pictures.iter().any(|p| is_taken(p, root, &one)) {
            return Err(Error::InvalidOption(format!(
                "there is no folder {take} with images below {}; there are {}",
                root.display(),
                tree.top(root).describe()
            )));
        }
    }
    Ok(())
}

fn no_images(root: &Path, left_out: &LeftOut) -> Error {
    let found =
        if left_out.is_empty() { String::new() } else { format!("; found {left_out}").replace('\n', ", ") };
    let path: PathBuf = root.to_owned();
    let reason = format!("looked for images ({}), and there is none{found}", IMAGE_EXTENSIONS.join(", "));
    Error::Dataset { path, reason }
}
