//! Standard output, and files that will be written.

use super::failure::{Failure, Outcome};
use softpatch::{Error, model};
use std::io::Write;
use std::path::Path;

/// Writes to standard output now.
pub fn print(text: &str) -> Outcome {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}

/// A record as a line of CSV (RFC 4180).
pub fn csv_line(fields: impl IntoIterator<Item: AsRef<[u8]>>) -> String {
    let mut writer = csv::Writer::from_writer(Vec::new());
    // Memory takes what is written to it, and texts stay texts.
    let _ = writer.write_record(fields);
    String::from_utf8(writer.into_inner().unwrap_or_default()).unwrap_or_default()
}

/// A text as one line on a terminal: line ends and what steers it are escaped.
pub fn plain(text: &str) -> String {
    let escaped = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    text.chars().map(escaped).collect()
}

/// A JSON document and a line end.
pub fn print_json(value: &impl serde::Serialize) -> Outcome {
    let text = serde_json::to_string_pretty(value).map_err(|e| Failure::Output(e.into()))?;
    print(&format!("{text}\n"))
}

/// What the library refuses to write over is a wrong name on the command line.
fn usage(error: Error) -> Failure {
    match error {
        Error::InvalidOption(reason) => Failure::Usage(reason),
        other => Failure::Failed(other),
    }
}

/// [`model::check_output_file`], as a command says it.
pub fn check_output_file(path: &Path) -> Outcome {
    model::check_output_file(path).map_err(usage)
}

/// [`model::check_model_file`], as a command says it.
pub fn check_model_file(path: &Path) -> Outcome {
    model::check_model_file(path).map_err(usage)
}
