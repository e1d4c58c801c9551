//! Convolution with its epilogue: bias, residual, activation, in this order.

use super::check_len;

/// Sizes of a convolution. Padding below and to the right is whatever the output size asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvShape {
    /// Images.
    pub batch: usize,
    /// Rows of the input.
    pub in_h: usize,
    /// Columns of the input.
    pub in_w: usize,
    /// Channels of the input.
    pub in_c: usize,
    /// Channels of the output; a depthwise convolution has as many as its input.
    pub out_c: usize,
    /// Rows of the kernel.
    pub kernel_h: usize,
    /// Columns of the kernel.
    pub kernel_w: usize,
    /// Step of both axes.
    pub stride: usize,
    /// Rows of zeros above.
    pub pad_top: usize,
    /// Columns of zeros to the left.
    pub pad_left: usize,
    /// Rows of the output.
    pub out_h: usize,
    /// Columns of the output.
    pub out_w: usize,
}

impl ConvShape {
    /// Index of the input's pixel that tap `(ky, kx)` of output `(y, x)` of image `image` reads; none in the padding.
    pub(super) fn source(&self, image: usize, [y, x]: [usize; 2], [ky, kx]: [usize; 2]) -> Option<usize> {
        let row = (y * self.stride + ky).checked_sub(self.pad_top).filter(|row| *row < self.in_h)?;
        let column = (x * self.stride + kx).checked_sub(self.pad_left).filter(|c| *c < self.in_w)?;
        Some((image * self.in_h + row) * self.in_w + column)
    }
}

/// What follows the sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// Nothing.
    None,
    /// `max(v, 0)`.
    Relu,
    /// `min(max(v, 0), 6)`.
    Relu6,
}

impl Activation {
    /// Applies it.
    pub fn apply(self, value: f64) -> f64 {
        match self {
            Self::None => value,
            Self::Relu => value.max(0.0),
            Self::Relu6 => value.clamp(0.0, 6.0),
        }
    }
}

/// `activation(x * w + bias + residual)`: `[batch][out_h][out_w][out_c]`.
///
/// `x` is `[batch][in_h][in_w][in_c]`, `w` `[kernel_h][kernel_w][in_c][out_c]`, `bias` `[out_c]`, `residual` of the output's
/// shape. As in deep-learning libraries the kernel is not flipped. The order is that of ResNet's last convolution of a
/// block; EfficientNet adds its residual without an activation, which is the same with [`Activation::None`].
pub fn conv2d(
    x: &[f32],
    w: &[f32],
    bias: &[f32],
    residual: Option<&[f32]>,
    shape: &ConvShape,
    activation: Activation,
) -> Vec<f32> {
    let s = shape;
    check_len("conv2d: input", x, &[s.batch, s.in_h, s.in_w, s.in_c]);
    check_len("conv2d: weights", w, &[s.kernel_h, s.kernel_w, s.in_c, s.out_c]);
    check_len("conv2d: bias", bias, &[s.out_c]);
    if let Some(residual) = residual {
        check_len("conv2d: residual", residual, &[s.batch, s.out_h, s.out_w, s.out_c]);
    }
    let mut out = Vec::with_capacity(s.batch * s.out_h * s.out_w * s.out_c);
    let mut sums = vec![0.0_f64; s.out_c];
    for image in 0..s.batch {
        for y in 0..s.out_h {
            for ox in 0..s.out_w {
                sums.fill(0.0);
                for ky in 0..s.kernel_h {
                    for kx in 0..s.kernel_w {
                        let Some(pixel) = s.source(image, [y, ox], [ky, kx]) else { continue };
                        for ci in 0..s.in_c {
                            let value = f64::from(x[pixel * s.in_c + ci]);
                            let row = &w[((ky * s.kernel_w + kx) * s.in_c + ci) * s.out_c..][..s.out_c];
                            for (sum, weight) in sums.iter_mut().zip(row) {
                                *sum += value * f64::from(*weight);
                            }
                        }
                    }
                }
                for co in 0..s.out_c {
                    let residual = residual.map_or(0.0, |residual| f64::from(residual[out.len()]));
                    out.push(activation.apply(sums[co] + f64::from(bias[co]) + residual) as f32);
                }
            }
        }
    }
    out
}
