//! What is written of scored images beside the table: heatmaps, maps, masks, regions.

use super::places::{Places, create_folder};
use crate::common::failure::{Failure, Outcome};
use crate::common::output::check_output_file;
use crate::common::progress::Bars;
use crate::common::report::{map_range, thumb};
use crate::common::sizes::count;
use softpatch::data::OwnedImage;
use softpatch::detector::{ModelInfo, Progress, Score, Want};
use softpatch::report::{MapFormat, Thumb, overlay, write_map, write_mask_png, write_png};
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

/// A PNG of 16 bit reaches so many thresholds.
const REACH: f32 = 16.0;

#[derive(Debug, clap::Args)]
pub struct OutputArgs {
    /// Write every image, whole and in its own size, with its anomaly map laid over it, as a PNG into this
    /// folder; the line is the pixel threshold.
    #[arg(long, value_name = "DIR")]
    pub heatmaps: Option<PathBuf>,
    /// Write the anomaly map of every image, in the image's size, into this folder.
    #[arg(long, value_name = "DIR")]
    pub maps: Option<PathBuf>,
    /// Format of --maps: npy (NumPy, 32-bit floats), tiff (32-bit floats), png16 (16-bit grey; times the
    /// scale in its text chunk and in --json it is the map, up to 16 thresholds).
    #[arg(long, value_name = "FORMAT", default_value = "npy", requires = "maps")]
    map_format: Format,
    /// Write a mask of every image, in the image's size, as a PNG into this folder: 255 where the map passes
    /// the pixel threshold, 0 elsewhere.
    #[arg(long, value_name = "DIR")]
    pub masks: Option<PathBuf>,
    /// Write the connected areas that pass the pixel threshold to this CSV file, a line each.
    #[arg(long, value_name = "FILE")]
    regions: Option<PathBuf>,
    /// Write an HTML page to look through the images by score, with a threshold that can be moved. It is one
    /// file, of about 12 KB an image (30 KB up to 200 images).
    #[arg(long, value_name = "FILE", conflicts_with = "watch")]
    report: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Npy,
    Tiff,
    Png16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Heatmap,
    Map,
    Mask,
}

/// The files of an image.
#[derive(Clone, Debug, Default)]
pub struct Targets {
    pub heatmap: Option<PathBuf>,
    pub map: Option<PathBuf>,
    pub mask: Option<PathBuf>,
}

/// What is going to be written.
pub struct Outputs {
    places: Vec<(Kind, Places)>,
    format: Format,
    regions: Option<PathBuf>,
    report: Option<PathBuf>,
    /// Maps with values that their file cannot hold.
    cut: AtomicUsize,
}

impl OutputArgs {
    /// Refuses places where nothing can be written, of images that `arguments` name; with `keep`, nothing
    /// that is there is replaced.
    pub fn open(&self, arguments: &[PathBuf], keep: bool) -> Outcome<Outputs> {
        let map = match self.map_format {
            Format::Npy => MapFormat::Npy,
            Format::Tiff => MapFormat::Tiff,
            Format::Png16 => MapFormat::Png16 { scale: 1.0 },
        };
        let named = [
            (Kind::Heatmap, "--heatmaps", &self.heatmaps, "png"),
            (Kind::Map, "--maps", &self.maps, map.extension()),
            (Kind::Mask, "--masks", &self.masks, "png"),
        ];
        let mut places: Vec<(Kind, Places)> = Vec::new();
        for (kind, option, out, extension) in named {
            let Some(out) = out else { continue };
            let new = Places::new(option, out, extension, arguments)?;
            if places.iter().any(|(_, other)| other.folder() == new.folder()) {
                return Err(Failure::Usage(format!(
                    "{option} {} is where other files of the images go; name a folder of its own",
                    out.display()
                )));
            }
            places.push((kind, if keep { new.keeping() } else { new }));
        }
        for file in [&self.regions, &self.report].into_iter().flatten() {
            check_output_file(file)?;
        }
        let same = |a: &PathBuf, b: &PathBuf| std::path::absolute(a).ok() == std::path::absolute(b).ok();
        if self.regions.as_ref().zip(self.report.as_ref()).is_some_and(|(a, b)| same(a, b)) {
            return Err(Failure::Usage("--regions and --report name one file; give each its own".into()));
        }
        let (format, regions, report) = (self.map_format, self.regions.clone(), self.report.clone());
        Ok(Outputs { places, format, regions, report, cut: AtomicUsize::new(0) })
    }
}

impl Outputs {
    /// Whether the pictures are drawn on.
    pub fn draws(&self) -> bool {
        self.report.is_some() || self.places.iter().any(|(kind, _)| *kind == Kind::Heatmap)
    }

    /// What is to be computed of the images; `told` says whether results are, in full.
    pub fn want(&self, told: bool) -> Want {
        // Nobody sees the map in lines of text.
        let files = self.regions.is_some() || self.report.is_some() || !self.places.is_empty();
        if told || files { Want::Source } else { Want::Scores }
    }

    /// Whether regions are looked for; `told` as in [`Outputs::want`].
    pub fn finds_regions(&self, told: bool) -> bool {
        told || self.regions.is_some()
    }

    /// The file of regions.
    pub fn regions(&self) -> Option<&Path> {
        self.regions.as_deref()
    }

    /// The page.
    pub fn report(&self) -> Option<&Path> {
        self.report.as_deref()
    }

    /// What the page shows of an image, one of so many; none where there is no page.
    pub fn thumb(
        &self,
        picture: Option<&OwnedImage>,
        score: &Score,
        info: &ModelInfo,
        images: usize,
    ) -> softpatch::Result<Option<Thumb>> {
        let picture = picture.filter(|_| self.report.is_some());
        picture.map(|picture| thumb(picture, (&score.map, score.size), None, info, images)).transpose()
    }

    /// Looks at what the model of `info` has for it, says what it lacks, and makes the folders.
    pub fn begin(&self, info: &ModelInfo, told: bool, bars: &Bars) -> Outcome {
        let lacks = |what: &str| {
            let why = info.no_threshold.as_deref().map_or(String::new(), |why| format!(": {why}"));
            Err(Failure::Failed(softpatch::Error::InvalidOption(format!(
                "{what}, and the model has no threshold{why}"
            ))))
        };
        let has = |kind| self.places.iter().any(|(k, _)| *k == kind);
        match (info.pixel_threshold, info.map_threshold()) {
            (None, None) if has(Kind::Mask) => {
                return lacks("--masks writes what passes the threshold");
            }
            (None, None) if has(Kind::Map) && self.format == Format::Png16 => {
                return lacks("--map-format png16 reaches from 0 to 16 thresholds (npy and tiff hold any value)");
            }
            (None, Some(_)) if self.want(told) == Want::Source => bars.notice(
                "the model has no pixel threshold, so regions, masks and lines are at the image threshold; fit \
                 anew for one of pixels",
            ),
            _ => {}
        }
        Ok(self.places.iter().try_for_each(|(_, places)| places.create())?)
    }

    /// Lets what lies at these places, as texts, be written anew.
    pub fn redo(&mut self, places: &HashSet<String>) {
        self.places.iter_mut().for_each(|(_, of)| of.redo(places));
    }

    /// Forgets the places that were given: what was written keeps its own.
    pub fn forget(&mut self) {
        self.places.iter_mut().for_each(|(_, places)| places.forget());
    }

    /// The files of the next image.
    pub fn place(&mut self, image: &Path) -> Targets {
        let mut targets = Targets::default();
        for (kind, places) in &mut self.places {
            *targets.of(*kind) = Some(places.place(image));
        }
        targets
    }

    /// The files of all images; none of them overwrites one of the images.
    pub fn plan(&mut self, paths: &[PathBuf]) -> Outcome<Vec<Targets>> {
        let mut all = vec![Targets::default(); paths.len()];
        for (kind, places) in &mut self.places {
            for (targets, place) in all.iter_mut().zip(places.of_all(paths)?) {
                *targets.of(*kind) = Some(place);
            }
        }
        Ok(all)
    }

    /// Value of a step of 16-bit maps; none where no such are written.
    pub fn scale(&self, info: &ModelInfo) -> Option<f32> {
        let maps = self.places.iter().any(|(kind, _)| *kind == Kind::Map) && self.format == Format::Png16;
        info.map_threshold().filter(|_| maps).map(|threshold| REACH * threshold / 65_535.0)
    }

    /// Writes the files of an image, whose picture is there where it is drawn on.
    pub fn write(
        &self,
        targets: &Targets,
        picture: Option<&OwnedImage>,
        score: &Score,
        info: &ModelInfo,
    ) -> softpatch::Result<()> {
        for folder in targets.all().into_iter().filter_map(Path::parent) {
            create_folder(folder)?;
        }
        let (map, threshold) = (&score.map, info.map_threshold());
        if let (Some(target), Some(picture)) = (&targets.heatmap, picture) {
            write_png(target, &overlay(picture, map, map_range(info, map), threshold)?)?;
        }
        if let Some(target) = &targets.map {
            let format = match self.format {
                Format::Npy => MapFormat::Npy,
                Format::Tiff => MapFormat::Tiff,
                Format::Png16 => MapFormat::Png16 { scale: self.scale(info).unwrap_or(1.0) },
            };
            if let MapFormat::Png16 { scale } = format
                && map.iter().any(|v| *v > 65_535.0 * scale)
            {
                self.cut.fetch_add(1, Ordering::Relaxed);
            }
            write_map(target, map, score.map_size, format)?;
        }
        if let (Some(target), Some(threshold)) = (&targets.mask, threshold) {
            let mask: Vec<bool> = map.iter().map(|v| *v > threshold).collect();
            write_mask_png(target, &mask, score.size[0], score.size[1])?;
        }
        Ok(())
    }

    /// Says what is not in the files.
    pub fn end(&self, bars: &Bars) {
        let cut = self.cut.load(Ordering::Relaxed);
        if cut > 0 {
            bars.notice(&format!(
                "{} with values above 16 thresholds, which png16 holds as 65535; npy and tiff hold all",
                count(cut, "map")
            ));
        }
    }
}

impl Targets {
    /// The files.
    pub fn all(&self) -> Vec<&Path> {
        [&self.heatmap, &self.map, &self.mask].into_iter().flatten().map(PathBuf::as_path).collect()
    }

    fn of(&mut self, kind: Kind) -> &mut Option<PathBuf> {
        match kind {
            Kind::Heatmap => &mut self.heatmap,
            Kind::Map => &mut self.map,
            Kind::Mask => &mut self.mask,
        }
    }
}
