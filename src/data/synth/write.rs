//! The set on disk.

use super::noise::{below, stream};
use super::{Defect, Material, SIZES, render};
use crate::data::encode::{write_mask_png, write_png};
use crate::data::list;
use crate::files::write_whole;
use crate::{Error, Result};
use rayon::prelude::*;
use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};
use std::sync::Mutex;

/// The file that marks a folder as made by [`generate`]; it lists every file of the set.
const MANIFEST: &str = "softpatch-synth.json";

/// What to generate. Counts are per material.
#[derive(Clone, Debug, PartialEq)]
pub struct SynthOptions {
    /// Materials to generate, each in its own folder.
    pub materials: Vec<Material>,
    /// Good training images.
    pub train: u32,
    /// Good test images.
    pub test_good: u32,
    /// Test images of every defect.
    pub test_per_defect: u32,
    /// Side of the square images in pixels, 64 to 2048.
    pub size: u32,
    /// The same seed gives the same files, byte for byte.
    pub seed: u64,
    /// Share of dirty training data, 0 to 1: `floor(contamination * train)` defect images, drawn from the
    /// test set, are also copied into `train/good` (the "overlap" protocol of the SoftPatch paper).
    pub contamination: f32,
}

impl Default for SynthOptions {
    /// All materials, 60 training images, 20 good test images and 8 per defect, of 256 pixels; seed 0, clean.
    fn default() -> Self {
        Self {
            materials: Material::ALL.to_vec(),
            train: 60,
            test_good: 20,
            test_per_defect: 8,
            size: 256,
            seed: 0,
            contamination: 0.0,
        }
    }
}

/// What [`generate`] wrote.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SynthSummary {
    /// Materials.
    pub materials: usize,
    /// Images in `train/good`, contamination included.
    pub train: usize,
    /// Of these, images with a defect.
    pub contaminated: usize,
    /// Good test images.
    pub test_good: usize,
    /// Test images with a defect; as many masks.
    pub test_defect: usize,
}

/// One image to render, and where it goes.
struct Job {
    material: Material,
    defect: Option<Defect>,
    seed: u64,
    images: Vec<PathBuf>,
    mask: Option<PathBuf>,
}

/// A defect image that is also in the training folder.
struct Copied {
    copy: String,
    source: String,
    defect: Defect,
}

/// Writes the set: `<out>/<material>/train/good/000.png`, `test/good/000.png`, `test/<defect>/000.png`,
/// `ground_truth/<defect>/000_mask.png` (8-bit grey, 255 on the defect), and, where there is contamination,
/// `<material>/contamination.csv` (columns `file,source,defect`, paths relative to the material's folder).
///
/// Images are rendered on rayon's threads; the files do not depend on how many there are. Every file appears
/// whole or not at all. `progress` is called with the number of images done and their total, in order, never
/// from two threads at once.
///
/// A folder that an earlier call made is taken over: the files it listed are removed first. Any other folder
/// that is not empty is refused.
///
/// # Errors
/// [`Error::InvalidOption`] for a setting out of range or more contamination than defect images;
/// [`Error::Dataset`] where `out` holds something else; [`Error::Io`] naming the file that could not be
/// written.
pub fn generate(
    out: &Path,
    options: &SynthOptions,
    progress: &(dyn Fn(usize, usize) + Sync),
) -> Result<SynthSummary> {
    check(options)?;
    take_over(out)?;
    let mut jobs = Vec::new();
    let mut lists = Vec::new();
    let mut summary = SynthSummary { materials: options.materials.len(), ..SynthSummary::default() };
    for &material in &options.materials {
        let (planned, copied) = plan(material, options);
        summary.train += options.train as usize + copied.len();
        summary.contaminated += copied.len();
        summary.test_good += options.test_good as usize;
        summary.test_defect += planned.iter().filter(|job| job.mask.is_some()).count();
        jobs.extend(planned);
        if !copied.is_empty() {
            lists.push((PathBuf::from(material.name()).join("contamination.csv"), copied));
        }
    }
    // The manifest goes first, so that an interrupted run can be taken over too.
    write_manifest(out, options, &jobs, &lists)?;
    let folders: BTreeSet<_> =
        jobs.iter().flat_map(|job| job.images.iter().chain(&job.mask)).filter_map(|p| p.parent()).collect();
    for folder in folders {
        let folder = out.join(folder);
        std::fs::create_dir_all(&folder).map_err(|e| Error::io(&folder, "creating the folder", e))?;
    }
    let done = Mutex::new(0);
    jobs.par_iter().try_for_each(|job| -> Result<()> {
        let (image, mask) = render(job.material, job.defect, job.seed, options.size)?;
        for path in &job.images {
            write_png(&out.join(path), &image)?;
        }
        if let Some(path) = &job.mask {
            write_mask_png(&out.join(path), &mask, options.size, options.size)?;
        }
        let mut done = done.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *done += 1;
        progress(*done, jobs.len());
        Ok(())
    })?;
    for (path, copied) in lists {
        let lines = copied.into_iter().map(|c| [c.copy, c.source, c.defect.to_string()]);
        let header = ["file", "source", "defect"].map(str::to_owned);
        list::write(&out.join(path), std::iter::once(header).chain(lines))?;
    }
    Ok(summary)
}

fn check(options: &SynthOptions) -> Result<()> {
    let refuse = |reason: String| Err(Error::InvalidOption(reason));
    if options.materials.is_empty() {
        return refuse("no material chosen".to_owned());
    }
    if let Some(twice) = options
        .materials
        .iter()
        .enumerate()
        .find(|(i, m)| options.materials[..*i].contains(m))
        .map(|(_, m)| m)
    {
        return refuse(format!("material {twice} is listed twice"));
    }
    if !SIZES.contains(&options.size) {
        return refuse(format!("size {} is not within {} to {}", options.size, SIZES.start(), SIZES.end()));
    }
    if options.train == 0 {
        return refuse("train is 0; a detector needs training images".to_owned());
    }
    if !(0.0..=1.0).contains(&options.contamination) {
        return refuse(format!("contamination {} is not within 0 to 1", options.contamination));
    }
    let wanted = contaminated(options);
    for material in &options.materials {
        let there = material.defects().len() * options.test_per_defect as usize;
        if wanted > there {
            return refuse(format!(
                "contamination {} of {} training images needs {wanted} defect images of {material}, there \
                 are \
                 {there}; raise test_per_defect or lower contamination",
                options.contamination, options.train
            ));
        }
    }
    Ok(())
}

/// `floor(r * train)`, with `r` taken as the decimal that was typed: 0.1 of 30 is 3, although 0.1f32 is not
/// 1/10.
fn contaminated(options: &SynthOptions) -> usize {
    (f64::from(options.contamination) * f64::from(options.train) + 1e-4).floor() as usize
}

/// The images of one material, and which of them are also copied into the training folder.
fn plan(material: Material, options: &SynthOptions) -> (Vec<Job>, Vec<Copied>) {
    let folder = PathBuf::from(material.name());
    // Named by what stays the same when the lists of materials and defects grow.
    let tag = |name: &str| name.bytes().fold(0_u64, |h, b| h.wrapping_mul(0x100_0000_01b3) ^ u64::from(b));
    let seed = |split: &str, index: u32| {
        use rand_chacha::rand_core::RngCore;
        stream(&[options.seed, tag(material.name()), tag(split), u64::from(index)]).next_u64()
    };
    let mut jobs = Vec::new();
    let mut good = |split: &str, count: u32| {
        for index in 0..count {
            let path = folder.join(split).join("good").join(format!("{index:03}.png"));
            jobs.push(Job {
                material,
                defect: None,
                seed: seed(split, index),
                images: vec![path],
                mask: None,
            });
        }
    };
    good("train", options.train);
    good("test", options.test_good);
    let first = jobs.len();
    for &defect in material.defects() {
        for index in 0..options.test_per_defect {
            let path = folder.join("test").join(defect.name()).join(format!("{index:03}.png"));
            let mask = folder.join("ground_truth").join(defect.name()).join(format!("{index:03}_mask.png"));
            jobs.push(Job {
                material,
                defect: Some(defect),
                seed: seed(defect.name(), index),
                images: vec![path],
                mask: Some(mask),
            });
        }
    }
    let mut rng = stream(&[options.seed, tag(material.name()), tag("contamination")]);
    let mut left: Vec<usize> = (first..jobs.len()).collect();
    let mut copied = Vec::new();
    for number in 0..contaminated(options) {
        let job = left.swap_remove(below(&mut rng, left.len()));
        let Job { defect: Some(defect), images, .. } = &mut jobs[job] else { continue };
        let name = format!("train/good/{:03}.png", options.train as usize + number);
        let source = format!("test/{}/{}", defect.name(), file_name(&images[0]));
        images.push(folder.join(&name));
        copied.push(Copied { copy: name, source, defect: *defect });
    }
    (jobs, copied)
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Makes sure that `out` is ours or empty, and removes what an earlier run wrote there.
fn take_over(out: &Path) -> Result<()> {
    let entries = match std::fs::read_dir(out) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            return std::fs::create_dir_all(out).map_err(|e| Error::io(out, "creating the folder", e));
        }
        Err(e) => return Err(Error::io(out, "opening the folder", e)),
    };
    if entries.count() == 0 {
        return Ok(());
    }
    let manifest = out.join(MANIFEST);
    let text = match std::fs::read_to_string(&manifest) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            return Err(Error::Dataset {
                path: out.to_owned(),
                reason: format!(
                    "the folder is not empty and holds no {MANIFEST}, so it was not made by this generator; \
                     choose an empty or new folder"
                ),
            });
        }
        Err(e) => return Err(Error::io(&manifest, "reading", e)),
    };
    let damaged = |reason: String| Error::Dataset { path: manifest.clone(), reason };
    let value: serde_json::Value = serde_json::from_str(&text)
        .map_err(|e| damaged(format!("not readable ({e}); remove the folder or choose another")))?;
    let files = value["files"].as_array().ok_or_else(|| damaged("lists no files".to_owned()))?;
    for file in files {
        let name = Path::new(file.as_str().unwrap_or_default());
        // Nothing outside the folder is ever removed, whatever the manifest says.
        if name.as_os_str().is_empty() || !name.components().all(|c| matches!(c, Component::Normal(_))) {
            return Err(damaged(format!("lists {file}, which is not a file inside the folder")));
        }
        let path = out.join(name);
        match std::fs::remove_file(&path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::io(&path, "removing the file of an earlier run", e));
            }
            _ => {}
        }
    }
    Ok(())
}

fn write_manifest(
    out: &Path,
    options: &SynthOptions,
    jobs: &[Job],
    lists: &[(PathBuf, Vec<Copied>)],
) -> Result<()> {
    let slashes =
        |path: &PathBuf| path.iter().map(|part| part.to_string_lossy()).collect::<Vec<_>>().join("/");
    let files: Vec<String> = jobs
        .iter()
        .flat_map(|job| job.images.iter().chain(&job.mask))
        .chain(lists.iter().map(|(path, _)| path))
        .map(slashes)
        .collect();
    let text = serde_json::json!({
        "generator": concat!("softpatch ", env!("CARGO_PKG_VERSION")),
        "materials": options.materials.iter().map(|m| m.name()).collect::<Vec<_>>(),
        "train": options.train,
        "test_good": options.test_good,
        "test_per_defect": options.test_per_defect,
        "size": options.size,
        "seed": options.seed,
        "contamination": options.contamination,
        "files": files,
    });
    write_whole(&out.join(MANIFEST), format!("{text:#}\n").as_bytes())
}
