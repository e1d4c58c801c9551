//! Lists as CSV (RFC 4180, UTF-8).

use super::spreadsheet::csv_guarded;
use crate::files::write_whole;
use crate::{Error, Result};
use std::path::Path;

/// Writes records, the header first, one per line, texts as [`csv_guarded`] has them.
pub(crate) fn write(
    file: &Path,
    records: impl IntoIterator<Item: IntoIterator<Item: AsRef<str>>>,
) -> Result<()> {
    let fail = |e: std::io::Error| Error::io(file, "writing", e);
    let mut writer = csv::Writer::from_writer(Vec::new());
    for record in records {
        for field in record {
            writer.write_field(&*csv_guarded(field.as_ref())).map_err(|e| fail(e.into()))?;
        }
        writer.write_record(None::<&[u8]>).map_err(|e| fail(e.into()))?;
    }
    write_whole(file, &writer.into_inner().map_err(|e| fail(e.into_error()))?)
}

/// The records below the header, which must be `header`, each with the number of its first line. Empty lines
/// are skipped, and so is a byte-order mark.
pub(super) fn read<const N: usize>(file: &Path, header: [&str; N]) -> Result<Vec<(u64, [String; N])>> {
    let bytes = std::fs::read(file).map_err(|e| Error::io(file, "reading", e))?;
    let text = str::from_utf8(&bytes).map_err(|_| wrong(file, "the list is not UTF-8 text"))?;
    let text = text.trim_start_matches('\u{feff}');
    let expected = |line: u64| wrong_line(file, line, format!("expected the columns {}", header.join(",")));
    let reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text.as_bytes());
    let mut records = Vec::new();
    for record in reader.into_records() {
        let record = record.map_err(|e| wrong(file, e.to_string()))?;
        let (line, at) = record.position().map_or((1, 0), |p| (p.line(), p.byte() as usize));
        // The reader's position is that of the empty lines before the record.
        let rest = text.as_bytes().get(at..).unwrap_or_default();
        let empty = rest.iter().take_while(|b| matches!(b, b'\r' | b'\n')).filter(|b| **b == b'\n').count();
        let line = line + empty as u64;
        let fields: Vec<String> = record.iter().map(str::to_owned).collect();
        records.push((line, <[String; N]>::try_from(fields).map_err(|_| expected(line))?));
    }
    if records.first().is_none_or(|(_, fields)| *fields != header) {
        return Err(expected(1));
    }
    records.remove(0);
    Ok(records)
}

/// What is wrong with a list.
pub(super) fn wrong(file: &Path, reason: impl Into<String>) -> Error {
    Error::Dataset { path: file.to_owned(), reason: reason.into() }
}

/// What is wrong with a line of it.
pub(super) fn wrong_line(file: &Path, line: u64, what: impl std::fmt::Display) -> Error {
    wrong(file, format!("line {line}: {what}"))
}
