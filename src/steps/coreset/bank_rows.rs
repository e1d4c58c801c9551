//! Chosen rows of a matrix.

use crate::Result;
use crate::gpu::{Recorder, Shader, Tensor, shader};
use crate::steps::checks::{check, check_vec4, grid_64, words};

pub(super) static BANK_ROWS: Shader = shader!("coreset/bank_rows");

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    pairs: u32,
    c4: u32,
}

/// Records `c[pairs[i][1]] = x[pairs[i][0]]` for rows of `columns` values; `pairs` is `[count][2]` u32. Row
/// numbers must lie inside the tensors; the kernel does not look.
///
/// # Errors
/// [`crate::Error::Limit`] where `pairs` is too small or `columns` is no multiple of 4.
pub fn record(
    recorder: &mut Recorder,
    x: &Tensor,
    pairs: &Tensor,
    count: u32,
    columns: u32,
    c: &Tensor,
) -> Result<()> {
    check_vec4("gather columns", columns)?;
    check("gather pairs", words(&[count, 2]), pairs)?;
    if count == 0 {
        return Ok(());
    }
    let kernel = recorder.device().kernel(&BANK_ROWS, &[], &[])?;
    let grid = grid_64("gather", words(&[count, columns / 4]), recorder.device().caps())?;
    let params = Params { pairs: count, c4: columns / 4 };
    recorder.dispatch(&kernel, &format!("{count}x{columns}"), &[x, pairs, c], &params, grid)
}
