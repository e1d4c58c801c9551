//! Bilinear upsampling of feature maps and score maps.

use super::check_len;

/// Brings `x` `[h][w][c]` to `[oh][ow][c]`, bilinear with half-pixel centres and no corner alignment.
///
/// Output `o` reads the input at `max((o + 0.5) * n / out - 0.5, 0)`; the neighbour past the last input is the last one.
/// Source: PyTorch's `interpolate(mode="bilinear", align_corners=False)`. There is no antialiasing.
pub fn upsample_bilinear(x: &[f32], [h, w, c]: [usize; 3], [oh, ow]: [usize; 2]) -> Vec<f32> {
    check_len("upsample_bilinear", x, &[h, w, c]);
    let x: Vec<f64> = x.iter().map(|v| f64::from(*v)).collect();
    upsample_f64(&x, [h, w, c], [oh, ow]).into_iter().map(|v| v as f32).collect()
}

/// [`upsample_bilinear`] before the rounding to f32.
pub(super) fn upsample_f64(x: &[f64], [h, w, c]: [usize; 3], [oh, ow]: [usize; 2]) -> Vec<f64> {
    let mut out = Vec::with_capacity(oh * ow * c);
    for oy in 0..oh {
        let (y0, y1, fy) = taps(oy, h, oh);
        for ox in 0..ow {
            let (x0, x1, fx) = taps(ox, w, ow);
            for channel in 0..c {
                let at = |y: usize, column: usize| x[(y * w + column) * c + channel];
                let upper = at(y0, x0) * (1.0 - fx) + at(y0, x1) * fx;
                let lower = at(y1, x0) * (1.0 - fx) + at(y1, x1) * fx;
                out.push(upper * (1.0 - fy) + lower * fy);
            }
        }
    }
    out
}

/// The two inputs that output `o` lies between, and the weight of the second.
fn taps(o: usize, n: usize, out: usize) -> (usize, usize, f64) {
    let position = ((o as f64 + 0.5) * (n as f64 / out as f64) - 0.5).max(0.0);
    let first = (position as usize).min(n - 1);
    (first, (first + 1).min(n - 1), position - first as f64)
}
