//! Folder layouts: the one of MVTec AD, and a plain folder of images.
//!
//! ```text
//! category/
//!   train/good/000.png                         all images below train/ are used
//!   test/good/000.png                          without a defect
//!   test/scratch/000.png                       with the defect "scratch"
//!   ground_truth/scratch/000_mask.png          white where the defect is; 000.png is found, too
//! ```

use super::decode::{DecodeOptions, FileSource, IMAGE_EXTENSIONS, list_images};
use crate::{Error, Result};
use std::path::{Path, PathBuf};

/// The images to fit on.
///
/// ```
/// use softpatch::data::{DecodeOptions, ImageSource, TrainSet};
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
/// # let category = folder.path().join("metal");
///
/// // `category/train/good/000.png` and so on; a folder of images does, too.
/// let source = TrainSet::open(&category)?.source(DecodeOptions::default());
/// assert_eq!(source.len(), 2);
/// assert_eq!(source.load(0)?.width, 64);
/// # Ok::<(), softpatch::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrainSet {
    /// The images, sorted, at least one.
    pub paths: Vec<PathBuf>,
    /// The folder that they were found below: `dir/train` or `dir`.
    pub root: PathBuf,
}

impl TrainSet {
    /// Finds the images to fit on: all below `dir/train` where that exists, else all below `dir`.
    ///
    /// # Errors
    /// [`Error::Dataset`] where `dir` is missing or holds no image, and where it would be a mistake to take
    /// all its images: a category whose `train` is missing, or a folder of categories.
    pub fn open(dir: impl AsRef<Path>) -> Result<Self> {
        let dir = existing(dir.as_ref())?;
        let train = dir.join("train");
        let root = if train.is_dir() {
            train
        } else {
            for name in ["test", "ground_truth"] {
                if dir.join(name).is_dir() {
                    return Err(dataset(
                        dir,
                        format!(
                            "looked for the folder train/, and found only {name}/: fitting on all images \
                             would take test images. Name the folder of the training images"
                        ),
                    ));
                }
            }
            if let Some(category) = subfolders(dir)?.into_iter().find(|sub| sub.join("train").is_dir()) {
                return Err(dataset(
                    dir,
                    format!(
                        "this is a folder of categories; name one of them, for example {}",
                        category.display()
                    ),
                ));
            }
            dir.to_owned()
        };
        let paths = list_images(&root)?;
        if paths.is_empty() {
            return Err(no_images(&root));
        }
        Ok(Self { paths, root })
    }

    /// The images, decoded when asked for.
    pub fn source(&self, options: DecodeOptions) -> FileSource {
        FileSource::new(self.paths.clone(), options)
    }
}

/// A test image with what is known about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestItem {
    /// The image.
    pub path: PathBuf,
    /// The kind of defect, after the folder's name; `None` for `good`.
    pub defect: Option<String>,
    /// The ground-truth mask; `None` where the image is good or has no mask.
    pub mask: Option<PathBuf>,
}

impl TestItem {
    /// Whether the image shows a defect.
    pub fn is_defect(&self) -> bool {
        self.defect.is_some()
    }
}

/// Labelled test images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestSet {
    /// The images, sorted by path, at least one.
    pub items: Vec<TestItem>,
}

impl TestSet {
    /// Finds the images below `dir/test/good` and `dir/test/<defect>`, and their masks: the file
    /// `dir/ground_truth/<defect>/<stem>_mask.<ext>`, else `<stem>.<ext>`.
    ///
    /// A defect image without a mask is allowed (see [`TestSet::without_mask`]): it counts in the image
    /// figures and is left out of the pixel figures.
    ///
    /// # Errors
    /// [`Error::Dataset`] where `dir` or `dir/test` is missing, where there is no image, or where images lie
    /// in `dir/test` itself, since nothing says whether they are good.
    pub fn open(dir: impl AsRef<Path>) -> Result<Self> {
        let dir = existing(dir.as_ref())?;
        let test = dir.join("test");
        if !test.is_dir() {
            return Err(dataset(
                dir,
                "looked for the folder test/ with test/good/ and one folder for each kind of defect, and \
                 there \
                 is none"
                    .to_owned(),
            ));
        }
        let mut items = Vec::new();
        for path in list_images(&test)? {
            let inside = path.strip_prefix(&test).unwrap_or(&path);
            let parents: Vec<_> = inside.parent().into_iter().flat_map(Path::components).collect();
            let Some(first) = parents.first() else {
                return Err(dataset(
                    &path,
                    "an image in test/ itself has no label. Move it to test/good/ or to test/<defect>/"
                        .to_owned(),
                ));
            };
            let kind = first.as_os_str().to_string_lossy().into_owned();
            let defect = (kind != "good").then_some(kind);
            let mask = defect.as_ref().and_then(|_| find_mask(&dir.join("ground_truth").join(inside)));
            items.push(TestItem { path, defect, mask });
        }
        if items.is_empty() {
            return Err(no_images(&test));
        }
        Ok(Self { items })
    }

    /// The defect images that have no mask.
    pub fn without_mask(&self) -> impl Iterator<Item = &TestItem> {
        self.items.iter().filter(|i| i.is_defect() && i.mask.is_none())
    }

    /// The images, decoded when asked for.
    pub fn source(&self, options: DecodeOptions) -> FileSource {
        FileSource::new(self.items.iter().map(|i| i.path.clone()).collect(), options)
    }
}

/// The mask of an image at the same place below `ground_truth`.
fn find_mask(image: &Path) -> Option<PathBuf> {
    let stem = image.file_stem()?;
    ["_mask", ""].iter().find_map(|suffix| {
        IMAGE_EXTENSIONS.iter().find_map(|extension| {
            let mut name = stem.to_owned();
            name.push(suffix);
            name.push(".");
            name.push(extension);
            let mask = image.with_file_name(name);
            mask.is_file().then_some(mask)
        })
    })
}

fn existing(dir: &Path) -> Result<&Path> {
    if dir.is_dir() {
        return Ok(dir);
    }
    let reason = if dir.exists() { "a folder is needed, this is a file" } else { "there is no such folder" };
    Err(dataset(dir, reason.to_owned()))
}

fn subfolders(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut folders = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(|e| Error::io(dir, "listing", e))? {
        let path = entry.map_err(|e| Error::io(dir, "listing", e))?.path();
        if path.is_dir() {
            folders.push(path);
        }
    }
    folders.sort_unstable();
    Ok(folders)
}

fn no_images(dir: &Path) -> Error {
    dataset(dir, format!("looked for images ({}), and there is none", IMAGE_EXTENSIONS.join(", ")))
}

fn dataset(path: &Path, reason: String) -> Error {
    Error::Dataset { path: path.to_owned(), reason }
}
