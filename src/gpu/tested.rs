//! Which cases of kernels have given right answers on a device, from one run of a program to the next.

use super::caps::Caps;
use super::tuning::Tuning;
use crate::files;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

/// Larger files are not ours.
const MOST: u64 = 1 << 20;
/// Devices that the file remembers; the oldest goes.
const DEVICES: usize = 32;

/// What passed on a device. Whatever goes wrong with the file is no error: cases are run again.
pub(crate) struct Tested {
    key: Key,
    file: Option<PathBuf>,
    passed: Mutex<BTreeSet<String>>,
}

/// What answers depend on: program, adapter, driver, and how the device is used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Key {
    adapter: String,
    driver: String,
    program: String,
    device: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    #[serde(flatten)]
    key: Key,
    passed: BTreeSet<String>,
}

/// The wish to have kernels tried before they are used, and what came of it.
pub(super) struct SelfTest {
    folder: Option<PathBuf>,
    tested: OnceLock<Tested>,
}

impl SelfTest {
    /// Nothing is remembered from run to run without a `folder`.
    pub fn new(folder: Option<PathBuf>) -> Self {
        Self { folder, tested: OnceLock::new() }
    }

    /// The same wish for a device with other sizes.
    pub fn anew(&self) -> Self {
        Self::new(self.folder.clone())
    }

    pub fn tested(&self, caps: &Caps, tuning: &Tuning, kernels: &str) -> &Tested {
        self.tested.get_or_init(|| Tested::open(caps, tuning, kernels, self.folder.as_deref()))
    }
}

impl Tested {
    /// What the file in `folder` knows of this device; `kernels` stands for the text of all kernels.
    pub fn open(caps: &Caps, tuning: &Tuning, kernels: &str, folder: Option<&Path>) -> Self {
        let key = Key {
            adapter: caps.adapter.clone(),
            driver: caps.driver.clone(),
            // A version in development has other kernels under the same number, and a program may have been
            // built with another wgpu.
            program: format!("{} {kernels} {}", env!("CARGO_PKG_VERSION"), executable()),
            device: format!("{caps:?} {tuning:?}"),
        };
        // Where the driver does not say its version, nothing tells when it is another one.
        let file = folder.filter(|_| !caps.driver.is_empty()).map(|folder| folder.join("self-test.json"));
        let passed = file.as_deref().map(read).unwrap_or_default().into_iter().find(|e| e.key == key);
        Self { key, file, passed: Mutex::new(passed.map(|e| e.passed).unwrap_or_default()) }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.passed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether case `id` passed before.
    pub fn knows(&self, id: &str) -> bool {
        self.lock().contains(id)
    }

    /// Remembers cases that passed.
    pub fn passed(&self, ids: impl IntoIterator<Item = String>) {
        let mut passed = self.lock();
        passed.extend(ids);
        let Some(file) = &self.file else { return };
        let mut entries = read(file);
        // Another process may have added to it.
        let before = entries.iter().position(|e| e.key == self.key).map(|i| entries.remove(i).passed);
        passed.extend(before.unwrap_or_default());
        entries.push(Entry { key: self.key.clone(), passed: passed.clone() });
        let entries = &entries[entries.len().saturating_sub(DEVICES)..];
        let folder = file.parent().unwrap_or(Path::new("."));
        let written = std::fs::create_dir_all(folder)
            .and_then(|()| files::replace(file, &serde_json::to_vec_pretty(entries)?, files::Sync::System));
        if let Err(e) = written {
            tracing::debug!("{}: {e}", file.display());
        }
    }
}

/// Size and date of the running program, where there is such a thing.
fn executable() -> String {
    let of = |path: PathBuf| -> std::io::Result<String> {
        let meta = std::fs::metadata(path)?;
        let age = meta.modified()?.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Ok(format!("{} {}", meta.len(), age.as_secs()))
    };
    std::env::current_exe().and_then(of).unwrap_or_default()
}

fn read(file: &Path) -> Vec<Entry> {
    let text = std::fs::metadata(file).and_then(|meta| {
        if meta.len() > MOST { Err(std::io::ErrorKind::FileTooLarge.into()) } else { std::fs::read(file) }
    });
    text.ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::caps::Archetype;
    use super::super::tuning::Size;
    use super::*;

    static SIZE: Size = Size { name: "rows", default: 4, least: 1, most: 16, multiple: 1 };

    fn caps() -> Caps {
        Caps {
            adapter: "some".into(),
            driver: "driver 1".into(),
            id: "0:0".into(),
            backend: "vulkan".into(),
            archetype: Archetype::Tiled,
            f16: true,
            int64: true,
            texels: 0,
            subgroup: Some((8, 8)),
            coop: None,
            unchecked: false,
            timestamps: true,
            max_binding: 1 << 27,
            max_workgroup_memory: 1 << 14,
            max_invocations: 256,
            max_groups: 65_535,
            alignment: 256,
        }
    }

    #[test]
    fn what_passed_is_remembered_for_the_same_device_alone() {
        let (caps, tuning) = (&caps(), Tuning::default());
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("not/there/yet");
        let open = |caps: &Caps, tuning: &Tuning| Tested::open(caps, tuning, "kernels", Some(&folder));
        let first = open(caps, &tuning);
        assert!(!first.knows("a"));
        first.passed(["a".to_owned()]);
        // A second process that opened before the first one wrote.
        let second = Tested { passed: Mutex::default(), ..open(caps, &tuning) };
        second.passed(["b".to_owned()]);
        let third = open(caps, &tuning);
        assert!(third.knows("a") && third.knows("b") && !third.knows("c"));
        let others = [
            (Caps { driver: "newer".into(), ..caps.clone() }, tuning.clone()),
            (Caps { id: "another of the same name".into(), ..caps.clone() }, tuning.clone()),
            (Caps { subgroup: None, int64: !caps.int64, ..caps.clone() }, tuning.clone()),
            (caps.clone(), tuning.with(&SIZE, 8)),
        ];
        for (caps, tuning) in &others {
            assert!(!open(caps, tuning).knows("a"), "{caps:?} {tuning:?}");
        }
        assert!(!Tested::open(caps, &tuning, "other kernels", Some(&folder)).knows("a"));
        for damaged in ["", "[", "{}", "[{\"passed\": [\"a\"]}]"] {
            std::fs::write(folder.join("self-test.json"), damaged).unwrap();
            let this = open(caps, &tuning);
            assert!(!this.knows("a"), "{damaged}");
            this.passed(["d".to_owned()]);
            assert!(open(caps, &tuning).knows("d"), "{damaged}");
        }
        let silent = Caps { driver: String::new(), ..caps.clone() };
        open(&silent, &tuning).passed(["a".to_owned()]);
        assert!(!open(&silent, &tuning).knows("a"), "no version, no memory");
        // Without a folder nothing is written; nor is it an error where the folder cannot be.
        Tested::open(caps, &tuning, "kernels", None).passed(["a".to_owned()]);
        Tested::open(caps, &tuning, "kernels", Some(&folder.join("self-test.json"))).passed(["a".to_owned()]);
    }
}
