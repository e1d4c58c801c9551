//! How much a row of the memory bank vouches for: docs/method.md, section 5.

use crate::reference::distance::squared_distance;

/// Of how far a patch stands out from its kind, the power by which its floor rises.
pub const POWER: i32 = 6;

/// The most that a row's floor is raised by where it stands out.
pub const MOST: f64 = 8.0;

/// Floors of bank rows: the squared distance of each to the nearest patch of another image, times the power
/// [`POWER`] of the geometric mean of the outlier scores in its 3x3 neighbourhood, that brought into
/// `1..=MOST`, and raised to `ceiling` at most.
///
/// `x` `[rows][d]` are the rows, `y` `[rows][d]` those patches, `patches` and `others` `[rows]` their
/// numbers, image * positions + position; equal ones mean that there is none, and the floor is 0. `scores`
/// `[images][positions]`; those of 0 or less do not count. `grid` is the rows and columns of the patches.
pub fn floors(
    [x, y]: [&[f32]; 2],
    d: usize,
    [patches, others]: [&[u32]; 2],
    scores: &[f32],
    grid: [usize; 2],
    ceiling: f32,
) -> Vec<f32> {
    let pairs = x.chunks_exact(d).zip(y.chunks_exact(d)).zip(patches.iter().zip(others));
    pairs
        .map(|((x, y), (patch, other))| {
            if patch == other {
                return 0.0;
            }
            let squared = squared_distance(x, y);
            let raised = squared * standing(*patch as usize, scores, grid);
            squared.max(raised.min(f64::from(ceiling))) as f32
        })
        .collect()
}

/// How far a patch stands out from its kind, `1..=MOST`.
fn standing(patch: usize, scores: &[f32], [height, columns]: [usize; 2]) -> f64 {
    let positions = height * columns;
    let image = &scores[patch / positions * positions..][..positions];
    let (row, column) = (patch % positions / columns, patch % columns);
    let near = |at: usize, side: usize| at.saturating_sub(1)..(at + 2).min(side);
    let logs: Vec<f64> = near(row, height)
        .flat_map(|r| near(column, columns).map(move |c| f64::from(image[r * columns + c])))
        .filter(|score| *score > 0.0)
        .map(f64::ln)
        .collect();
    let mean = logs.iter().sum::<f64>() / logs.len().max(1) as f64;
    (f64::from(POWER) * mean).clamp(0.0, MOST.ln()).exp()
}
