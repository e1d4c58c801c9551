//! Where the program keeps what it remembers from one run to the next.

use etcetera::base_strategy::{BaseStrategy, choose_base_strategy, choose_native_strategy};
use std::ffi::OsString;
use std::path::PathBuf;

/// Where the tuning table lies unless another place is named: below `~/.config`, on macOS too, or
/// `%APPDATA%`.
pub fn tuning_path() -> Option<PathBuf> {
    let folders = choose_base_strategy().ok()?;
    Some(folders.config_dir().join("softpatch").join("tuning.json"))
}

/// The table that `softpatch tune` wrote, or the one that `SOFTPATCH_TUNING` names; an empty name means none.
pub fn tuning_table() -> Option<PathBuf> {
    match std::env::var_os("SOFTPATCH_TUNING") {
        Some(path) => (!path.is_empty()).then(|| path.into()),
        None => tuning_path().filter(|path| path.exists()),
    }
}

/// Where compiled pipelines are kept: `SOFTPATCH_CACHE` (a folder, or `off`), else the system's folder for
/// such things.
pub fn cache_folder() -> Option<PathBuf> {
    chosen(std::env::var_os("SOFTPATCH_CACHE"), || {
        let folder = choose_native_strategy().ok()?.cache_dir();
        // A home that depends on where the program runs is none.
        folder.is_absolute().then(|| folder.join("softpatch"))
    })
}

fn chosen(named: Option<OsString>, usual: impl FnOnce() -> Option<PathBuf>) -> Option<PathBuf> {
    match named {
        Some(name) if name == "off" => None,
        Some(name) if !name.is_empty() => Some(name.into()),
        _ => usual(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_folder_is_the_one_that_is_named() {
        let usual = || Some(PathBuf::from("/home/me/.cache/softpatch"));
        assert_eq!(chosen(None, usual), usual());
        assert_eq!(chosen(Some("".into()), usual), usual());
        assert_eq!(chosen(Some("off".into()), usual), None);
        assert_eq!(chosen(Some("here".into()), usual), Some("here".into()));
    }
}
