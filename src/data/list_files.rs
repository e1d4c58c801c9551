//! The images of a folder tree.

use super::decode::{IMAGE_EXTENSIONS, SNIFF_BYTES, by_suffix, sniff};
use super::left_out::{Left, LeftOut, Reason};
use crate::{Error, Result};
use std::collections::{HashMap, HashSet};
use std::fs::{File, Metadata};
use std::io::Read;
use std::path::{Path, PathBuf};

/// The images of a folder, and what else is in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// The images, sorted by path.
    pub images: Vec<PathBuf>,
    /// All that is no image, or is left out for another reason.
    pub left_out: LeftOut,
}

/// Image files in `dir` and all folders below it, sorted by path.
///
/// A file is an image by its content, whatever its name is, and by an image's extension
/// ([`IMAGE_EXTENSIONS`]), whatever its content is: decoding tells what is wrong with it. Names that begin
/// with a dot, thumbnails, and folders of systems (`@eaDir`, `__MACOSX`, ...) are left out. Links are
/// followed; a file or folder that is reached twice is listed once, so that links that form a loop do no
/// harm. (Hard links are told on Unix alone.) [`Listing::left_out`] names all that is left out.
///
/// # Errors
/// [`Error::Dataset`] where `dir` is missing or not a folder, [`Error::Io`] where a folder cannot be read. A
/// folder without images is no error here.
pub fn list_images(dir: impl AsRef<Path>) -> Result<Listing> {
    let mut walked = walk(dir.as_ref(), &|_| Some(0))?;
    let images = once(walked.files, &mut walked.left_out);
    Ok(Listing { images: images.into_iter().map(|found| found.path).collect(), left_out: walked.left_out })
}

/// Why [`list_images`] of `dir` leaves out the file `path` below it; `None` where it lists it. That another
/// path leads to the same file is not looked at.
pub fn why_left_out(dir: impl AsRef<Path>, path: impl AsRef<Path>) -> Option<Reason> {
    let path = path.as_ref();
    let inside = path.strip_prefix(dir.as_ref()).unwrap_or(path);
    let name = |part: &Path| part.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut parents = inside.ancestors().skip(1);
    let meta = std::fs::metadata(path);
    parents
        .find_map(|part| by_name(&name(part), true))
        .or_else(|| by_name(&name(inside), false))
        .or_else(|| told(path, meta.as_ref()))
}

/// An image file.
#[derive(Clone, Debug)]
pub(super) struct Found {
    /// Where it was found.
    pub path: PathBuf,
    /// What tells it from others, whatever its path; `None` for a link to nothing.
    id: Option<FileId>,
    is_link: bool,
}

/// The image files of a tree, sorted by path, duplicates among them.
pub(super) struct Walked {
    pub files: Vec<Found>,
    pub left_out: LeftOut,
}

/// Walks a tree. Folders of the same number `place` are entered once, whatever links lead there; those of
/// none are entered wherever they are linked, but not from inside themselves. `place` gets paths below `dir`.
pub(super) fn walk(dir: &Path, place: &dyn Fn(&Path) -> Option<u8>) -> Result<Walked> {
    if !dir.is_dir() {
        let reason =
            if dir.exists() { "a folder is needed, this is a file" } else { "there is no such folder" };
        return Err(Error::Dataset { path: dir.to_owned(), reason: reason.to_owned() });
    }
    let (mut files, mut left_out) = (Vec::new(), LeftOut::default());
    let mut seen: HashMap<(u8, PathBuf), PathBuf> = HashMap::new();
    let mut open = vec![(dir.to_owned(), Vec::new())];
    while let Some((folder, mut inside)) = open.pop() {
        let real = folder.canonicalize().map_err(|e| Error::io(&folder, "reading", e))?;
        let place = place(folder.strip_prefix(dir).unwrap_or(&folder));
        let before = match place {
            Some(place) => seen.insert((place, real.clone()), folder.clone()),
            None => inside
                .iter()
                .find(|(above, _)| *above == real)
                .map(|(_, path): &(PathBuf, PathBuf)| path.clone()),
        };
        if let Some(same) = before {
            let same_as = Some(same.clone());
            left_out.paths.push(Left { path: folder, reason: Reason::Duplicate, same_as });
            place.map(|place| seen.insert((place, real), same));
            continue;
        }
        inside.push((real, folder.clone()));
        let mut folders = Vec::new();
        for entry in std::fs::read_dir(&folder).map_err(|e| Error::io(&folder, "listing", e))? {
            let entry = entry.map_err(|e| Error::io(&folder, "listing", e))?;
            let path = entry.path();
            let name = entry.file_name().to_string_lossy().into_owned();
            let meta = std::fs::metadata(&path);
            let is_dir = meta.as_ref().is_ok_and(Metadata::is_dir);
            if let Some(reason) = by_name(&name, is_dir) {
                left_out.add(path, reason);
            } else if is_dir {
                folders.push(path);
            } else {
                match told(&path, meta.as_ref()) {
                    // A dangling link, too: decoding it says so, leaving it out would not.
                    None => files.push(Found {
                        id: meta.ok().and_then(|meta| file_id(&path, &meta)),
                        is_link: entry.file_type().is_ok_and(|kind| kind.is_symlink()),
                        path,
                    }),
                    Some(reason) => left_out.add(path, reason),
                }
            }
        }
        // The first in order is opened first, whatever order the file system has.
        folders.sort_unstable_by(|a, b| b.cmp(a));
        open.extend(folders.into_iter().map(|path| (path, inside.clone())));
    }
    files.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    files = without_thumbnails(files, &mut left_out);
    left_out.paths.sort_unstable();
    Ok(Walked { files, left_out })
}

/// Leaves out the small copies that programs put beside their pictures: `x_thumb.jpg` beside `x.png`.
fn without_thumbnails(files: Vec<Found>, left_out: &mut LeftOut) -> Vec<Found> {
    let stem = |path: &Path| {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().to_lowercase();
        path.with_file_name(stem)
    };
    let stems: HashSet<PathBuf> = files.iter().map(|found| stem(&found.path)).collect();
    let is_thumbnail = |found: &Found| {
        let whole = stem(&found.path);
        let name = whole.file_name().unwrap_or_default().to_string_lossy();
        let ends = ["_thumb", "-thumb", ".thumb", "_thumbnail", "-thumbnail"].iter();
        let starts = ["thumb_", "thumb-", "thumbnail_", "tn_"].iter();
        let of =
            ends.filter_map(|end| name.strip_suffix(end)).chain(starts.filter_map(|s| name.strip_prefix(s)));
        of.into_iter().any(|of| !of.is_empty() && stems.contains(&whole.with_file_name(of)))
    };
    let (thumbnails, files): (Vec<Found>, Vec<Found>) = files.into_iter().partition(is_thumbnail);
    thumbnails.into_iter().for_each(|found| left_out.add(found.path, Reason::Thumbnail));
    files
}

/// Each file once, in the order given; of several paths to one file the first that is no symbolic link.
pub(super) fn once(files: Vec<Found>, left_out: &mut LeftOut) -> Vec<Found> {
    let mut paths: HashMap<&FileId, &Found> = HashMap::new();
    for found in &files {
        let Some(id) = &found.id else { continue };
        let kept = paths.entry(id).or_insert(found);
        if kept.is_link && !found.is_link {
            *kept = found;
        }
    }
    let kept: HashSet<&Path> = paths.values().map(|found| found.path.as_path()).collect();
    let same_as = |found: &Found| {
        let id = found.id.as_ref().filter(|_| !kept.contains(found.path.as_path()))?;
        paths.get(id).map(|used| used.path.clone())
    };
    let of: Vec<Option<PathBuf>> = files.iter().map(same_as).collect();
    let mut left = Vec::new();
    for (found, same_as) in files.into_iter().zip(of) {
        match same_as {
            None => left.push(found),
            some => left_out.paths.push(Left { path: found.path, reason: Reason::Duplicate, same_as: some }),
        }
    }
    left
}

/// Folders that systems, storage devices and archivers make, in lower case.
const SYSTEM_FOLDERS: [&str; 13] = [
    "@eadir",
    "@recycle",
    "@recently-snapshot",
    "@tmp",
    "#recycle",
    "#snapshot",
    "$recycle.bin",
    "recycler",
    "system volume information",
    "lost+found",
    "__macosx",
    ".trash",
    ".trashes",
];

/// What a name alone says against a path.
fn by_name(name: &str, is_dir: bool) -> Option<Reason> {
    let lower = name.to_lowercase();
    let is_trash = lower.strip_prefix(".trash-").is_some_and(|rest| rest.parse::<u32>().is_ok());
    if is_dir && (is_trash || SYSTEM_FOLDERS.contains(&lower.as_str())) {
        return Some(Reason::SystemFolder);
    }
    if matches!(lower.trim_start_matches('.'), "thumbnails" | "thumbs" | "thumbnail") && is_dir {
        return Some(Reason::Thumbnail);
    }
    if !is_dir && (lower.starts_with("synophoto_thumb_") || lower.starts_with("synofile_thumb_")) {
        return Some(Reason::Thumbnail);
    }
    name.starts_with('.').then_some(Reason::Hidden)
}

/// What speaks against taking a file for an image; `None` for an image.
fn told(path: &Path, meta: std::result::Result<&Metadata, &std::io::Error>) -> Option<Reason> {
    if has_image_extension(path) {
        return None;
    }
    match meta {
        // Opening a pipe would wait for its writer.
        Ok(meta) if !meta.is_file() => Some(Reason::NotAnImage),
        Ok(_) => match starts_like_an_image(path) {
            Ok(true) => None,
            Ok(false) => Some(Reason::NotAnImage),
            Err(_) => Some(Reason::Unreadable),
        },
        Err(_) => Some(Reason::Unreadable),
    }
}

fn has_image_extension(path: &Path) -> bool {
    let extension = path.extension().and_then(|e| e.to_str());
    extension.is_some_and(|e| IMAGE_EXTENSIONS.iter().any(|known| e.eq_ignore_ascii_case(known)))
        || by_suffix(path).is_some()
}

/// Kinds that [`sniff`] knows and that are documents or drawings: no one means them to be inspected.
const DOCUMENTS: [&str; 7] = ["PDF", "DjVu", "SVG", "WMF", "XPM", "HDF5", "ICO"];

/// Whether the first bytes are those of an image, of a kind that is read here or not.
fn starts_like_an_image(path: &Path) -> std::io::Result<bool> {
    let mut start = Vec::with_capacity(SNIFF_BYTES);
    File::open(path)?.take(SNIFF_BYTES as u64).read_to_end(&mut start)?;
    Ok(sniff(&start).is_some_and(|kind| !DOCUMENTS.contains(&kind.name)))
}

#[cfg(unix)]
type FileId = (u64, u64);

#[cfg(unix)]
#[allow(clippy::unnecessary_wraps, reason = "other systems have none for some files")]
fn file_id(_: &Path, meta: &Metadata) -> Option<FileId> {
    use std::os::unix::fs::MetadataExt;
    Some((meta.dev(), meta.ino()))
}

#[cfg(not(unix))]
type FileId = PathBuf;

#[cfg(not(unix))]
fn file_id(path: &Path, _: &Metadata) -> Option<FileId> {
    path.canonicalize().ok()
}
