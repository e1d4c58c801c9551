//! Features of a category on the disk, for a run that is interrupted among its cells: the next one goes on
//! with them.
//!
//! Two files in `features/` of the output folder: `NAME.f32` with the embeddings of image after image, and
//! `NAME.json`, written once the other is whole, with its checksum, what the features were made with, and the
//! images with their sizes and times. Both go when the category is done.

use crate::data::TrainEntry;
use crate::{Result, files};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

/// An image and its move, if it is moved.
pub(super) type Key = (PathBuf, Option<[u64; 5]>);

/// Under which key the features of an entry are kept.
pub(super) fn key(entry: &TrainEntry) -> Key {
    let bits = entry.augment.map(|a| [a.rotation, a.shift_x, a.shift_y, a.scale, a.shear].map(f64::to_bits));
    (entry.path.clone(), bits)
}

/// The folder.
const FOLDER: &str = "features";

/// Raised where the files' meaning changes.
const VERSION: u32 = 1;

/// What is said of the features.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Said {
    version: u32,
    /// All that they depend on beside the images.
    made_with: String,
    /// Values of an image.
    image: usize,
    images: Vec<Listed>,
    /// SHA-256 of the other file.
    sha256: String,
}

/// An image as it was when its features were made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Listed {
    key: Key,
    size: u64,
    /// Nanoseconds since 1970.
    changed: u128,
}

impl Listed {
    /// As it is now; `None` where it is no file, or the system does not say when it was changed.
    fn of(entry: &TrainEntry) -> Option<Self> {
        let meta = std::fs::metadata(&entry.path).ok()?;
        let changed = meta.modified().ok()?.duration_since(UNIX_EPOCH).ok()?.as_nanos();
        Some(Self { key: key(entry), size: meta.len(), changed })
    }
}

/// The features of a category in a file, which this run alone has.
pub(super) struct Kept {
    pub file: File,
    data: PathBuf,
    list: PathBuf,
    /// What they are made with.
    made_with: String,
    /// Images as they were before they were read.
    images: Vec<Listed>,
    digest: Sha256,
    state: State,
}

/// What becomes of the files when the run ends.
#[derive(Clone, Copy, PartialEq)]
enum State {
    /// They stay as they are.
    Left,
    /// They are not whole, or not needed any more: they go.
    Void,
}

impl Kept {
    /// The files of `category` in the output folder, for features that are made with what `made_with` says;
    /// `None` where they cannot be kept: another run has them, or there is no way to tell, or an image has no
    /// file.
    pub fn open(out: &Path, category: &str, made_with: &str, entries: &[TrainEntry]) -> Option<Self> {
        let images: Vec<Listed> = entries.iter().map(Listed::of).collect::<Option<_>>()?;
        let folder = out.join(FOLDER);
        let name = format!("{:x}", Sha256::digest(category));
        let [data, list] = ["f32", "json"].map(|end| folder.join(format!("{}.{end}", &name[..16])));
        let said = |e: std::io::Error| tracing::info!("{}: features are not kept: {e}", data.display());
        std::fs::create_dir_all(&folder).map_err(said).ok()?;
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&data);
        let file = file.map_err(said).ok()?;
        // The threads of a program that was killed hold it for a moment.
        let mut waited = 0;
        while let Err(e) = file.try_lock() {
            if waited == 20 {
                tracing::warn!("{}: features are not kept, another run has them: {e}", data.display());
                return None;
            }
            waited += 1;
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        let (made_with, digest) = (made_with.to_owned(), Sha256::new());
        Some(Self { file, data, list, made_with, images, digest, state: State::Left })
    }

    /// Where each of the images lies in the file, if an earlier run left the features of all of them as they
    /// would be made now, `image` values of each; `load` gets the values that are asked for, with the number
    /// of the image among the entries.
    pub fn go_on(&mut self, image: usize, mut load: impl FnMut(usize, &[f32])) -> Option<Vec<usize>> {
        let said: Said = serde_json::from_slice(&std::fs::read(&self.list).ok()?).ok()?;
        let same = said.version == VERSION && said.made_with == self.made_with && said.image == image;
        let bytes = (said.images.len() as u64).checked_mul(image as u64 * 4)?;
        if !same || self.file.metadata().ok()?.len() != bytes {
            return None;
        }
        let place = |wanted: &Listed| said.images.iter().position(|listed| listed == wanted);
        let places: Vec<usize> = self.images.iter().map(place).collect::<Option<_>>()?;
        let mut wanted_at = vec![None; said.images.len()];
        places.iter().enumerate().for_each(|(i, place)| wanted_at[*place] = Some(i));
        // What is used is what was checked: one reading for both.
        let (mut digest, mut values) = (Sha256::new(), vec![0.0_f32; image]);
        self.file.seek(SeekFrom::Start(0)).ok()?;
        for wanted in wanted_at {
            let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut values);
            self.file.read_exact(bytes).ok()?;
            digest.update(&*bytes);
            if let Some(i) = wanted {
                load(i, &values);
            }
        }
        (format!("{:x}", digest.finalize()) == said.sha256).then_some(places)
    }

    /// Empties the file.
    pub fn begin(&mut self) -> std::io::Result<()> {
        self.state = State::Void;
        match std::fs::remove_file(&self.list) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        self.file.set_len(0)?;
        self.file.seek(SeekFrom::Start(0)).map(drop)
    }

    /// Adds values.
    pub fn write(&mut self, values: &[f32]) -> std::io::Result<()> {
        let bytes: &[u8] = bytemuck::cast_slice(values);
        self.digest.update(bytes);
        self.file.write_all(bytes)
    }

    /// Says that the features of all images are there, `image` values of each. Nothing waits for the disk:
    /// the checksum tells what a power cut took.
    pub fn end(&mut self, image: usize) -> Result<()> {
        let (images, made_with) = (self.images.clone(), self.made_with.clone());
        let sha256 = format!("{:x}", self.digest.clone().finalize());
        let said = Said { version: VERSION, made_with, image, images, sha256 };
        let text = serde_json::to_vec(&said).map_err(|e| crate::Error::Internal(e.to_string()))?;
        files::write_whole(&self.list, &text)?;
        self.state = State::Left;
        Ok(())
    }

    /// Removes the files: the category is done.
    pub fn done(mut self) {
        self.state = State::Void;
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        if self.state == State::Void {
            let _ = std::fs::remove_file(&self.list);
            let _ = std::fs::remove_file(&self.data);
            self.data.parent().map(std::fs::remove_dir);
        }
    }
}

/// Removes what runs of other categories or settings left in the output folder and no run has now.
pub(super) fn remove_all(out: &Path) {
    let folder = out.join(FOLDER);
    // What a link leads to is not the run's.
    if folder.is_symlink() {
        return;
    }
    for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
        let data = entry.path();
        let ours =
            |name: &str| name.len() == 16 && name.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        let is_data = data.extension().is_some_and(|end| end == "f32")
            && data.file_stem().and_then(|name| name.to_str()).is_some_and(ours)
            && entry.file_type().is_ok_and(|kind| kind.is_file());
        if is_data && OpenOptions::new().write(true).open(&data).is_ok_and(|file| file.try_lock().is_ok()) {
            let _ = std::fs::remove_file(data.with_extension("json"));
            let _ = std::fs::remove_file(data);
        }
    }
    // It stays where something is in it.
    let _ = std::fs::remove_dir(folder);
}

#[cfg(test)]
mod tests {
    use super::*;

    const IMAGE: usize = 3;

    fn entries(folder: &Path, count: usize) -> Vec<TrainEntry> {
        let path = |i: usize| folder.join(format!("{i}.png"));
        (0..count).for_each(|i| std::fs::write(path(i), format!("picture {i}")).unwrap());
        (0..count).map(|i| TrainEntry { path: path(i), augment: None, is_noise: false }).collect()
    }

    fn values(i: usize) -> [f32; IMAGE] {
        [i as f32, i as f32 + 0.25, -1.0]
    }

    /// What a run finds of `entries`, with the values by number.
    fn found(out: &Path, with: &str, entries: &[TrainEntry]) -> Option<Vec<(usize, Vec<f32>)>> {
        let mut kept = Kept::open(out, "metal", with, entries).unwrap();
        let mut loaded = Vec::new();
        let places = kept.go_on(IMAGE, |i, values| loaded.push((i, values.to_vec())));
        assert!(places.as_ref().is_none_or(|places| places.len() == entries.len()));
        places.map(|_| loaded)
    }

    fn keep(out: &Path, entries: &[TrainEntry], count: usize) {
        let mut kept = Kept::open(out, "metal", "settings", entries).unwrap();
        kept.begin().unwrap();
        (0..count).for_each(|i| kept.write(&values(i)).unwrap());
        if count == entries.len() {
            kept.end(IMAGE).unwrap();
        } else {
            // As where the run is killed.
            kept.state = State::Left;
        }
    }

    #[test]
    fn features_are_used_whole_of_the_same_images_and_settings_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let out = &folder.path().join("out");
        let four = entries(folder.path(), 4);
        assert_eq!(found(out, "settings", &four), None, "there are none");
        keep(out, &four, 3);
        assert_eq!(found(out, "settings", &four), None, "half of them");
        keep(out, &four, 4);
        let all =
            |list: &[usize]| Some(list.iter().enumerate().map(|(i, n)| (i, values(*n).to_vec())).collect());
        assert_eq!(found(out, "settings", &four), all(&[0, 1, 2, 3]));
        // Those of the cells that are missing.
        assert_eq!(found(out, "settings", &four[1..3]), all(&[1, 2]));
        assert_eq!(found(out, "others", &four), None, "of other settings");
        let mut moved = four.clone();
        moved[2].augment = Some(crate::data::Affine { shift_x: 0.5, ..crate::data::Affine::IDENTITY });
        assert_eq!(found(out, "settings", &moved), None, "of another image");
        // Two at a time is one too many.
        let first = Kept::open(out, "metal", "settings", &four).unwrap();
        assert!(Kept::open(out, "metal", "settings", &four).is_none());
        remove_all(out);
        drop(first);
        assert!(found(out, "settings", &four).is_some(), "somebody had them");
        let data = std::fs::read_dir(out.join(FOLDER)).unwrap().flatten().map(|e| e.path());
        let data = data.into_iter().find(|path| path.extension().is_some_and(|x| x == "f32")).unwrap();
        let whole = std::fs::read(&data).unwrap();
        let mut flipped = whole.clone();
        flipped[20] ^= 1;
        for damaged in [&whole[..whole.len() - 4], &whole[..0], &flipped, &[&whole[..], &[0; 12]].concat()] {
            std::fs::write(&data, damaged).unwrap();
            assert_eq!(found(out, "settings", &four), None, "{} bytes", damaged.len());
        }
        std::fs::write(&data, &whole).unwrap();
        assert!(found(out, "settings", &four).is_some());
        std::fs::write(&four[3].path, "other picture").unwrap();
        assert_eq!(found(out, "settings", &four), None, "an image was changed");
        assert!(found(out, "settings", &four[..3]).is_some());
        Kept::open(out, "metal", "settings", &four).unwrap().done();
        assert!(!out.join(FOLDER).exists(), "the category is done");
        keep(out, &four, 4);
        remove_all(out);
        assert!(!out.join(FOLDER).exists());
    }
}
