//! Splits as CSV files, so that an experiment can be run again on the very same images.

use super::affine::Affine;
use super::folder::TestItem;
use super::noise::{Split, TrainEntry};
use crate::files::write_whole;
use crate::{Error, Result};
use std::fmt::Write;
use std::path::{Path, PathBuf};

const HEADER: [&str; 10] =
    ["split", "path", "defect", "mask", "noise", "rotation", "shift_x", "shift_y", "scale", "shear"];

impl Split {
    /// Writes the split as CSV (RFC 4180, UTF-8), one image a line, paths as they are:
    /// `split,path,defect,mask,noise,rotation,shift_x,shift_y,scale,shear`, where `split` is `train` or `test`,
    /// `noise` is 0 or 1 in training lines, and the last five are those of [`Affine`] where the image is moved.
    ///
    /// # Errors
    /// [`Error::Dataset`] where a path is not UTF-8, [`Error::Io`] where the file cannot be written.
    pub fn write_csv(&self, file: impl AsRef<Path>) -> Result<()> {
        let file = file.as_ref();
        let text = |path: &Path| match path.to_str() {
            Some(text) => Ok(quoted(text)),
            None => {
                Err(wrong(file, format!("{} is not UTF-8 and cannot be listed; rename it", path.display())))
            }
        };
        let mut out = HEADER.join(",") + "\n";
        for entry in &self.train {
            let affine = entry.augment.map_or(",,,,".to_owned(), |a| {
                format!("{},{},{},{},{}", a.rotation, a.shift_x, a.shift_y, a.scale, a.shear)
            });
            let _ = writeln!(out, "train,{},,,{},{affine}", text(&entry.path)?, u8::from(entry.is_noise));
        }
        for item in &self.test {
            let defect = quoted(item.defect.as_deref().unwrap_or_default());
            let mask = item.mask.as_deref().map_or(Ok(String::new()), text)?;
            let _ = writeln!(out, "test,{},{defect},{mask},,,,,,", text(&item.path)?);
        }
        write_whole(file, out.as_bytes())
    }

    /// Reads what [`Split::write_csv`] wrote. Whether the images exist is found out when they are loaded.
    ///
    /// # Errors
    /// [`Error::Dataset`] with the line's number where the file is not such a list, [`Error::Io`] where it cannot be
    /// read.
    pub fn read_csv(file: impl AsRef<Path>) -> Result<Self> {
        let file = file.as_ref();
        let bytes = std::fs::read(file).map_err(|e| Error::io(file, "reading", e))?;
        let text =
            String::from_utf8(bytes).map_err(|_| wrong(file, "the list is not UTF-8 text".to_owned()))?;
        let mut split = Self { train: Vec::new(), test: Vec::new() };
        let mut records = Records::new(&text);
        let at_line = |line: usize, what: String| wrong(file, format!("line {line}: {what}"));
        let expected = || format!("expected the columns {}", HEADER.join(","));

        match records.next() {
            Some(Ok((_, fields))) if fields == HEADER => {}
            _ => return Err(at_line(1, expected())),
        }
        for record in records {
            let (line, fields) = record.map_err(|(line, what)| at_line(line, what.to_owned()))?;
            let Ok([kind, path, defect, mask, noise, affine @ ..]) = <[String; 10]>::try_from(fields) else {
                return Err(at_line(line, expected()));
            };
            if path.is_empty() {
                return Err(at_line(line, "the path is empty".to_owned()));
            }
            let some = |text: String| (!text.is_empty()).then_some(text);
            match kind.as_str() {
                "train" => split.train.push(TrainEntry {
                    path: path.into(),
                    augment: parse_affine(&affine).map_err(|what| at_line(line, what))?,
                    is_noise: match noise.as_str() {
                        "0" => false,
                        "1" => true,
                        other => return Err(at_line(line, format!("noise is `{other}`, not 0 or 1"))),
                    },
                }),
                "test" => split.test.push(TestItem {
                    path: path.into(),
                    defect: some(defect),
                    mask: some(mask).map(PathBuf::from),
                }),
                other => return Err(at_line(line, format!("split is `{other}`, not train or test"))),
            }
        }
        Ok(split)
    }
}

fn parse_affine(fields: &[String; 5]) -> Result<Option<Affine>, String> {
    if fields.iter().all(String::is_empty) {
        return Ok(None);
    }
    let mut values = [0.0; 5];
    for ((value, field), name) in values.iter_mut().zip(fields).zip(&HEADER[5..]) {
        *value = match field.parse::<f64>() {
            Ok(v) if v.is_finite() => v,
            _ => return Err(format!("{name} is `{field}`, not a number")),
        };
    }
    let [rotation, shift_x, shift_y, scale, shear] = values;
    if scale <= 0.0 || shear.abs() >= 90.0 {
        return Err("scale must be above 0, and shear between -90 and 90".to_owned());
    }
    Ok(Some(Affine { rotation, shift_x, shift_y, scale, shear }))
}

fn quoted(field: &str) -> String {
    if field.contains(['"', ',', '\n', '\r']) {
        format!("\"{}\"", field.replace('"', "\"\""))
    } else {
        field.to_owned()
    }
}

/// The records of a CSV text, each with the number of its first line. Empty lines are skipped.
pub(super) struct Records<'a> {
    rest: &'a str,
    line: usize,
}

impl<'a> Records<'a> {
    /// The records of `text`, a byte-order mark skipped.
    pub(super) fn new(text: &'a str) -> Self {
        Self { rest: text.trim_start_matches('\u{feff}'), line: 1 }
    }
}

impl Iterator for Records<'_> {
    type Item = Result<(usize, Vec<String>), (usize, &'static str)>;

    fn next(&mut self) -> Option<Self::Item> {
        while let Some(rest) = self.rest.strip_prefix("\r\n").or_else(|| self.rest.strip_prefix('\n')) {
            self.rest = rest;
            self.line += 1;
        }
        if self.rest.is_empty() {
            return None;
        }
        let start = self.line;
        let mut fields = Vec::new();
        loop {
            match self.field() {
                Ok(field) => fields.push(field),
                Err(what) => {
                    self.rest = "";
                    return Some(Err((start, what)));
                }
            }
            if let Some(rest) = self.rest.strip_prefix(',') {
                self.rest = rest;
            } else {
                return Some(Ok((start, fields))); // at a line's end or the text's
            }
        }
    }
}

impl Records<'_> {
    /// Takes a field, up to the comma or the line's end behind it.
    fn field(&mut self) -> Result<String, &'static str> {
        let mut value = String::new();
        let Some(mut inside) = self.rest.strip_prefix('"') else {
            let end = self.rest.find([',', '\n']).unwrap_or(self.rest.len());
            let (field, rest) = self.rest.split_at(end);
            self.rest = rest;
            return Ok(field.strip_suffix('\r').unwrap_or(field).to_owned());
        };
        loop {
            let end = inside.find('"').ok_or("a quote is not closed")?;
            value.push_str(&inside[..end]);
            inside = &inside[end + 1..];
            let Some(rest) = inside.strip_prefix('"') else { break };
            value.push('"');
            inside = rest;
        }
        self.line += value.matches('\n').count();
        self.rest = inside.strip_prefix('\r').unwrap_or(inside);
        if !(self.rest.is_empty() || self.rest.starts_with([',', '\n'])) {
            return Err("text follows a closing quote");
        }
        Ok(value)
    }
}

fn wrong(file: &Path, reason: String) -> Error {
    Error::Dataset { path: file.to_owned(), reason }
}
