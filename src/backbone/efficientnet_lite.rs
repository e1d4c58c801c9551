//! EfficientNet-Lite 0 to 2 as layer tables, with the tensor names of efficientnet_lite_pytorch and of timm.

use super::network::{IMAGENET_MEAN, IMAGENET_STD, Kind, Layer, Network, Padding, Tap};
use crate::shapes::Activation;

/// Stages of EfficientNet-B0: repeats, kernel, stride, expansion, output channels (Tan & Le 2019, table 1).
const STAGES: [(u32, u32, u32, u32, u32); 7] = [
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
];

/// Width and depth factors of the variants 0, 1, 2.
const SCALING: [(f64, f64); 3] = [(1.0, 1.0), (1.0, 1.1), (1.1, 1.2)];

/// Channels scaled and rounded to a multiple of 8, never by more than 10 % down.
fn width(channels: u32, factor: f64) -> u32 {
    let scaled = f64::from(channels) * factor;
    let rounded = ((scaled + 4.0) as u32 / 8 * 8).max(8);
    if f64::from(rounded) < 0.9 * scaled { rounded + 8 } else { rounded }
}

/// Whose weights a table is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    /// efficientnet_lite_pytorch.
    Published,
    /// timm's `tf_` models: the same computation under other names, and another scale of the input.
    TimmTf,
    /// timm's own training of Lite0: PyTorch's padding and epsilon, ImageNet's mean and deviation.
    TimmRa,
}

/// Tensor names of a block's three convolutions, each with its batch norm.
fn block_names(source: Source, block: u32, [stage, repeat]: [usize; 2], expanded: bool) -> [[String; 2]; 3] {
    let name = |[conv, norm]: [&str; 2]| match source {
        Source::Published => [format!("_blocks.{block}.{conv}.weight"), format!("_blocks.{block}.{norm}")],
        _ => [format!("blocks.{stage}.{repeat}.{conv}.weight"), format!("blocks.{stage}.{repeat}.{norm}")],
    };
    match (source, expanded) {
        (Source::Published, _) => {
            [["_expand_conv", "_bn0"], ["_depthwise_conv", "_bn1"], ["_project_conv", "_bn2"]].map(name)
        }
        (_, true) => [["conv_pw", "bn1"], ["conv_dw", "bn2"], ["conv_pwl", "bn3"]].map(name),
        // The first is not there.
        (_, false) => [["", ""], ["conv_dw", "bn1"], ["conv_pw", "bn2"]].map(name),
    }
}

/// The whole convolutional part of EfficientNet-Lite `variant` (0 to 2), a tap after every block, with the
/// tensor names of efficientnet_lite_pytorch. Stem and first stage keep their sizes in all Lite variants, and
/// so does the depth of the first and last stage.
///
/// # Panics
/// Where the variant is over 2.
pub fn efficientnet_lite(variant: usize) -> Network {
    table(format!("efficientnet-lite{variant}"), variant, Source::Published)
}

/// [`efficientnet_lite`] for weights of timm's `tf_efficientnet_lite0` to `2`: their names, and an input of
/// -1 to 1.
///
/// # Panics
/// Where the variant is over 2.
pub fn tf_efficientnet_lite(variant: usize) -> Network {
    table(format!("tf_efficientnet_lite{variant}"), variant, Source::TimmTf)
}

/// [`efficientnet_lite`] 0 for timm's `efficientnet_lite0.ra_in1k`. Its tensors cannot be told from those of
/// `tf_efficientnet_lite0`, but paddings, epsilon and the scale of the input are others.
pub fn efficientnet_lite0_ra() -> Network {
    table("efficientnet_lite0.ra_in1k".into(), 0, Source::TimmRa)
}

fn table(name: String, variant: usize, source: Source) -> Network {
    let (width_factor, depth_factor) = SCALING[variant];
    let mut layers: Vec<Layer> = Vec::new();
    let mut taps = Vec::new();
    let mut push = |kind, kernel: u32, stride, residual, activation, [weight, norm]: [String; 2]| {
        let input = layers.len();
        let padding = if source == Source::TimmRa { Padding::Explicit(kernel / 2) } else { Padding::Same };
        layers.push(Layer { kind, kernel, stride, padding, input, residual, activation, weight, norm });
        layers.len()
    };
    let relu6 = Activation::Relu6;
    let stem =
        if source == Source::Published { ["_conv_stem.weight", "_bn0"] } else { ["conv_stem.weight", "bn1"] };
    let mut value = push(Kind::Conv { out_c: 32 }, 3, 2, None, relu6, stem.map(String::from));
    let (mut in_c, mut block) = (32, 0);
    for (stage, &(repeats, kernel, stride, expansion, channels)) in STAGES.iter().enumerate() {
        let fixed = stage == 0 || stage == STAGES.len() - 1;
        let repeats = if fixed { repeats } else { (f64::from(repeats) * depth_factor).ceil() as u32 };
        let out_c = width(channels, width_factor);
        for repeat in 0..repeats {
            let stride = if repeat == 0 { stride } else { 1 };
            let residual = (stride == 1 && in_c == out_c).then_some(value);
            let [expand, depthwise, project] =
                block_names(source, block, [stage, repeat as usize], expansion != 1);
            if expansion != 1 {
                push(Kind::Conv { out_c: in_c * expansion }, 1, 1, None, relu6, expand);
            }
            push(Kind::Depthwise, kernel, stride, None, relu6, depthwise);
            value = push(Kind::Conv { out_c }, 1, 1, residual, Activation::None, project);
            taps.push(Tap { name: format!("block{block}"), value });
            in_c = out_c;
            block += 1;
        }
    }
    let (mean, std, eps) = match source {
        Source::Published => ([127.0; 3], [128.0; 3], 1e-3),
        Source::TimmTf => ([127.5; 3], [127.5; 3], 1e-3),
        Source::TimmRa => (IMAGENET_MEAN, IMAGENET_STD, 1e-5),
    };
    Network { name, layers, taps, mean, std, eps }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lite0_has_the_published_sizes() {
        let network = efficientnet_lite(0);
        assert_eq!(network.taps.len(), 16);
        let sizes = network.sizes(224, 224).unwrap();
        let at = |tap: usize| sizes[network.taps[tap].value];
        assert_eq!(at(0), [112, 112, 16]);
        assert_eq!(at(4), [28, 28, 40]);
        assert_eq!(at(10), [14, 14, 112]);
        assert_eq!(at(15), [7, 7, 320]);
    }

    #[test]
    fn widths_round_as_published() {
        let widths: Vec<_> = STAGES.iter().map(|s| width(s.4, 1.1)).collect();
        assert_eq!(widths, [16, 24, 48, 88, 120, 208, 352]);
    }
}
