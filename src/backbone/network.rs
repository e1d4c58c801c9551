//! A backbone as a table of layers, and the sizes that follow from it.

use crate::shapes::{Activation, ConvShape};
use crate::{Error, Result};

/// Mean of every channel over ImageNet, in 8-bit units.
pub(super) const IMAGENET_MEAN: [f32; 3] = [0.485 * 255.0, 0.456 * 255.0, 0.406 * 255.0];
/// Standard deviation of every channel over ImageNet, in 8-bit units.
pub(super) const IMAGENET_STD: [f32; 3] = [0.229 * 255.0, 0.224 * 255.0, 0.225 * 255.0];

/// How a layer pads its input with zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Padding {
    /// As TensorFlow's "same": the output has `ceil(in / stride)` positions, the odd zero stands right and
    /// below.
    Same,
    /// So many on every side, as PyTorch.
    Explicit(u32),
}

/// What a layer computes. Kernels are square.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Convolution to `out_c` channels.
    Conv {
        /// Output channels.
        out_c: u32,
    },
    /// Depthwise convolution.
    Depthwise,
    /// Maximum pooling; has no weights.
    MaxPool,
}

/// One layer: `activation(norm(kind(value[input])) + value[residual])`. Layer `i` makes value `i + 1`; value
/// 0 is the image.
#[derive(Clone, Debug)]
pub struct Layer {
    /// What it computes.
    pub kind: Kind,
    /// Kernel side.
    pub kernel: u32,
    /// Step.
    pub stride: u32,
    /// Zeros around.
    pub padding: Padding,
    /// Value that it reads.
    pub input: usize,
    /// Value added before the activation.
    pub residual: Option<usize>,
    /// Activation.
    pub activation: Activation,
    /// Tensor name of the weights, `[out][in][k][k]` (depthwise `[c][1][k][k]`).
    pub weight: String,
    /// Prefix of the batch-norm tensors that follow it.
    pub norm: String,
}

/// A stage that patches are taken from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tap {
    /// Name as users write it, e.g. `layer2` or `block4`.
    pub name: String,
    /// Value index.
    pub value: usize,
}

/// A truncated classifier.
#[derive(Clone, Debug)]
pub struct Network {
    /// Architecture name, e.g. `efficientnet-lite0`.
    pub name: String,
    /// Layers in order.
    pub layers: Vec<Layer>,
    /// Stages, from fine to coarse.
    pub taps: Vec<Tap>,
    /// Mean of every channel, in 8-bit units.
    pub mean: [f32; 3],
    /// Standard deviation of every channel, in 8-bit units.
    pub std: [f32; 3],
    /// Epsilon of the batch norms.
    pub eps: f64,
}

/// Sizes of a value: height, width, channels.
pub type Size = [u32; 3];

impl Network {
    /// Sizes of every value for an input of `h` x `w` pixels. Value 0 has 4 channels, the fourth is 0.
    ///
    /// # Errors
    /// [`Error::InvalidOption`] where the input is too small for the layers.
    pub fn sizes(&self, h: u32, w: u32) -> Result<Vec<Size>> {
        let mut sizes = vec![[h, w, 4]];
        for layer in &self.layers {
            let [in_h, in_w, in_c] = sizes[layer.input];
            let out = |n: u32| match layer.padding {
                Padding::Same => Some(n.div_ceil(layer.stride)),
                Padding::Explicit(pad) => {
                    (n + 2 * pad).checked_sub(layer.kernel).map(|n| n / layer.stride + 1)
                }
            };
            let out_c = match layer.kind {
                Kind::Conv { out_c } => out_c,
                Kind::Depthwise | Kind::MaxPool => in_c,
            };
            match (out(in_h), out(in_w)) {
                (Some(h @ 1..), Some(w @ 1..)) => sizes.push([h, w, out_c]),
                _ => {
                    return Err(Error::InvalidOption(format!(
                        "an input of {w}x{h} is too small for {}: nothing is left at {}",
                        self.name, layer.weight
                    )));
                }
            }
        }
        Ok(sizes)
    }

    /// Pixels of the input by which a step of the coarsest tap goes: sides that are multiples of it leave no
    /// pixel out, and every stage's grid divides the finer one's.
    pub fn stride(&self) -> u32 {
        let strides = self.strides();
        self.taps.iter().map(|tap| strides[tap.value]).max().unwrap_or(1)
    }

    /// Pixels of the input by which a step of every value goes.
    pub fn strides(&self) -> Vec<u32> {
        let mut strides = vec![1];
        for layer in &self.layers {
            strides.push(strides[layer.input] * layer.stride);
        }
        strides
    }

    /// Shape of layer `index` for a batch.
    pub fn conv_shape(&self, index: usize, sizes: &[Size], batch: u32) -> ConvShape {
        let layer = &self.layers[index];
        let ([in_h, in_w, in_c], [out_h, out_w, out_c]) = (sizes[layer.input], sizes[index + 1]);
        let pad = |input: u32, output: u32| match layer.padding {
            Padding::Explicit(pad) => pad,
            Padding::Same => ((output - 1) * layer.stride + layer.kernel).saturating_sub(input) / 2,
        };
        ConvShape {
            batch,
            in_h,
            in_w,
            in_c,
            out_c,
            kernel_h: layer.kernel,
            kernel_w: layer.kernel,
            stride: layer.stride,
            pad_top: pad(in_h, out_h) as i32,
            pad_left: pad(in_w, out_w),
            out_h,
            out_w,
        }
    }

    /// Cuts the network after the last of the taps named, and keeps only those taps.
    ///
    /// # Errors
    /// [`Error::InvalidOption`] where a name is unknown or none is given.
    pub fn with_taps(mut self, names: &[&str]) -> Result<Self> {
        for name in names {
            if !self.taps.iter().any(|t| t.name == *name) {
                let known: Vec<_> = self.taps.iter().map(|t| t.name.as_str()).collect();
                return Err(Error::InvalidOption(format!(
                    "{} has no layer '{name}'; it has {}",
                    self.name,
                    known.join(", ")
                )));
            }
        }
        self.taps.retain(|t| names.contains(&t.name.as_str()));
        let last = self.taps.last().ok_or_else(|| Error::InvalidOption("no layer is named".into()))?.value;
        self.layers.truncate(last);
        Ok(self)
    }
}
