//! Standard output, and files that will be written.

use super::failure::{Failure, Outcome};
use std::io::{ErrorKind, Write};
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

/// Makes sure that a file can be written at `path`, before the long work: its folder exists and takes files,
/// and `path` is no folder.
pub fn check_output_file(path: &Path) -> Outcome {
    let fail =
        |e: std::io::Error| Failure::Failed(softpatch::Error::io(path, "preparing to write the file", e));
    if path.is_dir() {
        return Err(fail(ErrorKind::IsADirectory.into()));
    }
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let refuse = |what: &str| {
        Err(Failure::Usage(format!("{} is {what}; name a new file for the output", path.display())))
    };
    match std::fs::metadata(path) {
        Ok(meta) if !meta.is_file() => return refuse("a device or a pipe"),
        // A wrong name must not cost a picture.
        Ok(_) if softpatch::data::why_left_out(folder, path).is_none() => {
            return refuse("an image that is there");
        }
        _ => {}
    }
    if !folder.is_dir() {
        let e = std::io::Error::new(ErrorKind::NotFound, format!("there is no folder {}", folder.display()));
        return Err(fail(e));
    }
    // Removed again as it is dropped.
    tempfile::NamedTempFile::new_in(folder).map(drop).map_err(fail)
}
