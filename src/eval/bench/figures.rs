//! Figures of merit over seeds and categories.

use super::cell::{Cell, Condition};
use crate::eval::Report;
use serde::Serialize;

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
