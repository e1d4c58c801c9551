//! The network that makes the features, and models that were made with it.

use super::device::DeviceArgs;
use super::failure::Outcome;
use super::sizes::parse_bytes;
use softpatch::data::Roi;
use softpatch::detector::{Backbone, Detector};
use std::path::{Path, PathBuf};

/// Which network makes the features.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct BackboneArgs {
    /// Weights of another backbone than the built-in EfficientNet-Lite0: safetensors with the names of
    /// torchvision or timm (ResNet-18, 34, 50, 101, WideResNet-50-2), or of efficientnet_lite_pytorch or timm
    /// (EfficientNet-Lite 0 to 2).
    #[arg(long, value_name = "FILE")]
    pub backbone: Option<PathBuf>,
    /// Architecture of the weights, e.g. wide_resnet50_2; without it, names and shapes in the file tell.
    /// Needed for timm's efficientnet_lite0.ra_in1k, which has the names of tf_efficientnet_lite0.
    #[arg(long, value_name = "NAME", requires = "backbone")]
    pub arch: Option<String>,
    /// Layers that patches come from, with commas between, e.g. layer2,layer3 [default for ResNets:
    /// layer2,layer3].
    #[arg(long, value_name = "NAMES", value_delimiter = ',', requires = "backbone")]
    pub layers: Vec<String>,
}

/// The built-in backbone, where there is one.
pub fn embedded() -> Outcome<Backbone> {
    #[cfg(feature = "embedded-weights")]
    return Ok(Backbone::embedded()?);
    #[cfg(not(feature = "embedded-weights"))]
    Err(super::failure::Failure::Failed(softpatch::Error::Weights {
        path: "<embedded>".into(),
        reason: "this program was built without weights of its own; name a file with --backbone".into(),
    }))
}

impl BackboneArgs {
    /// Opens it.
    pub fn open(&self) -> Outcome<Backbone> {
        let Some(path) = &self.backbone else { return embedded() };
        let layers: Vec<&str> = self.layers.iter().map(String::as_str).collect();
        Ok(Backbone::open(path, self.arch.as_deref(), (!layers.is_empty()).then_some(layers.as_slice()))?)
    }
}

/// How a model is used: weights, where it was not made with the built-in backbone, and what is not scored.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct ModelArgs {
    /// Weights that the model was made with, where those were not the built-in ones.
    #[arg(long, value_name = "FILE")]
    pub backbone: Option<PathBuf>,
    /// Mask of any size that is laid over every picture: what is white is not scored, besides what the model does
    /// not look at.
    #[arg(long, value_name = "MASK")]
    pub ignore: Option<PathBuf>,
    /// Memory for scoring, device and host together, e.g. 800MB or 2GiB: fewer images at a time, large frames in
    /// bands, with the same scores. Weights, driver and 64 MiB of buffers come on top [default: what the model
    /// was fitted within].
    #[arg(long, value_name = "SIZE", value_parser = parse_bytes)]
    pub memory: Option<u64>,
}

/// Reads a model before a device is opened, so that a bad path or file is said at once.
pub fn open_model(path: &Path, weights: &ModelArgs, device: &DeviceArgs) -> Outcome<Detector> {
    let model = softpatch::detector::Model::load(path)?;
    let kept = weights.ignore.as_ref().map(Roi::load_ignored).transpose()?;
    let backbone = match &weights.backbone {
        None => embedded()?,
        Some(file) => {
            let made_with = &model.info.backbone;
            let layers: Vec<&str> = made_with.layers.iter().map(String::as_str).collect();
            Backbone::open(file, Some(&made_with.arch), Some(&layers))?
        }
    };
    let device = device.open()?;
    let detector = match weights.memory {
        Some(memory) => Detector::within(&device, &backbone, model, memory),
        None => Detector::new(&device, &backbone, model),
    };
    let detector = detector.map_err(|e| match e {
        softpatch::Error::Model { reason, .. } => softpatch::Error::Model { path: path.to_owned(), reason },
        other => other,
    })?;
    if kept.is_some() {
        detector.keep_to(kept.as_ref())?;
    }
    Ok(detector)
}
