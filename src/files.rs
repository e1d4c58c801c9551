//! Files that appear whole or not at all.
//!
//! A reader of such a file, or a program that is stopped in the middle of writing it, never meets half of it:
//! the bytes go to a temporary file in the same folder, which takes the file's name once it is complete. What
//! a program leaves that is killed in the middle goes when the next one writes to the folder.

use crate::{Error, Result};
use std::collections::BTreeSet;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How the names of temporary files begin and end.
const PREFIX: &str = ".softpatch-";
const SUFFIX: &str = ".part";

/// Younger ones may be somebody's who has not locked them yet.
const YOUNG: Duration = Duration::from_secs(60);

/// Older ones are nobody's, where a file system has no locks to tell.
const OLD: Duration = Duration::from_secs(24 * 3600);

/// Writes `bytes` to `path`, whole or not at all. A file that is there is replaced; the folder must exist.
///
/// ```
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("scores.csv");
/// softpatch::files::write_whole(&path, b"path,score\n")?;
/// assert_eq!(std::fs::read(&path).unwrap(), b"path,score\n");
/// # Ok::<(), softpatch::Error>(())
/// ```
///
/// # Errors
/// [`Error::Io`] naming `path`.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    replace(path, bytes, Sync::System).map_err(|e| Error::io(path, "writing", e))
}

/// Waits until the disk has files that were written before, and their names: from then on a power cut takes
/// neither.
///
/// # Errors
/// [`Error::Io`] naming the file.
pub fn keep<'a>(paths: impl IntoIterator<Item = &'a Path>) -> Result<()> {
    let mut folders = BTreeSet::new();
    for path in paths {
        let synced = File::open(path).and_then(|file| file.sync_all());
        synced.map_err(|e| Error::io(path, "writing to the disk", e))?;
        folders.insert(folder_of(path));
    }
    folders.into_iter().for_each(keep_names);
    Ok(())
}

/// Waits until the disk has the names in a folder, where the file system can say so.
fn keep_names(folder: &Path) {
    // Elsewhere a folder cannot be opened as a file.
    if cfg!(unix)
        && let Err(e) = File::open(folder).and_then(|folder| folder.sync_all())
    {
        tracing::debug!("{}: {e}", folder.display());
    }
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// [`write_whole`] of what `write` writes, piece by piece, with the system's own error.
pub(crate) fn write_whole_by(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> std::io::Result<()>,
) -> std::io::Result<()> {
    let path = &*behind_links(path);
    let mut file = BufWriter::new(temporary(path)?);
    write(&mut file)?;
    let file = file.into_inner().map_err(std::io::IntoInnerError::into_error)?;
    file.persist(path).map(drop).map_err(|e| e.error)
}

/// When a file counts as written.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Sync {
    /// When the system has the bytes. The file can be made again where the power fails.
    System,
    /// When the disk has them.
    Disk,
}

/// [`write_whole`] with the system's own error.
pub(crate) fn replace(path: &Path, bytes: &[u8], sync: Sync) -> std::io::Result<()> {
    let path = &*behind_links(path);
    let mut file = temporary(path)?;
    file.write_all(bytes)?;
    if sync == Sync::Disk {
        file.as_file().sync_all()?;
    }
    file.persist(path).map_err(|e| e.error)?;
    if sync == Sync::Disk {
        keep_names(folder_of(path));
    }
    Ok(())
}

/// The file that a link at `path` leads to, so that the link stays one; else `path`.
fn behind_links(path: &Path) -> std::borrow::Cow<'_, Path> {
    match path.canonicalize() {
        Ok(target) if path.is_symlink() => target.into(),
        _ => path.into(),
    }
}

/// A file in the folder of `path` that is gone unless it takes its name. It has the rights of the file that is there.
pub(crate) fn temporary(path: &Path) -> std::io::Result<tempfile::NamedTempFile> {
    let folder = folder_of(path);
    sweep(folder);
    let mut builder = tempfile::Builder::new();
    builder.prefix(PREFIX).suffix(SUFFIX);
    #[cfg(unix)]
    {
        // Temporary files are private by default; these should be as readable as any other file (umask
        // applies).
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    let file = builder.tempfile_in(folder)?;
    // Tells others that somebody is at it; where there are no locks, its age does.
    let _ = file.as_file().try_lock();
    if let Ok(there) = std::fs::metadata(path) {
        file.as_file().set_permissions(there.permissions())?;
    }
    Ok(file)
}

/// Removes the temporary files in `folder` that programs left which were killed; once a folder and process.
fn sweep(folder: &Path) {
    static SWEPT: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());
    if SWEPT.lock().unwrap_or_else(PoisonError::into_inner).insert(folder.to_owned()) {
        sweep_now(folder);
    }
}

fn sweep_now(folder: &Path) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let is_ours = name.to_str().is_some_and(|n| n.starts_with(PREFIX) && n.ends_with(SUFFIX));
        let Some(meta) = is_ours.then(|| entry.metadata().ok()).flatten().filter(|meta| meta.is_file())
        else {
            continue;
        };
        let age = meta.modified().ok().and_then(|t| t.elapsed().ok()).unwrap_or_default();
        if age >= YOUNG && is_nobodys(&entry.path(), age) {
            let gone = std::fs::remove_file(entry.path());
            tracing::debug!("{}: left by a program that was killed: {gone:?}", entry.path().display());
        }
    }
}

fn is_nobodys(path: &Path, age: Duration) -> bool {
    match OpenOptions::new().write(true).open(path).map(|file| file.try_lock()) {
        Ok(Ok(())) => true,
        Ok(Err(TryLockError::WouldBlock)) => false,
        Ok(Err(TryLockError::Error(_))) => age >= OLD,
        Err(_) => false,
    }
}

/// An empty file in `folder` that has no name and is gone with the program.
pub(crate) fn spool(folder: &Path) -> Result<File> {
    tempfile::tempfile_in(folder).map_err(|e| Error::io(folder, "opening a spool file", e))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::SystemTime;

    #[test]
    fn what_a_killed_program_left_goes_and_no_file_of_another_does() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let age = |name: &str, seconds: u64| {
            let file = File::create(at(name)).unwrap();
            file.set_modified(SystemTime::now() - Duration::from_secs(seconds)).unwrap();
            file
        };
        drop(age(".softpatch-left.part", 3600));
        drop(age(".softpatch-new.part", 1));
        drop(age("picture.part", 3600));
        drop(age(".softpatch-note.txt", 3600));
        let theirs = age(".softpatch-theirs.part", 3600);
        theirs.try_lock().unwrap();
        let names = || -> BTreeSet<String> {
            let entries = std::fs::read_dir(folder.path()).unwrap();
            entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect()
        };
        let kept = [".softpatch-new.part", ".softpatch-note.txt", ".softpatch-theirs.part", "picture.part"];
        let with = |name: &str| kept.iter().copied().chain([name]).map(str::to_owned).collect();
        write_whole(&at("scores.csv"), b"path,score\n").unwrap();
        assert_eq!(names(), with("scores.csv"));
        // A program that is at it has its file locked.
        let own = temporary(&at("other.csv")).unwrap();
        own.as_file().set_modified(SystemTime::now() - Duration::from_secs(3600)).unwrap();
        sweep_now(folder.path());
        own.persist(at("other.csv")).unwrap();
        assert!(names().contains("other.csv"));
        keep([&*at("other.csv"), &at("scores.csv")]).unwrap();
        assert!(keep([&*at("none.csv")]).unwrap_err().to_string().contains("none.csv"));
    }
}
