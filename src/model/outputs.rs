//! What a file that is written may take the place of, and edits of model files.

use super::{Edit, Model};
use crate::data::why_left_out;
use crate::text::plain_path;
use crate::{Error, Result, files};
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

/// What a file holds whose loss would cost a fit.
#[derive(PartialEq)]
enum Holds {
    Nothing,
    Model,
    Weights,
    Other,
}

/// What the file at `path` holds, by its first bytes. One that does not say is not for a wrong name to cost.
fn held(path: &Path) -> Result<Holds> {
    /// The format is named at the head of a header, before the names of the training images.
    const HEAD: u64 = 4 << 20;
    let fail = |e| Error::io(path, "looking into the file that is there", e);
    let file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Holds::Nothing),
        Err(e) => return Err(fail(e)),
    };
    let length = file.metadata().map_err(fail)?.len();
    let mut head = Vec::new();
    if file.take(HEAD).read_to_end(&mut head).map_err(fail)? == 0 {
        return Ok(Holds::Nothing);
    }
    Ok(match head.split_first_chunk::<8>() {
        Some((size, header)) if u64::from_le_bytes(*size) < length && header.first() == Some(&b'{') => {
            let named = |name: &[u8]| header.windows(name.len()).any(|window| window == name);
            if named(b"\"softpatch-model\"") { Holds::Model } else { Holds::Weights }
        }
        _ => Holds::Other,
    })
}

/// Makes sure that a file can be written at `path`, before the long work: its folder exists and takes files,
/// and `path` is no folder, and nothing that a wrong name must not cost: an image, a model, weights.
///
/// # Errors
/// [`Error::InvalidOption`] for what it must not take the place of, [`Error::Io`] where no file can be
/// written.
pub fn check_output_file(path: &Path) -> Result<()> {
    check(path)?;
    match held(path)? {
        Holds::Model => refuse(path, "a model that is there"),
        Holds::Weights => refuse(path, "a file of weights that is there"),
        Holds::Nothing | Holds::Other => Ok(()),
    }
}

/// The same for a model, which may take the place of another one alone.
///
/// # Errors
/// As [`check_output_file`].
pub fn check_model_file(path: &Path) -> Result<()> {
    check(path)?;
    match held(path)? {
        Holds::Weights => refuse(path, "a file of weights that is there"),
        Holds::Other => refuse(path, "a file that is there and no model"),
        Holds::Nothing | Holds::Model => Ok(()),
    }
}

fn refuse(path: &Path, what: &str) -> Result<()> {
    Err(Error::InvalidOption(format!("{} is {what}; name a new file for the output", plain_path(path))))
}

fn check(path: &Path) -> Result<()> {
    let fail = |e: std::io::Error| Error::io(path, "preparing to write the file", e);
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
        Ok(_) if why_left_out(folder, path).is_none() => return refuse(path, "an image that is there"),
        _ => {}
    }
    if !folder.is_dir() {
        let e =
            std::io::Error::new(ErrorKind::NotFound, format!("there is no folder {}", plain_path(folder)));
        return Err(fail(e));
    }
    // Removed again as it is dropped.
    files::temporary(path).map(drop).map_err(fail)
}

/// A model file on its way through an edit.
#[derive(Debug)]
pub struct ModelFile {
    path: PathBuf,
    to: PathBuf,
    read: Vec<u8>,
}

impl ModelFile {
    /// Reads the file at `path`, whose edited model is to go to `output`; `None`: into its own file. That it
    /// can be written is made sure of first.
    ///
    /// # Errors
    /// As [`check_model_file`]; [`Error::Io`].
    pub fn open(path: &Path, output: Option<&Path>) -> Result<Self> {
        let to = output.unwrap_or(path).to_owned();
        check_model_file(&to)?;
        let read = std::fs::read(path).map_err(|e| Error::io(path, "reading the model", e))?;
        Ok(Self { path: path.to_owned(), to, read })
    }

    /// The model as it was read.
    ///
    /// # Errors
    /// As [`Model::from_bytes`].
    pub fn model(&self) -> Result<Model> {
        Model::from_bytes(&self.read, &self.path)
    }

    /// Takes the last edit back in `model`, which was read from this file.
    ///
    /// # Errors
    /// As [`Model::undo`]; [`Error::Model`] where there is none.
    pub fn undo(&self, model: &mut Model) -> Result<Edit> {
        let none =
            || Error::Model { path: self.path.clone(), reason: "there is no edit to take back".to_owned() };
        model.undo()?.ok_or_else(none)
    }

    /// Writes the edited model, whole or not at all, and says where.
    ///
    /// # Errors
    /// [`Error::Model`] where another edit changed the file since it was read; as [`Model::save`].
    pub fn save(self, model: &Model) -> Result<PathBuf> {
        let Self { path, to, read } = self;
        let place = |path: &Path| path.canonicalize().ok();
        let into_itself = to == path || place(&to).is_some_and(|to| place(&path) == Some(to));
        // Until the edited model is there.
        let _lock = if into_itself { locked(&path) } else { None };
        if into_itself && std::fs::read(&path).is_ok_and(|now| now != read) {
            let reason =
                "it was changed while this edit was made, which is not in it; make the edit again".to_owned();
            return Err(Error::Model { path: to, reason });
        }
        model.save(&to)?;
        Ok(to)
    }
}

/// The file at `path`, which other edits wait for; none where the file system has no locks. Whoever waited finds another
/// file there.
fn locked(path: &Path) -> Option<File> {
    // Elsewhere nobody could read a file that is locked, nor take its place.
    let file = if cfg!(unix) { File::open(path).ok() } else { None };
    file.filter(|file| file.lock().is_ok())
}
