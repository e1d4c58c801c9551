//! `softpatch eval`.

use crate::common::backbone::{ModelArgs, open_model};
use crate::common::device::DeviceArgs;
use crate::common::failure::{Outcome, print_error};
use crate::common::images::{Files, OnError};
use crate::common::interrupt::{catch_interrupts, release_interrupts};
use crate::common::output::{check_output_file, plain_lines, print, print_json};
use crate::common::progress::Bars;
use crate::common::report::{page, thumb};
use crate::common::set::{SetArgs, end};
use crate::common::sizes::human_bytes;
use serde::Serialize;
use softpatch::Error;
use softpatch::data::{FileSource, ImageSource, TestItem, TestSet};
use softpatch::detector::{Detector, ModelInfo, Progress, Score, Want};
use softpatch::eval::{
    Item, Mask, Masks, MetricMap, MetricMaps, MetricSize, Report, Seen, Verdicts, evaluate,
};
use softpatch::report::{PageImage, ScorePage, Thumb, framed};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Measure a model on labelled images: AUROC, AUPRO, average precision, F1.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "DATASET is a category of a data set in its published layout, or a plain folder with good/ and \
         a folder per kind of defect (`softpatch data DATASET` shows what is taken for what). Defects without \
         masks count in the image figures only. With --json, one object: `all` and `defects.<name>` hold \
         images, defects, outside and partly_outside (defects that lie wholly or partly outside of what the \
         model looks at), image_auroc, image_ap, image_f1, pixel_auroc, pixel_ap, pixel_f1, aupro (numbers \
         from 0 to 1, or null) and notes; each defect is measured against all good images; `at_threshold` has \
         false_alarms of good images, misses of defects and their rates at the model's threshold. Exit status 1 \
         where there are no good images or no defects, 3 where images could not be used."
)]
pub struct Args {
    /// Model file made by `softpatch fit`.
    model: PathBuf,
    /// Folder of the data set.
    dataset: PathBuf,
    #[command(flatten)]
    set: SetArgs,
    /// Pixels in which maps and masks are compared: source (all pixels of the images, also those that the model
    /// does not look at), frame (what it looks at, as published programs do), a side or WIDTHxHEIGHT.
    #[arg(long, value_name = "SIZE", default_value = "source")]
    metric_size: MetricSize,
    /// Write an HTML page to look through the images by score, with a threshold that can be moved, what it would
    /// miss and its false alarms, and the ROC curve. It is one file, of about 12 KB an image (30 KB up to 200
    /// images).
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// One JSON document instead of a table.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    weights: ModelArgs,
    #[command(flatten)]
    device: DeviceArgs,
}

/// Scores and masks of a test set.
pub struct Scored {
    pub set: TestSet,
    pub scores: Vec<Score>,
    /// The map of each.
    pub maps: Vec<MetricMap>,
    pub masks: Vec<Option<Mask>>,
    /// What a page shows of each; empty where there is none.
    pub thumbs: Vec<Thumb>,
    /// Images and masks that could not be used.
    pub skipped: usize,
    /// The model's threshold.
    pub threshold: Option<f32>,
}

/// The figures of a test set, and of each kind of defect against all good images.
#[derive(Debug, Serialize)]
pub struct Figures {
    pub all: Report,
    pub defects: serde_json::Map<String, serde_json::Value>,
    /// What the model's threshold makes of the images; `None` where it has none.
    pub at_threshold: Option<Verdicts>,
    #[serde(skip)]
    pub by_defect: Vec<(String, Report)>,
}

pub fn run(args: &Args, quiet: bool) -> Outcome {
    let bars = Bars::new(quiet);
    let set = TestSet::open_with(&args.dataset, &args.set.options())?;
    args.set.folder.say(&args.dataset, &set.left_out, &bars)?;
    args.report.as_deref().map_or(Ok(()), check_output_file)?;
    let detector = open_model(&args.model, &args.weights, &args.device)?;
    let has_page = args.report.is_some();
    args.weights
        .memory
        .map_or(Ok(()), |memory| check_memory(&set, detector.info(), args.metric_size, memory))?;
    let scored = score_set(&detector, set, args.set.on_error, args.metric_size, has_page, &bars)?;
    bars.finish();
    let mut figures = scored.figures()?;
    figures.all.notes.extend(scored.set.notes.iter().cloned());
    figures.all.notes.extend(scored.set.missing_masks());
    let empty = scored.empty_class(&args.dataset);
    let (skipped, notes) = (scored.skipped, figures.all.notes.clone());
    // Before a page that may not be written.
    if args.json {
        print_json(&figures)?;
    } else {
        print(&plain_lines(&table(&figures)))?;
        for note in &figures.all.notes {
            bars.notice(note);
        }
    }
    if let Some(file) = &args.report {
        let mut page = scored.page("Evaluation".to_owned(), &args.model, &figures.all, detector.info());
        page.notes.extend(notes);
        page.write(file)?;
    }
    if let Some(error) = empty {
        return Err(error.into());
    }
    end(skipped, "the figures are of the set")
}

/// Refuses a set whose maps and masks, which the figures need all at once, pass `memory` bytes.
fn check_memory(set: &TestSet, info: &ModelInfo, size: MetricSize, memory: u64) -> Outcome {
    /// A value of a map, one of a mask, and whether the pixel counts.
    const PIXEL: u64 = 4 + 1 + 1;
    let files =
        FileSource::new(set.items.iter().map(|item| item.path.clone()).collect(), info.options.decode());
    // Whoever loads an image says what is wrong with it.
    let sizes = (0..files.len()).filter_map(|i| files.size(i).ok());
    let pixels = |image: [u32; 2]| {
        let [rows, columns] = size.of(image, info.framing()).map(u64::from);
        rows * columns
    };
    let need = PIXEL * sizes.map(pixels).sum::<u64>();
    if need <= memory {
        return Ok(());
    }
    let says = format!(
        "the maps and masks of {} images, which the figures need all at once, take {}, and --memory is {}; raise it to \
         {}MiB, or compare fewer pixels: --metric-size frame, or a side such as 256",
        set.items.len(),
        human_bytes(need),
        human_bytes(memory),
        need.div_ceil(1 << 20)
    );
    Err(Error::Limit(says).into())
}

/// Scores a test set and reads its masks; `has_page` keeps what a page shows of each image.
pub fn score_set(
    detector: &Detector,
    mut set: TestSet,
    on_error: OnError,
    size: MetricSize,
    has_page: bool,
    bars: &Bars,
) -> Outcome<Scored> {
    let info = detector.info();
    // Before the long work: masks that cannot be read are said at once.
    let (decode, framing) = (info.options.decode(), info.framing());
    let mut masks = Masks::load(&set.items, &decode, framing, size);
    if on_error == OnError::Stop {
        let images: Vec<&Path> = set.items.iter().map(|i| i.path.as_path()).collect();
        masks = masks.require(&images, &decode)?;
    }
    masks.bad.iter().for_each(|error| bars.suspend(|| print_error(error)));
    set.notes.append(&mut masks.notes);
    let mut skipped = masks.bad.len();
    catch_interrupts(bars.quiet());
    let files = Files::new(set.items.iter().map(|i| i.path.clone()).collect(), detector, has_page, on_error)?;
    let (mut scores, mut kept) = (Vec::with_capacity(files.len()), Vec::with_capacity(files.len()));
    let mut metric = MetricMaps::new(detector.device(), info.grid, framing, size, detector.cover())?;
    let (mut maps, mut thumbs) = (Vec::with_capacity(files.len()), Vec::new());
    detector.score_source(&files, Want::Scores, bars, |index, score| {
        let error = files.take_error(index);
        kept.push(error.is_none());
        let picture = files.take_picture(index);
        match error {
            Some(error) => bars.suspend(|| print_error(&error)),
            None => {
                let map = metric.run(&score.patches, files.size(index)?)?;
                if let Some(mut picture) = picture {
                    if size == MetricSize::Frame {
                        picture = framed(&picture, framing)?;
                    }
                    let mask = set.items[index].mask.as_ref().and_then(|path| masks.masks.get(path));
                    let [rows, columns] = map.size;
                    let truth = mask.map(|mask| mask.pixels.as_slice());
                    let drawn = thumb(&picture, (&map.map, [columns, rows]), truth, info, files.len())?;
                    thumbs.push(drawn);
                }
                maps.push(map);
                scores.push(score);
            }
        }
        Ok(())
    })?;
    release_interrupts()?;
    skipped += kept.iter().filter(|kept| !**kept).count();
    let mut left = kept.iter();
    set.items.retain(|_| left.next() == Some(&true));
    let masks = set.items.iter().map(|i| masks.masks.get(i.mask.as_ref()?).cloned()).collect();
    let threshold = info.threshold;
    let mut scored = Scored { set, scores, maps, masks, thumbs, skipped, threshold };
    scored.leave_out_ignored();
    Ok(scored)
}

impl Scored {
    /// What is missing where there are only good images, or only defects: then most figures are not defined.
    fn empty_class(&self, root: &Path) -> Option<Error> {
        let defects = self.set.items.iter().filter(|i| i.is_defect()).count();
        let missing = match defects {
            0 => "defect",
            n if n == self.set.items.len() => "good test",
            _ => return None,
        };
        let mut folders: Vec<String> =
            self.set.items.iter().filter_map(|i| Some(i.path.parent()?.display().to_string())).collect();
        folders.sort();
        folders.dedup();
        folders.truncate(8);
        Some(Error::Dataset {
            path: root.to_owned(),
            reason: format!(
                "the image figures are not defined: no {missing} images found in {}; all {} test images are {}, \
                 in {}. `softpatch data` shows what is taken for what",
                root.display(),
                self.set.items.len(),
                if defects == 0 { "good" } else { "defects" },
                folders.join(", ")
            ),
        })
    }

    /// Takes out defects of which a region of interest, or what is ignored, leaves nothing.
    fn leave_out_ignored(&mut self) {
        let counts = |(map, mask): (&MetricMap, &Option<Mask>)| match (&map.counted, mask) {
            (Some(counted), Some(mask)) => {
                !mask.pixels.contains(&true) || mask.pixels.iter().zip(counted).any(|(m, c)| *m && *c)
            }
            _ => true,
        };
        let kept: Vec<bool> = self.maps.iter().zip(&self.masks).map(counts).collect();
        let gone = kept.iter().filter(|kept| !**kept).count();
        if gone == 0 {
            return;
        }
        fn retain<T>(all: &mut Vec<T>, kept: &[bool]) {
            let mut kept = kept.iter();
            all.retain(|_| kept.next() == Some(&true));
        }
        retain(&mut self.set.items, &kept);
        retain(&mut self.scores, &kept);
        retain(&mut self.maps, &kept);
        retain(&mut self.masks, &kept);
        retain(&mut self.thumbs, &kept);
        self.set.notes.push(format!("{gone} defects lie wholly in what is not looked at, and do not count"));
    }

    /// The page of it, which takes the pictures.
    pub fn page(self, title: String, model: &Path, figures: &Report, info: &ModelInfo) -> ScorePage {
        let all = self.set.items.into_iter().zip(&self.scores).zip(self.thumbs);
        let image = |((item, score), thumb): ((TestItem, &Score), Thumb)| PageImage {
            defect: Some(item.is_defect()),
            path: item.path,
            score: score.score,
            thumb,
        };
        let named = [
            ("image AUROC", figures.image_auroc),
            ("image AP", figures.image_ap),
            ("best image F1", figures.image_f1),
            ("pixel AUROC", figures.pixel_auroc),
            ("pixel AP", figures.pixel_ap),
            ("AUPRO at 30 %", figures.aupro),
        ];
        ScorePage {
            figures: named.iter().map(|(name, value)| ((*name).to_owned(), figure(*value))).collect(),
            has_truth: self.masks.iter().any(Option::is_some),
            images: all.map(image).collect(),
            ..page(title, model, info)
        }
    }

    /// All figures.
    pub fn figures(&self) -> Outcome<Figures> {
        let items: Vec<Item<'_>> =
            (self.set.items.iter().zip(&self.scores).zip(self.maps.iter().zip(&self.masks)))
                .map(|((item, score), (map, mask))| Item {
                    score: score.score,
                    is_defect: item.is_defect(),
                    map: Some(map.with(mask.as_ref())),
                    seen: mask.as_ref().map_or(Seen::Wholly, |m| m.seen),
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
        let scores: Vec<f32> = items.iter().map(|i| i.score).collect();
        let labels: Vec<bool> = items.iter().map(|i| i.is_defect).collect();
        let at_threshold = self.threshold.map(|threshold| Verdicts::at(threshold, &scores, &labels));
        Ok(Figures { all: evaluate(&items)?, defects, at_threshold, by_defect })
    }
}

/// A figure with four digits, or a dash.
pub fn figure(value: Option<f64>) -> String {
    value.map_or("-".into(), |v| format!("{v:.4}"))
}

fn table(figures: &Figures) -> String {
    let width = figures.by_defect.iter().map(|(kind, _)| kind.chars().count()).max().unwrap_or(0).max(10);
    let mut text = format!(
        "{:<width$}  {:>6}  {:>11}  {:>8}  {:>8}  {:>11}  {:>8}  {:>8}  {:>8}  {:>7}  {:>6}\n",
        "",
        "images",
        "image AUROC",
        "image AP",
        "image F1",
        "pixel AUROC",
        "pixel AP",
        "pixel F1",
        "AUPRO@30",
        "outside",
        "partly"
    );
    let mut line = |name: &str, count: usize, r: &Report| {
        let [a, b, c, d, e, f, g] =
            [r.image_auroc, r.image_ap, r.image_f1, r.pixel_auroc, r.pixel_ap, r.pixel_f1, r.aupro]
                .map(figure);
        text.push_str(&format!(
            "{name:<width$}  {count:>6}  {a:>11}  {b:>8}  {c:>8}  {d:>11}  {e:>8}  {f:>8}  {g:>8}  \
             {:>7}  {:>6}\n",
            r.outside, r.partly_outside
        ));
    };
    for (kind, report) in &figures.by_defect {
        line(kind, report.defects, report);
    }
    line("all", figures.all.images, &figures.all);
    match &figures.at_threshold {
        Some(verdicts) => text.push_str(&format!("\n{verdicts}\n")),
        None => text.push_str("\nno verdicts: the model has no threshold\n"),
    }
    text
}
