//! `softpatch score --watch`: files that arrive, each once and as a whole, over restarts.

use super::*;
use std::fs::File;
use std::io::Write;
use std::process::Child;
use std::time::{Duration, Instant};

/// Longer than any of this takes, on a machine that does other work, too.
const LONG: Duration = Duration::from_secs(60);

struct Watching {
    child: Child,
    results: PathBuf,
}

impl Watching {
    fn start(folder: &Path, results: &Path) -> Self {
        Self::start_with(folder, results, &["--quiet"])
    }

    fn start_with(folder: &Path, results: &Path, more: &[&str]) -> Self {
        let child = program()
            .args(["score", arg(&fitted().model()), "--watch", arg(folder), "--results", arg(results)])
            .args(more)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Self { child, results: results.to_owned() }
    }

    fn lines(&self) -> Vec<String> {
        let text = std::fs::read_to_string(&self.results).unwrap_or_default();
        // The line that is being written has no end yet.
        let whole = &text[..text.rfind('\n').map_or(0, |at| at + 1)];
        whole.lines().skip(1).map(str::to_owned).collect()
    }

    /// The results, once there are `count` of them.
    #[track_caller]
    fn wait(&mut self, count: usize) -> Vec<String> {
        let started = Instant::now();
        while self.lines().len() < count {
            assert!(self.child.try_wait().unwrap().is_none(), "it ended");
            assert!(started.elapsed() < LONG, "{count} lines: {:?}", self.lines());
            std::thread::sleep(Duration::from_millis(20));
        }
        self.lines()
    }

    /// Ends it as ctrl-c does; its exit status and what it said.
    fn stop(mut self) -> (Option<i32>, String) {
        let done = Command::new("kill").args(["-INT", &self.child.id().to_string()]).status().unwrap();
        assert!(done.success());
        let mut err = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
        (self.child.wait().unwrap().code(), err)
    }
}

/// The names in the first column.
fn names(lines: &[String], folder: &Path) -> Vec<String> {
    let start = format!("{}/", folder.display());
    let name = |line: &String| line.split(',').next().unwrap().trim_start_matches(&start).to_owned();
    let mut names: Vec<String> = lines.iter().map(name).collect();
    names.sort();
    names
}

#[test]
fn what_arrives_is_scored_once_and_as_a_whole() {
    let _turn = turn();
    let dir = tempfile::tempdir().unwrap();
    let (folder, results) = (dir.path().join("in"), dir.path().join("r.csv"));
    fill(&folder, 1);
    let picture = |seed| softpatch::report::png_bytes(&part(None, seed)).unwrap();
    let mut watching = Watching::start(&folder, &results);
    watching.wait(1);

    // Written in two pieces, for longer than files take to settle where nobody says that they are closed.
    let bytes = picture(50);
    let mut slow = File::create(folder.join("slow.png")).unwrap();
    slow.write_all(&bytes[..bytes.len() / 2]).unwrap();
    // Renamed into place; in a new folder; no image; on its way under another name; cut short.
    std::fs::write(folder.join("a.png.part"), picture(51)).unwrap();
    std::fs::rename(folder.join("a.png.part"), folder.join("a.png")).unwrap();
    std::fs::create_dir(folder.join("sub")).unwrap();
    std::fs::write(folder.join("sub/b.jfif"), picture(52)).unwrap();
    std::fs::write(folder.join("notes.txt"), "no picture").unwrap();
    std::fs::write(folder.join("c.png.part"), picture(53)).unwrap();
    std::fs::write(folder.join("d.png"), &bytes[..bytes.len() / 2]).unwrap();
    let lines = watching.wait(4);
    assert_eq!(names(&lines, &folder), ["000.png", "a.png", "d.png", "sub/b.jfif"], "{lines:?}");
    std::thread::sleep(Duration::from_millis(2500));
    assert_eq!(watching.lines().len(), 4, "half a file was read: {:?}", watching.lines());
    slow.write_all(&bytes[bytes.len() / 2..]).unwrap();
    drop(slow);
    let lines = watching.wait(5);
    let slow = lines.iter().find(|l| l.contains("slow.png")).unwrap();
    assert!(slow.ends_with(','), "no error: {slow}");
    let cut = lines.iter().find(|l| l.contains("d.png")).unwrap();
    assert!(cut.contains(",,,,") && cut.contains("damaged or was cut off"), "{cut}");
    let (code, said) = watching.stop();
    assert_eq!(code, Some(3), "one could not be read: {said}");
    assert!(said.contains("d.png"), "{said}");

    // Another name is no other file; another content is; what came while nobody watched comes first.
    std::fs::rename(folder.join("a.png"), folder.join("renamed.png")).unwrap();
    std::fs::write(folder.join("000.png"), picture(54)).unwrap();
    std::fs::write(folder.join("e.png"), picture(55)).unwrap();
    // Stopped between the results and the journal: the line is made again.
    std::fs::OpenOptions::new().append(true).open(&results).unwrap().write_all(b"torn,1").unwrap();
    let mut watching = Watching::start(&folder, &results);
    watching.wait(7);
    std::fs::write(folder.join("f.png"), picture(56)).unwrap();
    let lines = watching.wait(8);
    assert_eq!(
        names(&lines, &folder),
        ["000.png", "000.png", "a.png", "d.png", "e.png", "f.png", "slow.png", "sub/b.jfif"]
    );
    let (code, said) = watching.stop();
    assert_eq!((code, said.as_str()), (Some(0), ""));
}

#[test]
fn a_watch_does_not_look_at_its_own_files() {
    let _turn = turn();
    let dir = tempfile::tempdir().unwrap();
    let (folder, results, maps) =
        (dir.path().join("in"), dir.path().join("in/r.csv"), dir.path().join("maps"));
    let (masks, values, regions) =
        (dir.path().join("masks"), dir.path().join("values"), folder.join("regions.csv"));
    fill(&folder, 1);
    for count in [1, 2] {
        std::fs::write(
            folder.join("000.png"),
            softpatch::report::png_bytes(&part(None, 60 + count as u64)).unwrap(),
        )
        .unwrap();
        let more = [
            "--heatmaps",
            arg(&maps),
            "--masks",
            arg(&masks),
            "--maps",
            arg(&values),
            "--regions",
            arg(&regions),
        ];
        let mut watching = Watching::start_with(&folder, &results, &more);
        watching.wait(count);
        // For longer than files take to settle.
        std::thread::sleep(Duration::from_millis(2500));
        let (code, said) = watching.stop();
        assert!(code == Some(0) && said.contains("; 0 other files"), "{said}");
    }
    // The second content under one name has a heatmap of its own.
    assert_eq!(
        softpatch::data::list_images(&maps).unwrap().images,
        [maps.join("000-2.png"), maps.join("000.png")]
    );
    assert_eq!(listing(&masks), ["000-2.png", "000.png"]);
    assert_eq!(listing(&values), ["000-2.npy", "000.npy"]);
    let text = std::fs::read_to_string(&regions).unwrap();
    assert_eq!(text.lines().filter(|line| line.starts_with("path,")).count(), 1, "{text}");
}

#[test]
fn a_watch_says_what_it_needs() {
    let _turn = turn();
    let dir = tempfile::tempdir().unwrap();
    let (folder, results) = (dir.path().join("in"), dir.path().join("r.csv"));
    let model = fitted().model();
    let watch = |more: &[&str]| run(["score", arg(&model), "--watch", arg(&folder)].iter().chain(more));
    fails(&watch(&[]), 2, &["--results"]);
    fails(&watch(&["--results", arg(&results)]), 1, &["there is no such folder"]);
    std::fs::create_dir(&folder).unwrap();
    fails(&watch(&["--results", arg(&results), arg(&folder)]), 2, &["cannot be used with"]);
    fails(&watch(&["--results", arg(&dir.path().join("no/r.csv"))]), 1, &["there is no folder"]);
    fails(&watch(&["--results", arg(&results), "--strict"]), 2, &["cannot be used with"]);
    let both = ["--results", arg(&results), "--regions", arg(&results)];
    fails(&watch(&both), 2, &["give each its own"]);
    fails(&run(["score", arg(&model), arg(&folder), "--results", arg(&results)]), 2, &["--watch"]);
    std::fs::write(&results, "mine\n").unwrap();
    fails(&watch(&["--results", arg(&results)]), 1, &["without its journal", "move this one away"]);
    assert_eq!(std::fs::read_to_string(&results).unwrap(), "mine\n");
}

#[test]
fn what_is_linked_from_elsewhere_is_scored_while_the_watch_runs() {
    let _turn = turn();
    let dir = tempfile::tempdir().unwrap();
    let (folder, elsewhere, results) =
        (dir.path().join("in"), dir.path().join("elsewhere"), dir.path().join("r.csv"));
    fill(&folder, 1);
    std::fs::create_dir(&elsewhere).unwrap();
    let mut watching = Watching::start(&folder, &results);
    watching.wait(1);
    for (seed, name) in [(80, "hard.png"), (81, "soft.png"), (82, "moved.png"), (83, "late.png")] {
        std::fs::write(elsewhere.join(name), softpatch::report::png_bytes(&part(None, seed)).unwrap())
            .unwrap();
    }
    let late = std::fs::read(elsewhere.join("late.png")).unwrap();
    std::fs::write(elsewhere.join("late.png"), &late[..late.len() / 2]).unwrap();
    std::fs::hard_link(elsewhere.join("hard.png"), folder.join("hard.png")).unwrap();
    std::os::unix::fs::symlink(elsewhere.join("soft.png"), folder.join("soft.png")).unwrap();
    // Nothing is left that says that it was a link.
    std::fs::hard_link(elsewhere.join("moved.png"), folder.join("moved.png")).unwrap();
    std::fs::remove_file(elsewhere.join("moved.png")).unwrap();
    // Half of it is there.
    std::os::unix::fs::symlink(elsewhere.join("late.png"), folder.join("late.png")).unwrap();
    let lines = watching.wait(4);
    assert_eq!(names(&lines, &folder), ["000.png", "hard.png", "moved.png", "soft.png"], "{lines:?}");
    std::fs::write(elsewhere.join("late.png"), &late).unwrap();
    let lines = watching.wait(5);
    assert!(lines[4].contains("late.png") && lines[4].ends_with(','), "{lines:?}");
    let (code, said) = watching.stop();
    assert_eq!((code, said.as_str()), (Some(0), ""));
}

#[test]
fn a_watch_whose_results_are_taken_away_says_so_and_loses_nothing() {
    let _turn = turn();
    let dir = tempfile::tempdir().unwrap();
    let (folder, results, away) =
        (dir.path().join("in"), dir.path().join("r.csv"), dir.path().join("r.csv.1"));
    let journal = dir.path().join("r.csv.journal");
    fill(&folder, 1);
    let arrives = |name: &str, seed| write_png(&folder.join(name), &part(None, seed)).unwrap();
    for (count, replaced) in [(1, false), (2, true)] {
        let mut watching = Watching::start(&folder, &results);
        watching.wait(count);
        // The line is there before the journal knows of it.
        let (name, started) = (format!("{count}.png"), Instant::now());
        while std::fs::read_to_string(&journal).unwrap().lines().count() <= count {
            assert!(started.elapsed() < LONG);
            std::thread::sleep(Duration::from_millis(20));
        }
        std::fs::rename(&results, &away).unwrap();
        if replaced {
            std::fs::write(&results, "").unwrap();
        }
        arrives(&name, 90 + count as u64);
        let cause = if replaced { "was replaced" } else { "was removed or renamed" };
        fails(&watching.child.wait_with_output().unwrap(), 1, &["r.csv: it", cause, "Put the file back"]);
        assert!(!std::fs::read_to_string(&away).unwrap().contains(&name));
        std::fs::rename(&away, &results).unwrap();
    }
    let mut watching = Watching::start(&folder, &results);
    let lines = watching.wait(3);
    assert_eq!(names(&lines, &folder), ["000.png", "1.png", "2.png"], "{lines:?}");
    assert_eq!(watching.stop().0, Some(0));
    // Both moved away: all is scored anew.
    std::fs::rename(&results, &away).unwrap();
    std::fs::remove_file(&journal).unwrap();
    let mut watching = Watching::start(&folder, &results);
    assert_eq!(names(&watching.wait(3), &folder), ["000.png", "1.png", "2.png"]);
    assert_eq!(watching.stop().0, Some(0));
}
