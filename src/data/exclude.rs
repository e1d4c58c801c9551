//! A list of pictures that are left out.

use super::spreadsheet::csv_unguarded;
use crate::{Error, Result};
use std::path::{Path, PathBuf};

/// Pictures that are left out of a training set, by a list file: one path or name a line, as it is or below
/// any folder; empty lines and lines that begin with `#` are skipped. A CSV whose first column is `path` is
/// read, too: all pictures that it has, with texts as [`csv_guarded`](super::csv_guarded) has them.
///
/// ```
/// use softpatch::data::Exclude;
/// # let folder = tempfile::tempdir().unwrap();
/// # let list = folder.path().join("bad.txt");
/// std::fs::write(&list, "# seen on Monday\ngood/002.png\n")?;
/// let mut paths = vec!["part/train/good/001.png".into(), "part/train/good/002.png".into()];
/// assert_eq!(Exclude::load(&list)?.apply(&mut paths)?, 1);
/// assert_eq!(paths, ["part/train/good/001.png".into()] as [std::path::PathBuf; 1]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exclude {
    file: PathBuf,
    entries: Vec<String>,
}

impl Exclude {
    /// Reads a list.
    ///
    /// # Errors
    /// [`Error::Io`] where it cannot be read, [`Error::Dataset`] where it is no text.
    pub fn load(file: &Path) -> Result<Self> {
        let wrong = |reason: String| Error::Dataset { path: file.to_owned(), reason };
        let bytes = std::fs::read(file).map_err(|e| Error::io(file, "reading the list", e))?;
        let text = str::from_utf8(&bytes).map_err(|_| wrong("the list is not UTF-8 text".into()))?;
        let text = text.trim_start_matches('\u{feff}');
        let entries = if text.starts_with("path,") {
            let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(text.as_bytes());
            let path = |record: csv::Result<csv::StringRecord>| {
                record
                    .map(|r| csv_unguarded(r.get(0).unwrap_or_default()).to_owned())
                    .map_err(|e| wrong(e.to_string()))
            };
            reader.records().map(path).collect::<Result<Vec<_>>>()?
        } else {
            text.lines().filter(|line| !line.trim_start().starts_with('#')).map(str::to_owned).collect()
        };
        let entries = entries.into_iter().filter(|entry| !entry.trim().is_empty()).collect();
        Ok(Self { file: file.to_owned(), entries })
    }

    /// Takes the pictures of the list out of `paths`, and says how many they were.
    ///
    /// # Errors
    /// [`Error::Dataset`] naming the list and all entries that are no picture of `paths`, or several; or
    /// where no picture would be left. `paths` is then as it was.
    pub fn apply(&self, paths: &mut Vec<PathBuf>) -> Result<usize> {
        let wrong = |reason: String| Err(Error::Dataset { path: self.file.clone(), reason });
        let mut out = vec![false; paths.len()];
        let (mut unknown, mut several) = (Vec::new(), Vec::new());
        for entry in &self.entries {
            let found = find(entry, paths);
            match found.as_slice() {
                [] => unknown.push(format!("\n  {entry}")),
                [one] => out[*one] = true,
                [one, other, ..] => several.push(format!(
                    "\n  {entry}: {} and {}",
                    paths[*one].display(),
                    paths[*other].display()
                )),
            }
        }
        if !unknown.is_empty() {
            let n = unknown.len();
            return wrong(format!(
                "{n} of {} entries are no training image; correct or remove them:{}",
                self.entries.len(),
                unknown.concat()
            ));
        }
        if !several.is_empty() {
            return wrong(format!(
                "these may be several images; give their folders, too:{}",
                several.concat()
            ));
        }
        let gone = out.iter().filter(|out| **out).count();
        if gone == paths.len() {
            return wrong(format!("it leaves out all {gone} training images"));
        }
        let mut out = out.into_iter();
        paths.retain(|_| out.next() == Some(false));
        Ok(gone)
    }
}

/// The numbers of the paths that an entry may mean: the one that it is, else those that end with it, or that
/// it ends with.
fn find(entry: &str, paths: &[PathBuf]) -> Vec<usize> {
    let of = |entry: &str| -> Vec<usize> {
        let entry = Path::new(entry);
        let entry = entry.strip_prefix(".").unwrap_or(entry);
        let plain = |path: &PathBuf| path.strip_prefix(".").unwrap_or(path).to_owned();
        let numbers = |is: &dyn Fn(&Path) -> bool| -> Vec<usize> {
            (0..paths.len()).filter(|i| is(&plain(&paths[*i]))).collect()
        };
        let same = numbers(&|path| path == entry);
        if same.is_empty() { numbers(&|path| path.ends_with(entry) || entry.ends_with(path)) } else { same }
    };
    // A name may begin or end with spaces; most that do were typed.
    let found = of(entry);
    if found.is_empty() { of(entry.trim()) } else { found }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exclude(text: &str, paths: &[&str]) -> Result<Vec<String>> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("list.txt");
        std::fs::write(&file, text).unwrap();
        let mut paths: Vec<PathBuf> = paths.iter().map(PathBuf::from).collect();
        let before = paths.len();
        let gone = Exclude::load(&file)?.apply(&mut paths)?;
        assert_eq!(gone, before - paths.len());
        Ok(paths.iter().map(|p| p.display().to_string()).collect())
    }

    #[test]
    fn what_is_listed_is_left_out() {
        let paths = ["set/a/1.png", "set/a/2.png", "set/b/1.png", "set/b/#3 .png"];
        let left = |text: &str| exclude(text, &paths).unwrap().join(" ");
        assert_eq!(left("# why\r\n\r\n2.png\r\n"), "set/a/1.png set/b/1.png set/b/#3 .png");
        assert_eq!(left("set/b/#3 .png\n a/1.png \n"), "set/a/2.png set/b/1.png");
        assert_eq!(left("/home/me/set/b/1.png\n./set/a/1.png\n"), "set/a/2.png set/b/#3 .png");
        assert_eq!(left("path,suspicion\nset/a/1.png,0.5\n\"set/b/#3 .png\",1\n"), "set/a/2.png set/b/1.png");
        let odd = exclude("path,rank\n'=1+1.png,1\n", &["=1+1.png", "a.png"]).unwrap();
        assert_eq!(odd, ["a.png"]);
        assert_eq!(left("\u{feff}# nothing\n"), paths.join(" "));
    }

    #[test]
    fn what_is_not_there_is_named() {
        let refused = |text: &str| exclude(text, &["x/1.png", "y/1.png"]).unwrap_err().to_string();
        let message = refused("x/1.png\n7.png\nz/1.pn\n");
        assert!(message.contains("2 of 3 entries") && message.contains("\n  7.png\n  z/1.pn"), "{message}");
        assert!(refused("1.png\n").contains("1.png: x/1.png and y/1.png"));
        assert!(refused("x/1.png\ny/1.png\n").contains("leaves out all 2"));
    }
}
