//! Training images and the settings that they are judged by: what `fit` and `audit` are given alike.

use super::backbone::BackboneArgs;
use super::config::{FitArgs, Settings};
use super::device::DeviceArgs;
use super::failure::Outcome;
use super::interrupt::catch_interrupts;
use super::progress::Bars;
use super::set::{ExcludeArgs, SetArgs, settle_bits, skipping};
use softpatch::data::{FileSource, Roi, TrainSet, WithRoi};
use softpatch::detector::{FitOptions, Progress};
use softpatch::low_level::gpu::Device;
use softpatch::{Backbone, Result};
use std::path::PathBuf;

/// Training images, and how they are judged.
#[derive(Debug, clap::Args)]
pub struct TrainingArgs {
    /// Folder of training images.
    pub dir: PathBuf,
    /// Mask of any size that is laid over every picture: only what is white is looked at. A model keeps it.
    #[arg(long, value_name = "MASK")]
    roi: Option<PathBuf>,
    #[command(flatten)]
    exclude: ExcludeArgs,
    #[command(flatten)]
    set: SetArgs,
    #[command(flatten)]
    fit: FitArgs,
    #[command(flatten)]
    backbone: BackboneArgs,
    #[command(flatten)]
    device: DeviceArgs,
}

/// What they are when all is opened.
pub struct Training {
    pub options: FitOptions,
    pub backbone: Backbone,
    pub device: Device,
    paths: Vec<PathBuf>,
    roi: Option<Roi>,
    set: SetArgs,
}

impl TrainingArgs {
    /// Opens all of it; `check` comes before what takes long. From then on ctrl-c ends the job.
    pub fn open(self, bars: &Bars, quiet: bool, check: impl FnOnce() -> Outcome) -> Outcome<Training> {
        let Settings { fit: mut options, device, notes } = self.fit.settings(self.device)?;
        notes.iter().for_each(|note| bars.notice(note));
        let mut set = TrainSet::open_with(&self.dir, &self.set.options())?;
        set.notes.iter().for_each(|note| bars.notice(note));
        self.set.folder.say(&self.dir, &set.left_out, bars)?;
        self.exclude.apply(&mut set.paths, bars)?;
        check()?;
        let roi = self.roi.as_ref().map(Roi::load).transpose()?;
        catch_interrupts(quiet);
        settle_bits(&mut options, &set.paths, bars)?;
        let backbone = self.backbone.open()?;
        let device = device.open()?;
        Ok(Training { options, backbone, device, paths: set.paths, roi, set: self.set })
    }
}

impl Training {
    /// Calls `f` with the images; where some cannot be used and are skipped, again with the others. The
    /// second value is how many were skipped.
    pub fn judge<T>(
        &self,
        bars: &Bars,
        mut f: impl FnMut(WithRoi<FileSource>) -> Result<T>,
    ) -> Outcome<(T, usize)> {
        skipping(self.paths.clone(), self.set.on_error, bars, |paths| {
            f(WithRoi::new(FileSource::new(paths.to_vec(), self.options.decode()), self.roi.clone()))
        })
    }
}
