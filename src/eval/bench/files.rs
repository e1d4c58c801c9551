//! What the files of a split hold, as far as keys of cells depend on it.

use crate::data::{Split, list_images};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// The files of a category, each looked at once. Their times are of no account: cells are made on several
/// machines, from copies of a data set.
#[derive(Default)]
pub(super) struct Files {
    /// Sizes of pictures; empty for what is no file.
    pictures: HashMap<PathBuf, String>,
    /// Sizes of masks with hashes of what they hold.
    masks: HashMap<PathBuf, String>,
}

impl Files {
    /// SHA-256 of what is known of a split's files, in its order; empty where it has none.
    pub fn digest(&mut self, split: &Split) -> String {
        let pictures = split.train.iter().map(|e| &e.path).chain(split.test.iter().map(|i| &i.path));
        let masks = split.test.iter().filter_map(|i| i.mask.as_ref());
        let mut said: Vec<String> = pictures.map(|path| look(&mut self.pictures, path, size)).collect();
        said.extend(masks.map(|path| look(&mut self.masks, path, mask)));
        if said.iter().all(String::is_empty) {
            return String::new();
        }
        format!("{:x}", Sha256::digest(said.join("\n")))
    }
}

fn look(seen: &mut HashMap<PathBuf, String>, path: &Path, at: fn(&Path) -> String) -> String {
    if let Some(said) = seen.get(path) {
        return said.clone();
    }
    seen.entry(path.to_owned()).or_insert(at(path)).clone()
}

fn size(picture: &Path) -> String {
    std::fs::metadata(picture).map_or(String::new(), |meta| meta.len().to_string())
}

/// Of a folder, all masks in it.
fn mask(path: &Path) -> String {
    if path.is_dir() {
        let parts = list_images(path).map(|listing| listing.images).unwrap_or_default();
        return parts.iter().map(|part| mask(part)).collect::<Vec<_>>().join(",");
    }
    // What is wrong with it, whoever loads it says.
    std::fs::read(path).map_or(String::new(), |bytes| format!("{} {:x}", bytes.len(), Sha256::digest(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{TestItem, TrainEntry};
    use std::fs;

    fn split(folder: &Path) -> Split {
        let at = |name: &str| folder.join(name);
        let test = |path, mask| TestItem { path, defect: Some("hole".into()), mask: Some(mask) };
        Split {
            train: vec![TrainEntry { path: at("train.png"), augment: None, is_noise: false }],
            test: vec![test(at("a.png"), at("a_mask.png")), test(at("b.png"), at("b_masks"))],
        }
    }

    fn fill(folder: &Path) {
        fs::create_dir_all(folder.join("b_masks")).unwrap();
        for name in ["train.png", "a.png", "a_mask.png", "b.png", "b_masks/0.png", "b_masks/1.png"] {
            fs::write(folder.join(name), name).unwrap();
        }
    }

    #[test]
    fn what_files_hold_counts_and_where_they_lie_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let [first, second] = ["first", "second"].map(|name| folder.path().join(name));
        let digest = |folder: &Path| Files::default().digest(&split(folder));
        assert_eq!(digest(&first), "", "there are no files");
        fill(&first);
        fill(&second);
        let whole = digest(&first);
        assert_eq!((whole.len(), &whole), (64, &digest(&second)), "a copy");
        for (name, becomes) in [
            ("train.png", "another size"),
            ("b.png", ""),
            ("a_mask.png", "A_mask.png"),
            ("b_masks/1.png", "b_masks/2.png"),
            ("b_masks/2.png", "one more"),
        ] {
            fs::write(second.join(name), becomes).unwrap();
            assert_ne!(digest(&second), whole, "{name}");
            fs::remove_dir_all(&second).unwrap();
            fill(&second);
            assert_eq!(digest(&second), whole, "{name} as it was");
        }
        fs::remove_file(second.join("a.png")).unwrap();
        assert_ne!(digest(&second), whole, "one is missing");
        // Files are looked at once.
        let mut files = Files::default();
        assert_eq!(files.digest(&split(&first)), whole);
        fs::remove_dir_all(&first).unwrap();
        assert_eq!(files.digest(&split(&first)), whole);
    }
}
