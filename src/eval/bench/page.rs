//! The report: curves of AUROC over noise, ROC curves, tables and example maps in one file.

use super::cell::{Cell, Condition, protocol_name};
use super::tables::{Axes, FIGURES, Mean, over_categories, over_seeds, select};
use crate::Result;
use crate::data::NoiseProtocol;
use crate::eval::roc_curve;
use crate::report::{PAGE_STYLE, escape};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::fmt::Write;
use std::path::Path;

/// Told apart also by those who see fewer colours (Okabe and Ito).
const COLOURS: [&str; 8] =
    ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c6d00", "#666666"];

const WIDTH: f64 = 380.0;
const HEIGHT: f64 = 280.0;
const LEFT: f64 = 48.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 28.0;
const BOTTOM: f64 = 40.0;

/// One curve: colour, points, and half the length of the bar at each.
struct Curve {
    name: String,
    colour: &'static str,
    points: Vec<(f64, f64, f64)>,
}

struct Chart<'a> {
    title: String,
    x: (&'a str, f64, f64),
    y: (&'a str, f64, f64),
    x_ticks: Vec<f64>,
    dots: bool,
    curves: Vec<Curve>,
}

impl Chart<'_> {
    fn svg(&self) -> String {
        let span = |lo: f64, hi: f64| if hi > lo { hi - lo } else { 1.0 };
        let at_x = |v: f64| LEFT + (v - self.x.1) / span(self.x.1, self.x.2) * (WIDTH - LEFT - RIGHT);
        let at_y =
            |v: f64| HEIGHT - BOTTOM - (v - self.y.1) / span(self.y.1, self.y.2) * (HEIGHT - TOP - BOTTOM);
        let title = escape(&self.title);
        let mut svg = format!(
            "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" height=\"{HEIGHT}\" role=\"img\" aria-label=\"{title}\">\n\
             <text x=\"{LEFT}\" y=\"17\" font-weight=\"600\">{title}</text>\n"
        );
        for i in 0..=4 {
            let v = self.y.1 + f64::from(i) / 4.0 * (self.y.2 - self.y.1);
            let y = at_y(v);
            let _ = writeln!(
                svg,
                "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
                 <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{v:.2}</text>",
                WIDTH - RIGHT,
                LEFT - 6.0,
                y + 4.0
            );
        }
        for &v in &self.x_ticks {
            let _ = writeln!(
                svg,
                "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{v}</text>",
                at_x(v),
                HEIGHT - BOTTOM + 16.0
            );
        }
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
            (LEFT + WIDTH - RIGHT) / 2.0,
            HEIGHT - 6.0,
            escape(self.x.0)
        );
        for curve in &self.curves {
            let path: Vec<String> =
                curve.points.iter().map(|(x, y, _)| format!("{:.1},{:.1}", at_x(*x), at_y(*y))).collect();
            let _ = writeln!(
                svg,
                "<polyline class=\"line\" stroke=\"{}\" points=\"{}\"><title>{}</title></polyline>",
                curve.colour,
                path.join(" "),
                escape(&curve.name)
            );
            for (x, y, bar) in curve.points.iter().filter(|_| self.dots) {
                let (cx, colour) = (at_x(*x), curve.colour);
                if *bar > 0.0 {
                    let (low, high) = (at_y(y - bar), at_y((y + bar).min(self.y.2)));
                    let _ = writeln!(
                        svg,
                        "<line stroke=\"{colour}\" x1=\"{cx:.1}\" x2=\"{cx:.1}\" y1=\"{low:.1}\" y2=\"{high:.1}\"/>"
                    );
                }
                let _ = writeln!(
                    svg,
                    "<circle cx=\"{cx:.1}\" cy=\"{:.1}\" r=\"3\" fill=\"{colour}\"><title>{} {y:.3}</title></circle>",
                    at_y(*y),
                    escape(&curve.name)
                );
            }
        }
        let _ = writeln!(
            svg,
            "<text transform=\"translate(12 {:.1}) rotate(-90)\" text-anchor=\"middle\">{}</text></svg>",
            (TOP + HEIGHT - BOTTOM) / 2.0,
            escape(self.y.0)
        );
        svg
    }
}

fn key(names: &[(String, &str)]) -> String {
    let spans: Vec<String> =
        names.iter().map(|(name, c)| format!("<span style=\"--c:{c}\">{}</span>", escape(name))).collect();
    format!("<div class=\"key\">{}</div>\n", spans.join(""))
}

pub(super) fn page(title: &str, cells: &[Cell], notes: &[String], folder: &Path) -> Result<String> {
    let axes = Axes::of(cells);
    let title = escape(title);
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title}</title>\n<style>\n{PAGE_STYLE}{}</style>\n</head>\n<body>\n<header>\n<h1>{title}</h1>\n</header>\n<main>\n",
        include_str!("page.css")
    );
    if let Some(first) = cells.first() {
        let s = &first.settings;
        let _ = writeln!(
            page,
            "<p>{} [{}], crop {}, coreset ratio {}, {}</p>",
            escape(&s.backbone.arch),
            escape(&s.backbone.layers.join(", ")),
            s.fit.crop,
            s.fit.coreset_ratio,
            escape(&s.adapter)
        );
    }
    for note in notes {
        let _ = writeln!(page, "<p class=\"note\">{}</p>", escape(note));
    }
    let colours: Vec<(String, &str)> =
        axes.methods.iter().enumerate().map(|(i, m)| (m.clone(), COLOURS[i % COLOURS.len()])).collect();
    page.push_str("<h2>AUROC over noise</h2>\n");
    page.push_str(&key(&colours));
    page.push_str("<div class=\"charts\">\n");
    for index in [0, 3] {
        for protocol in protocols(&axes) {
            page.push_str(&over_noise(cells, &axes, index, protocol, &colours));
        }
    }
    page.push_str("</div>\n<h2>ROC of the image score, seed 0</h2>\n");
    page.push_str(&key(&colours));
    page.push_str("<div class=\"charts\">\n");
    for category in &axes.categories {
        for &condition in &axes.conditions {
            page.push_str(&roc(cells, category, condition, &colours));
        }
    }
    page.push_str("</div>\n");
    for index in [0, 3, 6] {
        tables(&mut page, cells, &axes, index);
    }
    examples(&mut page, cells, &axes, folder);
    page.push_str("</main>\n</body>\n</html>\n");
    Ok(page)
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
    colours: &[(String, &'static str)],
) -> String {
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
    let last = conditions.last().map_or(0.0, |c| c.noise);
    let chart = Chart {
        title: format!("{name}{}", protocol.map_or(String::new(), |p| format!(", {}", protocol_name(p)))),
        x: ("share of noise", 0.0, last),
        y: (name, ((lowest - 0.02) * 20.0).floor().max(0.0) / 20.0, 1.0),
        x_ticks: conditions.iter().map(|c| c.noise).collect(),
        dots: true,
        curves,
    };
    format!("<figure>{}</figure>\n", chart.svg())
}

fn roc(cells: &[Cell], category: &str, condition: Condition, colours: &[(String, &'static str)]) -> String {
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
        return String::new();
    }
    let chart = Chart {
        title: format!("{category}, {}", condition.name()),
        x: ("false positive rate", 0.0, 1.0),
        y: ("true positive rate", 0.0, 1.0),
        x_ticks: vec![0.0, 0.25, 0.5, 0.75, 1.0],
        dots: false,
        curves,
    };
    format!("<figure>{}</figure>\n", chart.svg())
}

fn tables(page: &mut String, cells: &[Cell], axes: &Axes, index: usize) {
    let (_, name, figure) = FIGURES[index];
    for &condition in &axes.conditions {
        let _ = writeln!(
            page,
            "<h2>{name}, {}</h2>\n<div class=\"scroll\"><table>\n<tr><th>category</th>",
            condition.name()
        );
        axes.methods.iter().for_each(|m| page.push_str(&format!("<th>{}</th>", escape(m))));
        page.push_str("</tr>\n");
        for category in &axes.categories {
            let _ = write!(page, "<tr><th scope=\"row\">{}</th>", escape(category));
            for method in &axes.methods {
                let mean = over_seeds(cells, category, method, condition, figure);
                let _ = write!(page, "<td>{}</td>", mean.map_or("-".to_owned(), Mean::text));
            }
            page.push_str("</tr>\n");
        }
        page.push_str("</table></div>\n");
    }
}

fn examples(page: &mut String, cells: &[Cell], axes: &Axes, folder: &Path) {
    let Some(&condition) = axes.conditions.last() else { return };
    let _ = writeln!(page, "<h2>Maps, {}, seed 0</h2>", condition.name());
    for category in &axes.categories {
        let _ = writeln!(page, "<h3>{}</h3>\n<div class=\"examples\">", escape(category));
        for method in &axes.methods {
            let cell = select(cells, Some(category), method, condition).find(|c| c.settings.seed == 0);
            for file in cell.iter().flat_map(|c| &c.examples) {
                // A picture that was removed is no reason to have no report.
                let Ok(bytes) = std::fs::read(folder.join(file)) else { continue };
                let name = escape(method);
                let _ = writeln!(
                    page,
                    "<figure><img src=\"data:image/png;base64,{}\" alt=\"map by {name}\"><figcaption>{name}</figcaption></figure>",
                    STANDARD.encode(bytes)
                );
            }
        }
        page.push_str("</div>\n");
    }
}
