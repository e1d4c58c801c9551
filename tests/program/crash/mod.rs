//! Disks that fail and programs that are killed: nothing half-written is taken for whole, nothing that was
//! done is lost, and a job that is done again comes to the same end.
//!
//! `tests/c/faults.c` stands between the program and its files. Where there is no C compiler the tests are
//! skipped with a line.

mod disk;
mod interrupted;
mod kill;
mod watch;

use crate::common::turn;
use crate::root;
use softpatch::data::OwnedImage;
use softpatch::data::synth::{Defect, Material, SynthOptions, generate, render};
use softpatch::report::write_png;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

/// Settings that make a fit of a few images quick.
const TINY: [&str; 6] = ["--size", "64", "--batch", "4", "--coreset-ratio", "0.05"];

/// The library that makes a disk fail; `None`, with a line, where it cannot be built.
fn faults() -> Option<&'static Path> {
    static BUILT: OnceLock<Option<PathBuf>> = OnceLock::new();
    BUILT
        .get_or_init(|| {
            let library = Path::new(env!("CARGO_TARGET_TMPDIR")).join("faults.so");
            let mut cc = Command::new("cc");
            cc.args(["-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]);
            let built = cc.arg(root().join("tests/c/faults.c")).arg("-o").arg(&library).output();
            match built {
                Err(_) => {
                    println!("skipped: there is no cc");
                    None
                }
                Ok(built) => {
                    assert!(built.status.success(), "{}", text(&built.stderr));
                    Some(library)
                }
            }
        })
        .as_deref()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn arg(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// The program, with `faults` of its disk.
fn program(faulty: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_softpatch"));
    command
        .env_remove("SOFTPATCH_LOG")
        .env_remove("SOFTPATCH_DISABLE")
        .env("SOFTPATCH_CACHE", concat!(env!("CARGO_TARGET_TMPDIR"), "/cache"))
        .stdin(Stdio::null());
    if let Some(library) = faults().filter(|_| !faulty.is_empty()) {
        command.env("LD_PRELOAD", library).envs(faulty.iter().copied());
    }
    command
}

fn run<'a>(args: impl IntoIterator<Item = &'a str>, faulty: &[(&str, &str)]) -> Output {
    program(faulty).args(args).output().expect("the program starts")
}

#[track_caller]
fn succeeds<'a>(args: impl IntoIterator<Item = &'a str>) -> Output {
    let output = run(args, &[]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    output
}

/// The program ended with `code`, one error that holds the `needles`, and no panic.
#[track_caller]
fn fails(output: &Output, code: i32, needles: &[&str]) {
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(said.contains("error: ") && !said.contains("panicked"), "{said}");
    for needle in needles {
        assert!(said.contains(needle), "no `{needle}` in: {said}");
    }
}

/// Everything below a folder, by relative path.
fn snapshot(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut all = BTreeMap::new();
    let mut open = vec![folder.to_owned()];
    while let Some(dir) = open.pop() {
        for entry in std::fs::read_dir(&dir).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                open.push(path);
            } else {
                let name = path.strip_prefix(folder).unwrap().to_string_lossy().into_owned();
                all.insert(name, std::fs::read(path).unwrap());
            }
        }
    }
    all
}

/// Names of a snapshot.
fn names(all: &BTreeMap<String, Vec<u8>>) -> Vec<&str> {
    all.keys().map(String::as_str).collect()
}

fn part(defect: Option<Defect>, seed: u64) -> OwnedImage {
    render(Material::Metal, defect, seed, 80).unwrap().0
}

/// A painted set with a model of it, made once; hold the lock of [`turn`].
struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    fn get() -> &'static Self {
        static MADE: OnceLock<Bench> = OnceLock::new();
        MADE.get_or_init(|| {
            let folder = tempfile::tempdir().unwrap();
            let options = SynthOptions {
                materials: vec![Material::Metal],
                train: 12,
                test_good: 4,
                test_per_defect: 1,
                size: 80,
                seed: 3,
                contamination: 0.0,
            };
            generate(&folder.path().join("set"), &options, &|_, _| {}).unwrap();
            let made = Self { folder };
            let (set, model) = (made.set(), made.model());
            succeeds(["fit", arg(&set), "-o", arg(&model)].into_iter().chain(TINY));
            succeeds(["model", arg(&model), "remove-image", "001.png", "-o", arg(&made.edited())]);
            made
        })
    }

    fn set(&self) -> PathBuf {
        self.folder.path().join("set/metal")
    }

    fn test(&self) -> PathBuf {
        self.set().join("test")
    }

    fn model(&self) -> PathBuf {
        self.folder.path().join("m.safetensors")
    }

    /// The same after an edit.
    fn edited(&self) -> PathBuf {
        self.folder.path().join("edited.safetensors")
    }
}

/// A folder with a copy of the model.
fn desk() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("m.safetensors");
    std::fs::copy(Bench::get().model(), &model).unwrap();
    (folder, model)
}
