//! The harness: which cells there are, which are missing, and one feature pass for those.

use super::cell::{Cell, CellSettings, Condition, protocol_name};
use super::files::Files;
use super::kept::{Kept, key, remove_all};
use super::notes::{Noted, leave_out};
use super::options::BenchOptions;
use super::store::Store;
use crate::data::{
    Category, FileSource, ImageSource, NoiseProtocol, Split, SplitSource, TestItem, TrainEntry, split,
};
use crate::detector::{Backbone, Progress, frame_of, persist};
use crate::eval::Masks;
use crate::gpu::Device;
use crate::methods::{Embeddings, Method, Task as Given};
use crate::settings::FitOptions;
use crate::{Error, Result};
use sha2::{Digest, Sha256};
use std::cell::RefCell;
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// What a run leaves.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// All cells, by category, condition, seed and method.
    pub cells: Vec<Cell>,
    /// Cells that this run computed; the rest was there.
    pub computed: usize,
    /// Images that went through the backbone.
    pub images: usize,
    /// Seconds of the feature passes.
    pub feature_seconds: f64,
    /// Images and masks that could not be used.
    pub skipped: usize,
    /// What was left out or repeated, and why.
    pub notes: Vec<String>,
}

/// Makes an image source for a list of images.
pub type Open<'a> = dyn Fn(&[TrainEntry]) -> Box<dyn ImageSource + 'a> + 'a;

/// A run.
pub struct Bench<'a> {
    /// Where it runs.
    pub device: &'a Device,
    /// Backbone.
    pub backbone: &'a Backbone,
    /// Categories.
    pub categories: &'a [Category],
    /// Folder for all output; made where it is not there.
    pub out: &'a Path,
    /// What is measured.
    pub options: &'a BenchOptions,
}

/// A split that cells are measured on.
pub(super) struct Task {
    pub seed: u64,
    pub split: Split,
    /// Cells to compute: method, settings, file.
    missing: Vec<(Method, CellSettings, PathBuf)>,
}

impl Bench<'_> {
    /// Computes the cells that are not in the output folder yet, each written as it is done, and returns all.
    /// `done` is told of every cell, and whether it was computed now.
    ///
    /// # Errors
    /// [`Error::InvalidOption`] for settings out of range, what an image or list says of itself,
    /// [`Error::Io`] where output cannot be written, [`Error::Cancelled`] where `progress` asked to stop:
    /// what is done stays.
    pub fn run(&self, progress: &dyn Progress, done: impl FnMut(&Cell, bool)) -> Result<Summary> {
        let decode = self.options.decode.clone();
        let open = move |entries: &[TrainEntry]| -> Box<dyn ImageSource> {
            let split = Split { train: entries.to_vec(), test: Vec::new() };
            Box::new(SplitSource::new(&split, decode.clone()))
        };
        self.run_from(&open, progress, done)
    }

    /// [`Bench::run`] with images from elsewhere than their files.
    ///
    /// # Errors
    /// As [`Bench::run`].
    pub fn run_from(
        &self,
        open: &Open<'_>,
        progress: &dyn Progress,
        mut done: impl FnMut(&Cell, bool),
    ) -> Result<Summary> {
        self.options.validate()?;
        for category in self.categories {
            category.require_train()?;
            category.require_both()?;
        }
        for folder in ["cells", "splits"] {
            let folder = self.out.join(folder);
            std::fs::create_dir_all(&folder).map_err(|e| Error::io(&folder, "making the folder", e))?;
        }
        let (mut summary, mut skipped) = (Summary::default(), Vec::new());
        // A category that is begun anew has cells that were told of.
        let mut told = HashSet::new();
        let mut done = |cell: &Cell, now: bool| {
            if cell.settings.key().is_ok_and(|key| told.insert(key)) {
                done(cell, now);
            }
        };
        for category in self.categories {
            let mut category = category.clone();
            let (noted, masks) = (summary.notes.len(), summary.skipped);
            loop {
                let before = (summary.notes.len(), summary.skipped, summary.images, summary.feature_seconds);
                let cells = persist(self.device, &self.options.fit, progress, |device, fit| {
                    let (notes, seconds);
                    (notes, summary.skipped, summary.images, seconds) = before;
                    summary.notes.truncate(notes);
                    summary.feature_seconds = seconds;
                    let options = &BenchOptions { fit: fit.clone(), ..self.options.clone() };
                    let bench = Bench { device, options, ..*self };
                    bench.all_cells(&category, open, progress, &mut summary, &mut done)
                });
                match cells {
                    Err(Error::BadImages { total, bad }) if self.options.skip_bad => {
                        if !leave_out(&mut category, &bad) {
                            // A list of images names them, or they have no path.
                            return Err(Error::BadImages { total, bad });
                        }
                        category.require_train()?;
                        category.require_both()?;
                        // What was noted of the splits, it notes again.
                        summary.notes.truncate(noted);
                        summary.skipped = masks;
                        skipped.extend(bad.iter().map(|(_, e)| format!("{}: skipped: {e}", category.name)));
                    }
                    other => break other?,
                }
            }
        }
        if summary.cells.is_empty() {
            return Err(Error::InvalidOption(summary.notes.join("; ")));
        }
        summary.skipped += skipped.len();
        summary.notes.extend(skipped);
        remove_all(self.out);
        Ok(summary)
    }

    /// Computes the missing cells of a category and takes in all of them.
    fn all_cells(
        &self,
        category: &Category,
        open: &Open<'_>,
        progress: &dyn Progress,
        summary: &mut Summary,
        done: &mut impl FnMut(&Cell, bool),
    ) -> Result<()> {
        let (tasks, files) = self.tasks(category, &mut summary.notes)?;
        let missing: HashSet<PathBuf> =
            tasks.iter().flat_map(|t| t.missing.iter().map(|(_, _, file)| file.clone())).collect();
        if !missing.is_empty() {
            self.category(category, &tasks, open, progress, summary, done)?;
        }
        for (file, settings) in files {
            // Read back even where it was just computed, so that a run and its continuation see the same
            // numbers.
            let cell = Cell::read(&file, &settings)
                .ok_or_else(|| Error::io(&file, "reading", std::io::ErrorKind::NotFound.into()))?;
            if !missing.contains(&file) {
                done(&cell, false);
            }
            summary.cells.push(cell);
        }
        let ours = |cell: &&Cell| cell.settings.category == category.name;
        if let Some(cell) = summary.cells.iter().filter(ours).max_by_key(|cell| cell.report.defects)
            && let Some(outside) = cell.report.outside()
        {
            summary.notes.push(format!("{}: {outside}", category.name));
        }
        Ok(())
    }

    /// The splits of a category with the cells that are missing, and the files of all its cells.
    #[allow(clippy::type_complexity, reason = "private, called once")]
    fn tasks(
        &self,
        category: &Category,
        notes: &mut Vec<String>,
    ) -> Result<(Vec<Task>, Vec<(PathBuf, CellSettings)>)> {
        let (mut tasks, mut files, mut held) = (Vec::new(), Vec::new(), Files::default());
        for condition in self.options.conditions() {
            for seed in 0..u64::from(self.options.seeds) {
                let name = list_name(&category.name, condition, seed);
                let split = match self.split(category, condition, seed, &name) {
                    Ok(split) => split,
                    // Too few defects to leave any for testing, or no list: the rest of the table is still
                    // worth having.
                    Err(Error::InvalidOption(why)) if condition.protocol.is_some() => {
                        notes.push(format!("{}, {}: left out: {why}", category.name, condition.name()));
                        break;
                    }
                    Err(other) => return Err(other),
                };
                let list = self.out.join("splits").join(&name);
                split.write_csv(&list)?;
                let bytes = std::fs::read(&list).map_err(|e| Error::io(&list, "reading", e))?;
                let digests = [format!("{:x}", Sha256::digest(bytes)), held.digest(&split)];
                let repeats = split.repeats_noise();
                if repeats && seed == 0 {
                    notes.push(format!(
                        "{}, {}: too few defects; some are put in again after a small random affine move",
                        category.name,
                        condition.name()
                    ));
                }
                let mut task = Task { seed, split, missing: Vec::new() };
                for &method in &self.options.methods {
                    let exif = self.options.decode.exif_orientation;
                    let embedding = self.options.fit.embedding_for(&self.backbone.network.name);
                    let fit =
                        FitOptions { exif, embedding, ..method_options(&self.options.fit, method, seed) };
                    let settings = CellSettings::new(
                        &category.name,
                        method.name(),
                        condition,
                        seed,
                        digests.clone(),
                        &fit,
                        self.options.metric_size(),
                        self.backbone.info(),
                        &self.device.caps().adapter,
                    );
                    let file = self.out.join("cells").join(format!("{}.json", settings.key()?));
                    if Cell::read(&file, &settings).is_none() {
                        task.missing.push((method, settings.clone(), file.clone()));
                    }
                    files.push((file, settings));
                }
                tasks.push(task);
            }
        }
        Ok((tasks, files))
    }

    fn split(&self, category: &Category, condition: Condition, seed: u64, name: &str) -> Result<Split> {
        if let Some(folder) = &self.options.splits {
            let list = folder.join(name);
            // A run writes none of what it leaves out.
            if !list.exists() {
                return Err(Error::InvalidOption(format!("there is no list {}", list.display())));
            }
            return Split::read_csv(list);
        }
        let protocol = condition.protocol.unwrap_or(NoiseProtocol::Overlap);
        split(category.require_train()?, category.require_test()?, condition.noise, protocol, seed)
    }

    fn category(
        &self,
        category: &Category,
        tasks: &[Task],
        open: &Open<'_>,
        progress: &dyn Progress,
        summary: &mut Summary,
        done: &mut impl FnMut(&Cell, bool),
    ) -> Result<()> {
        let needed = tasks.iter().filter(|t| !t.missing.is_empty());
        let (mut entries, mut seen, mut tested) = (Vec::new(), HashSet::new(), Vec::new());
        for task in needed.clone() {
            for entry in task.split.train.iter().cloned().chain(task.split.test.iter().map(as_entry)) {
                if seen.insert(key(&entry)) {
                    entries.push(TrainEntry { is_noise: false, ..entry });
                }
            }
            tested.extend(task.split.test.iter().filter(|i| i.is_defect()).cloned());
        }
        let (fit, decode) = (&self.options.fit, &self.options.decode);
        let good = FileSource::new(category.require_train()?.to_vec(), decode.clone());
        let frame = frame_of(&self.backbone.network, fit, &good, progress)?;
        let framing = fit.framing(frame);
        let mut masks = Masks::load(&tested, decode, framing, self.options.metric_size());
        if !self.options.skip_bad {
            let images: Vec<&Path> = entries.iter().map(|e| e.path.as_path()).collect();
            masks = masks.require(&images, decode)?;
        }
        summary.skipped += masks.bad.len();
        summary.notes.extend(masks.bad.iter().map(|e| format!("{}: skipped: {e}", category.name)));
        summary.notes.append(&mut masks.notes);
        let began = Instant::now();
        let source = open(&entries);
        let kept = self.options.keep_features.then(|| self.kept(&category.name, frame, &entries)).flatten();
        let mut store = Store::extract(
            self.device,
            self.backbone,
            &entries,
            source.as_ref(),
            (&self.options.fit, frame),
            (self.out, kept),
            progress,
        )?;
        self.device.wait()?;
        summary.images += store.extracted;
        summary.feature_seconds += began.elapsed().as_secs_f64();
        tracing::info!("{}: features of {} images", category.name, entries.len());
        for task in needed {
            let (fit, split) = (&self.options.fit, &task.split);
            let memory = store.left(fit.memory);
            let numbers = |entries: Vec<TrainEntry>| {
                entries.iter().map(|e| store.number(e)).collect::<Result<Vec<usize>>>()
            };
            let train = numbers(split.train.clone())?;
            let test = numbers(split.test.iter().map(as_entry).collect())?;
            let names = split.train.iter().map(|e| e.path.display().to_string()).collect();
            let grid = store.grid();
            let mut given =
                Given::new(self.device, &mut store, self.backbone.info(), train, test, names, frame);
            for (method, settings, file) in &task.missing {
                if progress.cancelled() {
                    return Err(Error::Cancelled);
                }
                let began = Instant::now();
                let fit = FitOptions { batch: fit.batch, memory, ..settings.fit.clone() };
                let noted = Noted { progress, notes: RefCell::default() };
                let scored = method.implementation().score(&mut given, &fit, &noted)?;
                let notes = noted.notes.into_inner();
                let seen = (&masks.masks, framing, grid);
                let mut cell = self.measure(task, settings, &scored, notes, seen, (file, progress))?;
                cell.seconds = began.elapsed().as_secs_f64();
                cell.write(file)?;
                summary.computed += 1;
                done(&cell, true);
            }
        }
        store.done();
        Ok(())
    }

    /// Where features of a category are kept for a run that goes on with this one.
    fn kept(&self, category: &str, frame: [u32; 2], entries: &[TrainEntry]) -> Option<Kept> {
        let (options, caps) = (self.options, self.device.caps());
        let fit = FitOptions { batch: 0, memory: 0, ..options.fit.clone() };
        let decode = format!("{:?}", options.decode);
        let by = [env!("CARGO_PKG_VERSION"), &caps.adapter, &caps.driver, &caps.archetype.to_string()];
        let made_with = serde_json::to_string(&(by, fit, decode, self.backbone.info(), frame)).ok()?;
        Kept::open(self.out, category, &made_with, entries)
    }
}

/// A test image as something to extract.
pub(super) fn as_entry(item: &TestItem) -> TrainEntry {
    TrainEntry { path: item.path.clone(), augment: None, is_noise: false }
}

/// Name of a split's list.
fn list_name(category: &str, condition: Condition, seed: u64) -> String {
    let protocol = condition.protocol.map_or(String::new(), |p| format!("_{}", protocol_name(p)));
    format!("{category}_noise{}{protocol}_seed{seed}.csv", condition.noise)
}

/// The settings of a method's fit.
fn method_options(base: &FitOptions, method: Method, seed: u64) -> FitOptions {
    let soft_weights = !matches!(method, Method::SoftPatch { soft: false, .. });
    let discriminator = method.discriminator();
    FitOptions { discriminator, soft_weights, seed, ..base.clone() }
}
