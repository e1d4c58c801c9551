//! Standard output, and files that will be written.

use super::failure::{Failure, Outcome};
use softpatch::data::csv_guarded;
pub use softpatch::text::{plain, plain_json, plain_lines, plain_path};
use softpatch::{Error, model};
use std::io::Write;
use std::path::{Component, Path, PathBuf};

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

/// Refuses a folder for output, which `option` named, inside one of the folders that images are read from.
pub fn check_outside<P: AsRef<Path>>(
    option: &str,
    out: &Path,
    folders: impl IntoIterator<Item = P>,
) -> Outcome {
    for folder in folders {
        let folder = folder.as_ref();
        if folder.is_dir() && resolved(out).starts_with(resolved(folder)) {
            return Err(Failure::Usage(format!(
                "{option} {} lies inside {}: the next run would take what is written there for images; \
                 choose a folder outside it",
                out.display(),
                folder.display()
            )));
        }
    }
    Ok(())
}

/// Absolute, and each `..` with the name before it left out.
pub fn absolute(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    path.components().fold(PathBuf::new(), |mut whole, part| {
        if part == Component::ParentDir {
            _ = whole.pop()
        } else {
            whole.push(part)
        }
        whole
    })
}

/// Where a path leads, followed as far as it exists.
pub fn resolved(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let real = path.ancestors().find_map(|there| {
        let rest = path.strip_prefix(there).ok()?;
        Some(absolute(&there.canonicalize().ok()?.join(rest)))
    });
    real.unwrap_or_else(|| absolute(&path))
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
