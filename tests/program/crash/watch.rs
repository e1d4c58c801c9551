//! `softpatch score --watch` on a disk that fails, and killed: every image is in the results once, and so are
//! its files.

use super::kill::{Dice, age};
use super::*;
use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};

/// Longer than any of this takes, on a machine that does other work, too.
const LONG: Duration = Duration::from_secs(120);

/// Images that arrive.
const IMAGES: usize = 6;

/// A folder that is watched, again and again, and what comes of it in the end.
pub struct Watched {
    folder: PathBuf,
    out: PathBuf,
    reference: BTreeMap<String, Vec<u8>>,
}

/// What has to be the same, whenever the watch stopped: results in any order, as images come in any.
fn settled(out: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut all = snapshot(out);
    all.retain(|name, _| !name.ends_with(".journal"));
    for (name, bytes) in &mut all {
        if name.ends_with(".csv") {
            let mut lines: Vec<&[u8]> = bytes.split_inclusive(|b| *b == b'\n').collect();
            lines.sort_unstable();
            *bytes = lines.concat();
        }
    }
    all
}

impl Watched {
    /// Watches once without a fault.
    pub fn new(root: &Path) -> Self {
        let (folder, out) = (root.join("in"), root.join("out"));
        std::fs::create_dir_all(&folder).unwrap();
        let made = Bench::get();
        for (i, path) in
            softpatch::data::list_images(made.test()).unwrap().images.iter().take(IMAGES).enumerate()
        {
            std::fs::copy(path, folder.join(format!("{i}.png"))).unwrap();
        }
        let mut watched = Self { folder, out, reference: BTreeMap::new() };
        watched.begin_anew();
        watched.to_the_end();
        watched.reference = settled(&watched.out);
        let lines = watched.lines("results.csv");
        assert_eq!(lines, IMAGES, "{:?}", names(&watched.reference));
        assert_eq!(watched.reference.len(), 2 + 3 * IMAGES, "{:?}", names(&watched.reference));
        watched
    }

    fn begin_anew(&self) {
        let _ = std::fs::remove_dir_all(&self.out);
        std::fs::create_dir_all(&self.out).unwrap();
    }

    fn start(&self, faulty: &[(&str, &str)]) -> Child {
        let at = |name: &str| self.out.join(name).display().to_string();
        let model = Bench::get().model();
        program(faulty)
            .args(["score", arg(&model), "--watch", arg(&self.folder), "--results", &at("results.csv")])
            .args([
                "--heatmaps",
                &at("h"),
                "--maps",
                &at("m"),
                "--masks",
                &at("k"),
                "--regions",
                &at("regions.csv"),
            ])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    /// Whole lines of a file after its header.
    fn lines(&self, name: &str) -> usize {
        let text = std::fs::read(self.out.join(name)).unwrap_or_default();
        text.iter().filter(|b| **b == b'\n').count().saturating_sub(1)
    }

    /// Lets a watch go until all images are done.
    fn to_the_end(&self) {
        let mut child = self.start(&[]);
        let began = Instant::now();
        while self.lines("results.csv") < IMAGES || self.lines("results.csv.journal") < 2 * IMAGES {
            if let Some(status) = child.try_wait().unwrap() {
                panic!("{status}: {}", text(&child.wait_with_output().unwrap().stderr));
            }
            assert!(began.elapsed() < LONG, "{} lines", self.lines("results.csv"));
            std::thread::sleep(Duration::from_millis(20));
        }
        // Where all was done before, it may not listen yet: then the system ends it, or nothing hears it.
        let mut status = None;
        while status.is_none() {
            assert!(began.elapsed() < LONG, "ctrl-c does not end it");
            assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
            let pressed = Instant::now();
            while status.is_none() && pressed.elapsed() < Duration::from_secs(5) {
                std::thread::sleep(Duration::from_millis(10));
                status = child.try_wait().unwrap();
            }
        }
        let status = status.and_then(|status| status.code());
        let output = child.wait_with_output().unwrap();
        assert!(matches!(status, Some(0 | 130) | None), "{status:?}: {}", text(&output.stderr));
    }

    /// After a watch that ended early: what is done is in the results once, and the next one does the rest.
    #[track_caller]
    fn goes_on(&self, after: &str) {
        let results = std::fs::read_to_string(self.out.join("results.csv")).unwrap_or_default();
        let done: Vec<String> = results.lines().skip(1).map(str::to_owned).collect();
        age(&self.out);
        self.to_the_end();
        let now = settled(&self.out);
        assert_eq!(names(&now), names(&self.reference), "{after}");
        for (name, bytes) in now {
            assert!(
                self.reference[&name] == bytes,
                "{after}: {name} is another in the end: {}",
                if name.ends_with(".csv") { text(&bytes) } else { String::new() }
            );
        }
        let finished = std::fs::read_to_string(self.out.join("results.csv")).unwrap();
        // All but what the stop cut short.
        let kept =
            done.iter().take(done.len().saturating_sub(1)).filter(|line| finished.contains(line.as_str()));
        assert_eq!(kept.count(), done.len().saturating_sub(1), "{after}");
    }

    /// Kills a watch at a step of its files, or at any time.
    pub fn kill(&mut self, dice: &mut Dice, at_step: bool) -> bool {
        let nth = (1 + dice.roll(150)).to_string();
        let wait = Duration::from_millis(1000 + dice.roll(3500));
        let faulty = [("FAULT_KILL", "/out/"), ("FAULT_NTH", &*nth)];
        if at_step { self.kill_at(&faulty, LONG) } else { self.kill_at(&[], wait) }
    }

    fn kill_at(&self, faulty: &[(&str, &str)], wait: Duration) -> bool {
        self.begin_anew();
        let mut child = self.start(faulty);
        let began = Instant::now();
        let mut status: Option<ExitStatus> = None;
        let all_done = || self.lines("results.csv.journal") >= 2 * IMAGES;
        while status.is_none() && began.elapsed() < wait && (faulty.is_empty() || !all_done()) {
            std::thread::sleep(Duration::from_millis(10));
            status = child.try_wait().unwrap();
        }
        let _ = child.kill();
        let status = status.unwrap_or_else(|| child.wait().unwrap());
        assert_eq!(status.code(), None, "{faulty:?}: {status}");
        self.goes_on(&format!("{faulty:?} {wait:?}"));
        true
    }
}

#[test]
fn a_watch_that_is_killed_goes_on_as_if_nothing_had_been() {
    let _turn = turn();
    if faults().is_none() {
        return;
    }
    let root = tempfile::tempdir().unwrap();
    let watched = Watched::new(root.path());
    // In the middle of a line of the results and of the journal, between both, and in the middle of regions.
    for (path, nth) in [("/out/results.csv", 3), ("/out/results.csv", 9), ("/out/regions.csv", 5)] {
        watched.kill_at(&[("FAULT_KILL", path), ("FAULT_NTH", &nth.to_string())], LONG);
    }
}

#[test]
fn a_watch_on_a_full_disk_ends_with_an_error_and_goes_on_once_there_is_room() {
    let _turn = turn();
    if faults().is_none() {
        return;
    }
    let root = tempfile::tempdir().unwrap();
    let watched = Watched::new(root.path());
    let faults = [
        ("FAULT_FULL", "results.csv", "60", "results.csv"),
        ("FAULT_FULL", "results.csv", "1250", "results.csv"),
        ("FAULT_FULL", "results.csv.journal", "700", "results.csv.journal"),
        ("FAULT_FULL", "/out/h/", "20000", "/out/h/"),
        ("FAULT_FULL", "/out/regions.csv", "100", "regions.csv"),
        ("FAULT_FSYNC", "results.csv", "", "results.csv"),
    ];
    for (fault, path, bytes, named) in faults {
        watched.begin_anew();
        let child = watched.start(&[(fault, path), ("FAULT_BYTES", bytes)]);
        let output = child.wait_with_output().unwrap();
        let cause = if fault == "FAULT_FULL" { FULL } else { "look into the system's log" };
        fails(&output, 1, &[named, cause]);
        watched.goes_on(path);
    }
}

/// What is said of a full disk.
const FULL: &str = "free some space";
