//! A plain folder: `good/` (or `normal/`, `OK/`, ...) beside one folder for each kind of defect, masks in
//! `ground_truth/<defect>/`, `masks/<defect>/` or as [`Masks`] finds them. Every fifth good image is for
//! testing. And images without labels, in one folder or in several: all of them to fit on, where nothing
//! speaks against it.

use super::category::Problem;
use super::choose::{choose, lies_with_defects};
use super::draft::{Draft, counts_as_good, is_taken, kind_of};
use super::layout::OpenOptions;
use super::masks::Masks;
use super::names::{
    GOOD_EXAMPLES, Split, is_bad, is_container, is_good, is_mask_folder, is_surely_mask_folder, split_of,
};
use super::tree::Folder;
use crate::data::left_out::Reason;
use std::path::Path;

/// Whether a folder of good images lies beside others, that of masks among them.
pub(super) fn fits(folder: &Folder<'_>, options: &OpenOptions) -> bool {
    let folders = folder.folders();
    let direct = |folders: &[(String, Folder<'_>)]| {
        folders.len() > 1 && folders.iter().any(|(name, _)| counts_as_good(name, options))
    };
    let images: Vec<_> = folders.iter().filter(|(name, _)| !is_mask_folder(name)).collect();
    match images.as_slice() {
        // `images/good`, `images/dent` beside `masks/dent`.
        [(name, inner)] if images.len() < folders.len() && is_container(name) => direct(&inner.folders()),
        _ => direct(&folders),
    }
}

pub(super) fn open<'a>(root: &Path, folder: &Folder<'a>, options: &OpenOptions) -> Draft<'a> {
    let mut draft = Draft::new(folder.name(), &folder.path);
    let (images, masks) = Masks::split(folder);
    let (mut good, mut defects) = (Vec::new(), Vec::new());
    for picture in images {
        match kind_of(folder, picture) {
            None => draft.left.push((picture, Reason::Outside)),
            Some(kind)
                if counts_as_good(kind, options) && lies_with_defects(folder, picture) && !options.all =>
            {
                draft.left.push((picture, Reason::NamedDefect));
            }
            Some(kind) if counts_as_good(kind, options) => good.push(picture),
            Some(kind) => defects.push((picture, kind.to_owned())),
        }
    }
    if named(folder).iter().rev().take(1).any(|name| split_of(name).is_some()) && !options.all {
        let reason = "this is the folder of a split: its good images are for testing. Name the folder of the \
                      training images, or the one above; --all fits on all good images here (elsewhere than \
                      on the command line: `all`)";
        draft.no_train = Some(Problem { path: folder.path.clone(), reason: reason.to_owned(), choice: true });
        draft.good(good);
    } else if options.all {
        draft.notes.push("all good images are taken, none is held out for testing".to_owned());
        draft.train.extend(good);
    } else if !options.take.is_empty() {
        let (taken, rest): (Vec<_>, Vec<_>) = good.into_iter().partition(|p| is_taken(p, root, options));
        draft.train.extend(taken);
        draft.good(rest);
    } else {
        draft.hold_out(good);
    }
    if defects.is_empty() {
        draft.no_test = Some(Problem {
            path: folder.path.clone(),
            reason: "there are good images, and no folder of defects beside them to test on".to_owned(),
            choice: false,
        });
    }
    draft.defects(masks, defects);
    draft
}

/// A folder whose images have no labels.
pub(super) fn open_images<'a>(root: &Path, folder: &Folder<'a>, options: &OpenOptions) -> Draft<'a> {
    let mut draft = Draft::new(folder.name(), &folder.path);
    let (images, masks) = Masks::split(folder);
    draft.masks_of(&masks);
    let masked = images.iter().filter(|p| masks.find(p).is_some()).count();
    let with_masks = masks.all().next().is_some().then(|| {
        format!("there are masks of defects among the files: {masked} of {} images have one", images.len())
    });
    let against = with_masks.or_else(|| against(folder));
    choose(&mut draft, root, folder, images, against.as_deref(), options);
    draft.no_test = Some(Problem {
        path: folder.path.clone(),
        reason: format!(
            "these are images without labels: testing takes a folder of good images ({GOOD_EXAMPLES}) beside folders \
             of defects, train/ and test/, or another published layout (--layout names them); found {}",
            folder.describe()
        ),
        choice: false,
    });
    draft
}

/// What the names of the folder itself and of those around it say against fitting on all its images.
fn against(folder: &Folder<'_>) -> Option<String> {
    let names = named(folder);
    let [.., above, own] = names.as_slice() else { return None };
    let quoted = |what: &str| Some(format!("the folder's name says that it holds {what}"));
    if is_bad(own) {
        return quoted("defects");
    }
    if is_mask_folder(own) || is_mask_folder(above) {
        return quoted("masks");
    }
    let is_test = |name: &str| split_of(name).is_some_and(|split| split != Split::Train);
    if (is_test(own) || is_test(above)) && !is_good(own) {
        return quoted("test images");
    }
    // `images/` beside `masks/`, opened itself.
    let path = folder.path.canonicalize().unwrap_or_else(|_| folder.path.clone());
    let is_loose = path.file_name().is_some_and(|name| is_container(&name.to_string_lossy()));
    let around = path.parent().filter(|_| is_loose && !is_good(own) && split_of(own).is_none())?;
    let beside =
        std::fs::read_dir(around).ok()?.flatten().map(|e| e.file_name().to_string_lossy().into_owned());
    let masks = beside.filter(|name| is_surely_mask_folder(name)).find(|name| around.join(name).is_dir())?;
    Some(format!("there are masks of defects beside it, in {masks}/"))
}

/// The last two names of the folder's path, without those that say nothing.
fn named(folder: &Folder<'_>) -> Vec<String> {
    let path = folder.path.canonicalize().unwrap_or_else(|_| folder.path.clone());
    let mut names: Vec<String> = path.iter().map(|name| name.to_string_lossy().into_owned()).collect();
    while names.len() > 2 && names.last().is_some_and(|name| is_container(name)) {
        names.pop();
    }
    names
}
