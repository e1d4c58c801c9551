//! ResNets and WideResNet-50-2 as layer tables, with the tensor names of torchvision and timm.

use super::network::{IMAGENET_MEAN, IMAGENET_STD, Kind, Layer, Network, Padding, Tap};
use crate::shapes::Activation;

/// Blocks a stage, whether they are bottlenecks, and the bottleneck's width as a multiple of the stage's
/// planes (He et al. 2016, table 1; Zagoruyko & Komodakis 2016).
struct Plan {
    name: &'static str,
    blocks: [u32; 4],
    bottleneck: bool,
    widening: u32,
}

const PLANS: [Plan; 5] = [
    Plan { name: "resnet18", blocks: [2, 2, 2, 2], bottleneck: false, widening: 1 },
    Plan { name: "resnet34", blocks: [3, 4, 6, 3], bottleneck: false, widening: 1 },
    Plan { name: "resnet50", blocks: [3, 4, 6, 3], bottleneck: true, widening: 1 },
    Plan { name: "resnet101", blocks: [3, 4, 23, 3], bottleneck: true, widening: 1 },
    Plan { name: "wide_resnet50_2", blocks: [3, 4, 6, 3], bottleneck: true, widening: 2 },
];

/// Names that [`resnet`] knows.
pub const RESNETS: [&str; PLANS.len()] =
    [PLANS[0].name, PLANS[1].name, PLANS[2].name, PLANS[3].name, PLANS[4].name];

/// Builds the table layer by layer.
struct Builder {
    layers: Vec<Layer>,
}

impl Builder {
    /// Adds a convolution with the batch norm after it; returns its value.
    fn conv(
        &mut self,
        [input, out_c, kernel, stride]: [u32; 4],
        residual: Option<u32>,
        activation: Activation,
        weight: String,
        norm: String,
    ) -> u32 {
        self.layers.push(Layer {
            kind: Kind::Conv { out_c },
            kernel,
            stride,
            padding: Padding::Explicit(kernel / 2),
            input: input as usize,
            residual: residual.map(|r| r as usize),
            activation,
            weight: format!("{weight}.weight"),
            norm,
        });
        self.layers.len() as u32
    }
}

/// The convolutional part of the residual network `name` (one of [`RESNETS`]), tapped after every stage,
/// `layer1` to `layer4`; `None` for other names. As in torchvision, a bottleneck steps in its 3x3
/// convolution.
pub fn resnet(name: &str) -> Option<Network> {
    let plan = PLANS.iter().find(|p| p.name == name)?;
    let relu = Activation::Relu;
    let mut b = Builder { layers: Vec::new() };
    let mut x = b.conv([0, 64, 7, 2], None, relu, "conv1".into(), "bn1".into());
    b.layers.push(Layer {
        kind: Kind::MaxPool,
        kernel: 3,
        stride: 2,
        padding: Padding::Explicit(1),
        input: x as usize,
        residual: None,
        activation: Activation::None,
        weight: "maxpool".into(),
        norm: String::new(),
    });
    x += 1;
    let (mut in_c, mut taps) = (64, Vec::new());
    for (stage, &blocks) in plan.blocks.iter().enumerate() {
        let planes = 64 << stage;
        let out_c = if plan.bottleneck { 4 * planes } else { planes };
        for block in 0..blocks {
            let stride = if block == 0 && stage > 0 { 2 } else { 1 };
            let name = |part: &str| format!("layer{}.{block}.{part}", stage + 1);
            let conv = |i: u32| (name(&format!("conv{i}")), name(&format!("bn{i}")));
            // Kernel, channels and stride of the block's convolutions.
            let width = planes * plan.widening;
            let basic = [[3, planes, stride], [3, planes, 1]];
            let bottleneck = [[1, width, 1], [3, width, stride], [1, out_c, 1]];
            let convs: &[[u32; 3]] = if plan.bottleneck { &bottleneck } else { &basic };
            let mut value = x;
            for (i, &[kernel, channels, step]) in convs.iter().enumerate() {
                let (weight, norm) = conv(i as u32 + 1);
                let last = i + 1 == convs.len();
                let mut shortcut = None;
                if last && (stride != 1 || in_c != out_c) {
                    let (weight, norm) = (name("downsample.0"), name("downsample.1"));
                    shortcut = Some(b.conv([x, out_c, 1, stride], None, Activation::None, weight, norm));
                } else if last {
                    shortcut = Some(x);
                }
                value = b.conv([value, channels, kernel, step], shortcut, relu, weight, norm);
            }
            (x, in_c) = (value, out_c);
        }
        taps.push(Tap { name: format!("layer{}", stage + 1), value: x as usize });
    }
    Some(Network {
        name: name.to_owned(),
        layers: b.layers,
        taps,
        mean: IMAGENET_MEAN,
        std: IMAGENET_STD,
        eps: 1e-5,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_have_the_published_sizes() {
        for (name, convs, channels) in [
            ("resnet18", 20, [64, 128, 256, 512]),
            ("resnet34", 36, [64, 128, 256, 512]),
            ("resnet50", 53, [256, 512, 1024, 2048]),
            ("resnet101", 104, [256, 512, 1024, 2048]),
            ("wide_resnet50_2", 53, [256, 512, 1024, 2048]),
        ] {
            let network = resnet(name).unwrap();
            assert_eq!(network.layers.len(), convs + 1, "{name}");
            for (side, sides) in [(224, [56, 28, 14, 7]), (250, [63, 32, 16, 8])] {
                let sizes = network.sizes(side, side).unwrap();
                for (i, tap) in network.taps.iter().enumerate() {
                    assert_eq!(sizes[tap.value], [sides[i], sides[i], channels[i]], "{name} {}", tap.name);
                }
            }
        }
        assert!(resnet("resnet20").is_none());
        assert_eq!(RESNETS.len(), 5);
    }

    #[test]
    fn a_bottleneck_steps_in_its_middle_and_widens_there() {
        let network = resnet("wide_resnet50_2").unwrap();
        let layer = |name: &str| network.layers.iter().find(|l| l.weight == name).unwrap();
        assert_eq!(layer("layer2.0.conv1.weight").kind, Kind::Conv { out_c: 256 });
        assert_eq!(layer("layer2.0.conv1.weight").stride, 1);
        assert_eq!(layer("layer2.0.conv2.weight").stride, 2);
        assert_eq!(layer("layer2.0.downsample.0.weight").stride, 2);
        let last = layer("layer2.0.conv3.weight");
        assert_eq!(network.layers[last.residual.unwrap() - 1].weight, "layer2.0.downsample.0.weight");
        assert_eq!(network.layers[last.residual.unwrap() - 1].activation, Activation::None);
    }
}
