//! All figures of merit of one run.

use super::aupro::{DEFAULT_FPR_LIMIT, Map, PixelRanking};
use super::ground::Seen;
use super::metrics::{Ranking, check_finite};
use crate::Result;
use serde::{Deserialize, Serialize};

/// A scored test image.
#[derive(Clone, Copy, Debug)]
pub struct Item<'a> {
    /// The image's anomaly score.
    pub score: f32,
    /// Whether it shows a defect.
    pub is_defect: bool,
    /// Its anomaly map; `None` where only the image score counts.
    pub map: Option<Map<'a>>,
    /// How much of its defect lies in what the model looks at.
    pub seen: Seen,
}

/// The figures of merit of a test set, each in 0..=1, and `None` where it is not defined (see `notes`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Test images.
    pub images: usize,
    /// Test images that show a defect.
    pub defects: usize,
    /// Defects that lie wholly outside of what the model looks at, as far as masks tell.
    #[serde(default)]
    pub outside: usize,
    /// Defects of which a part lies outside.
    #[serde(default)]
    pub partly_outside: usize,
    /// Area under the ROC curve of the image scores.
    pub image_auroc: Option<f64>,
    /// Average precision of the image scores.
    pub image_ap: Option<f64>,
    /// Best F1 of the image scores.
    pub image_f1: Option<f64>,
    /// Area under the ROC curve of all pixels pooled.
    pub pixel_auroc: Option<f64>,
    /// Average precision of all pixels pooled.
    pub pixel_ap: Option<f64>,
    /// Best F1 of all pixels pooled.
    pub pixel_f1: Option<f64>,
    /// Per-region overlap up to 30 % false positives; see [`aupro`](super::aupro).
    pub aupro: Option<f64>,
    /// Why a figure is missing, or what it leaves out. Empty where all is there.
    pub notes: Vec<String>,
}

impl Report {
    /// How many defects lie outside of what the model looks at, in a sentence; `None`: none of which it is known.
    pub fn outside(&self) -> Option<String> {
        let Self { defects, outside, partly_outside, .. } = self;
        (outside + partly_outside > 0).then(|| {
            format!(
                "of {defects} defects {outside} lie wholly outside of what the model looks at, {partly_outside} partly"
            )
        })
    }
}

/// Computes all figures that `items` allow. The pixel figures leave out defect images without a mask, and say
/// so.
///
/// # Errors
/// [`crate::Error::Metric`] where a score is not finite, or a map and its mask differ in size. A
/// missing class is no error: the figure is `None`.
///
/// ```
/// use softpatch::eval::{Item, Map, Seen, evaluate};
///
/// // Two images of 2x2 pixels; the second has a defect in its last pixel.
/// let mask = [false, false, false, true];
/// let (good, bad) = ([0.1, 0.2, 0.1, 0.2], [0.1, 0.3, 0.2, 0.9]);
/// let items = [
///     Item {
///         score: 0.2,
///         is_defect: false,
///         map: Some(Map { width: 2, scores: &good, mask: None, counted: None }),
///         seen: Seen::Wholly,
///     },
///     Item {
///         score: 0.9,
///         is_defect: true,
///         map: Some(Map { width: 2, scores: &bad, mask: Some(&mask), counted: None }),
///         seen: Seen::Wholly,
///     },
/// ];
/// let report = evaluate(&items)?;
/// assert_eq!((report.image_auroc, report.pixel_auroc), (Some(1.0), Some(1.0)));
/// assert!(report.notes.is_empty());
/// # Ok::<(), softpatch::Error>(())
/// ```
pub fn evaluate(items: &[Item<'_>]) -> Result<Report> {
    let scores: Vec<f32> = items.iter().map(|i| i.score).collect();
    let labels: Vec<bool> = items.iter().map(|i| i.is_defect).collect();
    check_finite(&scores)?;
    for item in items {
        item.map.map_or(Ok(()), |map| map.check())?;
    }
    let defects = labels.iter().filter(|&&l| l).count();
    let count = |seen: Seen| items.iter().filter(|i| i.is_defect && i.seen == seen).count();
    let (outside, partly_outside) = (count(Seen::Not), count(Seen::Partly));
    let mut report = Report { images: items.len(), defects, outside, partly_outside, ..Report::default() };
    report.notes.extend(report.outside());

    if defects == 0 || defects == items.len() {
        let missing = if defects == 0 { "defect" } else { "good" };
        report.notes.push(format!("the image figures are not defined: there is no {missing} image"));
    } else {
        let ranking = Ranking::of(&scores, &labels)?;
        report.image_auroc = Some(ranking.auroc());
        report.image_ap = Some(ranking.average_precision());
        report.image_f1 = Some(ranking.best_f1().f1);
    }

    let known = |i: &&Item<'_>| !i.is_defect || i.map.is_some_and(|m| m.mask.is_some());
    let maps: Vec<Map<'_>> = items.iter().filter(known).filter_map(|i| i.map).collect();
    let unknown = items.iter().filter(|i| !known(i)).count();
    let any = |value: bool| maps.iter().any(|m| m.has(value));
    if !any(true) || !any(false) {
        let missing = match any(false) {
            true if defects > 0 && unknown == defects => "mask of any defect image",
            true if defects > 0 => "defect pixel in any mask, of what is compared",
            true => "defect image",
            false => "normal pixel in any map",
        };
        report.notes.push(format!("the pixel figures are not defined: there is no {missing}"));
        return Ok(report);
    }
    if unknown > 0 {
        let known = items.len() - unknown;
        report.notes.push(format!(
            "the pixel figures are of {known} of {} images: {unknown} of {defects} defect images have no mask",
            items.len()
        ));
    }
    let pixels = PixelRanking::of(&maps)?;
    report.pixel_auroc = Some(pixels.ranking.auroc());
    report.pixel_ap = Some(pixels.ranking.average_precision());
    report.pixel_f1 = Some(pixels.ranking.best_f1().f1);
    report.aupro = Some(pixels.aupro(DEFAULT_FPR_LIMIT)?);
    Ok(report)
}
