//! Edits of a model: where they go, and what is said of them.

use super::failure::Outcome;
use super::output::{check_model_file, plain};
use super::sizes::count;
use super::time::utc;
use softpatch::detector::{Edit, ModelInfo};
use softpatch::model::ModelFile;
use std::path::Path;

/// Training pictures that are named, those that lost most rows.
const LISTED: usize = 8;

/// The model file at `path` on its way through an edit, to `to` or into its own file, which can be written.
pub fn model_file(path: &Path, to: Option<&Path>) -> Outcome<ModelFile> {
    // What may not be written over is said of the command line here, and of the model below.
    check_model_file(to.unwrap_or(path))?;
    Ok(ModelFile::open(path, to)?)
}

/// An edit in a line.
pub fn told(edit: &Edit) -> String {
    let mut rows = Vec::new();
    if edit.removed > 0 {
        rows.push(format!("{} rows out", edit.removed));
    }
    if edit.added > 0 {
        rows.push(format!("{} rows in", edit.added));
    }
    // A calibration leaves the rows as they are.
    let rows = if rows.is_empty() { String::new() } else { rows.join(", ") + "  " };
    format!("{}  {:<12}  {rows}{}", utc(edit.seconds), edit.what, plain(&edit.image))
}

/// What an edit left.
pub fn edited(edit: &Edit, info: &ModelInfo) -> String {
    format!("  edit        {}\n  bank        {} rows\n", told(edit), info.rows)
}

/// The training pictures that lost rows, with how many, most first.
pub fn learned_in(rows_of: &[(String, u32)]) -> String {
    if rows_of.is_empty() {
        return String::new();
    }
    let pictures = count(rows_of.len(), "training picture");
    let mut text = format!("  learned in  {pictures}, whose own scores may rise\n");
    let (listed, others) = rows_of.split_at(rows_of.len().min(LISTED));
    for (name, rows) in listed {
        text += &format!("    {:>10}  {}\n", count(*rows as usize, "row"), plain(name));
    }
    if !others.is_empty() {
        let rows: u32 = others.iter().map(|(_, rows)| rows).sum();
        let (rows, others) = (count(rows as usize, "row"), count(others.len(), "other"));
        text += &format!("    {rows:>10}  of {others}, no more of any than of the last one\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_pictures_are_named_and_the_others_counted() {
        let rows_of: Vec<(String, u32)> = (0..200).map(|i| (format!("{i}.png"), 200 - i)).collect();
        let text = learned_in(&rows_of);
        assert!(text.starts_with("  learned in  200 training pictures, "), "{text}");
        assert!(text.contains("  193 rows  7.png\n") && !text.contains("8.png"), "{text}");
        assert!(text.ends_with(&format!(
            "  {} rows  of 192 others, no more of any than of the last one\n",
            192 * 193 / 2
        )));
        assert_eq!(learned_in(&rows_of[..8]).lines().count(), 9);
        assert_eq!(learned_in(&[]), "");
    }
}
