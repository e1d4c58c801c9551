//! What a maintainer asks for, as one JSON document.

use super::scrub::{Scrubber, environment};
use crate::common::device::DeviceArgs;
use crate::common::failure::{Failure, Outcome, message};
use crate::common::folders::{cache_folder, tuning_table};
use crate::common::output::plain_json;
use crate::devices;
use serde::Serialize;
use serde_json::{Value, json};
use softpatch::Error;
use softpatch::detector::SETTINGS;
use softpatch::low_level::cases::Entry;
use softpatch::low_level::gpu::{Device, adapters};
use softpatch::low_level::roofline::tune::Table;
use softpatch::low_level::steps::tuning;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Grows where a field changes its meaning; more fields may come without.
const FORMAT: u32 = 1;

/// Larger files of our cache are not looked into.
const MOST: u64 = 1 << 20;

/// A kernel at a small shape, compared with plain Rust.
#[derive(Serialize)]
pub struct Check {
    /// Kernel family.
    pub kernel: &'static str,
    /// Sizes and variant.
    pub shape: String,
    used_by: &'static str,
    pub passed: bool,
    /// Error and what rounding explains; null where a figure is no number.
    #[serde(rename = "error_and_allowed")]
    pub figures: Option<[f64; 2]>,
    pub ms: Option<f64>,
    /// Variants that took part.
    pub kernels: Vec<String>,
    /// Why it could not be run.
    pub failure: Option<String>,
}

impl Check {
    pub fn of(entry: &Entry) -> Self {
        let (shape, used_by) = (entry.shape.clone(), entry.used_by);
        let (passed, figures, ms, kernels, failure) = (false, None, None, Vec::new(), None);
        Self { kernel: entry.kernel, shape, used_by, passed, figures, ms, kernels, failure }
    }

    /// Who may be to blame for a failure.
    pub fn suspects(&self) -> Vec<String> {
        self.failure.as_ref().map_or_else(|| self.kernels.clone(), |why| vec![why.clone()])
    }
}

#[derive(Serialize)]
struct Document {
    report: &'static str,
    format: u32,
    /// `passed`, `failed`, `not run`, or how far it got.
    outcome: String,
    /// What ended it before the checks did.
    error: Option<String>,
    /// What is being done, in a report of a program that was ended.
    doing: Option<String>,
    program: Value,
    system: Value,
    adapters: Vec<Value>,
    /// The adapter that the checks ran on.
    device: Option<Value>,
    checks: Vec<Check>,
    tuning: Value,
    cache: Value,
    environment: BTreeMap<String, String>,
    default_settings: BTreeMap<&'static str, String>,
}

/// The document and its file, which is whole at any time.
pub struct Report {
    path: PathBuf,
    scrub: Scrubber,
    document: Document,
}

impl Report {
    /// A report to `path` of what is known without an adapter; writes it.
    pub fn begin(path: &Path) -> Outcome<Self> {
        let scrub = Scrubber::new();
        let document = Document {
            report: "softpatch doctor",
            format: FORMAT,
            outcome: "unfinished".into(),
            error: None,
            doing: None,
            program: program(),
            system: system(),
            adapters: Vec::new(),
            device: None,
            checks: Vec::new(),
            tuning: tuning_state(&scrub),
            cache: cache_state(&scrub),
            environment: environment(),
            default_settings: SETTINGS.iter().map(|s| (s.name, s.default())).collect(),
        };
        let mut this = Self { path: path.to_owned(), scrub, document };
        this.doing("looking for adapters")?;
        Ok(this)
    }

    /// Opens every adapter for what it offers.
    pub fn adapters(&mut self) -> Outcome {
        for adapter in adapters() {
            self.doing(&format!("opening adapter {}", adapter.index))?;
            let device =
                DeviceArgs { device: Some(adapter.index.to_string()), ..DeviceArgs::default() }.open();
            let caps = match device {
                Ok(device) => Ok(device.caps().clone()),
                Err(Failure::Failed(e)) => Err(Error::Device(self.scrub.text(&e.to_string()))),
                Err(other) => return Err(other),
            };
            self.document.adapters.push(devices::as_json(&adapter, &caps));
        }
        Ok(())
    }

    /// The device that the checks will run on.
    pub fn device(&mut self, device: &Device) {
        let caps = device.caps();
        self.document.device = Some(json!({
            "name": caps.adapter,
            "id": caps.id,
            "backend": caps.backend,
            "driver": caps.driver,
            "caps": devices::caps_json(caps),
            "tuning": tuning::values(device.tuning()),
        }));
    }

    pub fn check(&mut self, mut check: Check) {
        check.failure = check.failure.map(|why| self.scrub.text(&why));
        self.document.checks.push(check);
    }

    /// Writes how far it got: a driver may end the program in what comes next.
    pub fn doing(&mut self, what: &str) -> Outcome {
        self.document.doing = Some(what.to_owned());
        self.write()
    }

    /// Writes it with what came of everything.
    pub fn end(mut self, outcome: &Outcome) -> Outcome {
        let document = &mut self.document;
        document.doing = None;
        if let Err(Failure::Failed(e)) = outcome {
            document.error = Some(self.scrub.text(&message(e)));
        }
        let ran = document.error.is_none() && !document.checks.is_empty();
        document.outcome = match (ran, document.checks.iter().all(|check| check.passed)) {
            (true, true) => "passed",
            (true, false) => "failed",
            (false, _) => "not run",
        }
        .into();
        self.write()
    }

    fn write(&self) -> Outcome {
        let text = serde_json::to_string_pretty(&self.document).map_err(|e| Failure::Output(e.into()))?;
        Ok(softpatch::files::write_whole(&self.path, (plain_json(&text) + "\n").as_bytes())?)
    }
}

fn program() -> Value {
    let features = [
        ("embedded-weights", cfg!(feature = "embedded-weights")),
        ("vulkan", cfg!(feature = "vulkan")),
        ("metal", cfg!(feature = "metal")),
        ("dx12", cfg!(feature = "dx12")),
    ];
    let features: Vec<&str> = features.iter().filter(|(_, on)| *on).map(|(name, _)| *name).collect();
    let build = if cfg!(debug_assertions) { "debug" } else { "release" };
    json!({ "version": env!("CARGO_PKG_VERSION"), "features": features, "build": build })
}

fn system() -> Value {
    let line = |path: &str| std::fs::read_to_string(path).ok().map(|text| text.trim().to_owned());
    let name = line("/etc/os-release").and_then(|text| {
        let name = text.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="))?;
        Some(name.trim_matches('"').to_owned())
    });
    json!({
        "os": std::env::consts::OS,
        "arch": std::env::consts::ARCH,
        "name": name,
        "kernel": line("/proc/sys/kernel/osrelease"),
        "threads": std::thread::available_parallelism().map_or(0, std::num::NonZero::get),
    })
}

/// The table of tile sizes: where it lies and whether it can be read.
fn tuning_state(scrub: &Scrubber) -> Value {
    let Some(path) = tuning_table() else { return json!({ "table": null, "error": null }) };
    let error = Table::load(&path).err().map(|e| scrub.text(&e.to_string()));
    json!({ "table": scrub.place(&path), "error": error })
}

/// What the cache folder holds of ours.
fn cache_state(scrub: &Scrubber) -> Value {
    let Some(folder) = cache_folder() else { return json!({ "folder": null }) };
    let mut pipelines = Vec::new();
    for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with("wgpu_pipeline_cache")
            && let Ok(meta) = entry.metadata()
        {
            pipelines.push((name, meta.len()));
        }
    }
    pipelines.sort();
    let pipelines: Vec<Value> =
        pipelines.into_iter().map(|(name, bytes)| json!({ "file": name, "bytes": bytes })).collect();
    json!({
        "folder": scrub.place(&folder),
        "pipelines": pipelines,
        "self_test": passed_before(&folder.join("self-test.json")),
    })
}

/// Devices that passed the self-test before first use, and cases of each.
fn passed_before(file: &Path) -> Value {
    let Ok(meta) = std::fs::metadata(file) else { return Value::Null };
    let entries = (meta.len() <= MOST).then(|| std::fs::read(file).ok()).flatten();
    match entries.and_then(|bytes| serde_json::from_slice::<Vec<Value>>(&bytes).ok()) {
        None => json!("damaged: it is passed over"),
        Some(entries) => entries
            .iter()
            .map(|entry| {
                let passed = entry["passed"].as_array().map_or(0, Vec::len);
                json!({ "adapter": entry["adapter"], "driver": entry["driver"], "cases": passed })
            })
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_is_in_the_file_and_so_is_how_far_it_got() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report.json");
        let read = || serde_json::from_slice::<Value>(&std::fs::read(&path).unwrap()).unwrap();
        let mut report = Report::begin(&path).unwrap();
        report.doing("check lof 3x5").unwrap();
        let there = read();
        assert_eq!((&there["outcome"], &there["doing"]), (&"unfinished".into(), &"check lof 3x5".into()));
        report.check(Check {
            kernel: "lof",
            shape: "3x5".into(),
            used_by: "outlier scores",
            passed: false,
            figures: Some([f64::NAN, 1e-6]),
            ms: Some(1.0),
            kernels: vec!["outlier/lof:factors".into()],
            failure: None,
        });
        report.end(&Err(Failure::Reported)).unwrap();
        let there = read();
        assert_eq!((&there["outcome"], &there["doing"]), (&"failed".into(), &Value::Null));
        assert_eq!(there["checks"][0]["error_and_allowed"], json!([null, 1e-6]));
        assert_eq!(listing(folder.path()), 1, "nothing beside it");
    }

    fn listing(folder: &Path) -> usize {
        std::fs::read_dir(folder).unwrap().count()
    }
}
