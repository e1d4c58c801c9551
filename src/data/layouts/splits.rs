//! Sets with a folder for training and one for testing, each with a folder for good images and one for every
//! kind of defect: MVTec AD and the many sets that share its layout, LOCO, 3D-AD and BTAD.
//!
//! ```text
//! category/train/good/000.png
//! category/validation/good/000.png                     LOCO: not used, there is nothing to validate here
//! category/test/good/000.png                           3D-AD: test/good/rgb/000.png
//! category/test/scratch/000.png                        3D-AD: test/scratch/rgb/000.png
//! category/ground_truth/scratch/000_mask.png           BTAD: 000.png; 3D-AD: test/scratch/gt/000.png
//! category/ground_truth/logical_anomalies/000/000.png  LOCO: one mask a region, their union counts
//! ```
//!
//! Images that lie in `train/` and `test/` themselves are told by their masks, where there are masks: no mask
//! or a blank one means a good image.

use super::category::Problem;
use super::choose::choose;
use super::draft::{Draft, counts_as_good, kind_of};
use super::layout::{Layout, OpenOptions};
use super::masks::Masks;
use super::names::{GOOD_EXAMPLES, Split, is_good, is_rgb, leaning, split_of};
use super::tree::{Folder, Picture};
use crate::Result;
use crate::data::left_out::Reason;
use crate::data::mask_file::is_blank;
use rayon::prelude::*;
use std::collections::BTreeSet;
use std::path::Path;

const LOCO_KINDS: [&str; 2] = ["logical_anomalies", "structural_anomalies"];

/// Which of the layouts with splits a category has, and by what that was told.
pub(super) fn layout_of(folder: &Folder<'_>) -> (Layout, String) {
    let kinds: BTreeSet<String> = (folder.split(Split::Test).iter())
        .flat_map(|test| test.folders().into_iter().map(|(name, _)| name))
        .collect();
    let found: Vec<String> =
        folder.folders().into_iter().map(|(name, _)| name).filter(|name| split_of(name).is_some()).collect();
    let splits = found.iter().map(|name| format!("{name}/")).collect::<Vec<_>>().join(", ");
    let has_rgb = |split| {
        let of = |part: &Folder<'_>| {
            part.pictures.iter().any(|p| part.inside(p).get(1).is_some_and(|n| is_rgb(n)))
        };
        folder.split(split).iter().any(of)
    };
    if has_rgb(Split::Train) || has_rgb(Split::Test) {
        return (Layout::Mvtec3d, format!("{splits} with folders rgb/"));
    }
    // The kinds alone say nothing: ordinary sets may have them, with one mask an image.
    let has_mask_folders = folder.pictures.iter().any(|p| match folder.inside(p) {
        [_, kind, _] => LOCO_KINDS.contains(&kind.as_str()) && split_of(&p.folders[folder.depth]).is_none(),
        _ => false,
    });
    if has_mask_folders && LOCO_KINDS.iter().any(|kind| kinds.contains(*kind)) {
        return (Layout::Loco, format!("{splits} with {} and folders of masks", LOCO_KINDS.join(", ")));
    }
    if kinds.contains("ok") && kinds.contains("ko") {
        return (Layout::Btad, format!("{splits} with ok/ and ko/"));
    }
    (Layout::Mvtec, splits)
}

/// Sorts the images of a category.
pub(super) fn open<'a>(
    root: &Path,
    folder: &Folder<'a>,
    layout: Layout,
    options: &OpenOptions,
) -> Result<Draft<'a>> {
    let mut draft = Draft::new(folder.name(), &folder.path);
    let (mut images, masks) = Masks::split(folder);
    if layout == Layout::Mvtec3d {
        let of_rgb = |p: &&Picture| {
            let below = folder.inside(p);
            below.first().is_none_or(|name| split_of(name).is_none()) || below.iter().any(|name| is_rgb(name))
        };
        let (rgb, other): (Vec<_>, Vec<_>) = images.into_iter().partition(of_rgb);
        draft.left.extend(other.into_iter().map(|p| (p, Reason::OtherSensor)));
        images = rgb;
    }
    let within = |split: Split| -> Vec<&'a Picture> {
        let of = |p: &&Picture| folder.inside(p).first().and_then(|name| split_of(name)) == Some(split);
        images.iter().copied().filter(of).collect()
    };
    let (train, mut test, validation) =
        (within(Split::Train), within(Split::Test), within(Split::Validation));
    let mut test_folders = folder.split(Split::Test);
    if test.is_empty() && has_kinds(&folder.split(Split::Validation), options) {
        test_folders = folder.split(Split::Validation);
        draft.test_notes.push("there is no test/: the images of the validation split are tested".to_owned());
        test = validation;
    } else {
        draft.left.extend(validation.into_iter().map(|p| (p, Reason::Validation)));
    }
    fit_on(&mut draft, root, folder, train, &masks, options)?;
    test_on(&mut draft, folder, &test_folders, test, masks, options)?;
    Ok(draft)
}

/// Whether some of the folders hold a folder of good images and another.
fn has_kinds(folders: &[Folder<'_>], options: &OpenOptions) -> bool {
    folders.iter().any(|folder| {
        let kinds = folder.folders();
        kinds.len() > 1 && kinds.iter().any(|(name, _)| counts_as_good(name, options))
    })
}

fn fit_on<'a>(
    draft: &mut Draft<'a>,
    root: &Path,
    folder: &Folder<'a>,
    mut train: Vec<&'a Picture>,
    masks: &Masks<'a>,
    options: &OpenOptions,
) -> Result<()> {
    let folders = folder.split(Split::Train);
    let Some(first) = folders.first() else {
        draft.no_train = Some(Problem {
            path: folder.path.clone(),
            reason: format!(
                "looked for the folder train/ (training, ...) with good images, and found {}: fitting on all \
                 images would take test images. Name the folder of the training images",
                folder.describe()
            ),
            choice: false,
        });
        return Ok(());
    };
    let has_masks = folders.iter().any(|f| masks.any_below(f));
    let mut against = None;
    if has_masks && !options.all && options.take.is_empty() {
        if train.iter().all(|p| kind_of(first, p).is_none()) {
            let (defects, good) = by_mask(train, masks)?;
            draft.notes.push(format!(
                "images in {} are told by their masks: no mask or a blank one means good",
                first.path.display()
            ));
            draft.left.extend(defects.into_iter().map(|p| (p, Reason::TrainDefect)));
            train = good;
        } else {
            against = Some("there are masks of defects among them");
        }
    }
    choose(draft, root, first, train, against, options);
    Ok(())
}

/// Images with a mark in their mask, and those without.
fn by_mask<'a>(images: Vec<&'a Picture>, masks: &Masks<'a>) -> Result<(Vec<&'a Picture>, Vec<&'a Picture>)> {
    let marked: Vec<bool> = images
        .par_iter()
        .map(|p| masks.find(p).map_or(Ok(false), |mask| Ok(!is_blank(&mask)?)))
        .collect::<Result<_>>()?;
    let (defects, good): (Vec<_>, Vec<_>) = images.into_iter().zip(marked).partition(|(_, marked)| *marked);
    let only = |list: Vec<(&'a Picture, bool)>| list.into_iter().map(|(p, _)| p).collect();
    Ok((only(defects), only(good)))
}

fn test_on<'a>(
    draft: &mut Draft<'a>,
    folder: &Folder<'a>,
    folders: &[Folder<'a>],
    test: Vec<&'a Picture>,
    masks: Masks<'a>,
    options: &OpenOptions,
) -> Result<()> {
    let problem =
        |path: &Path, reason: String, choice| Some(Problem { path: path.to_owned(), reason, choice });
    let Some(first) = folders.first() else {
        let reason = format!(
            "looked for the folder test/ (testing, ...) with a folder of good images and one for each kind \
             of defect, and found {}",
            folder.describe()
        );
        draft.no_test = problem(&folder.path, reason, false);
        draft.masks_of(&masks);
        return Ok(());
    };
    let (labelled, loose): (Vec<_>, Vec<_>) = test.into_iter().partition(|p| kind_of(first, p).is_some());
    let mut defects = Vec::new();
    if !loose.is_empty() {
        if labelled.is_empty() && loose.iter().any(|p| masks.find(p).is_some()) {
            let (marked, good) = by_mask(loose, &masks)?;
            draft.test_notes.push(format!(
                "images in {} are told by their masks: no mask or a blank one means good",
                first.path.display()
            ));
            draft.good(good);
            defects.extend(marked.into_iter().map(|p| (p, "defect".to_owned())));
        } else {
            let reason = "an image in test/ itself has no label. Move it to test/good/ or to test/<defect>/";
            draft.no_test = problem(loose[0].path(), reason.to_owned(), false);
            draft.undecided.extend(loose);
        }
    }
    let kinds: BTreeSet<&str> = labelled.iter().filter_map(|p| kind_of(first, p)).collect();
    let mut good: BTreeSet<&str> = kinds.iter().copied().filter(|k| counts_as_good(k, options)).collect();
    let seem: Vec<&str> = kinds.iter().copied().filter(|k| leaning(k) == Some(true) && !is_good(k)).collect();
    if good.is_empty() {
        good = seem.iter().copied().collect();
        for name in &good {
            draft.test_notes.push(format!("{name}/ counts as good by its name"));
        }
    } else if let Some(name) = seem.iter().find(|name| !good.contains(*name)) {
        draft.test_notes.push(format!("{name}/ counts as a kind of defect; `take` makes it good"));
    }
    if good.is_empty() && !kinds.is_empty() && defects.is_empty() && !options.all {
        let reason = format!(
            "the image figures are not defined: no good test images found in it; looked for a folder of good images ({GOOD_EXAMPLES}), and found {}. --take FOLDER says which is \
             good, --all that all show defects (elsewhere than on the command line: `take` and `all`)",
            first.describe()
        );
        draft.no_test = problem(&first.path, reason, true);
        draft.undecided.extend(labelled);
        draft.masks_of(&masks);
        return Ok(());
    }
    for picture in labelled {
        match kind_of(first, picture) {
            Some(kind) if !good.contains(kind) => defects.push((picture, kind.to_owned())),
            _ => draft.good([picture]),
        }
    }
    draft.defects(masks, defects);
    Ok(())
}
