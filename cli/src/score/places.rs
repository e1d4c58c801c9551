//! Where the pictures and maps of scored images go.

use super::journal::text_of;
use crate::common::failure::{Failure, Outcome};
use crate::common::output::{absolute, check_outside, resolved};
use softpatch::Error;
use std::collections::HashSet;
use std::path::{Component, Path, PathBuf};

/// Longest name that file systems take, in bytes.
const LONGEST_NAME: usize = 255;

/// Chooses a place for one file of each image.
pub struct Places {
    option: &'static str,
    out: PathBuf,
    extension: &'static str,
    /// Places are as images lie below it.
    root: PathBuf,
    taken: HashSet<String>,
    /// Whether what lies at a place stays.
    keep: bool,
    /// Places, as texts, where it does not.
    redone: HashSet<String>,
}

impl Places {
    /// Files that end with `.extension`, in the folder `out`, which `option` named, of images that
    /// `arguments`, files or folders, name.
    pub fn new(
        option: &'static str,
        out: &Path,
        extension: &'static str,
        arguments: &[PathBuf],
    ) -> Outcome<Self> {
        check_outside(option, out, arguments)?;
        if out.exists() && !out.is_dir() {
            return Err(Failure::Usage(format!("{option} {} is a file; name a folder", out.display())));
        }
        let folder_of = |argument: &PathBuf| {
            let path = absolute(argument);
            if argument.is_dir() { path } else { path.parent().map_or_else(PathBuf::new, Path::to_owned) }
        };
        let root = arguments.iter().map(folder_of).reduce(|a, b| common_ancestor(&a, &b)).unwrap_or_default();
        let (taken, redone) = (HashSet::new(), HashSet::new());
        Ok(Self { option, out: out.to_owned(), extension, root, taken, keep: false, redone })
    }

    /// Takes no place where a file lies already.
    pub fn keeping(self) -> Self {
        Self { keep: true, ..self }
    }

    /// Lets what lies at these places, as texts, be written anew, once.
    pub fn redo(&mut self, places: &HashSet<String>) {
        self.redone = places.clone();
    }

    /// Forgets the places that were given.
    pub fn forget(&mut self) {
        self.taken.clear();
    }

    /// The folder, with all links followed.
    pub fn folder(&self) -> PathBuf {
        resolved(&self.out)
    }

    /// Makes the folder.
    pub fn create(&self) -> softpatch::Result<()> {
        create_folder(&self.out)
    }

    /// The place of the next image, which no other has.
    pub fn place(&mut self, image: &Path) -> PathBuf {
        let path = absolute(image);
        // Without a drive's name or the like: joined to `out`, it would lead out of it.
        let place: PathBuf = (path.strip_prefix(&self.root).unwrap_or(&path).components())
            .filter(|part| matches!(part, Component::Normal(_)))
            .collect();
        let name = place.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let stem =
            if name.to_lowercase().ends_with(".png") { &name[..name.len() - 4] } else { name.as_str() };
        let end = self.extension;
        (1..)
            .map(|n| if n == 1 { format!(".{end}") } else { format!("-{n}.{end}") })
            .map(|end| {
                self.out.join(place.with_file_name(format!("{}{end}", cut(stem, LONGEST_NAME - end.len()))))
            })
            // File systems that ignore case exist.
            .find(|target| {
                self.taken.insert(target.to_string_lossy().to_lowercase())
                    && (self.redone.remove(&text_of(target)) || !(self.keep && target.exists()))
            })
            .unwrap_or_default()
    }

    /// The places of all `paths`; none of them is one of the images.
    pub fn of_all(&mut self, paths: &[PathBuf]) -> Outcome<Vec<PathBuf>> {
        let inputs: HashSet<PathBuf> = paths.iter().map(|path| resolved(path)).collect();
        let targets = paths.iter().map(|path| {
            let target = self.place(path);
            if inputs.contains(&resolved(&target)) {
                return Err(Failure::Usage(format!(
                    "{} would overwrite an image; choose another folder for {}",
                    target.display(),
                    self.option
                )));
            }
            Ok(target)
        });
        targets.collect()
    }
}

/// As much of a text as fits `most` bytes.
fn cut(text: &str, most: usize) -> &str {
    let mut end = text.len().min(most);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

fn common_ancestor(a: &Path, b: &Path) -> PathBuf {
    a.components().zip(b.components()).take_while(|(x, y)| x == y).map(|(x, _)| x).collect()
}

pub(super) fn create_folder(path: &Path) -> softpatch::Result<()> {
    std::fs::create_dir_all(path).map_err(|e| Error::io(path, "creating the folder", e))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(out: &Path, arguments: &[PathBuf], paths: &[PathBuf]) -> Outcome<Vec<PathBuf>> {
        Places::new("--heatmaps", out, "png", arguments)?.of_all(paths)
    }

    #[test]
    fn files_stay_in_their_folder() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for sub in ["a", "b"] {
            std::fs::create_dir(at(sub)).unwrap();
            std::fs::write(at(sub).join("1.png"), "").unwrap();
        }
        let out = at("out");
        let paths = [at("a/1.png"), at("a/../b/1.png")];
        assert_eq!(places(&out, &paths, &paths).unwrap(), [out.join("a/1.png"), out.join("b/1.png")]);
        // No image is overwritten, whether the folder for heatmaps is there or not.
        for out in ["a", "new/../a", "a/../a"] {
            assert!(places(&at(out), &paths[..1], &paths[..1]).is_err(), "{out}");
        }
        for inside in ["a/new", "b/../a/new", "new/../a/h"] {
            assert!(places(&at(inside), &[at("a")], &[]).is_err(), "{inside}");
        }
        // What an earlier watch wrote stays.
        let mut later = Places::new("--maps", &at("b"), "png", &[at("a")]).unwrap().keeping();
        assert_eq!(later.place(&paths[0]), at("b/1-2.png"));
        later.redo(&HashSet::from([text_of(&at("b/1.png"))]));
        later.forget();
        assert_eq!(later.place(&paths[0]), at("b/1.png"));
    }

    #[test]
    fn files_do_not_collide() {
        let folder = tempfile::tempdir().unwrap();
        for sub in ["a", "b"] {
            std::fs::create_dir(folder.path().join(sub)).unwrap();
        }
        let paths: Vec<PathBuf> =
            ["a/1.png", "b/1.png", "a/1.jpg", "a/1.PNG"].iter().map(|p| folder.path().join(p)).collect();
        let plan =
            places(Path::new("out"), &[folder.path().join("a"), folder.path().join("b")], &paths).unwrap();
        let want = ["out/a/1.png", "out/b/1.png", "out/a/1.jpg.png", "out/a/1-2.png"];
        assert_eq!(plan, want.map(PathBuf::from));
        // Other files have the same names but for their end.
        let maps = Places::new("--maps", Path::new("out"), "npy", &[folder.path().join("a")]);
        let maps = maps.unwrap().of_all(&[paths[0].clone(), paths[2].clone()]).unwrap();
        assert_eq!(maps, ["out/1.npy", "out/1.jpg.npy"].map(PathBuf::from));
        // Two long names that differ only past what a name has room for.
        let long =
            ["x", "y"].map(|end| folder.path().join("a").join(format!("{}{end}.jpg", "ü".repeat(126))));
        let plan = places(Path::new("out"), &[folder.path().join("a")], &long).unwrap();
        let names: Vec<_> = plan.iter().map(|p| p.file_name().unwrap().len()).collect();
        assert!(plan[0] != plan[1] && names.iter().all(|n| *n <= 255), "{names:?}");
    }
}
