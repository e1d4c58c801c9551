//! `softpatch explain`.

use crate::common::backbone::{ModelArgs, open_model};
use crate::common::device::DeviceArgs;
use crate::common::failure::Outcome;
use crate::common::log;
use crate::common::output::{check_output_file, plain, plain_path, print, print_json};
use softpatch::data::{OwnedImage, decode_file, list_images};
use softpatch::detector::{ExplainedPlace, Explanation, Neighbour, TrainingPictures};
use softpatch::report::{ExplainCell, ExplainRow, ExplainSheet, patch_view, write_png};
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// Show why an image has its score: its worst patches beside the training patches that they are nearest to.
#[derive(Debug, clap::Args)]
#[command(after_help = FORMATS)]
pub struct Args {
    /// Model file made by `softpatch fit`.
    model: PathBuf,
    /// The image.
    image: PathBuf,
    /// Write the patches side by side to this PNG file.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Folder to look for the training images in; those of the model's names are shown. Without it, their
    /// names and places are said, and no file is opened that the model names.
    #[arg(long, value_name = "DIR")]
    images: Option<PathBuf>,
    /// Places of the image at most.
    #[arg(long, value_name = "N", default_value = "3", value_parser = clap::value_parser!(u8).range(1..=9))]
    places: u8,
    /// Training patches for each place at most, each of another image.
    #[arg(long, value_name = "N", default_value = "3", value_parser = clap::value_parser!(u8).range(1..=9))]
    neighbours: u8,
    /// One JSON document instead of text.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    weights: ModelArgs,
    #[command(flatten)]
    device: DeviceArgs,
}

const FORMATS: &str = "\
A patch's score is the squared distance to the nearest row of the memory bank, times the weight of that row; the score
of the image is the largest of them. An image passes where no patch is above the model's threshold: the patches above it
are the smallest set that would have to be allowed.

--json prints one object: model, image, size ([width, height]), score, threshold (or null), anomalous, over (the patches
above the threshold, worst first: at ([row, column] of the grid), bbox ([x, y, width, height] in pixels of the image),
score), allow (the command that allows them; null where there are none, or where no text stands for a name), and places, worst
first: at, bbox, score, above_threshold (or null), patches (those above the threshold that are connected with it), and
neighbours, nearest first: row (of the bank), image (its number), name,
at, distance (squared), weight, score (weight times distance), path and bbox (of the training image; null where it was not found
below --images).";

pub fn run(args: &Args, quiet: bool) -> Outcome {
    if let Some(file) = &args.output {
        check_output_file(file)?;
    }
    let known = args.images.as_ref().map(list_images).transpose()?;
    let detector = open_model(&args.model, &args.weights, &args.device)?;
    let (decode, grid) = (detector.info().options.decode(), detector.info().grid);
    let picture = decode_file(&args.image, &decode)?;
    let explained =
        detector.explain(&picture.as_image()?, usize::from(args.places), usize::from(args.neighbours))?;
    let found = TrainingPictures::find(&detector, &explained, known.as_ref().map_or(&[], |k| &k.images))?;
    if let Some(folder) = args.images.as_ref().filter(|_| found.is_empty() && !quiet) {
        log::note(&format!("none of the training images that matter is in {}", plain_path(folder)));
    }
    if let Some(file) = &args.output {
        write_png(file, &sheet(args, &explained, &found, (&picture, grid))?.draw(&picture)?)?;
    }
    if args.json {
        return print_json(&explained.document(&found, Some(&args.model), Some(&args.image)));
    }
    let allow = explained.allow(&args.model, &args.image);
    print(&text(args, &explained, (&found, grid), allow.as_deref()))
}

fn verdict(explained: &Explanation) -> String {
    match (explained.threshold, explained.score.anomalous) {
        (Some(threshold), Some(anomalous)) => {
            let what = if anomalous { "anomalous" } else { "normal" };
            format!("{:.4}, {what} (threshold {threshold:.4})", explained.score.score)
        }
        _ => format!("{:.4} (the model has no threshold)", explained.score.score),
    }
}

/// What would have to be allowed.
fn to_pass(explained: &Explanation) -> String {
    match (explained.threshold, explained.over.len()) {
        (None, _) => "without a threshold, nothing passes or fails".to_owned(),
        (_, 0) => "it passes: no patch is above the threshold".to_owned(),
        (_, 1) => format!("to pass, 1 patch of {} would have to be allowed", explained.score.patches.len()),
        (_, n) => {
            format!("to pass, {n} patches of {} would have to be allowed", explained.score.patches.len())
        }
    }
}

/// Where a training patch lies.
fn place_of(neighbour: &Neighbour, found: &TrainingPictures<'_>, [rows, columns]: [u32; 2]) -> String {
    match found.of(neighbour) {
        Some((.., [x, y, w, h])) => format!("at {}, {}", x + w / 2, y + h / 2),
        None => {
            let [y, x] = neighbour.at;
            format!("row {} of {rows}, column {} of {columns}", y + 1, x + 1)
        }
    }
}

/// Whether a place would pass alone.
fn below(place: &ExplainedPlace) -> bool {
    place.above_threshold == Some(false)
}

fn middle([x, y, w, h]: [u32; 4]) -> String {
    format!("at {}, {}", x + w / 2, y + h / 2)
}

fn text(
    args: &Args,
    explained: &Explanation,
    (found, grid): (&TrainingPictures<'_>, [u32; 2]),
    allow: Option<&str>,
) -> String {
    let mut text = format!("{}\n  score {}\n", plain_path(&args.image), verdict(explained));
    for (i, place) in explained.places.iter().enumerate() {
        let with = match place.patches {
            _ if below(place) => ", below the threshold".to_owned(),
            0 => String::new(),
            n => format!(", in an area of {n} above the threshold"),
        };
        let _ = writeln!(text, "  {}. {}: {:.4}{with}", i + 1, middle(place.bbox), place.score);
        for n in &place.neighbours {
            let _ = writeln!(
                text,
                "     {:.4} from {}, {} (squared distance {:.4}, weight {:.4})",
                n.score,
                plain(&n.name),
                place_of(n, found, grid),
                n.distance,
                n.weight
            );
        }
    }
    let _ = writeln!(text, "  {}", to_pass(explained));
    if !explained.over.is_empty() {
        let at: Vec<String> =
            explained.over.iter().take(12).map(|over| middle(over.bbox)[3..].to_owned()).collect();
        let more = explained.over.len() - at.len();
        let more = if more > 0 { format!("; and {more} more (--json)") } else { String::new() };
        let allow = allow.map_or_else(
            || "`softpatch model MODEL allow IMAGE`, with names that no text stands for".to_owned(),
            str::to_owned,
        );
        let _ = writeln!(text, "     at {}{more}\n     if it is a good part: {allow}", at.join("; "));
    }
    text
}

fn sheet(
    args: &Args,
    explained: &Explanation,
    found: &TrainingPictures<'_>,
    (picture, grid): (&OwnedImage, [u32; 2]),
) -> Outcome<ExplainSheet> {
    let name = |path: &Path| path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
    let mut lines = vec![format!("score {}", verdict(explained)), to_pass(explained)];
    if found.is_empty() {
        lines.push("training images are shown with --images DIR".to_owned());
    }
    lines.extend([
        String::new(),
        "Left: the worst patches of the image.".to_owned(),
        "Right of each: the training patches nearest to it,".to_owned(),
        "each of another image. A score is the squared".to_owned(),
        "distance times the weight; the nearest counts.".to_owned(),
    ]);
    if explained.places.iter().any(below) {
        lines.push("Thin grey frames: below the threshold.".to_owned());
    }
    let mut rows = Vec::new();
    for (i, place) in explained.places.iter().enumerate() {
        let mut cells = vec![ExplainCell {
            picture: Some(patch_view(picture, place.bbox, below(place))?),
            lines: vec![
                format!("{}. score {:.4}", i + 1, place.score),
                middle(place.bbox),
                match place.patches {
                    _ if below(place) => "below the threshold".to_owned(),
                    0 => String::new(),
                    1 => "area of 1 patch".to_owned(),
                    n => format!("area of {n} patches"),
                },
            ],
        }];
        for n in &place.neighbours {
            let shown =
                found.of(n).map(|(_, picture, bbox)| patch_view(picture, bbox, below(place))).transpose()?;
            cells.push(ExplainCell {
                picture: shown,
                lines: vec![
                    format!("{:.4} = {:.3} x {:.3}", n.score, n.distance, n.weight),
                    name(Path::new(&n.name)),
                    place_of(n, found, grid),
                ],
            });
        }
        rows.push(ExplainRow { bbox: place.bbox, below: below(place), cells });
    }
    Ok(ExplainSheet { title: args.image.display().to_string(), lines, rows })
}
