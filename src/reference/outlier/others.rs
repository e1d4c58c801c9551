//! The k nearest patches of other images, at positions near by or anywhere. docs/method.md, section 4.

use crate::reference::distance::squared_distance;

/// Which patches a patch is compared with.
#[derive(Clone, Copy, Debug)]
pub struct Among {
    /// Images.
    pub images: usize,
    /// Rows and columns of the grid of patches.
    pub grid: [usize; 2],
    /// Positions to any side of a patch's that count; none where all of an image do.
    pub reach: Option<usize>,
}

impl Among {
    /// Whether the patches `a` and `b`, numbers image * positions + position, are compared.
    fn compares(&self, a: usize, b: usize) -> bool {
        let [h, w] = self.grid;
        let near = |reach: usize| {
            let [[ay, ax], [by, bx]] = [a, b].map(|patch| [patch % (h * w) / w, patch % w]);
            ay.abs_diff(by) <= reach && ax.abs_diff(bx) <= reach
        };
        a / (h * w) != b / (h * w) && self.reach.is_none_or(near)
    }
}

/// The `k` nearest patches of other images for every patch of X `[images][h][w][r]`: lists of distance and
/// number, ascending by distance, of equals the smaller number first. A distance that is not finite is no
/// neighbour; a list may be shorter than `k`.
pub fn others(x: &[f32], r: usize, k: usize, among: Among) -> Vec<Vec<(f64, u32)>> {
    let rows: Vec<&[f32]> = x.chunks_exact(r).collect();
    let list = |a: usize| {
        let compared = (0..rows.len()).filter(|&b| among.compares(a, b));
        let measured = compared.map(|b| (squared_distance(rows[a], rows[b]).sqrt(), b as u32));
        let mut list: Vec<_> = measured.filter(|(distance, _)| distance.is_finite()).collect();
        list.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        list.truncate(k);
        list
    };
    (0..rows.len()).map(list).collect()
}
