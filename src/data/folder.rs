//! What to fit on and what to test on: views of a data set that is one category.

use super::decode::DecodeOptions;
use super::file_source::FileSource;
use super::layouts::{Dataset, Layout, OpenOptions};
use super::left_out::LeftOut;
use super::test_set::TestSet;
use crate::Result;
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
/// // `category/train/good/000.png` and so on; a folder of images and other layouts do, too.
/// let source = TrainSet::open(&category)?.source(DecodeOptions::default());
/// assert_eq!(source.len(), 2);
/// assert_eq!(source.load(0)?.width, 64);
/// # Ok::<(), softpatch::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrainSet {
    /// The images, sorted, at least one.
    pub paths: Vec<PathBuf>,
    /// The folder that was opened.
    pub root: PathBuf,
    /// Its layout.
    pub layout: Layout,
    /// What a user should know about the choice: what was held out, and the like.
    pub notes: Vec<String>,
    /// What the folder holds and the data set does not use.
    pub left_out: LeftOut,
}

impl TrainSet {
    /// Finds the images to fit on: the training images of a category in any known layout, or all of a folder
    /// of images. Never takes what is not good without being told to.
    ///
    /// # Errors
    /// As [`Dataset::open`] and [`Category::require_train`](super::Category::require_train);
    /// [`Error::Dataset`](crate::Error::Dataset) where `dir` holds several categories, naming one, and the
    /// caller does not say what to take of all of them.
    pub fn open(dir: impl AsRef<Path>) -> Result<Self> {
        Self::open_with(dir, &OpenOptions::default())
    }

    /// [`open`](Self::open), as `options` say.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_with(dir: impl AsRef<Path>, options: &OpenOptions) -> Result<Self> {
        let set = Dataset::open_with(&dir, options)?;
        // Folders by date or by camera, each with good parts and others: the caller says what is good in all.
        let several = set.categories.len() > 1 && (options.all || !options.take.is_empty());
        let categories = if several { set.categories.as_slice() } else { std::slice::from_ref(set.one()?) };
        let (mut paths, mut notes) = (Vec::new(), Vec::new());
        for category in categories {
            paths.extend_from_slice(category.require_train()?);
            notes.extend(category.notes.iter().map(|note| match several {
                true => format!("{}: {note}", category.name),
                false => note.clone(),
            }));
        }
        let (root, layout) = (dir.as_ref().to_owned(), set.layout);
        Ok(Self { paths, root, layout, notes, left_out: set.left_out.clone() })
    }

    /// The images, decoded when asked for.
    pub fn source(&self, options: DecodeOptions) -> FileSource {
        FileSource::new(self.paths.clone(), options)
    }
}

impl TestSet {
    /// The labelled images of a folder that is one category, in any known layout.
    ///
    /// # Errors
    /// As [`Dataset::open`] and [`Category::require_test`](super::Category::require_test);
    /// [`Error::Dataset`](crate::Error::Dataset) where `dir` holds several categories, naming one.
    pub fn open(dir: impl AsRef<Path>) -> Result<Self> {
        Self::open_with(dir, &OpenOptions::default())
    }

    /// [`open`](Self::open), as `options` say.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_with(dir: impl AsRef<Path>, options: &OpenOptions) -> Result<Self> {
        let set = Dataset::open_with(&dir, options)?;
        let category = set.one()?;
        category.require_test()?;
        Ok(Self { left_out: set.left_out.clone(), ..category.test.clone() })
    }
}
