//! Programs that are killed: by `kill -9` at random moments, and at each step that changes a file.
//!
//! `SOFTPATCH_KILLS=100 cargo test -p softpatch-cli --test program -- --ignored --nocapture kills` kills as
//! many times over all jobs; tools/kill.sh does it.

use super::*;
use softpatch::detector::Model;
use std::time::{Duration, Instant, SystemTime};

/// When a program is killed.
#[derive(Clone, Copy, Debug)]
pub enum When {
    /// At the n-th step that changes a file whose path has this text.
    Step(&'static str, u64),
    /// After so long.
    After(Duration),
}

/// Numbers from a seed.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// Below `most`.
    pub fn roll(&mut self, most: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % most.max(1)
    }
}

/// Runs the program until it is killed; whether it was, before it ended.
fn kill(args: &[String], when: When) -> bool {
    let nth;
    let faulty = match when {
        When::Step(path, n) => {
            nth = n.to_string();
            vec![("FAULT_KILL", path), ("FAULT_NTH", &*nth)]
        }
        When::After(_) => Vec::new(),
    };
    let mut child = program(&faulty).args(args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    if let When::After(wait) = when {
        std::thread::sleep(wait);
        let _ = child.kill();
    }
    let status = child.wait().unwrap();
    assert!(status.code().is_none_or(|code| code == 0), "{args:?}, {when:?}: {status}");
    status.code().is_none()
}

/// Makes what killed programs left as old as it has to be for the next one to remove it.
pub fn age(folder: &Path) -> usize {
    let mut count = 0;
    for name in names(&snapshot(folder)).into_iter().filter(|name| name.ends_with(".part")) {
        let file = std::fs::OpenOptions::new().write(true).open(folder.join(name)).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(300)).unwrap();
        count += 1;
    }
    count
}

/// A job that is killed and done again: its arguments for an output folder, and which of its files have to be
/// the same afterwards.
struct Job {
    name: &'static str,
    args: Vec<String>,
    out: PathBuf,
    compared: fn(&str) -> bool,
    /// Whether a file that the killed program left is not half written.
    whole: fn(&Path) -> bool,
    takes: Duration,
    reference: BTreeMap<String, Vec<u8>>,
}

impl Job {
    /// Does it once as a whole.
    fn new(
        name: &'static str,
        out: PathBuf,
        args: &[&str],
        compared: fn(&str) -> bool,
        whole: fn(&Path) -> bool,
    ) -> Self {
        let args: Vec<String> = args.iter().map(|a| (*a).to_owned()).collect();
        std::fs::create_dir_all(&out).unwrap();
        let began = Instant::now();
        succeeds(args.iter().map(String::as_str));
        let takes = began.elapsed();
        let mut reference = snapshot(&out);
        reference.retain(|name, _| compared(name));
        assert!(!reference.is_empty());
        Self { name, args, out, compared, whole, takes, reference }
    }

    fn moment(&self, dice: &mut Dice) -> When {
        When::After(self.takes.mul_f64(dice.roll(1000) as f64 / 950.0))
    }

    /// Kills it, looks at what it left, and does it again; whether it was killed in time.
    fn kill(&self, when: When) -> bool {
        std::fs::remove_dir_all(&self.out).unwrap();
        std::fs::create_dir_all(&self.out).unwrap();
        let killed = kill(&self.args, when);
        for (name, bytes) in snapshot(&self.out) {
            let half = name.ends_with(".part");
            let path = self.out.join(&name);
            assert!(half || (self.whole)(&path), "{}, {when:?}: {name} is half written", self.name);
            if let Some(want) = self.reference.get(&name) {
                assert!(half || *want == bytes, "{}, {when:?}: {name} is another", self.name);
            }
        }
        age(&self.out);
        succeeds(self.args.iter().map(String::as_str));
        let mut now = snapshot(&self.out);
        assert!(!now.keys().any(|name| name.ends_with(".part")), "{}: {:?}", self.name, names(&now));
        now.retain(|name, _| (self.compared)(name));
        assert_eq!(names(&now), names(&self.reference), "{}, {when:?}", self.name);
        for (name, bytes) in now {
            assert!(self.reference[&name] == bytes, "{}, {when:?}: {name} is another in the end", self.name);
        }
        killed
    }
}

fn is_whole_model(path: &Path) -> bool {
    Model::load(path).is_ok()
}

fn is_compared_of_bench(name: &str) -> bool {
    // Cells have the seconds that they took.
    !name.starts_with("cells/") || name.ends_with(".png")
}

fn is_whole_of_bench(path: &Path) -> bool {
    let parses = || serde_json::from_slice::<serde_json::Value>(&std::fs::read(path).unwrap()).is_ok();
    path.extension().is_none_or(|end| end != "json") || parses()
}

fn fit(folder: &Path) -> Job {
    let (set, out) = (Bench::get().set(), folder.join("fit"));
    let model = out.join("model.safetensors");
    let args: Vec<&str> = ["fit", arg(&set), "-o", arg(&model)].into_iter().chain(TINY).collect();
    Job::new("fit", out.clone(), &args, |_| true, is_whole_model)
}

fn score(folder: &Path) -> Job {
    let (model, test, out) = (Bench::get().model(), Bench::get().test(), folder.join("score"));
    let [h, m, k, r, p] = ["h", "m", "k", "r.csv", "r.html"].map(|name| out.join(name).display().to_string());
    let args = ["score", arg(&model), arg(&test), "--json", "--heatmaps", &h, "--maps", &m];
    let more = ["--masks", &k, "--regions", &r, "--report", &p];
    Job::new("score", out.clone(), &[&args[..], &more].concat(), |_| true, |_| true)
}

fn bench(folder: &Path) -> Job {
    let (set, out) = (Bench::get().set(), folder.join("bench"));
    let args = [
        "bench",
        arg(&set),
        "-o",
        arg(&out),
        "--methods",
        "none,softpatch-lof,softpatch-lof-hard",
        "--noise",
        "0",
    ];
    let args: Vec<&str> = args.into_iter().chain(TINY).collect();
    Job::new("bench", out.clone(), &args, is_compared_of_bench, is_whole_of_bench)
}

/// What an edit leaves, but for the second at which it was made.
fn without_time(model: &Path) -> String {
    let mut info = Model::load(model).unwrap().info;
    info.history.iter_mut().for_each(|edit| edit.seconds = 0);
    format!("{info:?}")
}

/// An edit of a model in its own file: it is the one before or the one after.
struct Editing {
    args: Vec<String>,
    from: PathBuf,
    model: PathBuf,
    after: String,
    takes: Duration,
}

impl Editing {
    fn all(folder: &Path) -> Vec<Self> {
        let made = Bench::get();
        let (set, crack) = (made.set(), made.test().join("crack/000.png"));
        let good = made.test().join("good/000.png");
        let out = folder.join("edit");
        std::fs::create_dir_all(&out).unwrap();
        let model = out.join("m.safetensors");
        let m = arg(&model);
        let edits: [(PathBuf, Vec<&str>); 6] = [
            (made.model(), vec!["model", m, "remove-image", "002.png"]),
            (made.model(), vec!["model", m, "allow", arg(&crack), "--region", "0,0,40,40"]),
            (made.model(), vec!["model", m, "deny", arg(&good), "--at-most", "0.9"]),
            (made.edited(), vec!["model", m, "undo"]),
            (made.edited(), vec!["model", m, "keep-references", arg(&set)]),
            (made.model(), vec!["calibrate", m, arg(&set)]),
        ];
        let edits = edits.into_iter().map(|(from, args)| {
            std::fs::copy(&from, &model).unwrap();
            let began = Instant::now();
            succeeds(args.iter().copied());
            let (after, takes) = (without_time(&model), began.elapsed());
            Self {
                args: args.into_iter().map(str::to_owned).collect(),
                from,
                model: model.clone(),
                after,
                takes,
            }
        });
        edits.collect()
    }

    fn kill(&self, when: When) -> bool {
        std::fs::copy(&self.from, &self.model).unwrap();
        let before = without_time(&self.model);
        let killed = kill(&self.args, when);
        let left = without_time(&self.model);
        assert!(
            left == before || left == self.after,
            "{:?}, {when:?}: neither the old nor the new",
            self.args
        );
        let folder = self.model.parent().unwrap();
        age(folder);
        if left == before {
            succeeds(self.args.iter().map(String::as_str));
            assert_eq!(names(&snapshot(folder)), ["m.safetensors"]);
        }
        assert!(without_time(&self.model) == self.after, "{:?}, {when:?}", self.args);
        killed
    }
}

#[test]
fn a_killed_program_spoils_nothing_and_its_work_is_done_again() {
    let _turn = turn();
    if faults().is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut dice = Dice::new(1);
    // In the middle of the model, and before the disk has it; at any time.
    let fit = fit(folder.path());
    assert!(fit.kill(When::Step("/fit/", 3)) && fit.kill(When::Step("/fit/", 4)));
    fit.kill(fit.moment(&mut dice));
    let score = score(folder.path());
    assert!(score.kill(When::Step("/score/", 2 + dice.roll(30))));
    for edit in Editing::all(folder.path()).iter().take(2) {
        assert!(edit.kill(When::Step("/edit/", 3)), "{:?}", edit.args);
    }
}

#[test]
fn a_bench_that_is_killed_goes_on_without_extracting_features_again() {
    let _turn = turn();
    if faults().is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let bench = bench(folder.path());
    let args = || bench.args.iter().map(String::as_str);
    for (spilled, memory) in [(false, "1GB"), (true, "1500kB")] {
        let with = |more: &[&str]| {
            args()
                .chain(["--memory", memory])
                .chain(more.iter().copied())
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        std::fs::remove_dir_all(&bench.out).unwrap();
        // In the middle of a picture of the second cell: the features are whole.
        assert!(kill(&with(&[]), When::Step("/bench/cells/", 8)));
        let left = snapshot(&bench.out);
        let kept = |all: &BTreeMap<String, Vec<u8>>| {
            names(all).iter().filter(|n| n.starts_with("features/")).count()
        };
        assert_eq!(kept(&left), 2, "{:?}", names(&left));
        // Half of them, damaged ones, and those of a picture that was changed since are made again.
        let data = left.keys().find(|name| name.ends_with(".f32")).unwrap();
        let mut damaged = left[data].clone();
        damaged[100] ^= 4;
        let cut = &damaged[..damaged.len() / 2];
        for damaged in [&damaged[..], cut].into_iter().take(if spilled { 0 } else { 2 }) {
            std::fs::write(bench.out.join(data), damaged).unwrap();
            assert!(kill(&with(&[]), When::Step("/bench/cells/", 2)));
            assert!(snapshot(&bench.out)[data] == left[data], "they were not made again");
        }
        let output = succeeds(with(&[]).iter().map(String::as_str));
        let said = text(&output.stdout);
        assert!(said.contains("features of 0 images"), "{spilled}: {said}");
        assert!(text(&output.stderr).contains("are there and are taken"), "{}", text(&output.stderr));
        let mut now = snapshot(&bench.out);
        assert_eq!(kept(&now), 0, "{:?}", names(&now));
        now.retain(|name, _| (bench.compared)(name));
        for (name, bytes) in now.iter().filter(|(name, _)| !name.ends_with(".part")) {
            assert!(bench.reference.get(name) == Some(bytes), "{spilled}: {name} is another");
        }
        // None are kept where that is not wanted.
        std::fs::remove_dir_all(&bench.out).unwrap();
        if !spilled {
            assert!(kill(&with(&["--no-keep-features"]), When::Step("/bench/cells/", 8)));
            assert_eq!(kept(&snapshot(&bench.out)), 0);
        }
    }
}

#[test]
#[ignore = "takes minutes: tools/kill.sh"]
fn kills_at_random() {
    let _turn = turn();
    if faults().is_none() {
        return;
    }
    let setting =
        |name: &str, otherwise| std::env::var(name).ok().and_then(|n| n.parse().ok()).unwrap_or(otherwise);
    let (kills, seed): (u64, u64) = (setting("SOFTPATCH_KILLS", 100), setting("SOFTPATCH_KILL_SEED", 1));
    let folder = tempfile::tempdir().unwrap();
    let jobs = [fit(folder.path()), score(folder.path()), bench(folder.path())];
    let edits = Editing::all(folder.path());
    let mut watching = watch::Watched::new(&folder.path().join("watch"));
    let mut dice = Dice::new(seed);
    let mut tally: BTreeMap<String, [u64; 2]> = BTreeMap::new();
    // One in two at a moment, one in two at a step of its files, some of which never come.
    let mut total = 0;
    while total < kills {
        let at_step = dice.roll(2) == 0;
        let (name, killed) = match dice.roll(5) {
            which @ 0..=2 => {
                let job = &jobs[which as usize];
                let step = |most| When::Step(["/fit/", "/score/", "/bench/"][which as usize], 1 + most);
                let most = [6, 120, 90][which as usize];
                let when = if at_step { step(dice.roll(most)) } else { job.moment(&mut dice) };
                (job.name.to_owned(), job.kill(when))
            }
            3 => {
                let edit = &edits[dice.roll(edits.len() as u64) as usize];
                let moment = When::After(edit.takes.mul_f64(dice.roll(1000) as f64 / 950.0));
                let when = if at_step { When::Step("/edit/", 1 + dice.roll(6)) } else { moment };
                (
                    edit.args
                        .iter()
                        .filter(|a| !a.starts_with('/'))
                        .take(2)
                        .cloned()
                        .collect::<Vec<_>>()
                        .join(" "),
                    edit.kill(when),
                )
            }
            _ => ("score --watch".to_owned(), watching.kill(&mut dice, at_step)),
        };
        let of = tally.entry(name.clone()).or_default();
        *of = [of[0] + u64::from(killed), of[1] + u64::from(!killed)];
        total += u64::from(killed);
        println!("{total}/{kills} {name}: {}", if killed { "killed" } else { "was done before" });
    }
    println!("seed {seed}; killed, and done before it came to that:");
    tally.iter().for_each(|(name, [killed, done])| println!("  {name:<24} {killed:>4} {done:>4}"));
}
