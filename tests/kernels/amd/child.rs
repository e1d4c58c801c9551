//! Compiles in processes of their own: the family comes from the environment, and a compiler that hangs or
//! crashes takes only its process with it.
//!
//! A child writes lines `@offers JSON`, or `@none WHY` where the device does not open, then for every variant
//! `@start NUMBER` and `@done NUMBER JSON` or `@refused NUMBER WHY`; what else is on its output is the test
//! harness's.

use super::spirv::translate;
use super::table::Variant;
use super::vulkan::{Compiler, Offers, Statistics};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

/// Numbers of the variants that a child compiles, by commas.
pub const ASKED: &str = "SOFTPATCH_AMD_CHILD";
/// The test that is a child where [`ASKED`] is set.
const CHILD: &str = "amd::child";
/// A variant takes well under a second.
const LIMIT: Duration = Duration::from_secs(60);
/// Variants of a child: opening a device takes longer than most of them.
const BATCH: usize = 24;

/// What came of a variant.
#[derive(Clone, Debug)]
pub enum Outcome {
    Compiled(Statistics),
    /// naga or the driver gave an error.
    Refused(String),
    /// The compiler was still at it when its time was up.
    Late,
    /// The process ended in the middle.
    Died(String),
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Compiled(_) => f.write_str("compiled"),
            Self::Refused(why) => write!(f, "refused: {why}"),
            Self::Late => write!(f, "not compiled after {} s", LIMIT.as_secs()),
            Self::Died(how) => write!(f, "the process died: {how}"),
        }
    }
}

/// Mesa's description of RADV for the Vulkan loader.
pub fn driver() -> Option<PathBuf> {
    for folder in ["/usr/share/vulkan/icd.d", "/usr/local/share/vulkan/icd.d", "/etc/vulkan/icd.d"] {
        let mut found: Vec<PathBuf> = std::fs::read_dir(folder)
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                // Where there are drivers of several widths, this process needs its own.
                let other = if cfg!(target_pointer_width = "64") { "i686" } else { "x86_64" };
                name.starts_with("radeon") && name.ends_with(".json") && !name.contains(other)
            })
            .collect();
        found.sort();
        if let Some(path) = found.into_iter().next() {
            return Some(path);
        }
    }
    None
}

/// The child's side.
pub fn serve(all: &[Variant], asked: &str) -> Result<(), String> {
    // The harness may have begun a line.
    println!();
    let compiler = match Compiler::open() {
        Ok(compiler) => compiler,
        Err(why) => {
            say("none", &why);
            return Ok(());
        }
    };
    say("offers", &serde_json::to_string(&compiler.offers).map_err(|e| e.to_string())?);
    for number in asked.split(',').filter(|n| !n.is_empty()) {
        let at: usize = number.parse().map_err(|_| format!("{number} is no number"))?;
        say("start", number);
        let made = all[at]
            .source()
            .and_then(|source| translate(&source, all[at].shader.entry))
            .and_then(|spirv| compiler.compile(&spirv));
        match made {
            Ok(statistics) => {
                let text = serde_json::to_string(&statistics).map_err(|e| e.to_string())?;
                say("done", &format!("{number} {text}"));
            }
            Err(why) => say("refused", &format!("{number} {}", why.replace('\n', " "))),
        }
    }
    Ok(())
}

fn say(what: &str, text: &str) {
    println!("@{what} {text}");
    let _ = std::io::stdout().flush();
}

/// Opens the device of `family`; an error says why there is none.
pub fn offers(driver: &Path, family: &str) -> Result<Offers, String> {
    let mut run = Run::start(driver, family, &[])?;
    match run.next() {
        Some((what, text)) if what == "offers" => serde_json::from_str(&text).map_err(|e| e.to_string()),
        Some((what, why)) if what == "none" => Err(why),
        // Mesa ends the process where it does not know the family.
        _ => Err(run.end()),
    }
}

/// Compiles `wanted` (numbers in the child's list) for `family`, on all cores.
pub fn compile(driver: &Path, family: &str, wanted: &[usize]) -> Vec<(usize, Outcome)> {
    let batches = Mutex::new(wanted.chunks(BATCH).collect::<Vec<_>>());
    let outcomes = Mutex::new(Vec::new());
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..cores.min(wanted.len().div_ceil(BATCH)) {
            scope.spawn(|| {
                while let Some(batch) = { batches.lock().unwrap().pop() } {
                    let made = one_batch(driver, family, batch);
                    outcomes.lock().unwrap().extend(made);
                }
            });
        }
    });
    let mut outcomes = outcomes.into_inner().unwrap();
    outcomes.sort_by_key(|(number, _)| *number);
    outcomes
}

/// A variant that takes its process with it costs the others of the batch nothing: they go to the next
/// process.
fn one_batch(driver: &Path, family: &str, mut batch: &[usize]) -> Vec<(usize, Outcome)> {
    let mut outcomes = Vec::new();
    while let Some(&first) = batch.first() {
        let before = outcomes.len();
        match Run::start(driver, family, batch) {
            Ok(run) => outcomes.extend(run.outcomes()),
            Err(why) => outcomes.push((first, Outcome::Died(why))),
        }
        batch = &batch[outcomes.len() - before..];
    }
    outcomes
}

/// A child at work.
struct Run {
    asked: Vec<usize>,
    child: Child,
    lines: Receiver<String>,
    errors: std::thread::JoinHandle<String>,
    late: bool,
}

impl Run {
    fn start(driver: &Path, family: &str, numbers: &[usize]) -> Result<Self, String> {
        let asked: Vec<String> = numbers.iter().map(usize::to_string).collect();
        let exe = std::env::current_exe().map_err(|e| e.to_string())?;
        let mut child = Command::new(exe)
            .args(["--ignored", "--exact", "--nocapture", CHILD])
            .env(ASKED, asked.join(","))
            .env("RADV_FORCE_FAMILY", family)
            // Newer and older loaders.
            .env("VK_DRIVER_FILES", driver)
            .env("VK_ICD_FILENAMES", driver)
            .env("VK_LOADER_LAYERS_DISABLE", "~implicit~")
            // What was compiled earlier has no statistics.
            .env("MESA_SHADER_CACHE_DISABLE", "true")
            .env("RUST_MIN_STACK", "16777216")
            .env("RUST_BACKTRACE", "0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|e| e.to_string())?;
        let stdout = child.stdout.take().ok_or("no output")?;
        let mut stderr = child.stderr.take().ok_or("no output")?;
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            let mut stdout = BufReader::new(stdout);
            let mut line = Vec::new();
            while stdout.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
                let _ = sender.send(String::from_utf8_lossy(&line).trim_end().to_owned());
                line.clear();
            }
        });
        let errors = std::thread::spawn(move || {
            let mut text = Vec::new();
            let _ = stderr.read_to_end(&mut text);
            String::from_utf8_lossy(&text).into_owned()
        });
        Ok(Self { asked: numbers.to_vec(), child, lines, errors, late: false })
    }

    /// The next line of the protocol; none at its end, or where the time is up.
    fn next(&mut self) -> Option<(String, String)> {
        loop {
            match self.lines.recv_timeout(LIMIT) {
                Ok(line) => {
                    if let Some((what, text)) = line.strip_prefix('@').and_then(|l| l.split_once(' ')) {
                        return Some((what.to_owned(), text.to_owned()));
                    }
                }
                Err(end) => {
                    self.late = end == RecvTimeoutError::Timeout;
                    return None;
                }
            }
        }
    }

    /// Outcomes of the variants in the order in which they were asked for, up to the first that ended the
    /// process.
    fn outcomes(mut self) -> Vec<(usize, Outcome)> {
        let mut outcomes = Vec::new();
        while let Some((what, text)) = self.next() {
            let rest = text.split_once(' ').map_or("", |(_, rest)| rest);
            let outcome = match what.as_str() {
                "done" => match serde_json::from_str(rest) {
                    Ok(statistics) => Outcome::Compiled(statistics),
                    Err(e) => Outcome::Refused(e.to_string()),
                },
                "refused" => Outcome::Refused(rest.to_owned()),
                _ => continue,
            };
            outcomes.push((self.asked[outcomes.len()], outcome));
        }
        if let Some(&next) = self.asked.get(outcomes.len()) {
            let late = self.late;
            let why = self.end();
            outcomes.push((next, if late { Outcome::Late } else { Outcome::Died(why) }));
        } else {
            self.end();
        }
        outcomes
    }

    /// Ends the process, and says how it ended and what it had to say.
    fn end(mut self) -> String {
        let _ = self.child.kill();
        let status = self.child.wait().map_or_else(|e| e.to_string(), |s| s.to_string());
        let errors = self.errors.join().unwrap_or_default();
        format!("{status}: {}", errors.split_whitespace().collect::<Vec<_>>().join(" "))
    }
}
