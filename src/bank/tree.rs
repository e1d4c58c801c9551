//! Order of a bank's rows in tiles of neighbours, and the tiles' bounding boxes.

use crate::steps::search::lift::TAIL;

/// Rows of the largest and of the smallest tile by which any device searches.
const TILES: (usize, usize) = (32, 16);

/// Rows of `lifted` `[rows][k]` in the order of a k-d tree: rows of a tile are close to each other, and every
/// tile but the last is full, for tiles of either size.
pub(super) fn order(lifted: &[f32], k: usize) -> Vec<u32> {
    let mut rows: Vec<u32> = (0..(lifted.len() / k) as u32).collect();
    // The scale is no coordinate.
    let axes: Vec<usize> = (0..k - TAIL).chain([k - 2]).collect();
    split(lifted, k, &axes, TILES, &mut rows);
    rows
}

/// Brings `rows`, numbers of rows of `values` `[..][k]`, into the order of a k-d tree along `axes`, for tiles
/// of either of two sizes.
pub(super) fn split(
    values: &[f32],
    k: usize,
    axes: &[usize],
    (large, small): (usize, usize),
    rows: &mut [u32],
) {
    if rows.len() <= small {
        return;
    }
    let tile = if rows.len() <= large { small } else { large };
    let axis = widest(values, k, axes, rows);
    let middle = rows.len().div_ceil(tile) / 2 * tile;
    let value = |row: u32| values[row as usize * k + axis];
    // Equal values go by row, so that the order is the same everywhere.
    rows.select_nth_unstable_by(middle, |&a, &b| value(a).total_cmp(&value(b)).then(a.cmp(&b)));
    let (near, far) = rows.split_at_mut(middle);
    let tiles = (large, small);
    rayon::join(|| split(values, k, axes, tiles, near), || split(values, k, axes, tiles, far));
}

/// The one of `axes` along which the rows vary most.
fn widest(values: &[f32], k: usize, axes: &[usize], rows: &[u32]) -> usize {
    let (mut sums, mut squares) = (vec![0.0_f64; k], vec![0.0_f64; k]);
    for &row in rows {
        for (i, &v) in values[row as usize * k..][..k].iter().enumerate() {
            sums[i] += f64::from(v);
            squares[i] += f64::from(v) * f64::from(v);
        }
    }
    let spread = |i: usize| squares[i] - sums[i] * sums[i] / rows.len() as f64;
    axes.iter().copied().max_by(|&a, &b| spread(a).total_cmp(&spread(b))).unwrap_or(0)
}

/// Bounding boxes `[tiles][k / 4][2][4]` (lower and upper corner) of the tiles of `tile` rows of `lifted`
/// `[rows][k]`, in order, padded to `tiles` with boxes that nothing is near to.
///
/// A query's lower bound of its rest meets the box's upper one and the other way round, so that a sum of
/// `max(0, lower - v, v - upper)^2` over all values is a lower bound of the squared distance.
pub(super) fn boxes(lifted: &[f32], k: usize, tile: usize, tiles: usize) -> Vec<f32> {
    let (mut low, mut high) = (vec![f32::MAX; tiles * k], vec![f32::MAX; tiles * k]);
    for (i, rows) in lifted.chunks(tile * k).enumerate() {
        let (low, high) = (&mut low[i * k..][..k], &mut high[i * k..][..k]);
        high.fill(-f32::MAX);
        for row in rows.chunks_exact(k) {
            for (i, &v) in row.iter().enumerate() {
                low[i] = low[i].min(v);
                high[i] = high[i].max(v);
            }
        }
        (low[k - 3], high[k - 3]) = (-f32::MAX, f32::MAX);
        (low[k - 2], high[k - 2], low[k - 1], high[k - 1]) = (-f32::MAX, high[k - 1], low[k - 2], f32::MAX);
    }
    low.chunks_exact(4).zip(high.chunks_exact(4)).flat_map(|(low, high)| [low, high].concat()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TILE: usize = 16;

    /// Rows of a spiral in 5 values and a tail.
    fn rows(n: usize) -> Vec<f32> {
        let row = |i: usize| {
            let t = (i * 7919 % n) as f32 / 10.0;
            [t.cos() * t, t.sin() * t, t, 0.0, 0.0, 9.0, t / 2.0, t / 2.0 + 0.1]
        };
        (0..n).flat_map(row).collect()
    }

    #[test]
    fn order_is_a_permutation_with_close_tiles() {
        for n in [1, 15, 16, 17, 200, 1000] {
            let lifted = rows(n);
            let mut ordered = order(&lifted, 8);
            if n == 1000 {
                let spread = |tile: &[u32]| {
                    let t = |&row: &u32| lifted[row as usize * 8 + 2];
                    tile.iter().map(t).fold(0.0, f32::max) - tile.iter().map(t).fold(f32::MAX, f32::min)
                };
                let mean = ordered.chunks(TILE).map(spread).sum::<f32>() / 63.0;
                assert!(mean < 40.0, "{mean} of 100");
            }
            ordered.sort_unstable();
            assert_eq!(ordered, (0..n as u32).collect::<Vec<_>>());
        }
    }

    #[test]
    fn boxes_bound_every_row() {
        let lifted = rows(100);
        let ordered: Vec<f32> =
            order(&lifted, 8).iter().flat_map(|&r| lifted[r as usize * 8..][..8].to_vec()).collect();
        let boxes = boxes(&ordered, 8, TILE, 8);
        assert_eq!(boxes.len(), 8 * 16);
        let bound = |x: &[f32], tile: usize| -> f32 {
            let corner = |i: usize, side: usize| boxes[tile * 16 + i / 4 * 8 + side * 4 + i % 4];
            (0..8).map(|i| (corner(i, 0) - x[i]).max(x[i] - corner(i, 1)).max(0.0).powi(2)).sum()
        };
        for (i, row) in ordered.chunks(8).enumerate() {
            assert_eq!(bound(row, i / TILE), 0.0);
            assert_eq!(bound(row, 7), f32::INFINITY);
            for (j, other) in ordered.chunks(8).enumerate() {
                let head: f32 = (0..5).map(|k| (row[k] - other[k]).powi(2)).sum();
                let rest = (row[6] - other[7]).max(other[6] - row[7]).max(0.0);
                assert!(bound(row, j / TILE) <= (head + rest * rest) * 1.0001, "{i} {j}");
            }
        }
    }
}
