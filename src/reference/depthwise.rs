//! Depthwise convolution: each channel with its own kernel.

use super::conv::{activate, input_pixel};
use crate::ops::Activation;
use crate::ops::conv::ConvShape;

/// `activation(depthwise(x, w) + bias)`.
///
/// `x` `[batch][in_h][in_w][c]`, `w` `[kernel_h][kernel_w][c]`, `bias` `[c]`, the result `[batch][out_h][out_w][c]`.
/// Padding is as in [`super::conv::conv2d`].
pub fn depthwise(x: &[f32], w: &[f32], bias: &[f32], shape: &ConvShape, activation: Activation) -> Vec<f32> {
    let s = shape;
    let channels = s.in_c as usize;
    assert_eq!(s.in_c, s.out_c, "channels of {s:?}");
    assert_eq!(x.len(), s.input_len(), "x of {s:?}");
    assert_eq!(w.len(), s.kernel_h as usize * s.kernel_w as usize * channels, "w of {s:?}");
    assert_eq!(bias.len(), channels, "bias of {s:?}");
    let mut y = Vec::with_capacity(s.output_len());
    for n in 0..s.batch {
        for oy in 0..s.out_h {
            for ox in 0..s.out_w {
                for c in 0..channels {
                    let mut sum = f64::from(bias[c]);
                    for ky in 0..s.kernel_h {
                        for kx in 0..s.kernel_w {
                            let Some(from) = input_pixel(s, n, [oy, ox], [ky, kx]) else { continue };
                            let tap = (ky * s.kernel_w + kx) as usize;
                            sum += f64::from(x[from * channels + c]) * f64::from(w[tap * channels + c]);
                        }
                    }
                    y.push(activate(sum, activation) as f32);
                }
            }
        }
    }
    y
}
