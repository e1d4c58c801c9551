//! Noisy training sets for experiments: defect images put among the normal ones as if they were normal.

use super::affine::Affine;
use super::decode::DecodeOptions;
use super::file_source::FileNotes;
use super::mask_file::shown_size;
use super::test_set::{TestItem, TestSet};
use super::{ImageSource, OwnedImage};
use crate::{Error, Result};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::borrow::Cow;
use std::collections::HashSet;
use std::path::PathBuf;

/// What becomes of the defect images that were put into the training set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NoiseProtocol {
    /// They leave the test set.
    NoOverlap,
    /// They stay in the test set, too.
    Overlap,
    /// They stay in the test set, and their training copies are moved by an [`Affine`].
    AugmentedOverlap,
}

/// An image to fit on.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainEntry {
    /// The image.
    pub path: PathBuf,
    /// A move to apply after decoding.
    pub augment: Option<Affine>,
    /// Whether it is a defect image passed off as normal.
    pub is_noise: bool,
}

/// A noisy training set and the test set that goes with it.
#[derive(Clone, Debug, PartialEq)]
pub struct Split {
    /// The normal images in their order, then the noise in the order of drawing.
    pub train: Vec<TrainEntry>,
    /// The test images in their order.
    pub test: Vec<TestItem>,
}

impl Split {
    /// Whether some defect image was put in more than once, there being too few.
    pub fn repeats_noise(&self) -> bool {
        let mut seen = HashSet::new();
        self.train.iter().any(|e| e.is_noise && !seen.insert(&e.path))
    }
}

/// Puts `floor(ratio * train.len())` defect images of `test`, drawn without replacement, into the training
/// set.
///
/// The same seed draws the same images under every protocol. Where there are too few, each is taken once and
/// the rest is drawn from all with replacement, every repeat moved by a random [`Affine`], so that no two
/// training images are equal; [`Split::repeats_noise`] says so.
///
/// # Errors
/// [`Error::InvalidOption`] where `ratio` is not in 0..=1, where there is no defect image to draw, or where
/// [`NoiseProtocol::NoOverlap`] would leave no defect image to test on.
pub fn split(
    train: &[PathBuf],
    test: &TestSet,
    ratio: f64,
    protocol: NoiseProtocol,
    seed: u64,
) -> Result<Split> {
    if !(0.0..=1.0).contains(&ratio) {
        return Err(Error::InvalidOption(format!("the noise ratio {ratio} is not in 0..=1")));
    }
    // The small addition keeps 0.29 of 100 at 29.
    let count = (ratio * train.len() as f64 + 1e-9).floor() as usize;
    let mut drawn: Vec<usize> = (0..test.items.len()).filter(|&i| test.items[i].is_defect()).collect();
    let defects = drawn.len();
    if count > 0 && defects == 0 {
        return Err(Error::InvalidOption(format!(
            "a noise ratio of {ratio} takes {count} defect images, and the test set has none"
        )));
    }
    if count > 0 && count >= defects && protocol == NoiseProtocol::NoOverlap {
        return Err(Error::InvalidOption(format!(
            "a noise ratio of {ratio} without overlap takes {count} of {defects} defect images and leaves \
             none \
             to test on; lower the ratio or let them overlap"
        )));
    }

    // Fisher-Yates over all defects, so that a larger ratio adds to what a smaller one draws.
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    for i in 0..defects {
        drawn.swap(i, rng.random_range(i..defects));
    }
    while drawn.len() < count {
        drawn.push(drawn[rng.random_range(0..defects)]);
    }
    drawn.truncate(count);

    let mut entries: Vec<TrainEntry> =
        train.iter().map(|path| TrainEntry { path: path.clone(), augment: None, is_noise: false }).collect();
    for (n, &i) in drawn.iter().enumerate() {
        let moved = protocol == NoiseProtocol::AugmentedOverlap || n >= defects;
        let augment = moved.then(|| Affine::random(&mut rng));
        entries.push(TrainEntry { path: test.items[i].path.clone(), augment, is_noise: true });
    }
    let gone: HashSet<usize> = match protocol {
        NoiseProtocol::NoOverlap => drawn.into_iter().collect(),
        NoiseProtocol::Overlap | NoiseProtocol::AugmentedOverlap => HashSet::new(),
    };
    let kept = test.items.iter().enumerate().filter(|(i, _)| !gone.contains(i));
    Ok(Split { train: entries, test: kept.map(|(_, item)| item.clone()).collect() })
}

/// The training images of a [`Split`], decoded and moved when asked for.
#[derive(Clone, Debug)]
pub struct SplitSource {
    entries: Vec<TrainEntry>,
    options: DecodeOptions,
    notes: FileNotes,
}

impl SplitSource {
    /// The images of `split.train`, in that order.
    pub fn new(split: &Split, options: DecodeOptions) -> Self {
        Self { entries: split.train.clone(), options, notes: FileNotes::default() }
    }
}

impl ImageSource for SplitSource {
    fn len(&self) -> usize {
        self.entries.len()
    }
    fn name(&self, index: usize) -> String {
        let entry = &self.entries[index];
        format!("{}{}", entry.path.display(), if entry.augment.is_some() { " (moved)" } else { "" })
    }
    fn load(&self, index: usize) -> Result<Cow<'_, OwnedImage>> {
        let entry = &self.entries[index];
        let image = self.notes.decode(&entry.path, &self.options)?;
        match &entry.augment {
            Some(affine) => affine.apply(&image).map(Cow::Owned),
            None => Ok(Cow::Owned(image)),
        }
    }
    fn size(&self, index: usize) -> Result<[u32; 2]> {
        // A move keeps the size.
        shown_size(&self.entries[index].path, &self.options)
    }
    fn notes(&self) -> Vec<String> {
        self.notes.lines()
    }
}
