//! What the subcommands share: failures, standard output that may be closed, progress bars, opening a model.

use indicatif::{ProgressBar, ProgressStyle};
use softpatch::detector::{Backbone, Detector, Progress, Stage};
use softpatch::low_level::gpu::{Device, DeviceOptions};
use softpatch::low_level::roofline::tune::Table;
use std::cell::RefCell;
use std::error::Error as _;
use std::ffi::OsString;
use std::io::{ErrorKind, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Why a subcommand ends early.
#[derive(Debug)]
pub enum Failure {
    /// The command line or the configuration is wrong: exit status 2.
    Usage(String),
    /// The work failed: exit status 1.
    Failed(softpatch::Error),
    /// Standard output could not be written.
    Output(std::io::Error),
    /// Standard output is a pipe that nobody reads any more.
    ReaderGone,
    /// The work failed and all is said.
    Reported,
}

/// How a subcommand ends.
pub type Outcome<T = ()> = Result<T, Failure>;

impl From<softpatch::Error> for Failure {
    fn from(error: softpatch::Error) -> Self {
        Self::Failed(error)
    }
}

impl From<std::io::Error> for Failure {
    /// Only writes to standard output are converted: all other input and output is the library's, with a path.
    fn from(error: std::io::Error) -> Self {
        if error.kind() == ErrorKind::BrokenPipe { Self::ReaderGone } else { Self::Output(error) }
    }
}

/// Writes to standard output now.
pub fn print(text: &str) -> Outcome {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}

/// A JSON document and a line end.
pub fn print_json(value: &impl serde::Serialize) -> Outcome {
    let text = serde_json::to_string_pretty(value).map_err(|e| Failure::Output(e.into()))?;
    print(&format!("{text}\n"))
}

/// `error:` with what caused it and what can be done, on standard error.
pub fn print_error(error: &softpatch::Error) {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        // Most messages hold their cause already.
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    eprintln!("error: {text}");
    if let Some(help) = remedy(error) {
        eprintln!("  help: {help}");
    }
}

/// What to do about errors that do not say so themselves.
fn remedy(error: &softpatch::Error) -> Option<&'static str> {
    match error {
        softpatch::Error::Io { source, .. } => match source.kind() {
            ErrorKind::NotFound => Some("check the path; folders for output must exist"),
            ErrorKind::PermissionDenied => Some("check who may read or write it"),
            ErrorKind::StorageFull => Some("free some space or write elsewhere"),
            ErrorKind::IsADirectory => Some("name a file, this is a folder"),
            _ => None,
        },
        softpatch::Error::Dataset { reason, .. } if reason.starts_with("there is no such folder") => {
            Some("check the path")
        }
        softpatch::Error::Device(_) => {
            Some("`softpatch devices` lists the adapters, `softpatch doctor` checks one")
        }
        _ => None,
    }
}

/// Where the work runs.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct DeviceArgs {
    /// Adapter to use: its number in `softpatch devices`, or a part of its name.
    #[arg(long, value_name = "ADAPTER")]
    pub device: Option<String>,
    /// Do without the self-test, which runs kernels that are new to this adapter, driver and version once at small shapes
    /// and stops where one is wrong.
    #[arg(long)]
    pub no_self_test: bool,
}

impl DeviceArgs {
    /// Opens it.
    pub fn open(&self) -> Outcome<Device> {
        open_device(self.device.as_deref(), self.no_self_test)
    }
}

/// Which network makes the features.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct BackboneArgs {
    /// Weights of another backbone than the built-in EfficientNet-Lite0: safetensors with the names of torchvision or timm
    /// (ResNet-18, 34, 50, 101, WideResNet-50-2), or of efficientnet_lite_pytorch or timm (EfficientNet-Lite 0 to 2).
    #[arg(long, value_name = "FILE")]
    pub backbone: Option<PathBuf>,
    /// Architecture of the weights, e.g. wide_resnet50_2; without it, names and shapes in the file tell. Needed for timm's
    /// efficientnet_lite0.ra_in1k, which has the names of tf_efficientnet_lite0.
    #[arg(long, value_name = "NAME", requires = "backbone")]
    pub arch: Option<String>,
    /// Layers that patches come from, with commas between, e.g. layer2,layer3 [default for ResNets: layer2,layer3].
    #[arg(long, value_name = "NAMES", value_delimiter = ',', requires = "backbone")]
    pub layers: Vec<String>,
}

/// The built-in backbone, where there is one.
pub fn embedded() -> Outcome<Backbone> {
    #[cfg(feature = "embedded-weights")]
    return Ok(Backbone::embedded()?);
    #[cfg(not(feature = "embedded-weights"))]
    Err(Failure::Failed(softpatch::Error::Weights {
        path: "<embedded>".into(),
        reason: "this program was built without weights of its own; name a file with --backbone".into(),
    }))
}

impl BackboneArgs {
    /// Opens it.
    pub fn open(&self) -> Outcome<Backbone> {
        let Some(path) = &self.backbone else { return embedded() };
        let layers: Vec<&str> = self.layers.iter().map(String::as_str).collect();
        Ok(Backbone::open(path, self.arch.as_deref(), (!layers.is_empty()).then_some(layers.as_slice()))?)
    }
}

/// Weights for a model that was not made with the built-in backbone; the model knows the rest.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct WeightsArgs {
    /// Weights that the model was made with, where those were not the built-in ones.
    #[arg(long, value_name = "FILE")]
    pub backbone: Option<PathBuf>,
}

/// The table that `softpatch tune` wrote, or the one that `SOFTPATCH_TUNING` names; an empty name means none.
fn tuning_table() -> Option<PathBuf> {
    match std::env::var_os("SOFTPATCH_TUNING") {
        Some(path) => (!path.is_empty()).then(|| path.into()),
        None => crate::roofline::tuning_path().filter(|path| path.exists()),
    }
}

/// Opens the adapter of that number or name, or the fastest kind.
fn open_device(adapter: Option<&str>, no_self_test: bool) -> Outcome<Device> {
    let cache = cache_folder(|name| std::env::var_os(name));
    let adapter = adapter.map(str::to_owned);
    let options = DeviceOptions { adapter, cache, no_self_test, ..DeviceOptions::default() };
    let mut device = Device::open(&options)?;
    if let Some(path) = tuning_table()
        && let Some(tuning) = Table::load(&path)?.find(&device)
    {
        tracing::info!(path = %path.display(), "tile sizes");
        device = device.with_tuning(tuning.clone())?;
    }
    tracing::info!(adapter = device.caps().adapter, archetype = %device.caps().archetype, "device");
    Ok(device)
}

/// Reads a model before a device is opened, so that a bad path or file is said at once.
pub fn open_model(path: &Path, weights: &WeightsArgs, device: &DeviceArgs) -> Outcome<Detector> {
    let model = softpatch::detector::Model::load(path)?;
    let backbone = match &weights.backbone {
        None => embedded()?,
        Some(file) => {
            let made_with = &model.info.backbone;
            let layers: Vec<&str> = made_with.layers.iter().map(String::as_str).collect();
            Backbone::open(file, Some(&made_with.arch), Some(&layers))?
        }
    };
    let detector = Detector::new(&device.open()?, &backbone, model);
    Ok(detector.map_err(|e| match e {
        softpatch::Error::Model { reason, .. } => softpatch::Error::Model { path: path.to_owned(), reason },
        other => other,
    })?)
}

/// Makes sure that a file can be written at `path`, before the long work: its folder exists and takes files, and `path` is
/// no folder.
pub fn check_output_file(path: &Path) -> Outcome {
    let fail =
        |e: std::io::Error| Failure::Failed(softpatch::Error::io(path, "preparing to write the file", e));
    if path.is_dir() {
        return Err(fail(ErrorKind::IsADirectory.into()));
    }
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    if !folder.is_dir() {
        let e = std::io::Error::new(ErrorKind::NotFound, format!("there is no folder {}", folder.display()));
        return Err(fail(e));
    }
    // Removed again as it is dropped.
    tempfile::NamedTempFile::new_in(folder).map(drop).map_err(fail)
}

/// Where compiled pipelines are kept: SOFTPATCH_CACHE (a folder, or `off`), else the user's folder for such things; `None`
/// where there is none.
fn cache_folder(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let folder = |name: &str| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
    if let Some(chosen) = variable("SOFTPATCH_CACHE").filter(|v| !v.is_empty()) {
        return (chosen != "off").then(|| chosen.into());
    }
    let base = if cfg!(windows) {
        folder("LOCALAPPDATA")
    } else if cfg!(target_os = "macos") {
        folder("HOME").map(|home| home.join("Library/Caches"))
    } else {
        folder("XDG_CACHE_HOME").or_else(|| folder("HOME").map(|home| home.join(".cache")))
    };
    base.map(|base| base.join("softpatch"))
}

/// Progress on a terminal, nothing elsewhere; notices as lines; how long each stage took.
pub struct Bars {
    quiet: bool,
    state: RefCell<State>,
}

#[derive(Default)]
struct State {
    current: Option<(Stage, Instant, ProgressBar)>,
    finished: Vec<(Stage, Duration)>,
}

impl Bars {
    pub fn new(quiet: bool) -> Self {
        Self { quiet, state: RefCell::default() }
    }

    /// Ends the last stage.
    pub fn finish(&self) {
        self.state.borrow_mut().end();
    }

    /// Seconds a stage, in order.
    pub fn times(&self) -> Vec<(Stage, Duration)> {
        self.finish();
        self.state.borrow().finished.clone()
    }

    /// Runs `f`, which prints, without a bar in its way.
    pub fn suspend<T>(&self, f: impl FnOnce() -> T) -> T {
        let bar = self.state.borrow().current.as_ref().map(|(_, _, bar)| bar.clone());
        match bar {
            Some(bar) => bar.suspend(f),
            None => f(),
        }
    }
}

impl State {
    fn end(&mut self) {
        if let Some((stage, started, bar)) = self.current.take() {
            bar.finish_and_clear();
            self.finished.push((stage, started.elapsed()));
        }
    }
}

impl Progress for Bars {
    fn update(&self, stage: Stage, done: u64, total: u64) {
        let mut state = self.state.borrow_mut();
        if state.current.as_ref().is_none_or(|(current, _, _)| *current != stage) {
            state.end();
            tracing::info!("{} ({total})", stage.name());
            state.current = Some((stage, Instant::now(), bar(self.quiet, stage.name(), total)));
        }
        if let Some((_, _, bar)) = &state.current {
            bar.set_length(total);
            bar.set_position(done);
        }
    }

    fn notice(&self, message: &str) {
        if !self.quiet {
            self.suspend(|| eprintln!("note: {message}"));
        }
    }

    fn cancelled(&self) -> bool {
        INTERRUPTED.load(Ordering::Relaxed)
    }
}

/// Set by ctrl-c once [`catch_interrupts`] was called.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);
/// Exit status of a program that ctrl-c ended.
pub const EXIT_INTERRUPTED: u8 = 130;

/// From now on ctrl-c ends the job that [`Bars`] watches after the step in progress, so that a file is written whole or not at
/// all; a second one ends the program at once.
pub fn catch_interrupts() {
    let caught = ctrlc::set_handler(|| {
        if INTERRUPTED.swap(true, Ordering::Relaxed) {
            std::process::exit(EXIT_INTERRUPTED.into());
        }
        eprintln!("note: stopping after this step; ctrl-c again stops at once");
    });
    if let Err(error) = caught {
        tracing::debug!("ctrl-c ends the program at once: {error}");
    }
}

/// A progress bar with the time left, seen on a terminal only.
pub fn bar(quiet: bool, name: &'static str, total: u64) -> ProgressBar {
    if quiet || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template(
        "{prefix:>10} [{bar:32}] {human_pos}/{human_len}  {elapsed} spent, {eta} left",
    );
    let bar = ProgressBar::new(total).with_prefix(name);
    if let Ok(style) = style {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.enable_steady_tick(Duration::from_millis(500));
    bar
}

/// `1.5 MiB` and so on.
pub fn human_bytes(bytes: u64) -> String {
    let (value, unit) = match bytes {
        b if b >= 1 << 30 => (b as f64 / (1_u64 << 30) as f64, "GiB"),
        b if b >= 1 << 20 => (b as f64 / f64::from(1 << 20), "MiB"),
        b => (b as f64 / 1024.0, "KiB"),
    };
    if value < 10.0 { format!("{value:.1} {unit}") } else { format!("{value:.0} {unit}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_folder_follows_the_environment() {
        let of = |set: &[(&str, &str)]| {
            cache_folder(|name| set.iter().find(|(n, _)| *n == name).map(|(_, value)| OsString::from(value)))
        };
        let base = if cfg!(windows) { ("LOCALAPPDATA", r"C:\Users\me") } else { ("HOME", "/home/me") };
        assert!(of(&[base]).is_some_and(|p| p.starts_with(base.1) && p.ends_with("softpatch")));
        assert_eq!(of(&[base, ("SOFTPATCH_CACHE", "off")]), None);
        assert_eq!(of(&[base, ("SOFTPATCH_CACHE", "here")]), Some("here".into()));
        // No home, or one that depends on where the program runs.
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[(base.0, "relative")]), None);
    }
}
