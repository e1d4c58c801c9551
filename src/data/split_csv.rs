//! Splits as CSV files, so that an experiment can be run again on the very same images.

use super::affine::Affine;
use super::list::{self, wrong, wrong_line};
use super::noise::{Split, TrainEntry};
use super::spreadsheet::csv_unguarded;
use super::test_set::TestItem;
use crate::Result;
use std::path::{Path, PathBuf};

const HEADER: [&str; 10] =
    ["split", "path", "defect", "mask", "noise", "rotation", "shift_x", "shift_y", "scale", "shear"];

impl Split {
    /// Writes the split as CSV (RFC 4180, UTF-8), one image per line, texts as
    /// [`csv_guarded`](super::csv_guarded) has them:
    /// `split,path,defect,mask,noise,rotation,shift_x,shift_y,scale,shear`, where `split` is `train` or
    /// `test`, `noise` is 0 or 1 in training lines, and the last five are those of [`Affine`] where the image
    /// is moved.
    ///
    /// # Errors
    /// [`crate::Error::Dataset`] where a path is not UTF-8, [`crate::Error::Io`] where the file cannot be
    /// written.
    pub fn write_csv(&self, file: impl AsRef<Path>) -> Result<()> {
        let file = file.as_ref();
        let text = |path: &Path| match path.to_str() {
            Some(text) => Ok(text.to_owned()),
            None => {
                Err(wrong(file, format!("{} is not UTF-8 and cannot be listed; rename it", path.display())))
            }
        };
        let none = String::new;
        let mut records = vec![HEADER.map(str::to_owned)];
        for entry in &self.train {
            let affine = entry.augment.map(|a| [a.rotation, a.shift_x, a.shift_y, a.scale, a.shear]);
            let [rotation, shift_x, shift_y, scale, shear] =
                affine.map_or_else(|| [(); 5].map(|()| none()), |a| a.map(|v| v.to_string()));
            let (path, noise) = (text(&entry.path)?, u8::from(entry.is_noise).to_string());
            let kind = "train".to_owned();
            records.push([kind, path, none(), none(), noise, rotation, shift_x, shift_y, scale, shear]);
        }
        for item in &self.test {
            let defect = item.defect.clone().unwrap_or_default();
            let mask = item.mask.as_deref().map_or(Ok(none()), text)?;
            let kind = "test".to_owned();
            let path = text(&item.path)?;
            records.push([kind, path, defect, mask, none(), none(), none(), none(), none(), none()]);
        }
        list::write(file, records)
    }

    /// Reads what [`Split::write_csv`] wrote. Whether the images exist is found out when they are loaded.
    ///
    /// # Errors
    /// [`crate::Error::Dataset`] with the line's number where the file is not such a list,
    /// [`crate::Error::Io`] where it cannot be read.
    pub fn read_csv(file: impl AsRef<Path>) -> Result<Self> {
        let file = file.as_ref();
        let mut split = Self { train: Vec::new(), test: Vec::new() };
        for (line, [kind, path, defect, mask, noise, affine @ ..]) in list::read(file, HEADER)? {
            let [path, defect, mask] = [path, defect, mask].map(|field| csv_unguarded(&field).to_owned());
            let at_line = |what: String| wrong_line(file, line, what);
            if path.is_empty() {
                return Err(at_line("the path is empty".to_owned()));
            }
            let some = |text: String| (!text.is_empty()).then_some(text);
            match kind.as_str() {
                "train" => split.train.push(TrainEntry {
                    path: path.into(),
                    augment: parse_affine(&affine).map_err(at_line)?,
                    is_noise: match noise.as_str() {
                        "0" => false,
                        "1" => true,
                        other => return Err(at_line(format!("noise is `{other}`, not 0 or 1"))),
                    },
                }),
                "test" => split.test.push(TestItem {
                    path: path.into(),
                    defect: some(defect),
                    mask: some(mask).map(PathBuf::from),
                }),
                other => return Err(at_line(format!("split is `{other}`, not train or test"))),
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
