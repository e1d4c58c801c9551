//! A scored image as a line of a table, of CSV or of JSON.

use crate::common::output::csv_line;
use serde::Serialize;
use softpatch::detector::Score;

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
    pub peak: [u32; 2],
    pub heatmap: Option<String>,
}

/// An image that could not be scored.
#[derive(Clone, Debug, Serialize)]
pub struct Damaged {
    pub path: String,
    pub error: String,
}

impl Row {
    pub fn new(path: String, score: &Score, heatmap: Option<String>) -> Self {
        Self { path, score: score.score, anomalous: score.anomalous, peak: peak(score), heatmap }
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
        let escaped = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
        let path: String = self.path.chars().map(escaped).collect();
        format!("{path:<width$}  {:>9.4}  {}\n", self.score, self.verdict())
    }
}

impl Damaged {
    /// `path,score,anomalous,heatmap,error`, all but the first and the last empty.
    pub fn csv_of_watch(&self) -> String {
        csv_line([&self.path, "", "", "", &self.error])
    }
}

/// Column and row of the map's largest value.
fn peak(score: &Score) -> [u32; 2] {
    let largest = score.map.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
    let index = largest.map_or(0, |(i, _)| i as u32);
    let width = score.map_size[1].max(1);
    [index % width, index / width]
}

/// `3 images`.
pub fn count(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
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
            peak: [0, 0],
            heatmap: None,
        };
        assert_eq!(row("a.png").csv(), "a.png,0.5,true,\n");
        assert_eq!(row("a\n\u{1b}ü.png").line(5), "a\\n\\u{1b}ü.png     0.5000  anomalous\n");
        assert_eq!(row("a,\"b\".png").csv_of_watch(), "\"a,\"\"b\"\".png\",0.5,true,,\n");
    }
}
