//! The program as a user runs it: bad input, odd input, output formats, exit statuses.

mod adapter;
mod audit;
mod bad;
mod calibrate;
mod data;
mod fit;
mod layouts;
mod log;
mod lost;
mod model;
#[cfg(unix)]
mod page;
mod plan;
mod region;
mod score;
mod sets;
mod usage;
#[cfg(unix)]
mod watch;

use crate::common::turn;
use softpatch::data::OwnedImage;
use softpatch::data::synth::{Defect, Material, SynthOptions, generate, render};
use softpatch::detector::Model;
use softpatch::report::write_png;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

/// Settings that make a fit of a few images quick.
const TINY: [&str; 4] = ["--size", "64", "--batch", "4"];

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_softpatch"));
    command
        .env_remove("SOFTPATCH_LOG")
        .env_remove("SOFTPATCH_DISABLE")
        // What passed its self-test in one of the tests need not be tried in the others.
        .env("SOFTPATCH_CACHE", concat!(env!("CARGO_TARGET_TMPDIR"), "/cache"))
        .stdin(Stdio::null());
    command
}

fn run<S: AsRef<std::ffi::OsStr>>(args: impl IntoIterator<Item = S>) -> Output {
    program().args(args).output().expect("the program starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("output is UTF-8")
}

#[track_caller]
fn succeeds(output: &Output) -> (String, String) {
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{:?}\n{out}\n{err}", output.status);
    assert!(!err.contains("panicked"), "{err}");
    assert!(!out.contains('\u{1b}') && !err.contains('\u{1b}'), "escape codes in a pipe: {out}\n{err}");
    (out, err)
}

/// The program ends with `code` and one `error:` that holds all of `needles`, without a trace of a panic.
#[track_caller]
fn fails(output: &Output, code: i32, needles: &[&str]) {
    let err = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{err}");
    assert!(err.starts_with("error: ") || err.contains("\nerror: "), "{err}");
    assert!(!err.contains("panicked") && !err.contains("RUST_BACKTRACE"), "{err}");
    for needle in needles {
        assert!(err.contains(needle), "no `{needle}` in: {err}");
    }
}

/// Everything below a folder, by relative path.
fn listing(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(dir) = open.pop() {
        for entry in std::fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                found.push(path.strip_prefix(folder).unwrap().to_string_lossy().into_owned());
            }
        }
    }
    found.sort();
    found
}

fn part(defect: Option<Defect>, seed: u64) -> OwnedImage {
    render(Material::Metal, defect, seed, 80).unwrap().0
}

/// `count` good parts in `folder`.
fn fill(folder: &Path, count: u64) {
    std::fs::create_dir_all(folder).unwrap();
    for i in 0..count {
        write_png(&folder.join(format!("{i:03}.png")), &part(None, i)).unwrap();
    }
}

fn fit(folder: &Path, output: &Path, more: &[&str]) -> Output {
    let fixed = ["fit".as_ref(), folder.as_os_str(), "-o".as_ref(), output.as_os_str()];
    run(fixed.into_iter().chain(TINY.iter().chain(more).map(AsRef::as_ref)))
}

struct Fitted {
    folder: tempfile::TempDir,
    summary: String,
}

impl Fitted {
    fn model(&self) -> PathBuf {
        self.folder.path().join("part.safetensors")
    }
}

/// A model of ten images, made once; hold the lock of [`turn`].
fn fitted() -> &'static Fitted {
    static MODEL: OnceLock<Fitted> = OnceLock::new();
    MODEL.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        fill(&folder.path().join("good"), 10);
        let output = fit(&folder.path().join("good"), &folder.path().join("part.safetensors"), &[]);
        let (summary, _) = succeeds(&output);
        Fitted { folder, summary }
    })
}

fn arg(path: &Path) -> &str {
    path.to_str().unwrap()
}
