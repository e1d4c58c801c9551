//! Standard output, and files that will be written.

use super::failure::{Failure, Outcome};
pub use super::text::{plain, plain_json, plain_lines, plain_path};
use softpatch::data::csv_guarded;
use std::io::{ErrorKind, Read, Write};
use std::path::Path;

/// Writes to standard output now.
pub fn print(text: &str) -> Outcome {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}

/// A record as a line of CSV (RFC 4180), texts as [`csv_guarded`] has them.
pub fn csv_line(fields: impl IntoIterator<Item: AsRef<str>>) -> String {
    let mut writer = csv::Writer::from_writer(Vec::new());
    // Memory takes what is written to it, and texts stay texts.
    for field in fields {
        let _ = writer.write_field(&*csv_guarded(field.as_ref()));
    }
    let _ = writer.write_record(None::<&[u8]>);
    String::from_utf8(writer.into_inner().unwrap_or_default()).unwrap_or_default()
}

/// A JSON document and a line end.
pub fn print_json(value: &impl serde::Serialize) -> Outcome {
    let text = serde_json::to_string_pretty(value).map_err(|e| Failure::Output(e.into()))?;
    print(&format!("{}\n", plain_json(&text)))
}

/// What a file holds whose loss would cost a fit.
#[derive(PartialEq)]
enum Holds {
    Nothing,
    Model,
    Weights,
    Other,
}

/// What the file at `path` holds, by its first bytes.
fn held(path: &Path) -> Holds {
    /// The format is named at the head of a header, before the names of the training images.
    const HEAD: u64 = 4 << 20;
    let Ok(file) = std::fs::File::open(path) else { return Holds::Nothing };
    let length = file.metadata().map_or(0, |meta| meta.len());
    let mut head = Vec::new();
    if length == 0 || file.take(HEAD).read_to_end(&mut head).is_err() {
        return Holds::Nothing;
    }
    match head.split_first_chunk::<8>() {
        Some((size, header)) if u64::from_le_bytes(*size) < length && header.first() == Some(&b'{') => {
            let named = |name: &[u8]| header.windows(name.len()).any(|window| window == name);
            if named(b"\"softpatch-model\"") { Holds::Model } else { Holds::Weights }
        }
        _ => Holds::Other,
    }
}

/// Makes sure that a file can be written at `path`, before the long work: its folder exists and takes files,
/// and `path` is no folder, and nothing that a wrong name must not cost: an image, a model, weights.
pub fn check_output_file(path: &Path) -> Outcome {
    check(path)?;
    match held(path) {
        Holds::Model => refuse(path, "a model that is there"),
        Holds::Weights => refuse(path, "a file of weights that is there"),
        Holds::Nothing | Holds::Other => Ok(()),
    }
}

/// The same for a model, which may take the place of another one alone.
pub fn check_model_file(path: &Path) -> Outcome {
    check(path)?;
    match held(path) {
        Holds::Weights => refuse(path, "a file of weights that is there"),
        Holds::Other => refuse(path, "a file that is there and no model"),
        Holds::Nothing | Holds::Model => Ok(()),
    }
}

fn refuse(path: &Path, what: &str) -> Outcome {
    Err(Failure::Usage(format!("{} is {what}; name a new file for the output", plain_path(path))))
}

fn check(path: &Path) -> Outcome {
    let fail =
        |e: std::io::Error| Failure::Failed(softpatch::Error::io(path, "preparing to write the file", e));
    if path.is_dir() {
        return Err(fail(ErrorKind::IsADirectory.into()));
    }
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    match std::fs::metadata(path) {
        Ok(meta) if !meta.is_file() => return refuse(path, "a device or a pipe"),
        // A wrong name must not cost a picture.
        Ok(_) if softpatch::data::why_left_out(folder, path).is_none() => {
            return refuse(path, "an image that is there");
        }
        _ => {}
    }
    if !folder.is_dir() {
        let e =
            std::io::Error::new(ErrorKind::NotFound, format!("there is no folder {}", plain_path(folder)));
        return Err(fail(e));
    }
    // Removed again as it is dropped.
    tempfile::NamedTempFile::new_in(folder).map(drop).map_err(fail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_no_formulas_and_numbers_stay() {
        assert_eq!(csv_line(["=1+1.png", "-0.5", "", "a,b"]), "'=1+1.png,-0.5,,\"a,b\"\n");
        assert_eq!(csv_line([""]), "\"\"\n");
    }
}
