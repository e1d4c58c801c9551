//! Settings of a fit.

use crate::backbone::{Patches, Precision, RESNETS};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// How a training patch gets its outlier score (docs/method.md, section 4; SoftPatch, section 3.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Discriminator {
    /// Local outlier factor against the patches at the same position.
    #[default]
    Lof,
    /// Distance to the nearest other patch at the same position.
    Nearest,
    /// Mahalanobis distance to the patches at the same position.
    Gaussian,
    /// Every score 1, nothing is dropped: PatchCore.
    None,
}

impl std::fmt::Display for Discriminator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Lof => "lof",
            Self::Nearest => "nearest",
            Self::Gaussian => "gaussian",
            Self::None => "none",
        })
    }
}

/// How the patches of the backbone's stages become one vector (docs/method.md, section 3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Embedding {
    /// `pooled` for ResNets, as PatchCore and SoftPatch publish their numbers, `concat` for EfficientNet-Lite; a model
    /// records which it was.
    #[default]
    Auto,
    /// 3x3 means of the stages side by side: as many values as the stages have channels.
    Concat,
    /// 3x3 neighbourhoods, averaged adaptively to 1024 values a stage and to `embedding-dim` in all.
    Pooled,
}

impl std::fmt::Display for Embedding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Concat => "concat",
            Self::Pooled => "pooled",
        })
    }
}

/// Whose choices stand where the method's description and the program published with SoftPatch part (docs/method.md, section 11).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Compat {
    /// The description's.
    #[default]
    None,
    /// The published program's, for comparison with it. Of the selection of the memory bank, exactly these change:
    ///
    /// - The 10 start patches are drawn from all training patches, and the first row of the bank is the patch of all with
    ///   the largest mean distance to them, dropped or not; from the second row on only kept patches are chosen.
    /// - Those mean distances stay in the running minimum for ever: a patch's distance never counts as more than its mean
    ///   distance to the start patches.
    /// - The coreset works on vectors projected by a map of its own, that of `seed + 1`; the discriminators keep that
    ///   of `seed`. Embeddings of no more than `projection` values are not projected, as ever.
    ///
    /// The published runs also use 5 neighbours for LOF; [`FitOptions::official`] sets both. Scores are squared distances
    /// either way. LOF's density and the arithmetic of distances stay as described, and random numbers are this
    /// program's, so figures compare over seeds, not digit by digit.
    Official,
}

impl std::fmt::Display for Compat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Official => "official",
        })
    }
}

/// Settings of a fit, with the published defaults.
///
/// Every field has a method of its name that sets it:
/// ```
/// use softpatch::{Discriminator, FitOptions};
/// let options = FitOptions::default().resize(256).crop(256).discriminator(Discriminator::Nearest);
/// assert_eq!((options.crop, options.tau), (256, 0.15));
/// options.validate()?;
/// assert!(options.tau(1.0).validate().is_err());
/// # Ok::<(), softpatch::Error>(())
/// ```
/// Later versions add fields. Code that uses these methods, or ends a literal with `..FitOptions::default()`, builds with
/// them as it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct FitOptions {
    /// Outlier score of the training patches.
    pub discriminator: Discriminator,
    /// Share of training patches that is dropped as noise, in [0, 1).
    pub tau: f64,
    /// Neighbours of the local outlier factor; lowered to the number of images less one.
    pub lof_k: u32,
    /// Rows of the memory bank as a share of all training patches, in (0, 1].
    pub coreset_ratio: f64,
    /// Whether bank rows keep their outlier scores as weights.
    pub soft_weights: bool,
    /// How the stages become one vector.
    pub embedding: Embedding,
    /// Values of a pooled embedding: 64 to 1024, a multiple of 4. Of no account for `concat`.
    pub embedding_dim: u32,
    /// Whether the published program's choices are followed.
    pub compat: Compat,
    /// Values of a projected patch; patches of no more values are not projected.
    pub projection: u32,
    /// Seed of the projection and of the coreset's start.
    pub seed: u64,
    /// The shorter side of an image is brought to this many pixels.
    pub resize: u32,
    /// Side of the centred square that is looked at, in pixels.
    pub crop: u32,
    /// Images that go through the backbone at a time.
    pub batch: u32,
    /// Whether images were turned as their EXIF orientation says. Sources decode, not the detector: this tells whoever
    /// scores with the model to treat images alike.
    pub exif: bool,
    /// How the backbone stores weights and activations; a bank fitted in one precision is scored in the same.
    #[serde(skip_serializing_if = "is_f32")]
    pub precision: Precision,
    /// Bytes, on device and host together, for all that grows with the number of training images: features, lists and tables
    /// of the selection, the bank. Features that do not fit wait in temporary files, and the model is the same. What does not
    /// grow comes on top: backbone, its buffers for a batch, the images being decoded, and the driver's own memory.
    pub memory: u64,
}

/// Models in f32 stay readable to programs from before there was a choice.
fn is_f32(precision: &Precision) -> bool {
    *precision == Precision::F32
}

impl Default for FitOptions {
    fn default() -> Self {
        Self {
            discriminator: Discriminator::Lof,
            tau: 0.15,
            lof_k: 6,
            coreset_ratio: 0.1,
            soft_weights: true,
            embedding: Embedding::Auto,
            embedding_dim: 1024,
            compat: Compat::None,
            projection: 128,
            seed: 0,
            resize: 256,
            crop: 224,
            batch: 8,
            exif: false,
            precision: Precision::F32,
            memory: 1 << 30,
        }
    }
}

/// One method a field: `options.crop(256)`.
macro_rules! setters {
    ($($field:ident: $type:ty),* $(,)?) => {
        impl FitOptions {$(
            #[doc = concat!("Sets [`", stringify!($field), "`](field@FitOptions::", stringify!($field), ").")]
            #[must_use]
            pub fn $field(self, $field: $type) -> Self {
                Self { $field, ..self }
            }
        )*}
    };
}

setters! {
    discriminator: Discriminator,
    tau: f64,
    lof_k: u32,
    coreset_ratio: f64,
    soft_weights: bool,
    embedding: Embedding,
    embedding_dim: u32,
    compat: Compat,
    projection: u32,
    seed: u64,
    resize: u32,
    crop: u32,
    batch: u32,
    exif: bool,
    memory: u64,
}

impl FitOptions {
    /// The settings of the published program's runs: [`Compat::Official`], and the 5 neighbours that they use because the
    /// flag of the paper's 6 goes under a wrong name there.
    pub fn official() -> Self {
        Self { compat: Compat::Official, lof_k: 5, ..Self::default() }
    }

    /// The embedding that these settings mean for a backbone of architecture `arch`: never [`Embedding::Auto`].
    pub fn embedding_for(&self, arch: &str) -> Embedding {
        match self.embedding {
            Embedding::Auto if RESNETS.contains(&arch) => Embedding::Pooled,
            Embedding::Auto => Embedding::Concat,
            chosen => chosen,
        }
    }

    /// The same for the extractor.
    pub(crate) fn patches(&self, arch: &str) -> Patches {
        match self.embedding_for(arch) {
            Embedding::Pooled => Patches::Pooled { dim: self.embedding_dim },
            _ => Patches::Concat,
        }
    }

    /// Checks every setting against its range.
    ///
    /// # Errors
    /// [`Error::InvalidOption`] that names the setting and the range.
    pub fn validate(&self) -> Result<()> {
        let fail = |what: String| Err(Error::InvalidOption(what));
        if !(0.0..1.0).contains(&self.tau) {
            return fail(format!("tau is {}, it must be at least 0 and below 1", self.tau));
        }
        if !(self.coreset_ratio > 0.0 && self.coreset_ratio <= 1.0) {
            return fail(format!("coreset-ratio is {}, it must be over 0 and at most 1", self.coreset_ratio));
        }
        if !(1..=32).contains(&self.lof_k) {
            return fail(format!("lof-k is {}, it must be 1 to 32", self.lof_k));
        }
        if !(4..=1024).contains(&self.projection) || !self.projection.is_multiple_of(4) {
            return fail(format!(
                "projection is {}, it must be a multiple of 4 from 4 to 1024",
                self.projection
            ));
        }
        if !(64..=1024).contains(&self.embedding_dim) || !self.embedding_dim.is_multiple_of(4) {
            return fail(format!(
                "embedding-dim is {}, it must be a multiple of 4 from 64 to 1024",
                self.embedding_dim
            ));
        }
        if !(1..=256).contains(&self.batch) {
            return fail(format!("batch is {}, it must be 1 to 256", self.batch));
        }
        if !(32..=2048).contains(&self.crop) || self.resize < self.crop || self.resize > 4096 {
            return fail(format!(
                "resize is {} and crop {}: crop must be 32 to 2048, resize at least crop and at most 4096",
                self.resize, self.crop
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_of_older_files_parse() {
        let old = r#"{"discriminator":"lof","tau":0.15,"lof-k":6,"coreset-ratio":0.1,"soft-weights":true,
            "projection":128,"seed":0,"resize":256,"crop":224,"batch":8,"memory":1073741824}"#;
        assert_eq!(serde_json::from_str::<FitOptions>(old).unwrap(), FitOptions::default());
        let text = serde_json::to_string(&FitOptions::official()).unwrap();
        assert!(text.contains(r#""embedding":"auto","embedding-dim":1024,"compat":"official""#), "{text}");
        assert_eq!(serde_json::from_str::<FitOptions>(&text).unwrap(), FitOptions::official());
        assert!(!text.contains("precision"), "a model in f32 is for older programs, too: {text}");
        let half = FitOptions { precision: Precision::F16, ..FitOptions::default() };
        let text = serde_json::to_string(&half).unwrap();
        assert!(text.contains(r#""precision":"f16""#), "{text}");
        assert_eq!(serde_json::from_str::<FitOptions>(&text).unwrap(), half);
    }

    #[test]
    fn embeddings_follow_the_architecture() {
        let auto = FitOptions::default();
        assert_eq!(auto.embedding_for("wide_resnet50_2"), Embedding::Pooled);
        assert_eq!(auto.embedding_for("efficientnet-lite0"), Embedding::Concat);
        let concat = FitOptions { embedding: Embedding::Concat, ..auto.clone() };
        assert_eq!(concat.patches("resnet18"), Patches::Concat);
        let pooled = FitOptions { embedding: Embedding::Pooled, embedding_dim: 384, ..auto.clone() };
        assert_eq!(pooled.patches("efficientnet-lite1"), Patches::Pooled { dim: 384 });
        for embedding_dim in [0, 60, 130, 1028] {
            assert!(FitOptions { embedding_dim, ..auto.clone() }.validate().is_err(), "{embedding_dim}");
        }
    }
}
