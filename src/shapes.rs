//! Sizes that a step, its reference and the layer tables talk about.

/// What an output goes through last.
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
    /// Bounds of the clamp that computes it; what is stored as f16 stays in its range.
    pub(crate) fn bounds(self, f16: bool) -> (f32, f32) {
        let max = if f16 { half::f16::MAX.to_f32() } else { f32::MAX };
        match self {
            Self::None => (-max, max),
            Self::Relu => (0.0, max),
            Self::Relu6 => (0.0, 6.0),
        }
    }
}

/// Sizes of a convolution, NHWC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvShape {
    /// Images.
    pub batch: u32,
    /// Input height.
    pub in_h: u32,
    /// Input width.
    pub in_w: u32,
    /// Input channels, a multiple of 4.
    pub in_c: u32,
    /// Output channels, a multiple of 4.
    pub out_c: u32,
    /// Kernel height.
    pub kernel_h: u32,
    /// Kernel width.
    pub kernel_w: u32,
    /// Step in both directions.
    pub stride: u32,
    /// Zero rows above; those below follow from the output height. Less than 0: so many rows of the input are
    /// passed over.
    pub pad_top: i32,
    /// Zero columns to the left; those to the right follow from the output width.
    pub pad_left: u32,
    /// Output height.
    pub out_h: u32,
    /// Output width.
    pub out_w: u32,
}

impl ConvShape {
    /// Values of the input.
    pub fn input_len(&self) -> usize {
        self.batch as usize * self.in_h as usize * self.in_w as usize * self.in_c as usize
    }

    /// Values of the output.
    pub fn output_len(&self) -> usize {
        self.batch as usize * self.out_h as usize * self.out_w as usize * self.out_c as usize
    }

    /// Whether this is a plain matrix product over pixels.
    pub fn pointwise(&self) -> bool {
        self.kernel_h == 1
            && self.kernel_w == 1
            && self.stride == 1
            && self.pad_top == 0
            && self.pad_left == 0
            && (self.in_h, self.in_w) == (self.out_h, self.out_w)
    }
}
