//! Which of the images in a folder for training are good: those whose folder says so, all where there is but
//! one kind, and else nobody knows but the caller.

use super::category::Problem;
use super::draft::{Draft, is_taken, kind_of, last_part};
use super::layout::OpenOptions;
use super::names::{file_speaks_of_defect, is_bad, is_container, is_good, leaning};
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
        let (bad, taken): (Vec<_>, Vec<_>) = taken.into_iter().partition(|p| lies_in_bad(p, options));
        draft.left.extend(bad.into_iter().map(|p| (p, Reason::NamedDefect)));
        draft.train.extend(taken);
        return draft.left.extend(rest.into_iter().map(|p| (p, Reason::NotTaken)));
    }
    let speaks = |p: &&Picture| {
        lies_with_defects(folder, p) || !says_good(folder, p) && file_speaks_of_defect(&p.stem())
    };
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

/// Whether a folder inside the one that gives an image its kind is called after defects: `good/rejected/`.
pub(super) fn lies_with_defects(folder: &Folder<'_>, picture: &Picture) -> bool {
    let mut names = folder.inside(picture).iter().skip_while(|name| is_container(name));
    names.next();
    names.any(|name| is_bad(name))
}

/// Whether the folder of an image says that it is good.
fn says_good(folder: &Folder<'_>, picture: &Picture) -> bool {
    kind_of(folder, picture).is_some_and(is_good)
}

/// Whether an image lies in a folder that is called after defects, which the caller does not name: `cam1/NG/`
/// of `cam1`.
fn lies_in_bad(picture: &Picture, options: &OpenOptions) -> bool {
    let is_named = |name: &str| options.take.iter().any(|take| last_part(take).eq_ignore_ascii_case(name));
    picture.folders.iter().any(|name| is_bad(name) && !is_named(name))
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
