//! Bilinear resampling between grids.

/// Resamples `x` `[h][w][c]` to `[oh][ow][c]`: bilinear, half-pixel centres, edges repeated.
///
/// It equals PyTorch's `interpolate(mode="bilinear", align_corners=False)`.
pub fn upsample_bilinear(x: &[f32], [h, w, c]: [usize; 3], [oh, ow]: [usize; 2]) -> Vec<f32> {
    assert_eq!(x.len(), h * w * c, "x [{h}][{w}][{c}]");
    let mut y = Vec::with_capacity(oh * ow * c);
    for oy in 0..oh {
        let (top, bottom, ty) = between(oy, h, oh);
        for ox in 0..ow {
            let (left, right, tx) = between(ox, w, ow);
            for channel in 0..c {
                let at = |row: usize, column: usize| f64::from(x[(row * w + column) * c + channel]);
                let above = at(top, left) * (1.0 - tx) + at(top, right) * tx;
                let below = at(bottom, left) * (1.0 - tx) + at(bottom, right) * tx;
                y.push((above * (1.0 - ty) + below * ty) as f32);
            }
        }
    }
    y
}

/// The two inputs of `n` that output `o` of `out` lies between, and how far it is on the way from the first
/// to the second.
pub(crate) fn between(o: usize, n: usize, out: usize) -> (usize, usize, f64) {
    let position = ((o as f64 + 0.5) * n as f64 / out as f64 - 0.5).max(0.0);
    let low = (position as usize).min(n - 1);
    (low, (low + 1).min(n - 1), position - low as f64)
}
