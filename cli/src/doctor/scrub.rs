//! What a report leaves out of texts and of the environment: names of users, and paths of theirs.

use crate::common::folders::{cache_folder, tuning_table};
use etcetera::home_dir;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// Beginnings of the names of variables that steer the program, its drivers and their loader.
const STEER: [&str; 14] = [
    "SOFTPATCH_",
    "VK_",
    "WGPU_",
    "MESA_",
    "LP_",
    "LIBGL_",
    "GALLIUM_",
    "DRI_",
    "RADV_",
    "ANV_",
    "NVK_",
    "MVK_",
    "RAYON_",
    "__GL_",
];

/// Variables whose values are words and numbers of the program's or a driver's own.
const WORDS: [&str; 16] = [
    "SOFTPATCH_DISABLE",
    "SOFTPATCH_LOG",
    "VK_LOADER_DEBUG",
    "VK_LOADER_DRIVERS_SELECT",
    "VK_LOADER_DRIVERS_DISABLE",
    "VK_INSTANCE_LAYERS",
    "VK_LOADER_LAYERS_ENABLE",
    "VK_LOADER_LAYERS_DISABLE",
    "MESA_VK_DEVICE_SELECT",
    "MESA_SHADER_CACHE_DISABLE",
    "LP_NUM_THREADS",
    "LP_NATIVE_VECTOR_WIDTH",
    "LIBGL_ALWAYS_SOFTWARE",
    "GALLIUM_DRIVER",
    "DRI_PRIME",
    "RAYON_NUM_THREADS",
];

/// Variables with lists of files, of which names without folders tell the driver.
const FILES: [&str; 3] = ["VK_DRIVER_FILES", "VK_ADD_DRIVER_FILES", "VK_ICD_FILENAMES"];

/// Variables that steer, with values where these are harmless; else `set`.
pub fn environment() -> BTreeMap<String, String> {
    shown(std::env::vars_os().map(|(name, value)| (name.to_string_lossy().into_owned(), value)))
}

fn shown<V: AsRef<OsStr>>(all: impl Iterator<Item = (String, V)>) -> BTreeMap<String, String> {
    let steers = |name: &str| STEER.iter().any(|start| name.starts_with(start));
    all.filter(|(name, _)| steers(name))
        .map(|(name, value)| {
            let value = value.as_ref();
            let text = match value.to_str() {
                Some("") => "empty".to_owned(),
                Some(text) if WORDS.contains(&&*name) && !text.contains(['/', '\\']) => text.to_owned(),
                Some("off") if name == "SOFTPATCH_CACHE" => "off".to_owned(),
                _ if FILES.contains(&&*name) => {
                    let names = std::env::split_paths(value);
                    let names = names.filter_map(|p| Some(p.file_name()?.to_string_lossy().into_owned()));
                    names.collect::<Vec<_>>().join(", ")
                }
                _ => "set".to_owned(),
            };
            (name, text)
        })
        .collect()
}

/// Takes paths out of texts.
pub struct Scrubber(Vec<(String, &'static str)>);

impl Scrubber {
    /// Knows the home folder and the places that the environment names.
    pub fn new() -> Self {
        Self::of([(home_dir().ok(), "~"), (cache_folder(), "<cache>"), (tuning_table(), "<tuning>")])
    }

    fn of(places: [(Option<PathBuf>, &'static str); 3]) -> Self {
        let mut all = Vec::new();
        for (path, instead) in places {
            let Some(path) = path else { continue };
            // A message may have it with its links resolved.
            for path in [path.canonicalize().ok(), Some(path)].into_iter().flatten() {
                // A root or a relative word would be found everywhere.
                if path.is_absolute() && path.parent().is_some() {
                    let text = path.display().to_string();
                    all.push((text.trim_end_matches(['/', '\\']).to_owned(), instead));
                }
            }
        }
        // What lies in another one comes first.
        all.sort_by_key(|(text, _)| std::cmp::Reverse(text.len()));
        Self(all)
    }

    /// The text without the places.
    pub fn text(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, (place, instead)| without(&text, place, instead))
    }

    /// A place of ours: in the home folder by its name there, else not.
    pub fn place(&self, path: &Path) -> String {
        let home = self.0.iter().filter(|(_, instead)| *instead == "~");
        let inside = home.filter_map(|(home, _)| path.strip_prefix(home).ok()).next();
        inside.map_or("another place".to_owned(), |rest| Path::new("~").join(rest).display().to_string())
    }
}

/// `text` with `instead` wherever `place` is a whole path or its beginning.
fn without(text: &str, place: &str, instead: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(place) {
        let (before, after) = (&rest[..at], &rest[at + place.len()..]);
        // `/home/al` is no part of `/home/alice`.
        let whole = !after.starts_with(|c: char| c.is_alphanumeric() || c == '_' || c == '-');
        out.push_str(before);
        out.push_str(if whole { instead } else { place });
        rest = after;
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn homes_are_a_tilde_and_no_part_of_other_names() {
        let of = |path: &str| Some(PathBuf::from(path));
        let scrub = Scrubber::of([
            (of("/nowhere/al"), "~"),
            (of("/nowhere/al/.cache/softpatch"), "<cache>"),
            (of("/"), "<tuning>"),
        ]);
        let said =
            scrub.text("/nowhere/al/x: no; /nowhere/al; /nowhere/alice/y; /nowhere/al/.cache/softpatch/z");
        assert_eq!(said, "~/x: no; ~; /nowhere/alice/y; <cache>/z");
        assert_eq!(scrub.place(Path::new("/nowhere/al/.config/t.json")), "~/.config/t.json");
        assert_eq!(scrub.place(Path::new("/scratch/al/t.json")), "another place");
    }

    #[test]
    fn values_are_shown_where_they_are_words() {
        let all = [
            ("SOFTPATCH_DISABLE", "f16"),
            ("SOFTPATCH_CACHE", "/scratch/alice"),
            ("SOFTPATCH_TUNING", ""),
            ("SOFTPATCH_LOG", "/alice"),
            ("SOFTPATCH_TOKEN", "secret"),
            ("VK_ICD_FILENAMES", "/usr/alice/lvp_icd.json"),
            ("VK_LAYER_PATH", "/home/alice/layers"),
            ("HOME", "/home/alice"),
        ];
        let shown = shown(all.iter().map(|(name, value)| ((*name).to_owned(), value)));
        let list: Vec<String> = shown.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(
            list.join(" "),
            "SOFTPATCH_CACHE=set SOFTPATCH_DISABLE=f16 SOFTPATCH_LOG=set SOFTPATCH_TOKEN=set \
             SOFTPATCH_TUNING=empty VK_ICD_FILENAMES=lvp_icd.json VK_LAYER_PATH=set"
        );
    }
}
