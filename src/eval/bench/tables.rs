//! Results as CSV, JSON and a Markdown table in the shape of the papers'.

use super::cell::Cell;
use super::figures::{Axes, FIGURES, Mean, over_categories, over_seeds};
use super::page::page;
use super::run::Summary;
use crate::data::list;
use crate::eval::Report;
use crate::files::write_whole;
use crate::{Error, Result};
use serde::Serialize;
use std::fmt::Write;
use std::path::Path;

/// Figures that have a table of their own.
const TABLES: [usize; 3] = [0, 3, 6];

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
    let last = ["outside", "partly_outside", "notes"];
    let figures = FIGURES.iter().map(|(name, _, _)| *name);
    let mut records = vec![first.into_iter().chain(figures).chain(last).map(str::to_owned).collect()];
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
        let last = [row.report.outside.to_string(), row.report.partly_outside.to_string(), notes.join("; ")];
        records.push(first.into_iter().chain(figures).chain(last).collect());
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

    /// The tables of image AUROC, pixel AUROC and AUPRO: one row per category, one column per method, mean
    /// and standard deviation over seeds.
    pub fn markdown(&self) -> String {
        markdown(&self.cells, &self.notes)
    }
}
