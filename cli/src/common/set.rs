//! Which images of a folder a subcommand takes, and what it says of the others.

use super::failure::{Failure, Outcome, print_error};
use super::images::OnError;
use super::interrupt::interrupted;
use super::log;
use super::output::plain_path;
use super::progress::{Bars, bar};
use softpatch::Error;
use softpatch::data::{Exclude, Layout, Left, LeftOut, OpenOptions};
use softpatch::detector::{FitOptions, Progress};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

/// How a folder is read.
#[derive(Clone, Debug, clap::Args)]
pub struct FolderArgs {
    /// Layout of the folder: mvtec (MPDD, too), loco, mvtec3d, btad, visa, kolektor, kolektor2, magnetic,
    /// plain (good/ beside folders of defects), images (no labels) [default: told by what is there].
    #[arg(long, value_name = "NAME")]
    pub layout: Option<Layout>,
    /// Fail where an image, or what may be one, is left out: thumbnails, hidden files, copies through links,
    /// masks without an image, images in no place of the layout.
    #[arg(long)]
    pub strict: bool,
}

/// How a set is read that is fitted on or measured.
#[derive(Clone, Debug, clap::Args)]
pub struct SetArgs {
    #[command(flatten)]
    pub folder: FolderArgs,
    #[command(flatten)]
    pub take: TakeArgs,
    /// What to do where an image cannot be used.
    #[arg(long, value_name = "WHAT", default_value = "stop")]
    pub on_error: OnError,
}

impl SetArgs {
    /// For the library.
    pub fn options(&self) -> OpenOptions {
        self.folder.options(&self.take)
    }
}

/// Training images that are left out.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct ExcludeArgs {
    /// Leave out the training images that this file lists: one path or name a line, # for comments, or a CSV
    /// with the column path, as `softpatch audit` writes them.
    #[arg(long, value_name = "LIST")]
    exclude: Option<PathBuf>,
}

impl ExcludeArgs {
    /// Takes them out of `paths` and says how many.
    pub fn apply(&self, paths: &mut Vec<PathBuf>, bars: &Bars) -> Outcome {
        let Some(list) = &self.exclude else { return Ok(()) };
        let all = paths.len();
        let gone = Exclude::load(list)?.apply(paths)?;
        bars.notice(&format!("{gone} of {all} training images are left out, as {} says", plain_path(list)));
        Ok(())
    }
}

/// Which images are good, where the folders' names do not say so.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct TakeArgs {
    /// The images of this folder are good, whatever it is called; once for each folder.
    #[arg(long, value_name = "FOLDER", conflicts_with = "all")]
    pub take: Vec<String>,
    /// All images for training are good, whatever their folders are called; of test images without a folder
    /// of good ones, all show defects. Masks are left out all the same.
    #[arg(long)]
    pub all: bool,
}

impl FolderArgs {
    /// For the library.
    pub fn options(&self, take: &TakeArgs) -> OpenOptions {
        OpenOptions { layout: self.layout, take: take.take.clone(), all: take.all }
    }

    /// Says what is left out; with --strict, what should not be is an error.
    pub fn say(&self, root: &Path, left_out: &LeftOut, progress: &dyn Progress) -> Outcome {
        let unexpected: Vec<&Left> = left_out.unexpected().collect();
        if self.strict && !unexpected.is_empty() {
            let lines =
                unexpected.iter().map(|left| format!("\n  {}: {}", plain_path(&left.path), left.reason));
            return Err(Failure::Failed(Error::Dataset {
                path: root.to_owned(),
                reason: format!(
                    "--strict, and {} left out:{}",
                    if unexpected.len() == 1 { "this is" } else { "these are" },
                    lines.collect::<String>()
                ),
            }));
        }
        left_out.to_string().lines().for_each(|line| progress.notice(&format!("left out: {line}")));
        Ok(())
    }
}

/// Calls `f` with all paths; where some cannot be used and `on_error` says skip, names them and calls it
/// again with the others. The second value is how many were skipped.
pub fn skipping<T>(
    mut paths: Vec<PathBuf>,
    on_error: OnError,
    bars: &Bars,
    mut f: impl FnMut(&[PathBuf]) -> softpatch::Result<T>,
) -> Outcome<(T, usize)> {
    let mut skipped = 0;
    loop {
        match f(&paths) {
            Err(Error::BadImages { bad, .. }) if on_error == OnError::Skip && bad.len() < paths.len() => {
                for (_, error) in &bad {
                    bars.suspend(|| print_error(error));
                }
                skipped += bad.len();
                for (index, _) in bad.iter().rev() {
                    paths.remove(*index);
                }
            }
            other => return Ok((other?, skipped)),
        }
    }
}

/// Ends a subcommand that skipped images: `what` is what was made without them.
pub fn end(skipped: usize, what: &str) -> Outcome {
    if skipped == 0 {
        return Ok(());
    }
    let (images, them) = if skipped == 1 { ("image", "it") } else { ("images", "them") };
    log::error(&format!("{skipped} {images} could not be used; {what} without {them}"));
    Err(Failure::LeftOut)
}

/// Settles how many bits of deep images are significant, and says so.
pub fn settle_bits(options: &mut FitOptions, paths: &[PathBuf], bars: &Bars) -> Outcome {
    // Of 8-bit images, headers alone are read.
    let read = bar(bars.quiet(), "bits", paths.len() as u64);
    let watch = |done: usize| {
        read.set_position(done as u64);
        if interrupted() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let said = options.settle_bits(paths, watch);
    read.finish_and_clear();
    let said = said?;
    said.iter().for_each(|note| bars.notice(note));
    Ok(())
}
