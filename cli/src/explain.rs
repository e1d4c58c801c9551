//! `softpatch explain`.

use crate::common::backbone::{ModelArgs, open_model};
use crate::common::device::DeviceArgs;
use crate::common::failure::Outcome;
use crate::common::output::{check_output_file, plain, plain_path, print, print_json};
use crate::common::shell::quoted;
use serde::Serialize;
use softpatch::data::{OwnedImage, decode_file, list_images};
use softpatch::detector::{Detector, ExplainedPlace, Explanation, Neighbour, PatchOver};
use softpatch::report::{ExplainCell, ExplainRow, ExplainSheet, patch_view, write_png};
use std::collections::BTreeMap;
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

#[derive(Serialize)]
struct Document<'a> {
    model: String,
    image: String,
    size: [u32; 2],
    score: f32,
    threshold: Option<f32>,
    anomalous: Option<bool>,
    over: &'a [PatchOver],
    allow: Option<String>,
    places: Vec<PlaceRow<'a>>,
}

#[derive(Serialize)]
struct PlaceRow<'a> {
    at: [u32; 2],
    bbox: [u32; 4],
    score: f32,
    above_threshold: Option<bool>,
    patches: u32,
    neighbours: Vec<NeighbourRow<'a>>,
}

#[derive(Serialize)]
struct NeighbourRow<'a> {
    #[serde(flatten)]
    neighbour: &'a Neighbour,
    path: Option<String>,
    bbox: Option<[u32; 4]>,
}

pub fn run(args: &Args, quiet: bool) -> Outcome {
    if let Some(file) = &args.output {
        check_output_file(file)?;
    }
    let known = args.images.as_ref().map(list_images).transpose()?;
    let detector = open_model(&args.model, &args.weights, &args.device)?;
    let decode = detector.info().options.decode();
    let picture = decode_file(&args.image, &decode)?;
    let explained =
        detector.explain(&picture.as_image()?, usize::from(args.places), usize::from(args.neighbours))?;
    let found = Found::new(&explained, known.map(|k| k.images).unwrap_or_default(), &detector)?;
    if let Some(folder) = args.images.as_ref().filter(|_| found.pictures.is_empty() && !quiet) {
        eprintln!("note: none of the training images that matter is in {}", plain_path(folder));
    }
    if let Some(file) = &args.output {
        write_png(file, &sheet(args, &explained, &found, &picture)?.draw(&picture)?)?;
    }
    let score = &explained.score;
    let allow = (quoted(&args.model).zip(quoted(&args.image)))
        .filter(|_| !explained.over.is_empty())
        .map(|(model, image)| format!("softpatch model {model} allow {image}"));
    if !args.json {
        return print(&text(args, &explained, &found, allow.as_deref()));
    }
    print_json(&Document {
        model: args.model.display().to_string(),
        image: args.image.display().to_string(),
        size: score.size,
        score: score.score,
        threshold: explained.threshold,
        anomalous: score.anomalous,
        over: &explained.over,
        allow,
        places: explained.places.iter().map(|place| found.row(place)).collect(),
    })
}

/// The training images that were found, by their number in the model.
struct Found<'a> {
    detector: &'a Detector,
    pictures: BTreeMap<u32, (PathBuf, OwnedImage)>,
}

impl<'a> Found<'a> {
    /// Looks for the images of all neighbours among `files`.
    fn new(explained: &Explanation, files: Vec<PathBuf>, detector: &'a Detector) -> Outcome<Self> {
        let decode = detector.info().options.decode();
        let mut pictures = BTreeMap::new();
        for neighbour in explained.places.iter().flat_map(|place| &place.neighbours) {
            if pictures.contains_key(&neighbour.image) {
                continue;
            }
            if let Some(path) = matching(&neighbour.name, &files) {
                let picture = decode_file(path, &decode)?;
                pictures.insert(neighbour.image, (path.to_owned(), picture));
            }
        }
        Ok(Self { detector, pictures })
    }

    /// File, picture and place of a neighbour.
    fn of(&self, neighbour: &Neighbour) -> Option<(&Path, &OwnedImage, [u32; 4])> {
        let (path, picture) = self.pictures.get(&neighbour.image)?;
        let bbox = self.detector.patch_box(neighbour.at, [picture.width, picture.height]).ok()?;
        Some((path, picture, bbox))
    }

    fn row<'b>(&self, place: &'b ExplainedPlace) -> PlaceRow<'b> {
        let neighbour = |neighbour: &'b Neighbour| {
            let found = self.of(neighbour);
            NeighbourRow {
                neighbour,
                path: found.map(|(path, ..)| path.display().to_string()),
                bbox: found.map(|(.., bbox)| bbox),
            }
        };
        PlaceRow {
            at: place.at,
            bbox: place.bbox,
            score: place.score,
            above_threshold: place.above_threshold,
            patches: place.patches,
            neighbours: place.neighbours.iter().map(neighbour).collect(),
        }
    }
}

/// The file that has most of the name's end; `None` where none has its last part, or several have as much.
fn matching<'a>(name: &str, files: &'a [PathBuf]) -> Option<&'a Path> {
    let shared = |file: &Path| {
        let ends = Path::new(name).components().rev().zip(file.components().rev());
        ends.take_while(|(a, b)| a == b).count()
    };
    let most = files.iter().map(|file| shared(file)).max().filter(|most| *most > 0)?;
    let mut best = files.iter().filter(|file| shared(file) == most);
    best.next().filter(|_| best.next().is_none()).map(PathBuf::as_path)
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
fn place_of(neighbour: &Neighbour, found: &Found<'_>) -> String {
    match found.of(neighbour) {
        Some((.., [x, y, w, h])) => format!("at {}, {}", x + w / 2, y + h / 2),
        None => {
            let [rows, columns] = found.detector.info().grid;
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

fn text(args: &Args, explained: &Explanation, found: &Found<'_>, allow: Option<&str>) -> String {
    let mut text = format!("{}\n  score {}\n", plain(&args.image.display().to_string()), verdict(explained));
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
                place_of(n, found),
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
    found: &Found<'_>,
    picture: &OwnedImage,
) -> Outcome<ExplainSheet> {
    let name = |path: &Path| path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
    let mut lines = vec![format!("score {}", verdict(explained)), to_pass(explained)];
    if found.pictures.is_empty() {
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
                    place_of(n, found),
                ],
            });
        }
        rows.push(ExplainRow { bbox: place.bbox, below: below(place), cells });
    }
    Ok(ExplainSheet { title: args.image.display().to_string(), lines, rows })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn training_images_are_found_by_the_end_of_their_names() {
        let files = ["d/a/1.png", "d/b/1.png", "d/2.png"].map(PathBuf::from);
        let of = |name| matching(name, &files).map(|p| p.display().to_string());
        assert_eq!(of("/old/place/b/1.png").as_deref(), Some("d/b/1.png"));
        assert_eq!(of("2.png").as_deref(), Some("d/2.png"));
        assert_eq!((of("c/1.png"), of("3.png"), of("image 3")), (None, None, None));
    }
}
