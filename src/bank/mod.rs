//! The memory bank: rows with their weights and where they come from, and what makes its search fast.

mod axes;
mod buffers;
mod device;
mod edit;
mod maps;
mod select;
mod source_maps;
mod strip;
mod tree;

pub use axes::Axes;
pub use buffers::{Start, allocate};
pub use device::{Bank, BankData, SearchBuffers};
pub use edit::Removed;
pub use maps::Maps;
pub(crate) use select::spread;
pub use select::{Choice, Selection, Vectors, select};
pub use source_maps::SourceMaps;
pub use strip::{StripBuilder, tile_order};

use crate::Result;
use crate::gpu::Device;
pub use crate::spool::RowSource;

/// Axes and order by which a bank is searched; the answers are exact whatever they are.
#[derive(Clone, Debug, PartialEq)]
pub struct Index {
    /// Principal axes of the rows, and their mean.
    pub axes: Axes,
    /// `[rows]`: numbers of the rows in the order of a k-d tree over their heads, so that neighbours share a
    /// tile.
    pub order: Vec<u32>,
}

impl Index {
    /// Whether the order names each of `rows` rows once, and the axes are orthonormal: by others the search
    /// would pass over rows that are near.
    pub fn fits(&self, rows: usize) -> bool {
        let mut seen = vec![false; rows];
        let fresh = |&row: &u32| seen.get_mut(row as usize).is_some_and(|s| !std::mem::replace(s, true));
        self.order.len() == rows && self.order.iter().all(fresh) && self.axes.are_orthonormal()
    }
}

/// The memory bank of a model.
#[derive(Clone, Debug, PartialEq)]
pub struct MemoryBank {
    /// `[rows][dim]` embeddings, in the order chosen.
    pub rows: Vec<f32>,
    /// `[rows]` weights, at least 0.
    pub weights: Vec<f32>,
    /// `[rows]`: squared distances below which no row is near (docs/method.md); empty: there are none.
    pub floors: Vec<f32>,
    /// `[rows][3]`: training image, grid row, grid column.
    pub provenance: Vec<[u32; 3]>,
    /// How it is searched; none in files of earlier versions, which are searched by a new one.
    pub index: Option<Index>,
}

impl MemoryBank {
    /// Values of a row.
    pub fn dim(&self) -> usize {
        self.rows.len() / self.weights.len().max(1)
    }

    /// Brings the bank to a device, ready to be searched.
    ///
    /// # Errors
    /// As [`Bank::new`].
    pub fn on_device(&self, device: &Device) -> Result<Bank> {
        let found;
        let (axes, order) = match &self.index {
            Some(index) => (&index.axes, Some(index.order.as_slice())),
            None => {
                found = Axes::principal(&self.rows, self.dim());
                (&found, None)
            }
        };
        self.with(device, axes, order)
    }

    /// The same; the index that it takes is found once and kept.
    ///
    /// # Errors
    /// As [`Bank::new`].
    pub fn prepare(&mut self, device: &Device) -> Result<Bank> {
        if self.index.is_some() {
            return self.on_device(device);
        }
        let axes = Axes::principal(&self.rows, self.dim());
        let bank = self.with(device, &axes, None)?;
        self.index = Some(Index { axes, order: bank.order().to_vec() });
        Ok(bank)
    }

    /// Brings its first `rows` rows to a device, `rows` at least 1: where they were chosen one after the
    /// other, those lie far from each other. A row's distance from a query is the same in every bit as in the
    /// whole bank.
    ///
    /// # Errors
    /// As [`Bank::new`].
    pub fn first(&self, device: &Device, rows: usize) -> Result<Bank> {
        let (rows, dim) = (rows.clamp(1, self.weights.len().max(1)), self.dim());
        let found;
        let axes = match &self.index {
            Some(index) => &index.axes,
            None => {
                found = Axes::principal(&self.rows, dim);
                &found
            }
        };
        let row_image: Vec<u32> = self.provenance[..rows].iter().map(|p| p[0]).collect();
        let floors = if self.floors.is_empty() { &[] } else { &self.floors[..rows] };
        let (weights, row_image) = (&self.weights[..rows], &row_image);
        let (rows, dim) = (&self.rows[..rows * dim], dim as u32);
        Bank::new(device, &BankData { rows, weights, floors, row_image, axes, order: None, dim })
    }

    fn with(&self, device: &Device, axes: &Axes, order: Option<&[u32]>) -> Result<Bank> {
        let row_image: Vec<u32> = self.provenance.iter().map(|p| p[0]).collect();
        let (rows, weights, floors, row_image) = (&self.rows, &self.weights, &self.floors, &row_image);
        Bank::new(device, &BankData { rows, weights, floors, row_image, axes, order, dim: self.dim() as u32 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By another order some rows would never be found.
    #[test]
    fn an_index_names_each_row_once() {
        let of = |order: &[u32]| Index {
            axes: Axes::principal(&[0.0, 0.0, 1.0, 0.0, 0.0, 2.0, 3.0, 4.0], 2),
            order: order.to_vec(),
        };
        assert!(of(&[2, 0, 3, 1]).fits(4));
        for wrong in [&[2, 0, 3][..], &[2, 0, 3, 3], &[2, 0, 3, 4], &[2, 0, 3, 1, 1]] {
            assert!(!of(wrong).fits(4), "{wrong:?}");
        }
    }
}
