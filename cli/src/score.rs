//! `softpatch score`.

use crate::common::backbone::{WeightsArgs, open_model};
use crate::common::device::DeviceArgs;
use crate::common::failure::{Failure, Outcome, print_error};
use crate::common::images::Files;
use crate::common::output::{print, print_json};
use crate::common::progress::Bars;
use serde::Serialize;
use softpatch::data::list_images;
use softpatch::detector::{ModelInfo, Score, Want};
use softpatch::{Error, report};
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// Score images with a model: how far each is from normal, and where.
#[derive(Debug, clap::Args)]
#[command(after_long_help = FORMATS)]
pub struct Args {
    /// Model file made by `softpatch fit`.
    model: PathBuf,
    /// Images, or folders of which all images are taken (ground_truth/ beside test/ is left out).
    #[arg(required = true, value_name = "IMAGE|DIR")]
    images: Vec<PathBuf>,
    /// Write every image with its anomaly map laid over it as a PNG into this folder.
    #[arg(long, value_name = "DIR")]
    heatmaps: Option<PathBuf>,
    /// One JSON document instead of a table.
    #[arg(long, conflicts_with = "csv")]
    json: bool,
    /// CSV with a header instead of a table.
    #[arg(long)]
    csv: bool,
    #[command(flatten)]
    weights: WeightsArgs,
    #[command(flatten)]
    device: DeviceArgs,
}

const FORMATS: &str = "\
Score: the largest distance of a patch from what is normal, 0 or more. An image is anomalous where its score
passes the model's threshold.

--json prints one object:
  model      path of the model file
  threshold  number, or null where the model has none
  images     array in order of scoring, one object an image:
               path, score (number), anomalous (true, false, or null without a threshold),
               peak ([x, y] of the map's largest value, in pixels of the crop), heatmap (path or null)
  errors     array, one object for each image that could not be read: path, error
--csv prints the columns path,score,anomalous,heatmap, as in RFC 4180.

Heatmaps keep their place below the folder that was named, so images of one name in two folders do not
collide.

An image that cannot be read is reported on standard error, the others are scored, and the exit status is 1.";

/// An image in the JSON document.
#[derive(Serialize)]
struct Row {
    path: String,
    score: f32,
    anomalous: Option<bool>,
    peak: [u32; 2],
    heatmap: Option<String>,
}

#[derive(Serialize)]
struct Damaged {
    path: String,
    error: String,
}

#[derive(Serialize)]
struct Document {
    model: String,
    threshold: Option<f32>,
    images: Vec<Row>,
    errors: Vec<Damaged>,
}

pub fn run(args: &Args, quiet: bool) -> Outcome {
    let paths = collect(&args.images)?;
    let heatmaps = match &args.heatmaps {
        Some(out) => Some(plan_heatmaps(out, &args.images, &paths)?),
        None => None,
    };
    let detector = open_model(&args.model, &args.weights, &args.device)?;
    if let Some(out) = &args.heatmaps {
        create_folder(out)?;
    }
    let info = detector.info();
    let width = paths.iter().map(|p| p.display().to_string().chars().count()).max().unwrap_or(0).clamp(4, 70);
    let files = Files::new(paths, &info.options, heatmaps.is_some());
    let mut document = Document {
        model: args.model.display().to_string(),
        threshold: info.threshold,
        images: Vec::new(),
        errors: Vec::new(),
    };
    let table = !args.json && !args.csv;
    if args.csv {
        print("path,score,anomalous,heatmap\n")?;
    } else if table {
        print(&format!("{:<width$}  {:>9}  verdict\n", "path", "score"))?;
    }
    let bars = Bars::new(quiet);
    let mut stopped = None;
    // Nobody sees the map in lines of text.
    let want = if args.json || heatmaps.is_some() { Want::Maps } else { Want::Scores };
    let scored = detector.score_source(&files, want, &bars, |index, score| {
        let path = files.paths[index].display().to_string();
        if let Some(error) = files.take_error(index) {
            bars.suspend(|| print_error(&error));
            document.errors.push(Damaged { path, error: error.to_string() });
            return Ok(());
        }
        let heatmap = match (&heatmaps, files.take_view(index)) {
            (Some(targets), Some(view)) => {
                write_heatmap(&targets[index], &view, &score, info)?;
                Some(targets[index].display().to_string())
            }
            _ => None,
        };
        let row = Row { path, score: score.score, anomalous: score.anomalous, peak: peak(&score), heatmap };
        let line = if args.csv {
            csv_line(&row)
        } else {
            let verdict = row.anomalous.map_or("-", |a| if a { "anomalous" } else { "normal" });
            format!("{:<width$}  {:>9.4}  {verdict}\n", row.path, row.score)
        };
        document.images.push(row);
        if !args.json
            && let Err(failure) = bars.suspend(|| print(&line))
        {
            stopped = Some(failure);
            return Err(Error::Cancelled);
        }
        Ok(())
    });
    bars.finish();
    if let Some(failure) = stopped {
        return Err(failure);
    }
    scored?;
    if args.json {
        print_json(&document)?;
    }
    if table && !quiet {
        let anomalous = document.images.iter().filter(|r| r.anomalous == Some(true)).count();
        let threshold = match (document.threshold, &info.no_threshold) {
            (Some(t), _) => format!("threshold {t:.4}"),
            (None, Some(why)) => format!("no verdict, as the model has no threshold: {why}"),
            (None, None) => "no verdict, as the model has no threshold".to_owned(),
        };
        eprintln!("{} scored, {anomalous} anomalous ({threshold})", count(document.images.len(), "image"));
    }
    if !document.errors.is_empty() {
        eprintln!(
            "error: {} of {} could not be read",
            document.errors.len(),
            count(document.errors.len() + document.images.len(), "image")
        );
        return Err(Failure::Reported);
    }
    Ok(())
}

fn count(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

/// The images that the arguments name, each once.
fn collect(arguments: &[PathBuf]) -> Outcome<Vec<PathBuf>> {
    let mut paths = Vec::new();
    let mut seen = HashSet::new();
    for argument in arguments {
        let found = if argument.is_dir() {
            let mut found = list_images(argument)?;
            if argument.join("test").is_dir() {
                let masks = argument.join("ground_truth");
                found.retain(|path| !path.starts_with(&masks));
            }
            if found.is_empty() {
                let extensions = softpatch::data::IMAGE_EXTENSIONS.join(", ");
                return Err(Failure::Failed(Error::Dataset {
                    path: argument.clone(),
                    reason: format!(
                        "looked for images ({extensions}), and there is none; name a folder with images"
                    ),
                }));
            }
            found
        } else if argument.exists() {
            vec![argument.clone()]
        } else {
            return Err(Failure::Failed(Error::Image {
                path: argument.clone(),
                reason: "there is no such file or folder".into(),
                remedy: "Check the path",
            }));
        };
        paths.extend(found.into_iter().filter(|path| seen.insert(path.clone())));
    }
    Ok(paths)
}

/// Where each image's heatmap goes: its place below the folders that were named, in `out`.
fn plan_heatmaps(out: &Path, arguments: &[PathBuf], paths: &[PathBuf]) -> Outcome<Vec<PathBuf>> {
    let absolute = |p: &Path| std::path::absolute(p).unwrap_or_else(|_| p.to_owned());
    for argument in arguments.iter().filter(|a| a.is_dir()) {
        if absolute(out).starts_with(absolute(argument)) {
            return Err(Failure::Usage(format!(
                "--heatmaps {} lies inside {}: the next run would take the heatmaps for images; choose a \
                 folder outside it",
                out.display(),
                argument.display()
            )));
        }
    }
    if out.exists() && !out.is_dir() {
        return Err(Failure::Usage(format!("--heatmaps {} is a file; name a folder", out.display())));
    }
    let folder_of = |argument: &PathBuf| {
        let path = absolute(argument);
        if argument.is_dir() { path } else { path.parent().map_or_else(PathBuf::new, Path::to_owned) }
    };
    let root = arguments.iter().map(folder_of).reduce(|a, b| common_ancestor(&a, &b)).unwrap_or_default();
    let inputs: HashSet<PathBuf> = paths.iter().filter_map(|p| p.canonicalize().ok()).collect();
    let mut taken = HashSet::new();
    paths
        .iter()
        .map(|path| {
            let path = absolute(path);
            let place = path.strip_prefix(&root).unwrap_or(&path).to_owned();
            let name = place.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let stem =
                if name.to_lowercase().ends_with(".png") { &name[..name.len() - 4] } else { name.as_str() };
            let target = (1..)
                .map(|n| if n == 1 { format!("{stem}.png") } else { format!("{stem}-{n}.png") })
                .map(|name| out.join(place.with_file_name(name)))
                // File systems that ignore case exist.
                .find(|target| taken.insert(target.to_string_lossy().to_lowercase()))
                .unwrap_or_default();
            if target.canonicalize().is_ok_and(|target| inputs.contains(&target)) {
                return Err(Failure::Usage(format!(
                    "the heatmap {} would overwrite an image; choose another folder for --heatmaps",
                    target.display()
                )));
            }
            Ok(target)
        })
        .collect()
}

fn common_ancestor(a: &Path, b: &Path) -> PathBuf {
    a.components().zip(b.components()).take_while(|(x, y)| x == y).map(|(x, _)| x).collect()
}

fn create_folder(path: &Path) -> softpatch::Result<()> {
    std::fs::create_dir_all(path).map_err(|e| Error::io(path, "creating the folder", e))
}

/// Map values that are drawn coldest and hottest: fixed for a model, so that pictures can be compared.
pub fn map_range(info: &ModelInfo, map: &[f32]) -> (f32, f32) {
    match info.threshold {
        Some(threshold) if threshold > 0.0 => (0.3 * threshold, 2.5 * threshold),
        _ => (0.0, map.iter().copied().fold(f32::MIN_POSITIVE, f32::max)),
    }
}

fn write_heatmap(
    target: &Path,
    view: &softpatch::data::OwnedImage,
    score: &Score,
    info: &ModelInfo,
) -> softpatch::Result<()> {
    if let Some(folder) = target.parent() {
        create_folder(folder)?;
    }
    report::write_png(
        target,
        &report::overlay(view, &score.map, map_range(info, &score.map), info.threshold)?,
    )
}

/// Column and row of the map's largest value.
fn peak(score: &Score) -> [u32; 2] {
    let largest = score.map.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
    let index = largest.map_or(0, |(i, _)| i as u32);
    [index % score.map_side.max(1), index / score.map_side.max(1)]
}

fn csv_line(row: &Row) -> String {
    let field = |text: &str| {
        if text.contains(['"', ',', '\n', '\r']) {
            format!("\"{}\"", text.replace('"', "\"\""))
        } else {
            text.to_owned()
        }
    };
    format!(
        "{},{},{},{}\n",
        field(&row.path),
        row.score,
        row.anomalous.map_or(String::new(), |a| a.to_string()),
        field(row.heatmap.as_deref().unwrap_or_default())
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn csv_quotes_what_needs_it() {
        let row = |path: &str| Row {
            path: path.into(),
            score: 0.5,
            anomalous: Some(true),
            peak: [0, 0],
            heatmap: None,
        };
        assert_eq!(csv_line(&row("a.png")), "a.png,0.5,true,\n");
        assert_eq!(csv_line(&row("a,\"b\".png")), "\"a,\"\"b\"\".png\",0.5,true,\n");
    }

    #[test]
    fn heatmaps_do_not_collide() {
        let folder = tempfile::tempdir().unwrap();
        for sub in ["a", "b"] {
            std::fs::create_dir(folder.path().join(sub)).unwrap();
        }
        let paths: Vec<PathBuf> =
            ["a/1.png", "b/1.png", "a/1.jpg", "a/1.PNG"].iter().map(|p| folder.path().join(p)).collect();
        let plan =
            plan_heatmaps(Path::new("out"), &[folder.path().join("a"), folder.path().join("b")], &paths)
                .unwrap();
        let want = ["out/a/1.png", "out/b/1.png", "out/a/1.jpg.png", "out/a/1-2.png"];
        assert_eq!(plan, want.map(PathBuf::from));
    }
}
