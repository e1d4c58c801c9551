//! Where the heatmaps of scored images go, and what is in them.

use crate::common::failure::{Failure, Outcome};
use softpatch::detector::{ModelInfo, Score};
use softpatch::{Error, report};
use std::collections::HashSet;
use std::path::{Component, Path, PathBuf};

/// Longest name that file systems take, in bytes.
const LONGEST_NAME: usize = 255;

/// Chooses a place for each image's heatmap.
pub struct Heatmaps {
    out: PathBuf,
    /// Places are as images lie below it.
    root: PathBuf,
    taken: HashSet<String>,
    /// Whether what lies at a place stays.
    keep: bool,
}

impl Heatmaps {
    /// Heatmaps in `out` of images that `arguments`, files or folders, name.
    pub fn new(out: &Path, arguments: &[PathBuf]) -> Outcome<Self> {
        for argument in arguments.iter().filter(|a| a.is_dir()) {
            if resolved(out).starts_with(resolved(argument)) {
                return Err(Failure::Usage(format!(
                    "--heatmaps {} lies inside {}: the next run would take the heatmaps for images; choose \
                     a folder outside it",
                    out.display(),
                    argument.display()
                )));
            }
        }
        if out.exists() && !out.is_dir() {
            return Err(Failure::Usage(format!("--heatmaps {} is a file; name a folder", out.display())));
        }
        let folder_of = |argument: &PathBuf| {
            let path = absolute(argument);
            if argument.is_dir() { path } else { path.parent().map_or_else(PathBuf::new, Path::to_owned) }
        };
        let root = arguments.iter().map(folder_of).reduce(|a, b| common_ancestor(&a, &b)).unwrap_or_default();
        Ok(Self { out: out.to_owned(), root, taken: HashSet::new(), keep: false })
    }

    /// Takes no place where a file lies already.
    pub fn keeping(self) -> Self {
        Self { keep: true, ..self }
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
        (1..)
            .map(|n| if n == 1 { ".png".to_owned() } else { format!("-{n}.png") })
            .map(|end| {
                self.out.join(place.with_file_name(format!("{}{end}", cut(stem, LONGEST_NAME - end.len()))))
            })
            // File systems that ignore case exist.
            .find(|target| {
                self.taken.insert(target.to_string_lossy().to_lowercase()) && !(self.keep && target.exists())
            })
            .unwrap_or_default()
    }
}

/// Where the heatmaps of all `paths` go; none of them overwrites one of the images.
pub fn plan_heatmaps(out: &Path, arguments: &[PathBuf], paths: &[PathBuf]) -> Outcome<Vec<PathBuf>> {
    let mut heatmaps = Heatmaps::new(out, arguments)?;
    let inputs: HashSet<PathBuf> = paths.iter().map(|path| resolved(path)).collect();
    let targets = paths.iter().map(|path| {
        let target = heatmaps.place(path);
        if inputs.contains(&resolved(&target)) {
            return Err(Failure::Usage(format!(
                "the heatmap {} would overwrite an image; choose another folder for --heatmaps",
                target.display()
            )));
        }
        Ok(target)
    });
    targets.collect()
}

/// Absolute, and each `..` with the name before it left out.
fn absolute(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    path.components().fold(PathBuf::new(), |mut whole, part| {
        if part == Component::ParentDir {
            _ = whole.pop()
        } else {
            whole.push(part)
        }
        whole
    })
}

/// Where a path leads, followed as far as it exists.
fn resolved(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let real = path.ancestors().find_map(|there| {
        let rest = path.strip_prefix(there).ok()?;
        Some(absolute(&there.canonicalize().ok()?.join(rest)))
    });
    real.unwrap_or_else(|| absolute(&path))
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

pub fn create_folder(path: &Path) -> softpatch::Result<()> {
    std::fs::create_dir_all(path).map_err(|e| Error::io(path, "creating the folder", e))
}

/// Map values that are drawn coldest and hottest: fixed for a model, so that pictures can be compared.
pub fn map_range(info: &ModelInfo, map: &[f32]) -> (f32, f32) {
    match info.threshold {
        Some(threshold) if threshold > 0.0 => (0.3 * threshold, 2.5 * threshold),
        _ => (0.0, map.iter().copied().fold(f32::MIN_POSITIVE, f32::max)),
    }
}

pub fn write_heatmap(
    target: &Path,
    view: &softpatch::data::OwnedImage,
    score: &Score,
    info: &ModelInfo,
) -> softpatch::Result<()> {
    if let Some(folder) = target.parent() {
        create_folder(folder)?;
    }
    report::write_png(
        target,
        &report::overlay(view, &score.map, map_range(info, &score.map), info.threshold)?,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heatmaps_stay_in_their_folder() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for sub in ["a", "b"] {
            std::fs::create_dir(at(sub)).unwrap();
            std::fs::write(at(sub).join("1.png"), "").unwrap();
        }
        let out = at("out");
        let paths = [at("a/1.png"), at("a/../b/1.png")];
        assert_eq!(plan_heatmaps(&out, &paths, &paths).unwrap(), [out.join("a/1.png"), out.join("b/1.png")]);
        // No image is overwritten, whether the folder for heatmaps is there or not.
        for out in ["a", "new/../a", "a/../a"] {
            assert!(plan_heatmaps(&at(out), &paths[..1], &paths[..1]).is_err(), "{out}");
        }
        for inside in ["a/new", "b/../a/new", "new/../a/h"] {
            assert!(Heatmaps::new(&at(inside), &[at("a")]).is_err(), "{inside}");
        }
        // What an earlier watch wrote stays.
        let mut later = Heatmaps::new(&at("b"), &[at("a")]).unwrap().keeping();
        assert_eq!(later.place(&paths[0]), at("b/1-2.png"));
    }

    #[test]
    fn heatmaps_do_not_collide() {
        let folder = tempfile::tempdir().unwrap();
        for sub in ["a", "b"] {
            std::fs::create_dir(folder.path().join(sub)).unwrap();
        }
        let paths: Vec<PathBuf> =
            ["a/1.png", "b/1.png", "a/1.jpg", "a/1.PNG"].iter().map(|p| folder.path().join(p)).collect();
        let plan =
            plan_heatmaps(Path::new("out"), &[folder.path().join("a"), folder.path().join("b")], &paths)
                .unwrap();
        let want = ["out/a/1.png", "out/b/1.png", "out/a/1.jpg.png", "out/a/1-2.png"];
        assert_eq!(plan, want.map(PathBuf::from));
        // Two long names that differ only past what a heatmap's name has room for.
        let long =
            ["x", "y"].map(|end| folder.path().join("a").join(format!("{}{end}.jpg", "ü".repeat(126))));
        let plan = plan_heatmaps(Path::new("out"), &[folder.path().join("a")], &long).unwrap();
        let names: Vec<_> = plan.iter().map(|p| p.file_name().unwrap().len()).collect();
        assert!(plan[0] != plan[1] && names.iter().all(|n| *n <= 255), "{names:?}");
    }
}
