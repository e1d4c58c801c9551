//! A network with its weights.

use super::{Network, WeightFile, architecture, default_layers};
use crate::Result;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// The backbone that made the features; a model works with no other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackboneInfo {
    /// Architecture, e.g. `efficientnet-lite0`.
    pub arch: String,
    /// Tapped layers, from fine to coarse.
    pub layers: Vec<String>,
    /// SHA-256 of the weight file.
    pub weights_sha256: String,
}

/// The backbone of a model with its weights.
///
/// ```
/// # #[cfg(feature = "embedded-weights")] {
/// use softpatch::Backbone;
/// let backbone = Backbone::embedded()?;
/// assert_eq!(backbone.info().layers, ["block4", "block10"]);
/// // Other weights are files: ResNets of torchvision, EfficientNet-Lite, both also as timm names them.
/// let missing = Backbone::open("wide_resnet50_2.safetensors".as_ref(), None, None).unwrap_err();
/// assert!(missing.to_string().contains("wide_resnet50_2.safetensors"));
/// # }
/// # Ok::<(), softpatch::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Backbone {
    /// Layer table, cut after the last tap.
    pub network: Network,
    /// Weights for it.
    pub weights: WeightFile,
}

impl Backbone {
    /// EfficientNet-Lite0 up to block 10, tapped after blocks 4 and 10; the weights are in the library.
    ///
    /// # Errors
    /// None in practice; the layer names are checked like any others.
    #[cfg(feature = "embedded-weights")]
    pub fn embedded() -> Result<Self> {
        let network = super::efficientnet_lite(0).with_taps(&["block4", "block10"])?;
        Ok(Self { network, weights: WeightFile::embedded() })
    }

    /// A weight file: safetensors in f32, f16 or bf16, with the tensor names of torchvision (ResNets),
    /// efficientnet_lite_pytorch (EfficientNet-Lite) or timm (both). `arch` names the architecture, else
    /// names and shapes of the tensors tell it (all but timm's `efficientnet_lite0.ra_in1k`, see
    /// [`WeightFile::recognise`]); `layers` are the stages that patches come from, else [`default_layers`].
    /// The file need not go on after the last of them.
    ///
    /// # Errors
    /// [`crate::Error::Io`] where the file cannot be read, [`crate::Error::Weights`] that lists what is
    /// missing, [`crate::Error::InvalidOption`] for unknown names.
    pub fn open(path: &Path, arch: Option<&str>, layers: Option<&[&str]>) -> Result<Self> {
        Self::from_weights(WeightFile::open(path)?, arch, layers)
    }

    /// [`Backbone::open`] with a file that is in memory.
    ///
    /// # Errors
    /// As [`Backbone::open`].
    pub fn from_weights(weights: WeightFile, arch: Option<&str>, layers: Option<&[&str]>) -> Result<Self> {
        let network = match arch {
            Some(name) => architecture(name)?,
            None => weights.recognise()?,
        };
        let defaults = default_layers(&network);
        let defaults: Vec<&str> = defaults.iter().map(String::as_str).collect();
        let network = network.with_taps(layers.unwrap_or(&defaults))?;
        weights.check(&network)?;
        Ok(Self { network, weights })
    }

    /// What a model says of it.
    pub fn info(&self) -> BackboneInfo {
        BackboneInfo {
            arch: self.network.name.clone(),
            layers: self.network.taps.iter().map(|t| t.name.clone()).collect(),
            weights_sha256: self.weights.hash().to_owned(),
        }
    }
}
