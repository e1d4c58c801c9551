//! Layer tables, batch-norm folding and weight loading of the supported backbones.

use crate::{Error, Result};

#[allow(clippy::module_inception, reason = "the room is named after what it is for")]
mod backbone;
mod bands;
mod efficientnet_lite;
pub(crate) mod embedding;
mod extractor;
mod feed;
mod layout;
mod made_up;
pub mod network;
mod resnet;
mod weights;

pub use backbone::{Backbone, BackboneInfo};
pub use efficientnet_lite::{efficientnet_lite, efficientnet_lite0_ra, tf_efficientnet_lite};
pub use embedding::Patches;
pub use extractor::{Extractor, Piece};
pub use feed::Feed;
pub use layout::{Extraction, Precision};
pub use made_up::made_up;
pub use network::Network;
pub use resnet::{RESNETS, resnet};
pub use weights::{Folded, WeightFile};

/// Every architecture, smaller ones first; of two with equal tensors the one that a file is taken for comes
/// first.
pub fn architectures() -> Vec<Network> {
    let lite = (0..3).map(efficientnet_lite).chain((0..3).map(tf_efficientnet_lite));
    RESNETS.iter().filter_map(|name| resnet(name)).chain(lite).chain([efficientnet_lite0_ra()]).collect()
}

/// The architecture of that name as torchvision, timm or this crate write it (`wide_resnet50_2`,
/// `wide-resnet50-2`).
///
/// # Errors
/// [`Error::InvalidOption`] that lists the names known.
pub fn architecture(name: &str) -> Result<Network> {
    let plain = |name: &str| name.to_ascii_lowercase().replace('_', "-");
    let all = architectures();
    let known: Vec<_> = all.iter().map(|n| n.name.clone()).collect();
    all.into_iter().find(|n| plain(&n.name) == plain(name)).ok_or_else(|| {
        Error::InvalidOption(format!("no architecture is called '{name}'; known are {}", known.join(", ")))
    })
}

/// The layers that patches come from unless others are named: of a ResNet those that the papers use, of an
/// EfficientNet-Lite the last blocks of strides 8 and 16.
pub fn default_layers(network: &Network) -> Vec<String> {
    if RESNETS.contains(&network.name.as_str()) {
        return vec!["layer2".into(), "layer3".into()];
    }
    // At any size that 32 divides the strides are exact.
    let sizes = network.sizes(224, 224).unwrap_or_default();
    [8, 16]
        .iter()
        .filter_map(|stride| {
            network.taps.iter().rfind(|t| sizes.get(t.value).is_some_and(|s| s[0] == 224 / stride))
        })
        .map(|tap| tap.name.clone())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn architectures_have_names_and_default_layers() {
        for (name, layers) in [
            ("resnet18", ["layer2", "layer3"]),
            ("Wide-ResNet50-2", ["layer2", "layer3"]),
            ("efficientnet_lite0", ["block4", "block10"]),
            ("efficientnet-lite1", ["block6", "block14"]),
            ("efficientnet-lite2", ["block6", "block14"]),
            ("tf_efficientnet_lite2", ["block6", "block14"]),
            ("efficientnet-lite0.ra-in1k", ["block4", "block10"]),
        ] {
            assert_eq!(default_layers(&architecture(name).unwrap()), layers, "{name}");
        }
        assert!(architecture("vgg16").unwrap_err().to_string().contains("resnet101"));
    }
}
