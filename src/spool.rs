//! Vectors of all images in a temporary file.

use crate::{Error, Result, files};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::sync::{Mutex, PoisonError};

/// Vectors that are read when they are needed.
pub trait RowSource: Sync {
    /// Reads whole rows from row `first` on into `out`.
    ///
    /// # Errors
    /// What reading says.
    fn read(&self, first: u32, out: &mut [f32]) -> Result<()>;
}

/// Rows of `dims` values, one after the other, in a file that is gone with the program.
pub(crate) struct Spool {
    // Seeking and reading are two steps. None where there is nothing but zeros.
    file: Option<Mutex<File>>,
    /// Values of a row.
    pub dims: usize,
}

impl Spool {
    /// An empty file in the system's folder for temporary files.
    pub fn new(dims: usize) -> Result<Self> {
        Ok(Self { file: Some(Mutex::new(files::spool(&std::env::temp_dir())?)), dims })
    }

    /// Without a file: what is written is forgotten.
    pub fn rehearsed(dims: usize) -> Self {
        Self { file: None, dims }
    }

    fn at<T>(
        &self,
        row: usize,
        action: &'static str,
        f: impl FnOnce(&mut File) -> std::io::Result<T>,
    ) -> Result<T>
    where
        T: Default,
    {
        let Some(file) = &self.file else { return Ok(T::default()) };
        let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
        file.seek(SeekFrom::Start(row as u64 * self.dims as u64 * 4))
            .and_then(|_| f(&mut file))
            .map_err(|e| Error::io(std::env::temp_dir(), action, e))
    }

    /// Writes whole rows from row `first` on.
    pub fn write(&self, first: usize, values: &[f32]) -> Result<()> {
        // The one cause that a user meets: the folder is full.
        self.at(first, "spooling features (TMPDIR names a folder with more room)", |file| {
            file.write_all(bytemuck::cast_slice(values))
        })
    }

    /// Reads whole rows from row `first` on.
    pub fn read(&self, first: usize, values: &mut [f32]) -> Result<()> {
        self.at(first, "reading spooled features", |file| file.read_exact(bytemuck::cast_slice_mut(values)))
    }

    /// The rows `rows`, in that order.
    pub fn gather(&self, rows: &[u32]) -> Result<Vec<f32>> {
        gather(self, self.dims, rows)
    }
}

impl RowSource for Spool {
    fn read(&self, first: u32, out: &mut [f32]) -> Result<()> {
        self.read(first as usize, out)
    }
}

/// The rows `rows` of `source`, in that order; read in ascending order, so that a disk reads forward.
pub(crate) fn gather(source: &dyn RowSource, dims: usize, rows: &[u32]) -> Result<Vec<f32>> {
    let mut values = vec![0.0_f32; rows.len() * dims];
    let mut order: Vec<usize> = (0..rows.len()).collect();
    order.sort_by_key(|&i| rows[i]);
    for i in order {
        source.read(rows[i], &mut values[i * dims..(i + 1) * dims])?;
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_back_in_any_order() {
        let spool = Spool::new(3).unwrap();
        let values: Vec<f32> = (0..30).map(|v| v as f32).collect();
        spool.write(4, &values[12..]).unwrap();
        spool.write(0, &values[..12]).unwrap();
        assert_eq!(spool.gather(&[9, 0, 4]).unwrap(), [27.0, 28.0, 29.0, 0.0, 1.0, 2.0, 12.0, 13.0, 14.0]);
        assert!(matches!(spool.gather(&[10]), Err(Error::Io { .. })));
    }
}
