//! `softpatch eval`.

use crate::common::backbone::{WeightsArgs, open_model};
use crate::common::device::DeviceArgs;
use crate::common::failure::Outcome;
use crate::common::output::{print, print_json};
use crate::common::progress::Bars;
use rayon::prelude::*;
use serde::Serialize;
use softpatch::data::TestSet;
use softpatch::detector::{Detector, Progress, Score, Want};
use softpatch::eval::load_mask;
use softpatch::eval::{Item, Map, Report, evaluate};
use std::collections::BTreeSet;
use std::path::PathBuf;

/// Measure a model on labelled images: AUROC, AUPRO, average precision, F1.
#[derive(Debug, clap::Args)]
#[command(after_help = "DATASET has the layout of MVTec AD: test/good/, test/<defect>/, and masks in \
         ground_truth/<defect>/. Defects without masks count in the image figures only. With --json, one \
         object: `all` and `defects.<name>` hold images, defects, image_auroc, image_ap, image_f1, \
         pixel_auroc, pixel_ap, pixel_f1, aupro (numbers from 0 to 1, or null) and notes; each defect is \
         measured against all good images.")]
pub struct Args {
    /// Model file made by `softpatch fit`.
    model: PathBuf,
    /// Folder with test/ and ground_truth/.
    dataset: PathBuf,
    /// One JSON document instead of a table.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    weights: WeightsArgs,
    #[command(flatten)]
    device: DeviceArgs,
}

/// Scores and masks of a test set.
pub struct Scored {
    pub set: TestSet,
    pub scores: Vec<Score>,
    pub masks: Vec<Option<Vec<bool>>>,
}

/// The figures of a test set, and of each kind of defect against all good images.
#[derive(Debug, Serialize)]
pub struct Figures {
    pub all: Report,
    pub defects: serde_json::Map<String, serde_json::Value>,
    #[serde(skip)]
    pub by_defect: Vec<(String, Report)>,
}

pub fn run(args: &Args, quiet: bool) -> Outcome {
    let set = TestSet::open(&args.dataset)?;
    let detector = open_model(&args.model, &args.weights, &args.device)?;
    let bars = Bars::new(quiet);
    let scored = score_set(&detector, set, &bars)?;
    bars.finish();
    let figures = scored.figures()?;
    if args.json {
        return print_json(&figures);
    }
    print(&table(&figures))?;
    for note in &figures.all.notes {
        bars.notice(note);
    }
    Ok(())
}

/// Scores a test set and reads its masks.
pub fn score_set(detector: &Detector, set: TestSet, progress: &dyn Progress) -> Outcome<Scored> {
    let options = &detector.info().options;
    // Before the long work: a mask that cannot be read is said at once.
    let masks = set
        .items
        .par_iter()
        .map(|item| {
            let load = |mask| load_mask(mask, &item.path, &options.decode(), options.resize, options.crop);
            Ok(item.mask.as_ref().map(load).transpose()?.map(|mask| mask.pixels))
        })
        .collect::<softpatch::Result<Vec<_>>>()?;
    let source = set.source(options.decode());
    let mut scores = Vec::with_capacity(set.items.len());
    detector.score_source(&source, Want::Maps, progress, |_, score| {
        scores.push(score);
        Ok(())
    })?;
    Ok(Scored { set, scores, masks })
}

impl Scored {
    /// All figures.
    pub fn figures(&self) -> Outcome<Figures> {
        let items: Vec<Item<'_>> = (self.set.items.iter().zip(&self.scores).zip(&self.masks))
            .map(|((item, score), mask)| Item {
                score: score.score,
                is_defect: item.is_defect(),
                map: Some(Map { width: score.map_side as usize, scores: &score.map, mask: mask.as_deref() }),
            })
            .collect();
        let kinds: BTreeSet<&String> = self.set.items.iter().filter_map(|i| i.defect.as_ref()).collect();
        let mut by_defect = Vec::new();
        for kind in kinds {
            let wanted = |defect: &Option<String>| defect.as_ref().is_none_or(|d| d == kind);
            let part: Vec<Item<'_>> = (items.iter().zip(&self.set.items))
                .filter(|(_, item)| wanted(&item.defect))
                .map(|(item, _)| *item)
                .collect();
            by_defect.push((kind.clone(), evaluate(&part)?));
        }
        let defects = by_defect
            .iter()
            .map(|(kind, report)| (kind.clone(), serde_json::to_value(report).unwrap_or_default()))
            .collect();
        Ok(Figures { all: evaluate(&items)?, defects, by_defect })
    }
}

/// A figure with four digits, or a dash.
pub fn figure(value: Option<f64>) -> String {
    value.map_or("-".into(), |v| format!("{v:.4}"))
}

fn table(figures: &Figures) -> String {
    let width = figures.by_defect.iter().map(|(kind, _)| kind.chars().count()).max().unwrap_or(0).max(10);
    let mut text = format!(
        "{:<width$}  {:>6}  {:>11}  {:>8}  {:>8}  {:>11}  {:>8}  {:>8}  {:>8}\n",
        "",
        "images",
        "image AUROC",
        "image AP",
        "image F1",
        "pixel AUROC",
        "pixel AP",
        "pixel F1",
        "AUPRO@30"
    );
    let mut line = |name: &str, count: usize, r: &Report| {
        let [a, b, c, d, e, f, g] =
            [r.image_auroc, r.image_ap, r.image_f1, r.pixel_auroc, r.pixel_ap, r.pixel_f1, r.aupro]
                .map(figure);
        text.push_str(&format!(
            "{name:<width$}  {count:>6}  {a:>11}  {b:>8}  {c:>8}  {d:>11}  {e:>8}  {f:>8}  {g:>8}\n"
        ));
    };
    for (kind, report) in &figures.by_defect {
        line(kind, report.defects, report);
    }
    line("all", figures.all.images, &figures.all);
    text
}
