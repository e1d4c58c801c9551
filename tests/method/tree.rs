//! Small trees of tiny images, made by a test.

use image::{GrayImage, Luma, RgbImage};
use softpatch::data::{Category, Dataset, Layout, LeftOut, OpenOptions, Reason, TestItem, TrainSet};
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

pub struct Tree(TempDir);

impl Tree {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// A path in the tree, its folder made.
    pub fn path(&self, name: &str) -> PathBuf {
        let path = self.0.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        path
    }

    pub fn root(&self) -> &Path {
        self.0.path()
    }

    /// Pictures of 8x8 pixels, none like the other, in the format of the extension, PNG where there is none.
    pub fn pictures(self, names: &[&str]) -> Self {
        for (i, name) in names.iter().enumerate() {
            let at = |x: u32, y: u32| image::Rgb([(x * 29 + i as u32) as u8, (y * 31) as u8, (x * y) as u8]);
            let picture = RgbImage::from_fn(8, 8, at);
            let path = self.path(name);
            match image::ImageFormat::from_path(&path) {
                Ok(format) if format.writing_enabled() => picture.save_with_format(path, format).unwrap(),
                _ => picture.save_with_format(path, image::ImageFormat::Png).unwrap(),
            }
        }
        self
    }

    /// Masks of 8x8 with one marked pixel each.
    pub fn masks(self, names: &[&str]) -> Self {
        for (i, name) in names.iter().enumerate() {
            let mut mask = GrayImage::new(8, 8);
            mask.put_pixel(i as u32, 2, Luma([255]));
            mask.save(self.path(name)).unwrap();
        }
        self
    }

    /// Masks without a mark.
    pub fn blank(self, names: &[&str]) -> Self {
        names.iter().for_each(|name| GrayImage::new(8, 8).save(self.path(name)).unwrap());
        self
    }

    /// Files with this content.
    pub fn files(self, names: &[&str], content: &[u8]) -> Self {
        names.iter().for_each(|name| fs::write(self.path(name), content).unwrap());
        self
    }

    pub fn remove(&self, name: &str) {
        let path = self.root().join(name);
        if path.is_dir() { fs::remove_dir_all(path).unwrap() } else { fs::remove_file(path).unwrap() }
    }

    pub fn set(&self) -> Dataset {
        Dataset::open(self.root()).unwrap()
    }

    pub fn set_as(&self, layout: Layout) -> Dataset {
        Dataset::open_with(self.root(), &OpenOptions { layout: Some(layout), ..OpenOptions::default() })
            .unwrap()
    }

    /// The categories, of a layout that has to be told.
    pub fn open(&self, layout: Layout) -> Vec<Category> {
        let set = self.set();
        assert_eq!(set.layout, layout, "{}", set.evidence);
        set.categories
    }

    /// That the set cannot be opened, or its first category not be fitted on or tested on.
    pub fn refused(&self, words: &[&str]) {
        let message = match Dataset::open(self.root()) {
            Err(error) => error.to_string(),
            Ok(set) => {
                let category = &set.categories[0];
                let [train, test] = [category.require_train().err(), category.require_test().err()];
                train.or(test).unwrap_or_else(|| panic!("{words:?}: {set:?}")).to_string()
            }
        };
        words.iter().for_each(|word| assert!(message.contains(word), "{word}: {message}"));
    }

    /// What fitting takes.
    pub fn fitted(&self, options: &OpenOptions) -> Vec<String> {
        TrainSet::open_with(self.root(), options).unwrap().paths.iter().map(|p| self.inside(p)).collect()
    }

    /// That fitting asks.
    pub fn asks(&self, words: &[&str]) {
        match TrainSet::open(self.root()) {
            Err(error @ softpatch::Error::Choice { .. }) => {
                let message = error.to_string();
                words.iter().for_each(|word| assert!(message.contains(word), "{word}: {message}"));
            }
            other => panic!("{words:?}: {other:?}"),
        }
    }

    pub fn train(&self, category: &Category) -> Vec<String> {
        category.train.iter().map(|p| self.inside(p)).collect()
    }

    /// `path defect mask` of every test image, with dashes for what is not there.
    pub fn test(&self, category: &Category) -> Vec<String> {
        let line = |item: &TestItem| {
            let mask = item.mask.as_ref().map_or(String::new(), |m| format!(" {}", self.inside(m)));
            format!("{} {}{mask}", self.inside(&item.path), item.defect.as_deref().unwrap_or("-"))
        };
        category.test.items.iter().map(line).collect()
    }

    /// `path reason` of all that is left out.
    pub fn left(&self, left_out: &LeftOut) -> Vec<(String, Reason)> {
        left_out.paths.iter().map(|left| (self.inside(&left.path), left.reason)).collect()
    }

    pub fn inside(&self, path: &Path) -> String {
        path.strip_prefix(self.root()).unwrap().to_string_lossy().replace('\\', "/")
    }
}

/// Options that take folders.
pub fn take(names: &[&str]) -> OpenOptions {
    OpenOptions { take: names.iter().map(|name| (*name).to_owned()).collect(), ..OpenOptions::default() }
}
