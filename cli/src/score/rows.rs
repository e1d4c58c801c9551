//! A scored image as a line of a table, of CSV or of JSON.

use super::outputs::Targets;
use crate::common::output::{csv_line, plain};
use serde::Serialize;
use softpatch::detector::{Region, Score};
use std::path::PathBuf;

/// How results are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Table,
    Csv,
    Json,
}

/// An image in the JSON document.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    pub path: String,
    pub score: f32,
    pub anomalous: Option<bool>,
    /// Share of good parts that score lower.
    pub calibrated: Option<f32>,
    pub size: [u32; 2],
    pub peak: [u32; 2],
    /// Absent where there is no threshold, or nobody asked for them.
    pub regions: Option<Vec<Region>>,
    pub heatmap: Option<String>,
    pub map: Option<String>,
    pub mask: Option<String>,
}

/// An image that could not be scored.
#[derive(Clone, Debug, Serialize)]
pub struct Damaged {
    pub path: String,
    pub error: String,
}

impl Row {
    pub fn new(
        path: String,
        (score, calibrated): (&Score, Option<f32>),
        regions: Option<Vec<Region>>,
        files: &Targets,
    ) -> Self {
        let name = |file: &Option<PathBuf>| file.as_ref().map(|path| path.display().to_string());
        Self {
            path,
            score: score.score,
            anomalous: score.anomalous,
            calibrated,
            size: score.size,
            peak: score.peak,
            regions,
            heatmap: name(&files.heatmap),
            map: name(&files.map),
            mask: name(&files.mask),
        }
    }

    fn verdict(&self) -> &'static str {
        self.anomalous.map_or("-", |a| if a { "anomalous" } else { "normal" })
    }

    fn fields(&self) -> [String; 4] {
        let anomalous = self.anomalous.map_or(String::new(), |a| a.to_string());
        [self.path.clone(), self.score.to_string(), anomalous, self.heatmap.clone().unwrap_or_default()]
    }

    /// `path,score,anomalous,heatmap`.
    pub fn csv(&self) -> String {
        csv_line(self.fields())
    }

    /// `path,score,anomalous,heatmap,error`, the last empty.
    pub fn csv_of_watch(&self) -> String {
        csv_line(self.fields().into_iter().chain([String::new()]))
    }

    /// A line of the table, whose paths take `width` columns. Line ends and what steers a terminal are
    /// escaped.
    pub fn line(&self, width: usize) -> String {
        let path = plain(&self.path);
        format!("{path:<width$}  {:>9.4}  {}\n", self.score, self.verdict())
    }
}

impl Damaged {
    /// `path,score,anomalous,heatmap,error`, all but the first and the last empty.
    pub fn csv_of_watch(&self) -> String {
        csv_line([&self.path, "", "", "", &self.error])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_names_stay_in_their_field() {
        let row = |path: &str| Row {
            path: path.into(),
            score: 0.5,
            anomalous: Some(true),
            calibrated: None,
            size: [1, 1],
            peak: [0, 0],
            regions: None,
            heatmap: None,
            map: None,
            mask: None,
        };
        assert_eq!(row("a.png").csv(), "a.png,0.5,true,\n");
        assert_eq!(row("a\n\u{1b}ü.png").line(5), "a\\n\\u{1b}ü.png     0.5000  anomalous\n");
        assert_eq!(row("a,\"b\".png").csv_of_watch(), "\"a,\"\"b\"\".png\",0.5,true,,\n");
    }
}
