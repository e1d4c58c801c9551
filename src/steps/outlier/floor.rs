//! How much a row of the memory bank vouches for: docs/method.md, section 5.

use crate::Result;
use crate::gpu::{Recorder, Shader, Tensor, grid_1d, shader};
use crate::steps::checks::check;
use crate::steps::outlier::group::{check_depth, words};

pub(super) static FLOOR: Shader = shader!("outlier/floor");

/// Squared distance of each row to its neighbour in another image, times its standing.
#[derive(Debug)]
pub struct Floor<'a> {
    /// `[rows][dim]`: embeddings of the rows.
    pub x: &'a Tensor,
    /// `[rows][dim]`: embeddings of their neighbours.
    pub y: &'a Tensor,
    /// `[rows]`, u32: numbers of the rows' patches, image * positions + position.
    pub patches: &'a Tensor,
    /// `[rows]`, u32: those of the neighbours; a row that has none names itself.
    pub others: &'a Tensor,
    /// `[images][positions]`: outlier scores, above 0 where a patch is looked at.
    pub scores: &'a Tensor,
    /// What no floor is raised past, a squared distance; the largest float for none.
    pub ceiling: f32,
    /// Output `[rows]`.
    pub floors: &'a Tensor,
    /// Rows.
    pub rows: u32,
    /// Values of an embedding, a multiple of 4.
    pub dim: u32,
    /// Images.
    pub images: u32,
    /// Rows and columns of the grid of patches.
    pub grid: [u32; 2],
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    rows: u32,
    d4: u32,
    height: u32,
    columns: u32,
    ceiling: f32,
    pad: [u32; 3],
}

impl Floor<'_> {
    /// Records the floors.
    ///
    /// # Errors
    /// [`crate::Error::Limit`] where a tensor is too small or `dim` is not a multiple of 4.
    pub fn record(&self, recorder: &mut Recorder) -> Result<()> {
        let Self { rows, dim, images, grid: [height, columns], ceiling, .. } = *self;
        check_depth("floor", dim)?;
        check("bank rows", words(&[rows, dim]), self.x)?;
        check("neighbours of bank rows", words(&[rows, dim]), self.y)?;
        check("numbers of bank rows", rows.into(), self.patches)?;
        check("numbers of neighbours", rows.into(), self.others)?;
        check("outlier scores", words(&[images, height, columns]), self.scores)?;
        check("floors", rows.into(), self.floors)?;
        if rows == 0 {
            return Ok(());
        }
        let params = Params { rows, d4: dim / 4, height, columns, ceiling, pad: [0; 3] };
        let kernel = recorder.device().kernel(&FLOOR, &[], &[])?;
        let grid = grid_1d(rows.div_ceil(64), recorder.device().caps().max_groups);
        let tensors = [self.x, self.y, self.patches, self.others, self.scores, self.floors];
        recorder.dispatch(&kernel, &format!("{rows}x{dim}"), &tensors, &params, grid)
    }
}
