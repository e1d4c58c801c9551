//! Convolution (cross-correlation, as in every deep-learning framework).

use crate::shapes::{Activation, ConvShape};

/// `activation(conv(x, w) + bias + residual)`.
///
/// `x` `[batch][in_h][in_w][in_c]`, `w` `[out_c][kernel_h][kernel_w][in_c]`, `bias` `[out_c]`, `residual` and
/// the result `[batch][out_h][out_w][out_c]`. Output `(oy, ox)` starts at input `(oy * stride - pad_top, ox *
/// stride - pad_left)`; what lies outside the input is 0.
pub fn conv2d(
    x: &[f32],
    w: &[f32],
    bias: &[f32],
    residual: Option<&[f32]>,
    shape: &ConvShape,
    activation: Activation,
) -> Vec<f32> {
    let s = shape;
    let (in_c, out_c) = (s.in_c as usize, s.out_c as usize);
    assert_eq!(x.len(), s.input_len(), "x of {s:?}");
    assert_eq!(w.len(), out_c * s.kernel_h as usize * s.kernel_w as usize * in_c, "w of {s:?}");
    assert_eq!(bias.len(), out_c, "bias of {s:?}");
    assert!(residual.is_none_or(|r| r.len() == s.output_len()), "residual of {s:?}");
    let at = |i: usize| {
        let add = residual.map_or(0.0, |r| f64::from(r[i]));
        activate(conv_sum(x, w, s, i) + f64::from(bias[i % out_c]) + add, activation) as f32
    };
    (0..s.output_len()).map(at).collect()
}

/// Output `index` of a convolution before bias, residual and activation, with the arguments of [`conv2d`].
pub fn conv_sum(x: &[f32], w: &[f32], s: &ConvShape, index: usize) -> f64 {
    let (in_c, out_c) = (s.in_c as usize, s.out_c as usize);
    let (co, pixel) = ((index % out_c) as u32, (index / out_c) as u32);
    let [n, oy, ox] = [pixel / s.out_w / s.out_h, pixel / s.out_w % s.out_h, pixel % s.out_w];
    let mut sum = 0.0;
    for ky in 0..s.kernel_h {
        for kx in 0..s.kernel_w {
            let Some(from) = input_pixel(s, n, [oy, ox], [ky, kx]) else { continue };
            let tap = (co * s.kernel_h + ky) * s.kernel_w + kx;
            sum += dot(&x[from * in_c..][..in_c], &w[tap as usize * in_c..][..in_c]);
        }
    }
    sum
}

/// Index of the input pixel, over all images, that tap `(ky, kx)` of output `(oy, ox)` of image `n` reads;
/// `None` where it lies in the padding.
pub(crate) fn input_pixel(s: &ConvShape, n: u32, [oy, ox]: [u32; 2], [ky, kx]: [u32; 2]) -> Option<usize> {
    let iy = (oy * s.stride + ky).checked_add_signed(-s.pad_top).filter(|&y| y < s.in_h)?;
    let ix = (ox * s.stride + kx).checked_sub(s.pad_left).filter(|&x| x < s.in_w)?;
    Some((n as usize * s.in_h as usize + iy as usize) * s.in_w as usize + ix as usize)
}

/// Sum of products.
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
}

/// What an output goes through last.
pub(crate) fn activate(v: f64, activation: Activation) -> f64 {
    match activation {
        Activation::None => v,
        Activation::Relu => v.max(0.0),
        Activation::Relu6 => v.clamp(0.0, 6.0),
    }
}
