//! Files that appear whole or not at all.
//!
//! A reader of such a file, or a program that is stopped in the middle of writing it, never meets half of it:
//! the bytes go to a temporary file in the same folder, which takes the file's name once it is complete.

use crate::{Error, Result};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

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
    file.persist(path).map(drop).map_err(|e| e.error)
}

/// The file that a link at `path` leads to, so that the link stays one; else `path`.
fn behind_links(path: &Path) -> std::borrow::Cow<'_, Path> {
    match path.canonicalize() {
        Ok(target) if path.is_symlink() => target.into(),
        _ => path.into(),
    }
}

/// A file in the folder of `path` that is gone unless it takes its name. It has the rights of the file that is there.
fn temporary(path: &Path) -> std::io::Result<tempfile::NamedTempFile> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut builder = tempfile::Builder::new();
    builder.prefix(".softpatch-").suffix(".part");
    #[cfg(unix)]
    {
        // Temporary files are private by default; these should be as readable as any other file (umask
        // applies).
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    let file = builder.tempfile_in(folder)?;
    if let Ok(there) = std::fs::metadata(path) {
        file.as_file().set_permissions(there.permissions())?;
    }
    Ok(file)
}

/// An empty file in `folder` that has no name and is gone with the program.
pub(crate) fn spool(folder: &Path) -> Result<File> {
    tempfile::tempfile_in(folder).map_err(|e| Error::io(folder, "opening a spool file", e))
}
