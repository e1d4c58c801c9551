//! Results as CSV, JSON and a Markdown table in the shape of the papers'.

use super::cell::{Cell, Condition};
use super::page::page;
use super::run::Summary;
use crate::data::list;
use crate::eval::Report;
use crate::files::write_whole;
use crate::{Error, Result};
use serde::Serialize;
use std::fmt::Write;
use std::path::Path;

/// A figure of merit by its column's name.
type Figure = (&'static str, &'static str, fn(&Report) -> Option<f64>);

/// All figures: column, title, value.
pub(super) const FIGURES: [Figure; 7] = [
    ("image_auroc", "image AUROC", |r| r.image_auroc),
    ("image_ap", "image AP", |r| r.image_ap),
    ("image_f1", "image F1", |r| r.image_f1),
    ("pixel_auroc", "pixel AUROC", |r| r.pixel_auroc),
    ("pixel_ap", "pixel AP", |r| r.pixel_ap),
    ("pixel_f1", "pixel F1", |r| r.pixel_f1),
    ("aupro", "AUPRO at 30 %", |r| r.aupro),
];

/// Figures that have a table of their own.
const TABLES: [usize; 3] = [0, 3, 6];

/// Mean and sample standard deviation (`None` for fewer than two values).
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Mean {
    pub mean: f64,
    pub std: Option<f64>,
    pub count: usize,
}

impl Mean {
    pub fn of(values: &[f64]) -> Option<Self> {
        if values.is_empty() {
            return None;
        }
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let squares: f64 = values.iter().map(|v| (v - mean) * (v - mean)).sum();
        let std = (values.len() > 1).then(|| (squares / (n - 1.0)).sqrt());
        Some(Self { mean, std, count: values.len() })
    }

    pub fn text(self) -> String {
        match self.std {
            Some(std) => format!("{:.3} ± {std:.3}", self.mean),
            None => format!("{:.3}", self.mean),
        }
    }
}

/// The categories, methods and conditions of the cells, each in order of appearance.
pub(super) struct Axes {
    pub categories: Vec<String>,
    pub methods: Vec<String>,
    pub conditions: Vec<Condition>,
}

impl Axes {
    pub fn of(cells: &[Cell]) -> Self {
        let mut axes = Self { categories: Vec::new(), methods: Vec::new(), conditions: Vec::new() };
        for cell in cells {
            let s = &cell.settings;
            if !axes.categories.contains(&s.category) {
                axes.categories.push(s.category.clone());
            }
            if !axes.methods.contains(&s.method) {
                axes.methods.push(s.method.clone());
            }
            if !axes.conditions.contains(&s.condition()) {
                axes.conditions.push(s.condition());
            }
        }
        axes
    }
}

/// The cells of a method under a condition; of one category or of all.
pub(super) fn select<'a>(
    cells: &'a [Cell],
    category: Option<&'a str>,
    method: &'a str,
    condition: Condition,
) -> impl Iterator<Item = &'a Cell> {
    cells.iter().filter(move |cell| {
        let s = &cell.settings;
        category.is_none_or(|c| c == s.category) && s.method == method && s.condition() == condition
    })
}

/// Over seeds, of one category.
pub(super) fn over_seeds(
    cells: &[Cell],
    category: &str,
    method: &str,
    condition: Condition,
    figure: fn(&Report) -> Option<f64>,
) -> Option<Mean> {
    let of = select(cells, Some(category), method, condition);
    Mean::of(&of.filter_map(|cell| figure(&cell.report)).collect::<Vec<_>>())
}

/// Over seeds, of the mean over categories: a seed counts where it has every category that the condition has
/// at all.
pub(super) fn over_categories(
    cells: &[Cell],
    method: &str,
    condition: Condition,
    figure: fn(&Report) -> Option<f64>,
) -> Option<Mean> {
    let mut by_seed: std::collections::BTreeMap<u64, Vec<f64>> = std::collections::BTreeMap::new();
    for cell in select(cells, None, method, condition) {
        if let Some(value) = figure(&cell.report) {
            by_seed.entry(cell.settings.seed).or_default().push(value);
        }
    }
    let most = by_seed.values().map(Vec::len).max()?;
    let means: Vec<f64> = by_seed
        .values()
        .filter(|values| values.len() == most)
        .map(|values| values.iter().sum::<f64>() / values.len() as f64)
        .collect();
    Mean::of(&means)
}

#[derive(Serialize)]
struct Row<'a> {
    category: &'a str,
    method: &'a str,
    noise: f64,
    protocol: &'a str,
    seed: u64,
    train: usize,
    noise_images: usize,
    report: &'a Report,
    notes: &'a [String],
}

impl<'a> Row<'a> {
    fn of(cell: &'a Cell) -> Self {
        let s = &cell.settings;
        Self {
            category: &s.category,
            method: &s.method,
            noise: s.noise,
            protocol: &s.protocol,
            seed: s.seed,
            train: cell.train,
            noise_images: cell.noise_images,
            report: &cell.report,
            notes: &cell.notes,
        }
    }
}

#[derive(Serialize)]
struct Average<'a> {
    category: &'a str,
    method: &'a str,
    noise: f64,
    protocol: &'a str,
    figures: serde_json::Map<String, serde_json::Value>,
}

/// The lines of `results.csv`, the header first.
fn records(cells: &[Cell]) -> Vec<Vec<String>> {
    let first =
        ["category", "method", "noise", "protocol", "seed", "train", "noise_images", "test", "defects"];
    let figures = FIGURES.iter().map(|(name, _, _)| *name);
    let mut records = vec![first.into_iter().chain(figures).chain(["notes"]).map(str::to_owned).collect()];
    for cell in cells {
        let row = Row::of(cell);
        let first = [
            row.category.to_owned(),
            row.method.to_owned(),
            row.noise.to_string(),
            row.protocol.to_owned(),
            row.seed.to_string(),
            row.train.to_string(),
            row.noise_images.to_string(),
            row.report.images.to_string(),
            row.report.defects.to_string(),
        ];
        let figures =
            FIGURES.iter().map(|(_, _, f)| f(row.report).map_or(String::new(), |v| format!("{v:.6}")));
        let notes: Vec<&str> = row.report.notes.iter().chain(row.notes).map(String::as_str).collect();
        records.push(first.into_iter().chain(figures).chain([notes.join("; ")]).collect());
    }
    records
}

fn json(cells: &[Cell], notes: &[String]) -> Result<String> {
    let axes = Axes::of(cells);
    let mut averages = Vec::new();
    for condition in &axes.conditions {
        for method in &axes.methods {
            let names = axes.categories.iter().map(String::as_str).map(Some).chain([None]);
            for name in names {
                let mut figures = serde_json::Map::new();
                for (column, _, figure) in FIGURES {
                    let mean = match name {
                        Some(name) => over_seeds(cells, name, method, *condition, figure),
                        None => over_categories(cells, method, *condition, figure),
                    };
                    figures.insert(column.to_owned(), serde_json::to_value(mean).unwrap_or_default());
                }
                averages.push(Average {
                    category: name.unwrap_or("mean"),
                    method,
                    noise: condition.noise,
                    protocol: condition.protocol.map_or("", super::protocol_name),
                    figures,
                });
            }
        }
    }
    let first = cells.first().map(|c| &c.settings);
    let document = serde_json::json!({
        "adapter": first.map(|s| &s.adapter),
        "backbone": first.map(|s| &s.backbone),
        "fit": first.map(|s| &s.fit),
        "notes": notes,
        "means": averages,
        "cells": cells.iter().map(Row::of).collect::<Vec<_>>(),
    });
    serde_json::to_string_pretty(&document).map_err(|e| Error::Metric(format!("results as JSON: {e}")))
}

fn markdown(cells: &[Cell], notes: &[String]) -> String {
    let axes = Axes::of(cells);
    let mut text = String::new();
    for index in TABLES {
        let (_, title, figure) = FIGURES[index];
        for &condition in &axes.conditions {
            let _ = writeln!(text, "### {title}, {}\n", condition.name());
            let _ = writeln!(text, "| category | {} |", axes.methods.join(" | "));
            let _ = writeln!(text, "|---|{}", "---:|".repeat(axes.methods.len()));
            let mut line = |name: &str, value: &dyn Fn(&str) -> Option<Mean>| {
                let values: Vec<String> =
                    axes.methods.iter().map(|m| value(m).map_or("-".to_owned(), Mean::text)).collect();
                let _ = writeln!(text, "| {} | {} |", name.replace('|', "\\|"), values.join(" | "));
            };
            for category in &axes.categories {
                line(category, &|m| over_seeds(cells, category, m, condition, figure));
            }
            if axes.categories.len() > 1 {
                line("**mean**", &|m| over_categories(cells, m, condition, figure));
            }
            text.push('\n');
        }
    }
    for note in notes {
        let _ = writeln!(text, "- {note}");
    }
    text
}

impl Summary {
    /// Writes `results.csv`, `results.json`, `table.md` and `report.html` into `out`, each whole or not at
    /// all. They depend on the cells alone.
    ///
    /// # Errors
    /// [`Error::Io`] naming the file.
    pub fn write(&self, out: &Path, title: &str) -> Result<()> {
        list::write(&out.join("results.csv"), records(&self.cells))?;
        write_whole(&out.join("results.json"), json(&self.cells, &self.notes)?.as_bytes())?;
        write_whole(&out.join("table.md"), self.markdown().as_bytes())?;
        let page = page(title, &self.cells, &self.notes, &out.join("cells"));
        write_whole(&out.join("report.html"), page.as_bytes())
    }

    /// The tables of image AUROC, pixel AUROC and AUPRO: one row per category, one column per method, mean and
    /// standard deviation over seeds.
    pub fn markdown(&self) -> String {
        markdown(&self.cells, &self.notes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_and_deviations() {
        let mean = Mean::of(&[0.5, 0.7]).unwrap();
        assert!((mean.mean - 0.6).abs() < 1e-12 && (mean.std.unwrap() - 0.02_f64.sqrt()).abs() < 1e-12);
        assert_eq!(Mean::of(&[0.25]).unwrap().text(), "0.250");
        assert_eq!(Mean::of(&[]), None);
    }
}
