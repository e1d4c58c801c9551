//! `softpatch score --watch`: images that arrive in a folder.

use super::arrivals::{Arrivals, Arrived, News, is_on_its_way};
use super::begun::{Begun, said};
use super::journal::{Done, Journal, Stamp, text_of};
use super::outputs::{Outputs, Targets};
use super::regions;
use super::rows::{Damaged, Format};
use super::{Args, Scored, Scoring, print_header};
use crate::common::backbone::open_model;
use crate::common::failure::{Failure, Outcome, print_error};
use crate::common::images::{Files, OnError};
use crate::common::interrupt::{catch_interrupts, interrupted};
use crate::common::output::{check_output_file, plain_json, print};
use crate::common::progress::Bars;
use crate::common::sizes::count;
use notify::event::{AccessKind, AccessMode, ModifyKind, RenameMode};
use notify::{Event, EventKind, RecursiveMode, Watcher};
use sha2::{Digest, Sha256};
use softpatch::Error;
use softpatch::data::{ImageSource, why_left_out};
use softpatch::detector::{Detector, Progress};
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

const HEADER: &str = "path,score,anomalous,heatmap,error\n";

/// How often ctrl-c and the clock are looked at.
const TICK: Duration = Duration::from_millis(100);

/// How often the folder is listed at least, for systems that do not say what happens in it. A listing takes
/// no more than one twentieth of the time.
const LISTING: Duration = Duration::from_secs(1);

/// Columns that paths take in the table.
const WIDTH: usize = 40;

/// A folder that is watched.
struct Watch<'a> {
    args: &'a Args,
    folder: &'a Path,
    /// The same as some systems name it.
    real: PathBuf,
    /// Files of the watch itself, which may lie in the folder.
    own: Vec<PathBuf>,
    detector: Detector,
    journal: Journal,
    outputs: Outputs,
    arrivals: Arrivals,
    /// Files that are no images, as they were seen.
    others: HashSet<(PathBuf, Stamp)>,
    /// Files that take long, which was said.
    slow: HashSet<PathBuf>,
    /// What was said of how files are read.
    noted: HashSet<String>,
    bars: Bars,
    scored: usize,
    anomalous: usize,
    damaged: usize,
}

pub fn run(args: &Args, folder: &Path, results: &Path, quiet: bool) -> Outcome {
    if !folder.is_dir() {
        let reason =
            if folder.exists() { "a folder is needed, this is a file" } else { "there is no such folder" };
        return Err(Error::Dataset { path: folder.to_owned(), reason: reason.into() }.into());
    }
    check_output_file(results)?;
    let mut outputs = args.outputs.open(&[folder.to_owned()], true)?;
    if outputs
        .regions()
        .is_some_and(|file| std::path::absolute(file).ok() == std::path::absolute(results).ok())
    {
        return Err(Failure::Usage("--regions and --results name one file; give each its own".into()));
    }
    // Before the folder is listed, so that nothing falls in between.
    let (sender, news) = channel();
    let mut watcher = notify::recommended_watcher(move |event| {
        // The other side is gone at the end.
        let _ = sender.send(event);
    })
    .map_err(|e| cannot_watch(folder, &e))?;
    let bars = Bars::new(quiet);
    if let Err(e) = watcher.watch(folder, RecursiveMode::Recursive) {
        // Too many folders for the system, or a file system that says nothing: listing does it, too.
        bars.notice(&format!("{}; the folder is listed every second instead", cannot_watch(folder, &e)));
    }
    let detector = open_model(&args.model, &args.weights, &args.device)?;
    let model = std::fs::read(&args.model).map_err(|e| Error::io(&args.model, "reading", e))?;
    let mut journal = Journal::open(results, HEADER, &format!("{:x}", Sha256::digest(model)))?;
    outputs.begin(detector.info(), args.format() == Format::Json, &bars)?;
    catch_interrupts(quiet);
    if journal.len() > 0 {
        bars.notice(&format!("{} in {} already", count(journal.len(), "file"), results.display()));
    }
    print_header(args.format(), WIDTH)?;
    let closes = cfg!(any(target_os = "linux", target_os = "android"));
    let (others, slow, noted) = (HashSet::new(), HashSet::new(), HashSet::new());
    let (scored, anomalous, damaged) = (0, 0, 0);
    let arrivals = Arrivals::new(closes);
    let real = folder.canonicalize().map_err(|e| Error::io(folder, "reading", e))?;
    let begun = Begun::from_journal(&journal.take_begun());
    outputs.redo(&begun.files());
    // There from now on, as one of the watch's own.
    outputs.regions().map_or(Ok(()), |file| regions::go_on(file, &begun))?;
    let own = [Some(results), Some(journal.path()), outputs.regions()];
    let own = own.iter().flatten().filter_map(|p| p.canonicalize().ok()).collect();
    Watch {
        args,
        folder,
        real,
        own,
        detector,
        journal,
        outputs,
        arrivals,
        others,
        slow,
        noted,
        bars,
        scored,
        anomalous,
        damaged,
    }
    .until_stopped(&news)
}

fn cannot_watch(folder: &Path, error: &notify::Error) -> Error {
    Error::io(folder, "watching", std::io::Error::other(error.to_string()))
}

impl Watch<'_> {
    fn until_stopped(mut self, news: &Receiver<notify::Result<Event>>) -> Outcome {
        let mut next_listing = Instant::now();
        while !interrupted() {
            let mut relist = false;
            match news.recv_timeout(TICK) {
                Ok(event) => {
                    relist |= self.hear(event);
                    while let Ok(event) = news.try_recv() {
                        relist |= self.hear(event);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                // The watcher ended: the listings go on.
                Err(RecvTimeoutError::Disconnected) => std::thread::sleep(TICK),
            }
            let now = Instant::now();
            if relist || now >= next_listing {
                self.list(now)?;
                next_listing = Instant::now() + LISTING.max(now.elapsed() * 20);
            }
            for path in self.arrivals.slow(now) {
                if self.slow.insert(path.to_owned()) {
                    self.bars.notice(&format!("{}: somebody still writes it", path.display()));
                }
            }
            let ready = self.arrivals.ready(Instant::now());
            self.score(ready)?;
        }
        if self.arrivals.len() > 0 {
            let text = count(self.arrivals.len(), "file");
            self.bars.notice(&format!("{text} not scored, as nobody has closed them or they look cut short"));
        }
        self.bars.notice(&format!(
            "{} scored, {} anomalous, {} could not be read; {} other files",
            count(self.scored, "image"),
            self.anomalous,
            self.damaged,
            self.others.len()
        ));
        if self.damaged > 0 { Err(Failure::LeftOut) } else { Ok(()) }
    }

    /// Takes in what the system says; whether the folder has to be listed now.
    fn hear(&mut self, event: notify::Result<Event>) -> bool {
        let Ok(event) = event else {
            self.arrivals.forget_news();
            return true;
        };
        if event.need_rescan() {
            self.arrivals.forget_news();
            return true;
        }
        let news = match event.kind {
            EventKind::Access(AccessKind::Close(AccessMode::Write)) => News::Whole,
            EventKind::Modify(ModifyKind::Name(RenameMode::From)) | EventKind::Remove(_) => News::Gone,
            EventKind::Modify(ModifyKind::Name(RenameMode::To | RenameMode::Both)) => News::Whole,
            EventKind::Create(_) => News::Made,
            EventKind::Modify(ModifyKind::Data(_) | ModifyKind::Any) => News::Written,
            EventKind::Modify(ModifyKind::Name(_)) => return true,
            _ => return false,
        };
        let now = Instant::now();
        let mut relist = false;
        for path in &event.paths {
            if path.is_dir() {
                // What is in a new folder may have been there before anybody looked at it.
                relist = true;
            } else if let Some(path) = self.candidate(path) {
                let stamp = std::fs::metadata(&path).ok().filter(|m| m.is_file()).map(|m| Stamp::of(&m));
                if stamp.is_none_or(|stamp| !self.is_done(&path, stamp)) {
                    self.arrivals.heard(&path, news, stamp, now);
                }
            }
        }
        relist
    }

    /// A path of the system as one below the folder, where it is to be looked at.
    fn candidate(&self, path: &Path) -> Option<PathBuf> {
        let inside = path.strip_prefix(self.folder).or_else(|_| path.strip_prefix(&self.real)).ok()?;
        let path = self.folder.join(inside);
        (!is_on_its_way(inside) && !self.is_own(&path)).then_some(path)
    }

    fn is_own(&self, path: &Path) -> bool {
        let name = path.file_name();
        self.own.iter().any(|own| own.file_name() == name && path.canonicalize().is_ok_and(|p| p == *own))
    }

    fn is_done(&self, path: &Path, stamp: Stamp) -> bool {
        let inside = path.strip_prefix(self.folder).unwrap_or(path);
        self.journal.has(inside, stamp) || self.others.contains(&(path.to_owned(), stamp))
    }

    /// Looks at all that is in the folder.
    fn list(&mut self, now: Instant) -> Outcome {
        let listing = std::fs::read_dir(self.folder);
        listing.map_err(|e| Error::io(self.folder, "listing", e))?;
        let (mut seen, mut others) = (HashSet::new(), HashSet::new());
        let mut open = vec![self.folder.to_owned()];
        while let Some(folder) = open.pop() {
            // A folder in it may go at any time, and links may form a loop.
            let Ok(real) = folder.canonicalize() else { continue };
            let Ok(entries) = std::fs::read_dir(&folder) else { continue };
            if !seen.insert(real) {
                continue;
            }
            for entry in entries.flatten() {
                let path = entry.path();
                let Ok(meta) = std::fs::metadata(&path) else { continue };
                let stamp = Stamp::of(&meta);
                if meta.is_dir() {
                    open.push(path);
                    continue;
                }
                let other = (path, stamp);
                if self.others.contains(&other) {
                    others.insert(other);
                    continue;
                }
                let (path, stamp) = other;
                if meta.is_file()
                    && !is_on_its_way(&path)
                    && !self.is_own(&path)
                    && !self.is_done(&path, stamp)
                {
                    self.arrivals.seen(&path, stamp, now);
                }
            }
        }
        // Of those that are gone nobody has to know.
        self.others = others;
        self.slow.retain(|path| path.exists());
        Ok(())
    }

    /// Scores files that are whole.
    fn score(&mut self, ready: Vec<Arrived>) -> Outcome {
        let mut files = Vec::new();
        for file in ready {
            // Since it was seen, it may have become another, or have been done under another name.
            let stamp = std::fs::metadata(&file.path).ok().filter(|m| m.is_file()).map(|m| Stamp::of(&m));
            match stamp {
                Some(stamp) if self.is_done(&file.path, stamp) => {}
                Some(stamp) if stamp != file.stamp => self.arrivals.seen(&file.path, stamp, Instant::now()),
                Some(stamp) if why_left_out(self.folder, &file.path).is_some() => {
                    self.others.insert((file.path, stamp));
                }
                Some(_) => files.push(file),
                None => {}
            }
        }
        for some in files.chunks(self.detector.info().options.batch as usize) {
            if interrupted() {
                break;
            }
            self.score_some(some)?;
        }
        Ok(())
    }

    fn score_some(&mut self, some: &[Arrived]) -> Outcome {
        let format = self.args.format();
        let paths: Vec<PathBuf> = some.iter().map(|file| file.path.clone()).collect();
        let targets: Vec<_> = paths.iter().map(|path| self.outputs.place(path)).collect();
        self.begin(&paths, &targets)?;
        let files = Files::new(paths, &self.detector, self.outputs.draws(), OnError::Skip)?;
        let mut outcomes = Vec::new();
        // No bar a batch: lines come as images do. And what is begun is finished.
        let silent = Bars::of_short_job();
        let scoring =
            Scoring { detector: &self.detector, files: &files, outputs: &self.outputs, targets: &targets };
        scoring.run(format, &silent, |scored| {
            outcomes.push(scored);
            Ok(())
        })?;
        for note in files.notes() {
            // Of each sort the first.
            let sort = note.rsplit(": ").next().unwrap_or_default().to_owned();
            if self.noted.insert(sort) {
                self.bars.notice(&note);
            }
        }
        self.outputs.forget();
        let (mut done, mut shown, mut written) = (Vec::new(), Vec::new(), Vec::new());
        for ((file, scored), targets) in some.iter().zip(outcomes).zip(&targets) {
            let now = std::fs::metadata(&file.path).ok().map(|m| Stamp::of(&m));
            if let Some(stamp) = now.filter(|now| *now != file.stamp) {
                // Somebody wrote to it while it was read.
                self.arrivals.seen(&file.path, stamp, Instant::now());
                continue;
            }
            let line = match &scored {
                Scored::Row(row, _) => row.csv_of_watch(),
                // Gone before it was read.
                Scored::Damaged(..) if now.is_none() => continue,
                Scored::Damaged(..) if !file.last_chance => {
                    self.arrivals.put_back(file.clone());
                    continue;
                }
                Scored::Damaged(damaged, _) => damaged.csv_of_watch(),
            };
            if matches!(scored, Scored::Row(..)) {
                written.extend(targets.all());
            }
            done.push(Done { path: self.inside(&file.path), stamp: file.stamp, line });
            shown.push(scored);
        }
        softpatch::files::keep(written)?;
        if let Some(to) = self.outputs.regions() {
            let rows = shown.iter().filter_map(|scored| match scored {
                Scored::Row(row, _) => Some((row.path.as_str(), row.regions.as_deref().unwrap_or_default())),
                Scored::Damaged(..) => None,
            });
            regions::append(to, &rows.collect::<Vec<_>>())?;
        }
        self.journal.add(&done)?;
        shown.into_iter().try_for_each(|scored| self.show(scored, format))
    }

    /// A path below the folder.
    fn inside(&self, path: &Path) -> PathBuf {
        path.strip_prefix(self.folder).unwrap_or(path).to_owned()
    }

    /// Says in the journal which files images are going to have.
    fn begin(&mut self, paths: &[PathBuf], targets: &[Targets]) -> Outcome {
        let regions = self.outputs.regions().map(|file| (file, regions::length(file)));
        let of = paths.iter().zip(targets).filter_map(|(path, targets)| {
            let files = targets.all();
            let beside = regions.is_some() || !files.is_empty();
            let shown = path.display().to_string();
            beside.then(|| said((text_of(&self.inside(path)), &shown, &files, regions)))
        });
        let of: Vec<_> = of.collect();
        if of.is_empty() { Ok(()) } else { Ok(self.journal.begin(&of)?) }
    }

    fn show(&mut self, scored: Scored, format: Format) -> Outcome {
        match scored {
            Scored::Row(row, _) => {
                self.scored += 1;
                self.anomalous += usize::from(row.anomalous == Some(true));
                match format {
                    Format::Table => print(&row.line(WIDTH)),
                    Format::Csv => print(&row.csv()),
                    Format::Json => print(&json_line(&row)),
                }
            }
            Scored::Damaged(damaged, error) => {
                self.damaged += 1;
                print_error(&error);
                if format == Format::Json { print(&json_line::<Damaged>(&damaged)) } else { Ok(()) }
            }
        }
    }
}

fn json_line<T: serde::Serialize>(value: &T) -> String {
    plain_json(&serde_json::to_string(value).unwrap_or_default()) + "\n"
}
