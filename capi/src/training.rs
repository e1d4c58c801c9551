//! Training images of a folder, as a fit and an audit open them alike.

use crate::fit_options::{Field, checked, read, roi, softpatch_fit_options};
use crate::memory::{optional_text, text};
use crate::status::Failure;
use crate::watch::{SOFTPATCH_STAGE_FEATURES, Watcher, watched};
use softpatch::data::{Exclude, FileSource, Layout, OpenOptions, TrainSet, WithRoi};
use softpatch::detector::FitOptions;
use std::ffi::c_char;
use std::ops::ControlFlow;
use std::path::Path;

/// How a folder is opened.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Folder<'a> {
    pub open: OpenOptions,
    /// List of training images to leave out.
    pub exclude: Option<&'a str>,
}

/// The settings of a fit, and how its folder is opened.
///
/// # Safety
/// `options` is null or good for one struct, and the texts in it are null or end with a zero byte.
pub(crate) unsafe fn folder_options<'a>(
    options: *const softpatch_fit_options,
    memory: u64,
) -> Result<(FitOptions, Folder<'a>), Failure> {
    // SAFETY: passed on, here and below.
    let c = unsafe { read(options) }?;
    let layout = unsafe { optional_text(c.layout, "layout") }?;
    let take = unsafe { optional_text(c.take, "take") }?.unwrap_or_default();
    let open = OpenOptions {
        layout: layout.map(str::parse::<Layout>).transpose()?,
        take: take.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect(),
        all: Field::from_c(c.all, "all")?,
    };
    let exclude = unsafe { optional_text(c.exclude, "exclude") }?;
    Ok((checked(&c, memory)?, Folder { open, exclude }))
}

/// What was opened.
pub(crate) struct Training {
    pub options: FitOptions,
    pub source: WithRoi<FileSource>,
    /// What there was to say.
    pub notes: Vec<String>,
}

impl Training {
    /// Opens a folder by its options; significant bits are settled on another thread, so that the caller
    /// hears of it and may cancel.
    ///
    /// # Safety
    /// The pointers are the caller's.
    pub unsafe fn open(
        folder: *const c_char,
        options: *const softpatch_fit_options,
        memory: u64,
        watcher: &Watcher,
    ) -> Result<Self, Failure> {
        // SAFETY: passed on.
        let (folder, roi, (mut options, how)) =
            unsafe { (text(folder, "folder")?, roi(options)?, folder_options(options, memory)?) };
        let mut set = TrainSet::open_with(folder, &how.open)?;
        let mut notes = set.notes.clone();
        notes.extend(set.left_out.to_string().lines().map(|line| format!("left out: {line}")));
        if let Some(list) = how.exclude {
            let all = set.paths.len();
            let gone = Exclude::load(Path::new(list))?.apply(&mut set.paths)?;
            notes.push(format!("{gone} of {all} training images are left out, as {list} says"));
        }
        let start = (SOFTPATCH_STAGE_FEATURES, 0, set.paths.len() as u64);
        let (said, _) = watched(watcher, start, |told| {
            options.settle_bits(&set.paths, |_| match told.cancelled() {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            })
        })?;
        notes.extend(said);
        let source = WithRoi::new(set.source(options.decode()), roi);
        Ok(Self { options, source, notes })
    }
}
