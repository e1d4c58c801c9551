//! What a watch has done, so that it goes on where it stopped: a text file beside the results.
//!
//! The first line says by which model. Then a line a file: its size, its time of change, the system's number
//! for it, the length of the results once its line was in them, and its path below the watched folder as
//! JSON. A file's results are on the disk before its line here is. What a stop in between leaves is cut off
//! at the next start, and the file is scored again: no file is in the results twice, and none is missing.
//!
//! Before files are written beside the results, a line with `?` says which, so that a next start puts the
//! same ones in their places: what it says is the affair of [`super::begun`].

use super::in_place::check;
use sha2::{Digest, Sha256};
use softpatch::{Error, Result};
use std::collections::{BTreeMap, HashSet};
use std::fmt::Write as _;
use std::fs::{File, Metadata, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

const HEADER: &str = "softpatch watch journal, version 1, model ";

/// Content of a file that arrived, as far as the system tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Stamp {
    pub size: u64,
    /// Nanoseconds since 1970.
    pub changed: u128,
    /// What stays when a file is renamed; 0 where the system has no such thing.
    pub number: u64,
}

impl Stamp {
    pub fn of(meta: &Metadata) -> Self {
        #[cfg(unix)]
        let number = std::os::unix::fs::MetadataExt::ino(meta);
        #[cfg(not(unix))]
        let number = 0;
        let changed = meta.modified().ok().and_then(|t| t.duration_since(UNIX_EPOCH).ok());
        Self { size: meta.len(), changed: changed.map_or(0, |t| t.as_nanos()), number }
    }
}

/// A file with its line for the results.
pub struct Done {
    /// Below the watched folder.
    pub path: PathBuf,
    pub stamp: Stamp,
    pub line: String,
}

/// The files that are done, and the results.
pub struct Journal {
    file: File,
    path: PathBuf,
    results: File,
    results_path: PathBuf,
    length: u64,
    by_path: HashSet<Known>,
    by_number: HashSet<Known>,
    /// What was said of files that were begun and are not done, by their paths.
    begun: BTreeMap<String, String>,
}

/// What stands for a file that is done: a line that runs for months has millions.
type Known = [u8; 16];

/// The start of a digest.
fn known(path: &str, Stamp { size, changed, number }: Stamp) -> Known {
    let mut digest = Sha256::new_with_prefix(path);
    digest.update([0xff]);
    digest.update(size.to_le_bytes());
    digest.update(changed.to_le_bytes());
    digest.update(number.to_le_bytes());
    let mut start = Known::default();
    start.copy_from_slice(&digest.finalize()[..16]);
    start
}

fn by_path(path: &str, stamp: Stamp) -> Known {
    known(path, Stamp { number: 0, ..stamp })
}

fn by_number(stamp: Stamp) -> Known {
    known("", stamp)
}

impl Journal {
    /// Opens `results` and the journal beside it, or makes them; `header` is the results' first line, `model`
    /// tells the model from others. Cuts off what a stop left half done.
    pub fn open(results: &Path, header: &str, model: &str) -> Result<Self> {
        let mut name = results.as_os_str().to_owned();
        name.push(".journal");
        let path = PathBuf::from(name);
        let fail = |path: &Path, action| {
            let path = path.to_owned();
            move |e: std::io::Error| Error::io(&path, action, e)
        };
        let open = |path: &Path| {
            let options = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
            options.map_err(fail(path, "opening"))
        };
        let mut file = open(&path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Error::InvalidOption(format!(
                    "another watch writes to {}: give each its own --results",
                    results.display()
                )));
            }
            // Some network file systems have no locks.
            Err(TryLockError::Error(e)) => tracing::debug!("{}: no lock: {e}", path.display()),
        }
        let mut out = open(results)?;
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(fail(&path, "reading"))?;
        let length = out.metadata().map_err(fail(results, "reading"))?.len();
        let mut journal = Self {
            file,
            path: path.clone(),
            results_path: results.to_owned(),
            length,
            by_path: HashSet::new(),
            by_number: HashSet::new(),
            begun: BTreeMap::new(),
            results: out.try_clone().map_err(fail(results, "opening"))?,
        };
        // After a power cut a file may end with zeros.
        let said = text.trim_end_matches('\0');
        // A stop may have cut the first line short.
        let is_torn = !said.contains('\n') && (HEADER.starts_with(said) || said.starts_with(HEADER));
        if is_torn {
            if length > 0 {
                return Err(Error::InvalidOption(format!(
                    "{} is there already, without its journal {}: nothing says which files are in it. Name \
                     another file for --results, or move this one away",
                    results.display(),
                    path.display()
                )));
            }
            let emptied = journal.file.set_len(0).and_then(|()| journal.file.seek(SeekFrom::Start(0)));
            let first = format!("{HEADER}{model}\n");
            emptied.and_then(|_| journal.file.write_all(first.as_bytes())).map_err(fail(&path, "writing"))?;
        } else {
            if text.strip_prefix(HEADER).is_some_and(|rest| rest.lines().next() != Some(model)) {
                return Err(Error::InvalidOption(format!(
                    "{} has the scores of another model, which are not comparable: name another file for --results",
                    results.display()
                )));
            }
            let whole = said.rfind('\n').map_or(0, |at| at + 1);
            let written = journal.read(&text[..whole]).ok_or_else(|| Error::Dataset {
                path: path.clone(),
                reason:
                    "this is no journal of a watch, or of another version; name another file for --results"
                        .into(),
            })?;
            journal.file.set_len(whole as u64).map_err(fail(&path, "writing"))?;
            journal.file.seek(SeekFrom::End(0)).map_err(fail(&path, "writing"))?;
            if written > length || !ends_a_line(&mut out, written).map_err(fail(results, "reading"))? {
                return Err(Error::InvalidOption(format!(
                    "{} was changed since its journal {} was written: lines of {} files may be missing. Move both \
                     away, or name another file for --results",
                    results.display(),
                    path.display(),
                    journal.len()
                )));
            }
            if written < length {
                out.set_len(written).map_err(fail(results, "cutting off a line without its journal"))?;
                journal.length = written;
            }
        }
        out.seek(SeekFrom::End(0)).map_err(fail(results, "writing"))?;
        if journal.length == 0 {
            journal.append(header)?;
            softpatch::files::keep([results, &path])?;
        }
        Ok(journal)
    }

    /// Takes in the lines; the length of the results after the last, 0 without any: then all of the results is
    /// half done. `None` where this is no journal.
    fn read(&mut self, text: &str) -> Option<u64> {
        let mut written = 0;
        for line in text.strip_prefix(HEADER)?.lines().skip(1) {
            if let Some(begun) = line.strip_prefix("? ") {
                let (path, said): (String, serde_json::Value) = serde_json::from_str(begun).ok()?;
                self.begun.insert(path, said.to_string());
                continue;
            }
            let mut parts = line.splitn(5, ' ');
            let mut number = || parts.next()?.parse::<u128>().ok();
            let (size, changed) = (u64::try_from(number()?).ok()?, number()?);
            let (inode, length) = (u64::try_from(number()?).ok()?, u64::try_from(number()?).ok()?);
            let path: String = serde_json::from_str(parts.next()?).ok()?;
            self.remember(path, Stamp { size, changed, number: inode });
            written = length;
        }
        Some(written)
    }

    fn remember(&mut self, path: String, stamp: Stamp) {
        self.by_path.insert(by_path(&path, stamp));
        if stamp.number != 0 {
            self.by_number.insert(by_number(stamp));
        }
        self.begun.remove(&path);
    }

    /// What was said at the beginning of files that were not done when the last watch stopped.
    pub fn take_begun(&mut self) -> BTreeMap<String, String> {
        std::mem::take(&mut self.begun)
    }

    /// Says of files, by their paths as texts, what is begun of each: JSON.
    pub fn begin(&mut self, said: &[(String, serde_json::Value)]) -> Result<()> {
        let lines = said.iter().map(|said| format!("? {}\n", serde_json::json!(said)));
        let lines: String = lines.collect();
        self.file
            .write_all(lines.as_bytes())
            .and_then(|()| self.file.sync_data())
            .map_err(|e| Error::io(&self.path, "writing", e))
    }

    /// The journal's own file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How many files are done.
    pub fn len(&self) -> usize {
        self.by_path.len()
    }

    /// Whether the file is in the results, under this name or one that it had before.
    pub fn has(&self, path: &Path, stamp: Stamp) -> bool {
        (stamp.number != 0 && self.by_number.contains(&by_number(stamp)))
            || self.by_path.contains(&by_path(&text_of(path), stamp))
    }

    fn append(&mut self, text: &str) -> Result<()> {
        let fail = |e| Error::io(&self.results_path, "writing", e);
        self.results.write_all(text.as_bytes()).map_err(fail)?;
        self.length += text.len() as u64;
        Ok(())
    }

    /// Whether both files are where they were: what is written is lost otherwise.
    fn check(&self) -> Result<()> {
        check((&self.results_path, &self.results), (&self.path, &self.file))
    }

    /// Adds the results' lines of files, and says here that they are done.
    pub fn add(&mut self, files: &[Done]) -> Result<()> {
        self.check()?;
        let mut entries = String::new();
        for Done { path, stamp: Stamp { size, changed, number }, line } in files {
            self.append(line)?;
            let quoted = serde_json::Value::from(text_of(path));
            let _ = writeln!(entries, "{size} {changed} {number} {} {quoted}", self.length);
        }
        self.results.sync_data().map_err(|e| Error::io(&self.results_path, "writing", e))?;
        self.check()?;
        self.file
            .write_all(entries.as_bytes())
            .and_then(|()| self.file.sync_data())
            .map_err(|e| Error::io(&self.path, "writing", e))?;
        for file in files {
            self.remember(text_of(&file.path), file.stamp);
        }
        Ok(())
    }
}

/// A path as text, which no other path has: one that is no UTF-8 with its bytes in hexadecimal.
pub fn text_of(path: &Path) -> String {
    let hex = || path.as_os_str().as_encoded_bytes().iter().map(|b| format!("{b:02x}")).collect::<String>();
    path.to_str().map_or_else(|| format!("\u{fffd}{}", hex()), str::to_owned)
}

/// Whether a line ends before byte `at`.
fn ends_a_line(file: &mut File, at: u64) -> std::io::Result<bool> {
    let Some(before) = at.checked_sub(1) else { return Ok(true) };
    let mut last = [0];
    file.seek(SeekFrom::Start(before))?;
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn done(path: &str, n: u64, line: &str) -> Done {
        Done { path: path.into(), stamp: stamp(n), line: line.into() }
    }

    fn stamp(n: u64) -> Stamp {
        Stamp { size: n, changed: u128::from(n) + 7, number: n }
    }

    #[test]
    fn a_stop_before_the_first_line_of_the_journal_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let results = folder.path().join("r.csv");
        let beside = folder.path().join("r.csv.journal");
        for torn in ["", "softpatch wat", "softpatch watch journal, version 1, model m", "\0\0"] {
            std::fs::write(&beside, torn).unwrap();
            std::fs::write(&results, "").unwrap();
            drop(Journal::open(&results, "path,score\n", "m").unwrap());
            assert_eq!(std::fs::read_to_string(&beside).unwrap(), format!("{HEADER}m\n"), "{torn}");
        }
        for left in ["", "path,sc", "path,score\n", "path,score\na.png,1\n", "path,score\na.png,1\nb.p"] {
            std::fs::write(&results, left).unwrap();
            let mut journal = Journal::open(&results, "path,score\n", "m").unwrap();
            assert_eq!(journal.len(), 0);
            journal.add(&[]).unwrap();
            assert_eq!(std::fs::read_to_string(&results).unwrap(), "path,score\n", "{left}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn names_that_are_no_text_are_not_one_name() {
        use std::os::unix::ffi::OsStrExt;
        let path = |bytes: &[u8]| PathBuf::from(std::ffi::OsStr::from_bytes(bytes));
        let folder = tempfile::tempdir().unwrap();
        let results = folder.path().join("r.csv");
        // Copies of one file keep its size and time.
        let other = Stamp { number: 2, ..stamp(1) };
        let mut journal = Journal::open(&results, "path\n", "m").unwrap();
        journal.add(&[Done { path: path(b"\xff.png"), ..done("", 1, "x\n") }]).unwrap();
        drop(journal);
        let journal = Journal::open(&results, "path\n", "m").unwrap();
        assert!(journal.has(&path(b"\xff.png"), other) && !journal.has(&path(b"\xfe.png"), other));
    }

    #[test]
    fn every_file_is_in_the_results_once_over_restarts() {
        let folder = tempfile::tempdir().unwrap();
        let results = folder.path().join("r.csv");
        let beside = folder.path().join("r.csv.journal");
        let read = |path: &Path| std::fs::read_to_string(path).unwrap();
        {
            let mut journal = Journal::open(&results, "path,score\n", "m").unwrap();
            let two = [done("a b.png", 1, "a b.png,1\n"), done("ü\n\".png", 2, "x,2\n")];
            journal.add(&two).unwrap();
            // Two at a time is one too many.
            let second = Journal::open(&results, "path,score\n", "m").err().unwrap().to_string();
            assert!(second.contains("another watch"), "{second}");
        }
        // Stopped after the results' line, before the journal's; and in the middle of the journal's.
        let (whole, journaled) = (read(&results), read(&beside));
        let begun = "? [\"c.png\",{\"shown\":\"in/c.png\",\"files\":[\"c-2.png\"],\"regions\":null}]\n";
        let stops = [
            ("half a li", String::new()),
            ("c.png,3\n", String::new()),
            ("c.png,3\n", "3 10 3 2".to_owned()),
            ("c.png,3\n", "\0\0\0".to_owned()),
            ("c.png,3\n", format!("{begun}3 10")),
            ("", begun.to_owned()),
        ];
        for (more, torn) in stops {
            std::fs::write(&results, whole.clone() + more).unwrap();
            std::fs::write(&beside, journaled.clone() + &torn).unwrap();
            let mut journal = Journal::open(&results, "path,score\n", "m").unwrap();
            assert_eq!((journal.len(), read(&results)), (2, whole.clone()));
            assert!(
                journal.has(Path::new("ü\n\".png"), stamp(2)) && !journal.has(Path::new("c.png"), stamp(3))
            );
            // The same file under another name, and another file under the same name.
            assert!(journal.has(Path::new("moved.png"), stamp(1)));
            assert!(!journal.has(Path::new("a b.png"), stamp(9)));
            assert_eq!(journal.take_begun().len(), usize::from(torn.starts_with('?')), "{torn}");
            journal.add(&[done("c.png", 3, "c.png,3\n")]).unwrap();
            assert_eq!(read(&results), whole.clone() + "c.png,3\n");
        }
        // Lines that the journal knows were taken away, or others put in their place.
        for changed in ["", "path,score\n", "path;score\r\na b.png;1\r\nx;2\r\nmore\r\n\"\"\"\""] {
            std::fs::write(&results, changed).unwrap();
            let error = Journal::open(&results, "path,score\n", "m").err().unwrap().to_string();
            assert!(error.contains("was changed") && read(&results) == changed, "{error}");
        }
        std::fs::remove_file(&results).unwrap();
        assert!(Journal::open(&results, "path,score\n", "m").is_err());
        let other = Journal::open(&results, "path,score\n", "n").err().unwrap().to_string();
        assert!(other.contains("another model"), "{other}");
        std::fs::remove_file(&beside).unwrap();
        std::fs::write(&results, &whole).unwrap();
        let lost = Journal::open(&results, "path,score\n", "m").err().unwrap().to_string();
        assert!(lost.contains("without its journal"), "{lost}");
        std::fs::write(&beside, "something else\n").unwrap();
        let other = Journal::open(&results, "path,score\n", "m").err().unwrap().to_string();
        assert!(other.contains("no journal of a watch"), "{other}");
    }
}
