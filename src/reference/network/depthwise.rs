//! Depthwise convolution: each channel with its own kernel.

use crate::reference::network::conv::{activate, input_pixel};
use crate::shapes::{Activation, ConvShape};

/// `activation(depthwise(x, w) + bias)`.
///
/// `x` `[batch][in_h][in_w][c]`, `w` `[kernel_h][kernel_w][c]`, `bias` `[c]`, the result
/// `[batch][out_h][out_w][c]`. Padding is as in [`crate::reference::network::conv::conv2d`].
pub fn depthwise(x: &[f32], w: &[f32], bias: &[f32], shape: &ConvShape, activation: Activation) -> Vec<f32> {
    let s = shape;
    let channels = s.in_c as usize;
    assert_eq!(s.in_c, s.out_c, "channels of {s:?}");
    assert_eq!(x.len(), s.input_len(), "x of {s:?}");
    assert_eq!(w.len(), s.kernel_h as usize * s.kernel_w as usize * channels, "w of {s:?}");
    assert_eq!(bias.len(), channels, "bias of {s:?}");
    let at =
        |i: usize| activate(depthwise_sum(x, w, s, i) + f64::from(bias[i % channels]), activation) as f32;
    (0..s.output_len()).map(at).collect()
}

/// Output `index` before bias and activation, with the arguments of [`depthwise`].
pub fn depthwise_sum(x: &[f32], w: &[f32], s: &ConvShape, index: usize) -> f64 {
    let channels = s.in_c as usize;
    let (c, pixel) = (index % channels, (index / channels) as u32);
    let [n, oy, ox] = [pixel / s.out_w / s.out_h, pixel / s.out_w % s.out_h, pixel % s.out_w];
    let mut sum = 0.0;
    for ky in 0..s.kernel_h {
        for kx in 0..s.kernel_w {
            let Some(from) = input_pixel(s, n, [oy, ox], [ky, kx]) else { continue };
            let tap = (ky * s.kernel_w + kx) as usize;
            sum += f64::from(x[from * channels + c]) * f64::from(w[tap * channels + c]);
        }
    }
    sum
}
