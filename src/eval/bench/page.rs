//! The report: curves of AUROC over noise, ROC curves, tables and example maps in one file.

use super::cell::{Cell, Condition, protocol_name};
use super::chart::{Chart, Curve};
use super::figures::{Axes, FIGURES, Mean, over_categories, over_seeds, select};
use crate::data::NoiseProtocol;
use crate::eval::roc_curve;
use crate::settings::{FitOptions, Geometry};
use maud::{Markup, html};
use std::path::Path;

/// Told apart also by those who see fewer colours (Okabe and Ito).
const COLOURS: [&str; 8] =
    ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c6d00", "#666666"];

/// Methods with their colours.
type Colours = [(String, &'static str)];

fn key(colours: &Colours) -> Markup {
    html! { div class="key" { @for (name, c) in colours { span style={ "--c:" (c) } { (name) } } } }
}

/// What of pictures is looked at.
fn looked_at(fit: &FitOptions) -> String {
    match fit.geometry {
        Geometry::Paper => format!("the middle {0}x{0} of pictures, shorter side {1}", fit.crop, fit.resize),
        Geometry::Whole => format!("whole pictures, size {}, other aspects: {}", fit.size, fit.fit_aspect),
    }
}

pub(super) fn page(title: &str, cells: &[Cell], notes: &[String], folder: &Path) -> String {
    let axes = Axes::of(cells);
    let colours: Vec<(String, &str)> =
        axes.methods.iter().enumerate().map(|(i, m)| (m.clone(), COLOURS[i % COLOURS.len()])).collect();
    let body = html! {
        main {
            @if let Some(s) = cells.first().map(|cell| &cell.settings) {
                p {
                    (s.backbone.arch) " [" (s.backbone.layers.join(", ")) "], " (looked_at(&s.fit)) ", pixels compared: " (s.metric_size)
                    ", coreset ratio " (s.fit.coreset_ratio) ", " (s.adapter)
                }
            }
            @for note in notes { p class="note" { (note) } }
            h2 { "AUROC over noise" }
            (key(&colours))
            div class="charts" {
                @for index in [0, 3] {
                    @for protocol in protocols(&axes) {
                        (over_noise(cells, &axes, index, protocol, &colours))
                    }
                }
            }
            h2 { "ROC of the image score, seed 0" }
            (key(&colours))
            div class="charts" {
                @for category in &axes.categories {
                    @for &condition in &axes.conditions { (roc(cells, category, condition, &colours)) }
                }
            }
            @for index in [0, 3, 6] {
                @for &condition in &axes.conditions { (table(cells, &axes, index, condition)) }
            }
            @if let Some(&condition) = axes.conditions.last() { (examples(cells, &axes, condition, folder)) }
        }
    };
    crate::report::page(title, include_str!("page.css"), &html! {}, &body)
}

/// The protocols that occur, or none where there is no noise at all.
fn protocols(axes: &Axes) -> Vec<Option<NoiseProtocol>> {
    let mut all: Vec<Option<NoiseProtocol>> = Vec::new();
    for condition in axes.conditions.iter().filter(|c| c.protocol.is_some()) {
        if !all.contains(&condition.protocol) {
            all.push(condition.protocol);
        }
    }
    if all.is_empty() { vec![None] } else { all }
}

fn over_noise(
    cells: &[Cell],
    axes: &Axes,
    index: usize,
    protocol: Option<NoiseProtocol>,
    colours: &Colours,
) -> Markup {
    let (_, name, figure) = FIGURES[index];
    let mut conditions: Vec<Condition> =
        axes.conditions.iter().copied().filter(|c| c.protocol.is_none() || c.protocol == protocol).collect();
    conditions.sort_by(|a, b| a.noise.total_cmp(&b.noise));
    let curve = |(method, colour): &(String, &'static str)| Curve {
        name: method.clone(),
        colour,
        points: conditions
            .iter()
            .filter_map(|c| {
                let Mean { mean, std, .. } = over_categories(cells, method, *c, figure)?;
                Some((c.noise, mean, std.unwrap_or(0.0)))
            })
            .collect(),
    };
    let curves: Vec<Curve> = colours.iter().map(curve).filter(|c| !c.points.is_empty()).collect();
    let lowest = curves.iter().flat_map(|c| c.points.iter().map(|(_, y, bar)| y - bar)).fold(1.0, f64::min);
    // Four round steps down from 1 that hold the lowest point.
    let step = [0.01, 0.02, 0.05, 0.1, 0.2].into_iter().find(|s| 1.0 - 4.0 * s <= lowest).unwrap_or(0.25);
    let last = conditions.last().map_or(0.0, |c| c.noise);
    let chart = Chart {
        title: format!("{name}{}", protocol.map_or(String::new(), |p| format!(", {}", protocol_name(p)))),
        x: ("share of noise", 0.0, last),
        y: (name, 1.0 - 4.0 * step, 1.0),
        x_ticks: conditions.iter().map(|c| c.noise).collect(),
        dots: true,
        curves,
    };
    chart.figure()
}

fn roc(cells: &[Cell], category: &str, condition: Condition, colours: &Colours) -> Markup {
    let curve = |(method, colour): &(String, &'static str)| {
        let cell = select(cells, Some(category), method, condition).find(|c| c.settings.seed == 0)?;
        let scores: Vec<f32> = cell.images.iter().map(|i| i.score).collect();
        let labels: Vec<bool> = cell.images.iter().map(|i| i.defect.is_some()).collect();
        let points = roc_curve(&scores, &labels).ok()?;
        let points = points.iter().map(|p| (p.false_positive_rate, p.true_positive_rate, 0.0)).collect();
        Some(Curve { name: method.clone(), colour, points })
    };
    let curves: Vec<Curve> = colours.iter().filter_map(curve).collect();
    if curves.is_empty() {
        return html! {};
    }
    let chart = Chart {
        title: format!("{category}, {}", condition.name()),
        x: ("false positive rate", 0.0, 1.0),
        y: ("true positive rate", 0.0, 1.0),
        x_ticks: vec![0.0, 0.25, 0.5, 0.75, 1.0],
        dots: false,
        curves,
    };
    chart.figure()
}

fn table(cells: &[Cell], axes: &Axes, index: usize, condition: Condition) -> Markup {
    let (_, name, figure) = FIGURES[index];
    let value = |category: &str, method: &str| {
        over_seeds(cells, category, method, condition, figure).map_or("-".to_owned(), Mean::text)
    };
    html! {
        h2 { (name) ", " (condition.name()) }
        div class="scroll" {
            table {
                tr { th { "category" } @for method in &axes.methods { th { (method) } } }
                @for category in &axes.categories {
                    tr {
                        th scope="row" { (category) }
                        @for method in &axes.methods { td { (value(category, method)) } }
                    }
                }
            }
        }
    }
}

fn examples(cells: &[Cell], axes: &Axes, condition: Condition, folder: &Path) -> Markup {
    let pictures = |category: &str, method: &str| -> Vec<Vec<u8>> {
        let cell = select(cells, Some(category), method, condition).find(|c| c.settings.seed == 0);
        // A picture that was removed is no reason to have no report.
        cell.iter()
            .flat_map(|c| &c.examples)
            .filter_map(|file| std::fs::read(folder.join(file)).ok())
            .collect()
    };
    html! {
        h2 { "Maps, " (condition.name()) ", seed 0" }
        @for category in &axes.categories {
            h3 { (category) }
            div class="examples" {
                @for method in &axes.methods {
                    @for png in pictures(category, method) {
                        (crate::report::figure(&png, &format!("map by {method}"), None, method))
                    }
                }
            }
        }
    }
}
