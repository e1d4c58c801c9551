//! Depthwise convolution: every channel has its own kernel.

use super::check_len;
use super::conv::{Activation, ConvShape};

/// `activation(x * w + bias + residual)`: `[batch][out_h][out_w][c]`.
///
/// `x` is `[batch][in_h][in_w][c]`, `w` `[kernel_h][kernel_w][c]`, `bias` `[c]`, `residual` of the output's shape;
/// `shape.in_c` and `shape.out_c` are both `c`.
pub fn depthwise(
    x: &[f32],
    w: &[f32],
    bias: &[f32],
    residual: Option<&[f32]>,
    shape: &ConvShape,
    activation: Activation,
) -> Vec<f32> {
    let s = shape;
    let channels = s.in_c;
    assert_eq!(channels, s.out_c, "depthwise: as many channels out as in");
    check_len("depthwise: input", x, &[s.batch, s.in_h, s.in_w, channels]);
    check_len("depthwise: weights", w, &[s.kernel_h, s.kernel_w, channels]);
    check_len("depthwise: bias", bias, &[channels]);
    if let Some(residual) = residual {
        check_len("depthwise: residual", residual, &[s.batch, s.out_h, s.out_w, channels]);
    }
    let mut out = Vec::with_capacity(s.batch * s.out_h * s.out_w * channels);
    for image in 0..s.batch {
        for y in 0..s.out_h {
            for ox in 0..s.out_w {
                for c in 0..channels {
                    let mut sum = f64::from(bias[c]);
                    for ky in 0..s.kernel_h {
                        for kx in 0..s.kernel_w {
                            let Some(pixel) = s.source(image, [y, ox], [ky, kx]) else { continue };
                            let weight = w[(ky * s.kernel_w + kx) * channels + c];
                            sum += f64::from(x[pixel * channels + c]) * f64::from(weight);
                        }
                    }
                    let residual = residual.map_or(0.0, |residual| f64::from(residual[out.len()]));
                    out.push(activation.apply(sum + residual) as f32);
                }
            }
        }
    }
    out
}
