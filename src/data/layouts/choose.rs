//! Which of the images in a folder for training are good: those whose folder says so, all where there is but
//! one kind, and else nobody knows but the caller.

use super::category::Problem;
use super::draft::{Draft, is_taken, kind_of, last_part};
use super::layout::OpenOptions;
use super::names::{file_speaks_of_defect, is_bad, is_good, leaning};
use super::tree::{Folder, Picture};
use crate::data::left_out::Reason;
use std::collections::BTreeMap;
use std::path::Path;

/// Puts the good ones of `images`, which lie in or below `folder`, into `draft.train`. `against` says what
/// speaks against taking all of them.
pub(super) fn choose<'a>(
    draft: &mut Draft<'a>,
    root: &Path,
    folder: &Folder<'a>,
    images: Vec<&'a Picture>,
    against: Option<&str>,
    options: &OpenOptions,
) {
    if !options.take.is_empty() {
        let (taken, rest): (Vec<_>, Vec<_>) = images.into_iter().partition(|p| is_taken(p, root, options));
        if taken.is_empty() {
            draft.no_train = Some(Problem {
                path: folder.path.clone(),
                reason: format!(
                    "none of the images for training lies below {}; there are {}",
                    options.take.join(", "),
                    folder.describe()
                ),
                choice: true,
            });
            return draft.undecided.extend(rest);
        }
        if let Some(reason) = bad_inside(&taken, options) {
            draft.no_train = Some(Problem { path: folder.path.clone(), reason, choice: true });
            draft.undecided.extend(taken);
            return draft.undecided.extend(rest);
        }
        draft.train.extend(taken);
        return draft.left.extend(rest.into_iter().map(|p| (p, Reason::NotTaken)));
    }
    let speaks = |p: &&Picture| !says_good(folder, p) && file_speaks_of_defect(&p.stem());
    let named = images.iter().filter(|p| speaks(p)).count();
    let all_named = (named > 0 && named == images.len()).then_some("the names of all files speak of defects");
    let against = against.or(all_named);
    let mut kinds: BTreeMap<Option<&str>, usize> = BTreeMap::new();
    images.iter().for_each(|p| *kinds.entry(kind_of(folder, p)).or_default() += 1);
    let names: Vec<&str> = kinds.keys().copied().flatten().collect();
    let all_good = names.len() == kinds.len() && names.iter().all(|name| is_good(name));
    let one_kind =
        names.len() <= 1 && !names.iter().any(|name| is_good(name) || leaning(name) == Some(false));
    if options.all || (against.is_none() && (all_good || one_kind)) {
        if options.all && !all_good && !images.is_empty() {
            let place = folder.path.display();
            draft
                .notes
                .push(format!("all {} images below {place} are taken for good, as asked", images.len()));
        }
        let (named, images): (Vec<_>, Vec<_>) = images.into_iter().partition(|p| !options.all && speaks(p));
        draft.left.extend(named.into_iter().map(|p| (p, Reason::NamedDefect)));
        return draft.train.extend(images);
    }
    draft.no_train =
        Some(Problem { path: folder.path.clone(), reason: question(&kinds, against), choice: true });
    draft.undecided.extend(images);
}

/// Whether the folder of an image says that it is good.
fn says_good(folder: &Folder<'_>, picture: &Picture) -> bool {
    kind_of(folder, picture).is_some_and(is_good)
}

/// What speaks against images that were taken by the name of a folder around them: folders of defects in it,
/// which nobody named.
pub(super) fn bad_inside(taken: &[&Picture], options: &OpenOptions) -> Option<String> {
    let is_named = |name: &str| options.take.iter().any(|take| last_part(take).eq_ignore_ascii_case(name));
    let bad = |p: &Picture| p.folders.iter().rev().find(|name| is_bad(name) && !is_named(name)).cloned();
    let bad: Vec<String> = taken.iter().filter_map(|p| bad(p)).collect();
    let first = bad.first()?;
    Some(format!(
        "of the {} images to take, {} lie in folders called after defects, such as {first}/; name the folders of \
         good images in it",
        taken.len(),
        bad.len()
    ))
}

/// What is there, what would be taken, and how to decide.
fn question(kinds: &BTreeMap<Option<&str>, usize>, against: Option<&str>) -> String {
    let mut there: Vec<String> = (kinds.iter().take(12))
        .map(|(kind, n)| kind.map_or(format!("{n} images in the folder itself"), |k| format!("{k}/ ({n})")))
        .collect();
    if kinds.len() > there.len() {
        there.push(format!("{} more", kinds.len() - there.len()));
    }
    let total: usize = kinds.values().sum();
    let good: Vec<&str> = (kinds.keys().copied().flatten())
        .filter(|name| is_good(name) || leaning(name) == Some(true))
        .collect();
    let take = match good.as_slice() {
        [] if kinds.keys().all(Option::is_none) => String::new(),
        [] => "--take FOLDER takes the images of one folder, ".to_owned(),
        good => {
            let flags: Vec<String> = good.iter().map(|name| format!("--take {name}")).collect();
            let n: usize = good.iter().filter_map(|name| kinds.get(&Some(*name))).sum();
            format!("by its name, {} is good: {} takes its {n} images, ", good.join(" and "), flags.join(" "))
        }
    };
    let why = against.unwrap_or("nothing says that all of them are good");
    format!(
        "fitting takes good images, and {why}. There are {}; {take}--all takes all {total} (elsewhere than \
         on the command line: `take` and `all`)",
        there.join(", ")
    )
}
