//! Pooling over the image.

use super::check_len;

/// Sizes of a pooling with a square window. Padding never wins and is not counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolShape {
    /// Images.
    pub batch: usize,
    /// Rows of the input.
    pub in_h: usize,
    /// Columns of the input.
    pub in_w: usize,
    /// Channels.
    pub channels: usize,
    /// Side of the window; ResNet's stem has 3.
    pub kernel: usize,
    /// Step of both axes; ResNet's stem has 2.
    pub stride: usize,
    /// Padding on every side, less than `kernel`; ResNet's stem has 1.
    pub pad: usize,
}

impl PoolShape {
    /// Rows and columns of the output: `(n + 2 * pad - kernel) / stride + 1`, rounded down.
    pub fn out(&self) -> [usize; 2] {
        [self.in_h, self.in_w].map(|n| (n + 2 * self.pad - self.kernel) / self.stride + 1)
    }
}

/// Largest value of each window of `x` `[batch][in_h][in_w][channels]`: `[batch][out_h][out_w][channels]`.
pub fn max_pool(x: &[f32], shape: &PoolShape) -> Vec<f32> {
    let s = shape;
    assert!(s.pad < s.kernel, "max_pool: padding {} leaves windows without a value", s.pad);
    check_len("max_pool", x, &[s.batch, s.in_h, s.in_w, s.channels]);
    let [out_h, out_w] = s.out();
    let mut out = Vec::with_capacity(s.batch * out_h * out_w * s.channels);
    let window = |o: usize, n: usize| {
        let start = o * s.stride;
        start.saturating_sub(s.pad)..(start + s.kernel - s.pad).min(n)
    };
    for image in 0..s.batch {
        for oy in 0..out_h {
            for ox in 0..out_w {
                for c in 0..s.channels {
                    let mut largest = f32::NEG_INFINITY;
                    for y in window(oy, s.in_h) {
                        for x_ in window(ox, s.in_w) {
                            let value = x[((image * s.in_h + y) * s.in_w + x_) * s.channels + c];
                            largest = largest.max(value);
                        }
                    }
                    out.push(largest);
                }
            }
        }
    }
    out
}

/// Mean over the image of `x` `[batch][h * w][channels]`: `[batch][channels]`.
pub fn global_mean(x: &[f32], batch: usize, pixels: usize, channels: usize) -> Vec<f32> {
    check_len("global_mean", x, &[batch, pixels, channels]);
    let mut out = Vec::with_capacity(batch * channels);
    for image in 0..batch {
        for c in 0..channels {
            let sum: f64 = (0..pixels).map(|p| f64::from(x[(image * pixels + p) * channels + c])).sum();
            out.push((sum / pixels as f64) as f32);
        }
    }
    out
}
