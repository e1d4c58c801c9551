//! Scored images as a page in which the threshold can be moved: one file, nothing loaded from elsewhere.

use super::page::{LAZY_LIST, page};
use super::sheet::number;
use super::thumb::{TRUTH, Thumb};
use crate::files::write_whole_by;
use crate::{Error, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use maud::{Markup, PreEscaped, html};
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Component, Path, PathBuf};

/// Images whose pictures lie together: the page reads them when the first of them is looked at.
const BLOCK: usize = 128;
/// Where the pictures go; no text of a page has it, as texts are escaped.
const HERE: &str = "<!--pictures-->";

/// An image on a [`ScorePage`].
#[derive(Clone, Debug)]
pub struct PageImage {
    /// Its file; what all images have in common at the front is not repeated on the page.
    pub path: PathBuf,
    /// Its score.
    pub score: f32,
    /// Whether it shows a defect, where that is known.
    pub defect: Option<bool>,
    /// The picture and its map.
    pub thumb: Thumb,
}

/// What goes on a page of scores: a histogram with the threshold, which whoever looks at it can move, counts
/// that follow, the ROC curve where it is known which images show defects, and the pictures by score, with
/// filters.
///
/// The file needs no network, and no other file; it needs scripts, and says so where they are off.
#[derive(Clone, Debug, Default)]
pub struct ScorePage {
    /// Heading.
    pub title: String,
    /// What a reader should know, a line each.
    pub notes: Vec<String>,
    /// Names and values of how the model was made.
    pub settings: Vec<(String, String)>,
    /// Names and values of what was measured.
    pub figures: Vec<(String, String)>,
    /// The model's threshold of the scores: an image above it is anomalous.
    pub threshold: Option<f32>,
    /// Map values drawn coldest and hottest; `None` where each picture has its own.
    pub range: Option<(f32, f32)>,
    /// What the line in the maps is drawn at, in the map's unit.
    pub map_threshold: Option<f32>,
    /// Whether a line shows the ground truth.
    pub has_truth: bool,
    /// Images, in any order; the page lists the highest score first.
    pub images: Vec<PageImage>,
}

/// What the page's script reads.
#[derive(Serialize)]
struct Data {
    threshold: Option<f32>,
    block: usize,
    folders: Vec<String>,
    images: Vec<Line>,
}

/// Name, folder, score, whether it shows a defect, width, height, and how long the texts of picture and
/// overlay are.
type Line = (String, usize, Option<f32>, Option<bool>, u32, u32, usize, usize);

impl ScorePage {
    /// Pixels that the longer side of pictures should have where there are so many: 320 of up to 200 images,
    /// 160 of more, about 30 and 12 KB of the page an image.
    pub fn side(images: usize) -> u32 {
        if images <= 200 { 320 } else { 160 }
    }

    /// Writes the page, whole or not at all.
    ///
    /// # Errors
    /// [`Error::Io`] naming `path`.
    pub fn write(&self, path: &Path) -> Result<()> {
        let order = self.order();
        let text = page(&self.title, STYLE, &self.summary(), &self.body(&order));
        let (before, after) = text.split_once(HERE).unwrap_or((&text, ""));
        let write = |out: &mut dyn Write| {
            out.write_all(before.as_bytes())?;
            for images in order.chunks(BLOCK) {
                out.write_all(b"<script type=\"text/plain\" class=\"thumbs\">")?;
                for PageImage { thumb, .. } in images {
                    out.write_all(STANDARD.encode(&thumb.picture).as_bytes())?;
                    out.write_all(STANDARD.encode(&thumb.overlay).as_bytes())?;
                }
                out.write_all(b"</script>\n")?;
            }
            out.write_all(after.as_bytes())
        };
        write_whole_by(path, write).map_err(|e| Error::io(path, "writing", e))
    }

    /// The highest score first, and one that is not a number last.
    fn order(&self) -> Vec<&PageImage> {
        let mut order: Vec<&PageImage> = self.images.iter().collect();
        let rank = |image: &PageImage| if image.score.is_nan() { f32::NEG_INFINITY } else { image.score };
        order.sort_by(|a, b| rank(b).total_cmp(&rank(a)));
        order
    }

    fn data(&self, order: &[&PageImage]) -> String {
        let root = self.root();
        let folder = |image: &PageImage| -> String {
            let parent = image.path.parent().unwrap_or(Path::new(""));
            let inside = parent.strip_prefix(&root).unwrap_or(parent);
            inside.components().map(|c| c.as_os_str().to_string_lossy()).collect::<Vec<_>>().join("/")
        };
        let mut folders: BTreeMap<String, usize> = order.iter().map(|image| (folder(image), 0)).collect();
        folders.values_mut().enumerate().for_each(|(index, place)| *place = index);
        let line = |image: &&PageImage| -> Line {
            let Thumb { width, height, ref picture, ref overlay } = image.thumb;
            let length = |jpeg: &[u8]| jpeg.len().div_ceil(3) * 4;
            (
                image.path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
                folders.get(&folder(image)).copied().unwrap_or_default(),
                Some(image.score).filter(|score| score.is_finite()),
                image.defect,
                width,
                height,
                length(picture),
                length(overlay),
            )
        };
        let data = Data {
            threshold: self.threshold,
            block: BLOCK,
            images: order.iter().map(line).collect(),
            folders: folders.into_keys().collect(),
        };
        // In JSON `<` stands in texts alone, where a script's end would end the data.
        serde_json::to_string(&data).unwrap_or_default().replace('<', "\\u003c")
    }

    /// The folder that all images lie below.
    fn root(&self) -> PathBuf {
        let mut folders = self.images.iter().map(|image| image.path.parent().unwrap_or(Path::new("")));
        let common = |a: PathBuf, b: &Path| {
            a.components().zip(b.components()).take_while(|(x, y)| x == y).map(|(x, _)| x).collect()
        };
        folders.next().map_or_else(PathBuf::new, |first| folders.fold(first.to_owned(), common))
    }

    fn summary(&self) -> Markup {
        let (root, images) = (self.root(), self.images.len());
        html! {
            p class="summary" {
                (images) " image" @if images != 1 { "s" }
                @if root.components().any(|c| matches!(c, Component::Normal(_))) { " of " (root.display()) }
            }
            @for note in self.notes.iter().take(3) { p class="note" { (note) } }
            @if self.notes.len() > 3 {
                details class="note" {
                    summary { (self.notes.len() - 3) " more notes" }
                    @for note in &self.notes[3..] { p class="note" { (note) } }
                }
            }
        }
    }

    fn body(&self, order: &[&PageImage]) -> Markup {
        let has = |wanted| self.images.iter().any(|image| image.defect == Some(wanted));
        let labelled = has(true) || has(false);
        html! {
            noscript {
                p class="note" {
                    "This page draws its charts and pictures by scripts of its own, which are off here: allow them for "
                    "this file. Nothing is loaded from elsewhere."
                }
            }
            @if !self.figures.is_empty() {
                dl class="tiles" { @for (name, value) in &self.figures { div { dt { (name) } dd { (value) } } } }
            }
            section class="charts" aria-label="Scores and threshold" {
                (histogram(labelled))
                @if has(true) && has(false) { (roc()) }
            }
            (counts(labelled))
            @if !self.settings.is_empty() {
                details {
                    summary { "Model and settings" }
                    div class="scroll" {
                        table {
                            @for (name, value) in &self.settings { tr { th scope="row" { (name) } td { (value) } } }
                        }
                    }
                }
            }
            (bar())
            main {
                (self.legend())
                p id="on-paper" class="paper" {}
                p id="nothing" class="note" hidden { "No image passes these filters." }
                div { div id="list" role="list" aria-label="Images" {} }
            }
            (large())
            script type="application/json" id="data" { (PreEscaped(self.data(order))) }
            (PreEscaped(HERE))
            script { (PreEscaped(LAZY_LIST)) (PreEscaped(SCRIPT)) }
        }
    }

    /// What the colours and lines of the maps stand for.
    fn legend(&self) -> Markup {
        let stops: Vec<String> = (0..=16)
            .map(|i| {
                let [r, g, b] = super::colormap(i as f32 / 16.0);
                format!("rgb({r},{g},{b})")
            })
            .collect();
        html! {
            div class="legend" {
                span class="swatch" style={ "background:linear-gradient(90deg," (stops.join(",")) ")" } {}
                span {
                    "map "
                    @match self.range {
                        Some(range) => { (number(range.0)) " to " (number(range.1)) }
                        None => { "from 0 to the largest value of each picture" }
                    }
                }
                @if let Some(threshold) = self.map_threshold {
                    span class="line" style="--c:#40ffff" { "passes " (number(threshold)) }
                }
                @if self.has_truth {
                    span class="line" style={ "--c:rgb(" (TRUTH.map(|v| v.to_string()).join(",")) ")" } { "ground truth" }
                }
            }
        }
    }
}

const STYLE: &str = concat!(include_str!("lazy_list.css"), include_str!("score_page.css"));
const SCRIPT: &str = include_str!("score_page.js");

fn histogram(labelled: bool) -> Markup {
    let (low, high) = if labelled { ("good", "with defects") } else { ("normal", "anomalous") };
    html! {
        figure class="scores" {
            figcaption {
                span class="title" { "Scores" }
                span class="key normal" { (low) }
                span class="key odd" { (high) }
                span class="threshold" {
                    label { "Threshold " input id="threshold" type="number" step="any" inputmode="decimal"; }
                    button id="reset" type="button" hidden { "back to the model's" }
                }
            }
            svg id="histogram" role="group" aria-label="Histogram of the scores" {
                g id="bars" aria-hidden="true" {}
                g id="handle" role="slider" tabindex="0" aria-label="Threshold of the scores" {
                    rect class="grip" x="-9" y="6" width="18" height="186" {}
                    line id="handle-line" x1="0" x2="0" {}
                    circle cx="0" cy="22" r="6" {}
                    text id="handle-text" y="12" {}
                }
            }
            p class="hint" { "Drag the line, or use the arrow keys. The model keeps its threshold." }
        }
    }
}

fn roc() -> Markup {
    html! {
        figure class="curve" {
            figcaption { span class="title" { "ROC, AUROC " span id="auroc" {} } }
            svg id="roc" role="img" viewBox="0 0 228 220" width="228" height="220" { circle id="point" r="5.5" {} }
        }
    }
}

fn counts(labelled: bool) -> Markup {
    let tile = |class: &str, id: &str, name: &str, of: Option<&str>| {
        html! {
            div class=(class) {
                dt { (name) }
                dd { span id=(id) {} @if let Some(of) = of { " " small id=(of) {} } }
            }
        }
    };
    html! {
        dl class="tiles counts" aria-live="polite" {
            (tile("bad", "anomalous", "anomalous", None))
            (tile("good", "normal", "normal", None))
            @if labelled {
                (tile("", "alarms", "false alarms", Some("of-good")))
                (tile("", "missed", "missed", Some("of-defects")))
                (tile("", "precision", "precision", None))
                (tile("", "recall", "recall", None))
            }
        }
    }
}

/// What chooses and orders the images.
fn bar() -> Markup {
    let choice = |id: &str, name: &str, options: &[(&str, &str)]| {
        html! {
            label {
                span { (name) }
                select id=(id) { @for (value, text) in options { option value=(value) { (text) } } }
            }
        }
    };
    html! {
        div class="bar" role="search" aria-label="Filters" {
            label class="wide" { span { "Name" } input id="search" type="search" placeholder="part of a name"; }
            (choice("verdict", "Verdict", &[
                ("all", "all"), ("anomalous", "anomalous"), ("normal", "normal"), ("alarm", "false alarms"),
                ("missed", "missed"),
            ]))
            (choice("folder", "Folder", &[("", "all")]))
            (choice("sort", "Order", &[
                ("high", "highest score"), ("low", "lowest score"), ("near", "nearest to the threshold"),
                ("name", "name"),
            ]))
            (choice("view", "Show", &[("overlay", "maps"), ("picture", "pictures"), ("both", "both")]))
            span id="shown" class="shown" aria-live="polite" {}
        }
    }
}

/// One image, large.
fn large() -> Markup {
    html! {
        dialog id="large" aria-labelledby="large-name" {
            div class="top" {
                h2 id="large-name" {}
                button id="previous" type="button" { "previous" }
                button id="next" type="button" { "next" }
                button id="close" type="button" autofocus { "close" }
            }
            div id="large-marks" class="marks" {}
            div id="large-pictures" {}
        }
    }
}
