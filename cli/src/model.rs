//! `softpatch model`.

use crate::common::backbone::{ModelArgs, open_model};
use crate::common::device::DeviceArgs;
use crate::common::edits::{edited, learned_in, model_file, told};
use crate::common::failure::{Failure, Outcome};
use crate::common::log;
use crate::common::output::{plain, plain_path, print, print_json};
use crate::common::set::{FolderArgs, TakeArgs};
use crate::common::sizes::{count, human_bytes};
use softpatch::Error;
use softpatch::data::{FileSource, OpenOptions, TrainSet, decode_file};
use softpatch::detector::{DENY_AT_MOST, Detector, Mended, Model, Progress, SETTINGS};
use softpatch::model::ModelFile;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Look into a model, and mend it without a new fit.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Edits change the memory bank, never the thresholds, but for `softpatch calibrate`, which is one, too. \
         They write the model whole or not at all: into its own file, or into another with -o. Each is in the \
         model's history, and undo takes the last one back, bit by bit: what is taken out of the bank stays in the \
         file for that. A model that is in use elsewhere is not changed there; `softpatch verify` says what edits \
         changed since the approval."
)]
pub struct Args {
    /// Model file made by `softpatch fit`.
    model: PathBuf,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    Info(Info),
    RemoveImage(RemoveImage),
    Allow(Allow),
    Deny(Deny),
    History(History),
    Undo(Undo),
    KeepReferences(KeepReferences),
    ForgetReferences(Forget),
}

/// What the model was made from and how.
#[derive(Debug, clap::Args)]
struct Info {
    /// One JSON document instead of text.
    #[arg(long)]
    json: bool,
}

/// Take what was learned from a training picture out of the memory bank.
#[derive(Debug, clap::Args)]
struct RemoveImage {
    /// Name as `info` lists it, or the end of its path where only one ends so.
    name: String,
    #[command(flatten)]
    to: To,
}

/// Take a false alarm for normal: its patches that pass the threshold become rows of the memory bank.
#[derive(Debug, clap::Args)]
struct Allow {
    #[command(flatten)]
    picture: PictureArgs,
}

/// Find a defect that was missed: the rows of the memory bank that excuse it are taken out.
#[derive(Debug, clap::Args)]
struct Deny {
    #[command(flatten)]
    picture: PictureArgs,
    /// Share of the memory bank that may go at most; where it takes more, nothing is changed.
    #[arg(long, value_name = "SHARE", default_value_t = DENY_AT_MOST)]
    at_most: f64,
}

/// List the edits.
#[derive(Debug, clap::Args)]
struct History {
    /// One JSON array instead of text.
    #[arg(long)]
    json: bool,
}

/// Take the last edit back.
#[derive(Debug, clap::Args)]
struct Undo {
    #[command(flatten)]
    to: To,
}

/// Keep pictures of a folder with their scores on this machine, for `softpatch verify`.
#[derive(Debug, clap::Args)]
struct KeepReferences {
    /// Folder of the training images; of those that the model knows, a few are kept, else a few of the
    /// others.
    dir: PathBuf,
    #[command(flatten)]
    folder: FolderArgs,
    #[command(flatten)]
    take: TakeArgs,
    #[command(flatten)]
    on: On,
    #[command(flatten)]
    to: To,
}

/// Leave the reference pictures out of the file.
#[derive(Debug, clap::Args)]
struct Forget {
    #[command(flatten)]
    to: To,
}

/// Where an edited model goes.
#[derive(Debug, clap::Args)]
struct To {
    /// Model file to write [default: the model's own].
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// What a model runs on.
#[derive(Debug, clap::Args)]
struct On {
    /// Weights that the model was made with, where those were not the built-in ones.
    #[arg(long, value_name = "FILE")]
    backbone: Option<PathBuf>,
    #[command(flatten)]
    device: DeviceArgs,
}

/// A picture that the model judges wrongly.
#[derive(Debug, clap::Args)]
struct PictureArgs {
    /// The picture.
    image: PathBuf,
    /// Part of it that is meant, in its pixels [default: of allow, what passes the threshold; of deny, what
    /// scores highest].
    #[arg(long, value_name = "X,Y,W,H", value_parser = parse_region)]
    region: Option<[u32; 4]>,
    #[command(flatten)]
    on: On,
    #[command(flatten)]
    to: To,
}

fn parse_region(text: &str) -> Result<[u32; 4], String> {
    let numbers: Option<Vec<u32>> = text.split(',').map(|part| part.trim().parse().ok()).collect();
    let region = numbers.and_then(|numbers| <[u32; 4]>::try_from(numbers).ok());
    region.ok_or_else(|| "a region is X,Y,WIDTH,HEIGHT in pixels, e.g. 120,40,64,64".to_owned())
}

pub fn run(args: Args, quiet: bool) -> Outcome {
    let path = args.model;
    act(&path, args.action, quiet).map_err(|failure| match failure {
        // What the library calls an option is here what the model can do.
        Failure::Failed(Error::InvalidOption(reason)) => Failure::Failed(Error::Model { path, reason }),
        other => other,
    })
}

fn act(path: &Path, action: Action, quiet: bool) -> Outcome {
    match action {
        Action::Info(Info { json }) => info(path, json),
        Action::History(History { json }) => history(path, json),
        Action::RemoveImage(RemoveImage { name, to }) => {
            let (to, mut model) = to.load(path)?;
            let edit = model.remove_image(&name)?;
            let to = to.save(&model)?;
            print(&format!("{}\n{}", plain_path(&to), edited(&edit, &model.info)))
        }
        Action::Undo(Undo { to }) => {
            let (to, mut model) = to.load(path)?;
            let kept = model.references.is_some();
            let edit = to.undo(&mut model)?;
            let to = to.save(&model)?;
            if kept && model.references.is_none() && !quiet {
                log::note(
                    "the reference pictures were of the edited model, and are gone; keep-references makes new ones",
                );
            }
            let rows = model.info.rows;
            print(&format!("{}\n  taken back  {}\n  bank        {rows} rows\n", plain_path(&to), told(&edit)))
        }
        Action::Allow(Allow { picture }) => {
            mend(path, picture, |detector, name, image, region| detector.allow(name, image, region))
        }
        Action::Deny(Deny { picture, at_most }) => {
            mend(path, picture, |detector, name, image, region| detector.deny(name, image, region, at_most))
        }
        Action::KeepReferences(args) => keep(path, &args, quiet),
        Action::ForgetReferences(Forget { to }) => {
            let (to, mut model) = to.load(path)?;
            model.references = None;
            let to = to.save(&model)?;
            print(&format!("{}\n  references  none\n", plain_path(&to)))
        }
    }
}

impl To {
    /// The file, which can be written, before the model is read.
    fn checked(&self, model: &Path) -> Outcome<ModelFile> {
        model_file(model, self.output.as_deref())
    }

    /// The same, and the model.
    fn load(&self, path: &Path) -> Outcome<(ModelFile, Model)> {
        let target = self.checked(path)?;
        let model = target.model()?;
        Ok((target, model))
    }
}

impl On {
    fn open(&self, path: &Path) -> Outcome<Detector> {
        open_model(path, &ModelArgs { backbone: self.backbone.clone(), ..ModelArgs::default() }, &self.device)
    }
}

/// Edits by a picture.
fn mend(
    path: &Path,
    args: PictureArgs,
    edit: impl Fn(&mut Detector, &str, &softpatch::data::Image<'_>, Option<[u32; 4]>) -> softpatch::Result<Mended>,
) -> Outcome {
    let to = args.to.checked(path)?;
    let mut detector = args.on.open(path)?;
    let image = decode_file(&args.image, &detector.info().options.decode())?;
    let name = args.image.display().to_string();
    let done = edit(&mut detector, &name, &image.as_image()?, args.region)?;
    let to = to.save(detector.model())?;
    let threshold = detector.info().threshold;
    let said = |anomalous: Option<bool>| match anomalous {
        None => String::new(),
        Some(true) => " anomalous".to_owned(),
        Some(false) => " normal".to_owned(),
    };
    let mut text = format!("{}\n{}", plain_path(&to), edited(&done.edit, detector.info()));
    text.push_str(&format!(
        "  score       {:.4}{} -> {:.4}{}, threshold {}\n  peak        {},{}\n",
        done.before,
        said(done.was_anomalous),
        done.after,
        said(done.anomalous),
        threshold.map_or("none".to_owned(), |t| format!("{t:.4}")),
        done.peak[0],
        done.peak[1]
    ));
    text.push_str(&learned_in(&done.rows_of));
    print(&text)
}

fn keep(path: &Path, args: &KeepReferences, quiet: bool) -> Outcome {
    let to = args.to.checked(path)?;
    let bars = crate::common::progress::Bars::new(quiet);
    let options: OpenOptions = args.folder.options(&args.take);
    let set = TrainSet::open_with(&args.dir, &options)?;
    args.folder.say(&args.dir, &set.left_out, &bars)?;
    let mut detector = args.on.open(path)?;
    let source = FileSource::new(set.paths, detector.info().options.decode());
    let kept = detector.keep_references(&source)?;
    let to = to.save(detector.model())?;
    let bytes = detector.model().references.as_ref().map_or(0, softpatch::detector::References::bytes);
    let pictures = detector.model().references.iter().flat_map(|kept| &kept.pictures);
    let alarms = pictures.filter(|picture| picture.anomalous == Some(true)).count();
    if 2 * alarms > kept {
        bars.notice(&format!(
            "{alarms} of {kept} pictures kept are anomalous by the model's threshold: are they of its parts?"
        ));
    }
    print(&format!("{}\n  references  {}, {}\n", plain_path(&to), count(kept, "picture"), human_bytes(bytes)))
}

fn history(path: &Path, json: bool) -> Outcome {
    let model = Model::load(path)?;
    if json {
        return print_json(&model.info.history);
    }
    if model.info.history.is_empty() {
        return print("no edits since the fit\n");
    }
    print(&model.info.history.iter().map(|edit| told(edit) + "\n").collect::<String>())
}

fn info(path: &Path, json: bool) -> Outcome {
    let model = Model::load(path)?;
    let info = &model.info;
    let rows = model.rows_of_images();
    let references = model.references.as_ref();
    let options: BTreeMap<&str, String> =
        SETTINGS.iter().map(|setting| (setting.name, setting.get(&info.options))).collect();
    if json {
        return print_json(&model.document()?);
    }
    let mut text = format!("{}\n", plain_path(path));
    let mut line = |key: &str, value: String| text.push_str(&format!("  {key:<16}{}\n", plain(&value)));
    let number = |value: Option<f32>| value.map_or("none".to_owned(), |v| format!("{v:.4}"));
    line("made by", info.made_by.clone());
    line("fingerprint", model.fingerprint()[..16].to_owned());
    let backbone = &info.backbone;
    line(
        "backbone",
        format!("{} [{}], weights {:.16}", backbone.arch, backbone.layers.join(","), backbone.weights_sha256),
    );
    let looked_at = info.looked_at.map_or(String::new(), |s| format!(", {:.1} % looked at", 100.0 * s));
    line("frame", format!("{}x{} pixels{looked_at}", info.frame[1], info.frame[0]));
    line("grid", format!("{}x{} patches", info.grid[1], info.grid[0]));
    line("bank", format!("{} rows of {} values", info.rows, info.dim));
    line("kept", format!("{} training patches", info.kept));
    line("outlier score", info.noise_threshold.map_or("-".to_owned(), |t| format!("dropped over {t:.4}")));
    line("neighbours", info.lof_k.map_or("-".to_owned(), |k| k.to_string()));
    let why = info.no_threshold.as_ref().map_or(String::new(), |why| format!(" ({why})"));
    line("threshold", number(info.threshold) + &why);
    line("of pixels", number(info.pixel_threshold));
    line(
        "references",
        references.map_or("none".to_owned(), |kept| {
            format!(
                "{}, {}, made on {} by {}",
                count(kept.pictures.len(), "picture"),
                human_bytes(kept.bytes()),
                kept.made_on.adapter,
                kept.made_on.version
            )
        }),
    );
    line("edits", info.history.len().to_string());
    text.push_str("settings\n");
    options.iter().for_each(|(name, value)| text.push_str(&format!("  {name:<16}{value}\n")));
    text.push_str("images, with their rows of the bank\n");
    let allowed: Vec<&String> = info.allowed().collect();
    for (name, rows) in info.images.iter().zip(&rows) {
        let mark = if allowed.contains(&name) { "  (allowed)" } else { "" };
        text.push_str(&format!("  {rows:>6}  {}{mark}\n", plain(name)));
    }
    print(&text)
}
