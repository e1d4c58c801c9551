//! Thresholds of a model for a wanted false-alarm rate, from pictures of a folder that it was not fitted on.

use super::{BestF1, Verdicts, best_f1};
use crate::data::{ImageSource, LeftOut, OpenOptions, OwnedImage, Roi, TestItem, TestSet, TrainSet};
use crate::detector::{Calibration, Detector, KeptPictures, Model, Progress, Rule, Score, Want};
use crate::text::{plain, plain_path};
use crate::{Error, Result};
use serde::Serialize;
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The rate where neither the caller nor the model's settings name one.
const RATE: f64 = 0.05;

/// Pictures of a folder, some of them good, that say how a model scores what it was not fitted on.
#[derive(Clone, Debug)]
pub struct CalibrationSet {
    /// The folder.
    pub dir: PathBuf,
    /// The pictures.
    pub items: Vec<TestItem>,
    /// What a user should know of how the folder was read.
    pub notes: Vec<String>,
    /// What was left out.
    pub left_out: LeftOut,
}

/// A picture's scores.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scored {
    /// Its image score.
    pub score: f32,
    /// The largest value of its map of the frame.
    pub peak: f32,
    /// Whether it shows a defect.
    pub is_defect: bool,
}

/// What a calibration found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Calibrated {
    /// Threshold of image scores.
    pub threshold: Option<f32>,
    /// Threshold of the values of maps.
    pub pixel_threshold: Option<f32>,
    /// Where they come from.
    pub calibration: Option<Calibration>,
    /// False alarms and misses among the pictures.
    pub at_threshold: Option<Verdicts>,
    /// The largest F1 that a threshold reaches; `None` without defects.
    pub best_f1: Option<f64>,
    /// Where it is reached.
    pub best_f1_threshold: Option<f32>,
    /// Thresholds before: of image scores, and of the values of maps.
    #[serde(skip)]
    pub before: [Option<f32>; 2],
    /// What a user should know.
    #[serde(skip)]
    pub notes: Vec<String>,
}

impl CalibrationSet {
    /// The pictures of a labelled data set, or of a folder of good ones.
    ///
    /// # Errors
    /// As [`TestSet::open_with`]; [`Error::Dataset`] where none is good.
    pub fn open(dir: impl AsRef<Path>, options: &OpenOptions) -> Result<Self> {
        let dir = dir.as_ref().to_owned();
        let (items, left_out, notes) = match TestSet::open_with(&dir, options) {
            Ok(set) => (set.items, set.left_out, set.notes),
            Err(error) => {
                let Ok(set) = TrainSet::open_with(&dir, options) else { return Err(error) };
                let good = |path| TestItem { path, defect: None, mask: None };
                (set.paths.into_iter().map(good).collect(), set.left_out, set.notes)
            }
        };
        if items.iter().all(TestItem::is_defect) {
            return Err(Error::Dataset {
                path: dir,
                reason: "there are no good images, whose scores a false-alarm rate is about; `softpatch data` shows \
                         what is taken for what"
                    .into(),
            });
        }
        Ok(Self { dir, items, notes, left_out })
    }

    /// The pictures' files.
    pub fn paths(&self) -> Vec<PathBuf> {
        self.items.iter().map(|item| item.path.clone()).collect()
    }

    /// Makes sure that none is a training picture of the model: of those, scores say nothing of new ones.
    /// They are known by their paths; where those lead nowhere from here, that is what comes back.
    /// [`CalibrationSet::score`] knows some by their pixels.
    ///
    /// # Errors
    /// [`Error::Dataset`] where some are; [`Error::Model`] where the pictures that it keeps are damaged.
    pub fn check_apart(&self, detector: &Detector) -> Result<Option<String>> {
        let images = &detector.info().images;
        let trained: HashSet<PathBuf> =
            images.iter().filter_map(|name| Path::new(name).canonicalize().ok()).collect();
        let known = |item: &&TestItem| item.path.canonicalize().is_ok_and(|path| trained.contains(&path));
        let again: Vec<&TestItem> = self.items.iter().filter(known).collect();
        if let Some(first) = again.first() {
            let which = format!("{} of its images are", again.len());
            return Err(self.trained_on(&which, &plain_path(&first.path)));
        }
        if !trained.is_empty() {
            return Ok(None);
        }
        let by_pixels = match detector.kept_pictures()?.len() {
            0 => String::new(),
            n => format!(", but for {n} of them, which the model keeps"),
        };
        Ok(Some(format!(
            "none of the model's {} training images is to be found from here, so that nothing tells whether these \
             are among them{by_pixels}: scores of training images say nothing of new ones",
            images.len()
        )))
    }

    /// The error where `which` are training images, such as `first`.
    fn trained_on(&self, which: &str, first: &str) -> Error {
        Error::Dataset {
            path: self.dir.clone(),
            reason: format!(
                "{which} training images of the model, such as {first}: their scores say nothing of new pictures; \
                 name others, or fit with --target-fpr, which needs none"
            ),
        }
    }

    /// Scores the pictures of `source`, which has those of `items` in their order. `keep` is asked for each
    /// whether its score counts. A training picture under another name is known by its pixels, where the
    /// model keeps them.
    ///
    /// # Errors
    /// As [`Detector::score_source`]; [`Error::Dataset`] where some are training pictures.
    pub fn score(
        &self,
        detector: &Detector,
        source: &dyn ImageSource,
        progress: &dyn Progress,
        mut keep: impl FnMut(usize) -> bool,
    ) -> Result<Vec<Scored>> {
        let source = Recognising { source, kept: detector.kept_pictures()?, known: Mutex::default() };
        let (mut scored, mut again) = (Vec::with_capacity(self.items.len()), Vec::new());
        detector.score_source(&source, Want::Maps, progress, |index, Score { score, map, .. }| {
            if !keep(index) {
                return Ok(());
            }
            if let Some(name) = source.known().remove(&index) {
                again.push(format!("{}, which is {}", plain_path(&self.items[index].path), plain(&name)));
            }
            let peak = map.iter().copied().fold(0.0, f32::max);
            scored.push(Scored { score, peak, is_defect: self.items[index].is_defect() });
            Ok(())
        })?;
        match again.first() {
            None => Ok(scored),
            Some(first) => {
                let which = format!("{} of its images are by their pixels", again.len());
                Err(self.trained_on(&which, first))
            }
        }
    }

    /// The model with thresholds that a share of `rate` of the good pictures passes, which is an edit of it;
    /// `None`: of the rate that it was fitted for, else 0.05.
    ///
    /// # Errors
    /// [`Error::InvalidOption`] where `rate` is not 0.0001 to 0.5, [`Error::Dataset`] where the good pictures
    /// do not say how much normal ones differ.
    pub fn calibrate(
        &self,
        model: &Model,
        scored: &[Scored],
        rate: Option<f64>,
    ) -> Result<(Model, Calibrated)> {
        if let Some(rate) = rate {
            check_rate(rate)?;
        }
        let rate = rate.or(Some(model.info.options.target_fpr).filter(|r| *r > 0.0)).unwrap_or(RATE);
        let [scores, peaks] = [0, 1].map(|which| -> Vec<f32> {
            scored.iter().filter(|s| !s.is_defect).map(|s| [s.score, s.peak][which]).collect()
        });
        let before = [model.info.threshold, model.info.pixel_threshold];
        let mut model = model.clone();
        model.calibrate(&scores, &peaks, rate).map_err(|e| match e {
            Error::InvalidOption(reason) => Error::Dataset { path: self.dir.clone(), reason },
            other => other,
        })?;
        let mut notes = Vec::new();
        if let Some(old) = before[0] {
            let over = scores.iter().filter(|score| **score > old).count();
            if 2 * over > scores.len() {
                notes.push(format!(
                    "{over} of {} good images pass the threshold that the model had, {old:.4}: are they of its parts?",
                    scores.len()
                ));
            }
        }
        if model.references.is_some() {
            notes.push(
                "`softpatch verify` holds thresholds against the approved ones: `softpatch model MODEL \
                 keep-references DIR` approves the model as it is now"
                    .to_owned(),
            );
        }
        let info = &model.info;
        if let Some(Calibration { target_fpr, good, rule: Rule::Extrapolated, .. }) = &info.calibration {
            notes.push(format!(
                "a false-alarm rate of {target_fpr} takes {} good images to measure, and there are {good}: the \
                 threshold is an extrapolation of their scores",
                Calibration::needed(*target_fpr)
            ));
        }
        let all: Vec<f32> = scored.iter().map(|s| s.score).collect();
        let labels: Vec<bool> = scored.iter().map(|s| s.is_defect).collect();
        let best: Option<BestF1> = labels.contains(&true).then(|| best_f1(&all, &labels)).transpose()?;
        let found = Calibrated {
            threshold: info.threshold,
            pixel_threshold: info.pixel_threshold,
            calibration: info.calibration.clone(),
            at_threshold: info.threshold.map(|threshold| Verdicts::at(threshold, &all, &labels)),
            best_f1: best.map(|b| b.f1),
            best_f1_threshold: best.map(|b| b.threshold),
            before,
            notes,
        };
        Ok((model, found))
    }
}

/// Pictures on their way to their scores, of which those are noted that a model keeps.
struct Recognising<'a> {
    source: &'a dyn ImageSource,
    kept: KeptPictures,
    /// Their names in the model.
    known: Mutex<HashMap<usize, String>>,
}

impl Recognising<'_> {
    fn known(&self) -> MutexGuard<'_, HashMap<usize, String>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ImageSource for Recognising<'_> {
    fn len(&self) -> usize {
        self.source.len()
    }

    fn name(&self, index: usize) -> String {
        self.source.name(index)
    }

    fn load(&self, index: usize) -> Result<Cow<'_, OwnedImage>> {
        let picture = self.source.load(index)?;
        if let Some(name) = self.kept.find(&picture)? {
            self.known().insert(index, name.to_owned());
        }
        Ok(picture)
    }

    fn size(&self, index: usize) -> Result<[u32; 2]> {
        self.source.size(index)
    }

    fn roi(&self) -> Option<&Roi> {
        self.source.roi()
    }

    fn notes(&self) -> Vec<String> {
        self.source.notes()
    }
}

/// Refuses a false-alarm rate that none can be set for.
///
/// # Errors
/// [`Error::InvalidOption`] where it is not 0.0001 to 0.5.
pub fn check_rate(rate: f64) -> Result<()> {
    if (0.0001..=0.5).contains(&rate) {
        return Ok(());
    }
    Err(Error::InvalidOption(format!("target-fpr is {rate}, it must be 0.0001 to 0.5")))
}
