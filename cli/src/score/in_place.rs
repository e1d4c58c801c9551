//! Whether files that a watch holds open are still those of their names: what is written to a file that was
//! removed or replaced is lost.

use softpatch::{Error, Result};
use std::fs::{File, Metadata};
use std::io::{ErrorKind, Seek};
use std::path::Path;

/// Refuses to go on where one of the files, which are written at their ends, is no longer that of its path.
pub fn check(results: (&Path, &File), journal: (&Path, &File)) -> Result<()> {
    for (path, file) in [results, journal] {
        if let Some(cause) = why_not(path, file).map_err(|e| Error::io(path, "reading", e))? {
            let reason = format!(
                "it {cause} while the watch wrote to it, so the watch ends; images without a line count as not \
                 scored. Put the file back as it was and start again, or move {} and {} away, and all images \
                 are scored anew. End a watch before you move its files",
                results.0.display(),
                journal.0.display()
            );
            return Err(Error::Dataset { path: path.to_owned(), reason });
        }
    }
    Ok(())
}

/// Why a file is not the one at `path` with all that was written to it.
fn why_not(path: &Path, mut file: &File) -> std::io::Result<Option<&'static str>> {
    let there = match std::fs::metadata(path) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Some("was removed or renamed")),
        other => other?,
    };
    if !is_same(&there, &file.metadata()?) {
        return Ok(Some("was replaced by another file"));
    }
    Ok((there.len() < file.stream_position()?).then_some("was cut short"))
}

#[cfg(unix)]
fn is_same(one: &Metadata, other: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

/// The standard library has no number of a file here: another one is noticed by its length.
#[cfg(not(unix))]
fn is_same(_: &Metadata, _: &Metadata) -> bool {
    true
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use super::super::journal::{Done, Journal, Stamp};
    use super::*;

    #[test]
    fn nothing_is_done_whose_line_would_be_lost() {
        let folder = tempfile::tempdir().unwrap();
        let (results, kept) = (folder.path().join("r.csv"), folder.path().join("kept"));
        let beside = folder.path().join("r.csv.journal");
        let done = |n| {
            let stamp = Stamp { size: n, changed: 1, number: n };
            [Done { path: format!("{n}.png").into(), stamp, line: format!("{n}.png,1\n") }]
        };
        let open = || Journal::open(&results, "path,score\n", "m");
        let read = |path: &Path| std::fs::read_to_string(path).unwrap();
        open().unwrap().add(&done(1)).unwrap();
        for path in [&results, &beside] {
            for cause in ["was removed", "was replaced", "was cut short"] {
                let before = (read(&results), read(&beside));
                let mut journal = open().unwrap();
                if cause == "was cut short" {
                    std::fs::copy(path, &kept).unwrap();
                    std::fs::write(path, "").unwrap();
                } else {
                    std::fs::rename(path, &kept).unwrap();
                }
                if cause == "was replaced" {
                    std::fs::write(path, "x".repeat(1000)).unwrap();
                }
                let error = journal.add(&done(2)).unwrap_err().to_string();
                assert!(error.starts_with(&format!("{}: it {cause}", path.display())), "{error}");
                assert!(error.contains("start again"), "{error}");
                drop(journal);
                // Put back, it goes on: nothing was written that would be lost.
                let _ = std::fs::remove_file(path);
                std::fs::rename(&kept, path).unwrap();
                assert_eq!((read(&results), read(&beside)), before, "{cause}");
            }
        }
        open().unwrap().add(&done(2)).unwrap();
        assert_eq!(read(&results), "path,score\n1.png,1\n2.png,1\n");
        assert_eq!(open().unwrap().len(), 2);
    }
}
