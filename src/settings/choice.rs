//! Settings that are one of a few names.

use crate::backbone::Precision;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// How a training patch gets its outlier score (docs/method.md, section 4; SoftPatch, section 3.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Discriminator {
    /// Local outlier factor among the patches that [`Group`] names.
    #[default]
    Lof,
    /// Distance to the nearest of the patches that [`Group`] names.
    Nearest,
    /// Mahalanobis distance to the patches at the same position.
    Gaussian,
    /// Every score 1, nothing is dropped: PatchCore.
    None,
    /// Nothing is dropped, and no patch vouches for more than others vouch for it: a row of the memory bank
    /// has a floor, its distance to other images, raised where its local outlier factor is high
    /// (docs/method.md, section 5). There is no `tau`.
    Auto,
}

impl Discriminator {
    /// Whether it goes by local outlier factors.
    pub(crate) fn is_lof(self) -> bool {
        matches!(self, Self::Lof | Self::Auto)
    }

    /// Whether it drops the share `tau` of the training patches.
    pub(crate) fn drops(self) -> bool {
        !matches!(self, Self::None | Self::Auto)
    }
}

/// Which patches of other images a training patch is compared with for its outlier score
/// (docs/method.md, section 4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Group {
    /// Those at its own grid position: parts lie alike in all images.
    #[default]
    Position,
    /// Those at the positions of a window around it.
    Window,
    /// All of them: parts lie anyhow.
    Global,
}

/// How the patches of the backbone's stages become one vector (docs/method.md, section 3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Embedding {
    /// `pooled` for ResNets, as PatchCore and SoftPatch publish their numbers, `concat` for
    /// EfficientNet-Lite; a model records which it was.
    #[default]
    Auto,
    /// 3x3 means of the stages side by side: as many values as the stages have channels.
    Concat,
    /// 3x3 neighbourhoods, averaged adaptively to 1024 values a stage and to `embedding-dim` in all.
    Pooled,
}

/// Whose choices stand where the method's description and the program published with SoftPatch part
/// (docs/method.md, section 11).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Compat {
    /// The description's.
    #[default]
    None,
    /// The published program's, for comparison with it. Of the selection of the memory bank, exactly these
    /// change:
    ///
    /// - The 10 start patches are drawn from all training patches, and the first row of the bank is the patch
    ///   of all with the largest mean distance to them, dropped or not; from the second row on only kept
    ///   patches are chosen.
    /// - Those mean distances stay in the running minimum for ever: a patch's distance never counts as more
    ///   than its mean distance to the start patches.
    /// - The coreset works on vectors projected by a map of its own, that of `seed + 1`; the discriminators
    ///   keep that of `seed`. Embeddings of no more than `projection` values are not projected, as ever.
    ///
    /// The published runs also use 5 neighbours for LOF; [`super::FitOptions::official`] sets both. Scores
    /// are squared distances either way. LOF's density and the arithmetic of distances stay as described, and
    /// random numbers are this program's, so figures compare over seeds, not digit by digit.
    Official,
}

/// What of a picture is looked at (docs/method.md, section 1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Geometry {
    /// All of it: pictures are brought whole to a frame of the training pictures' aspect, see [`Size`] and
    /// [`FitAspect`].
    ///
    /// [`Size`]: super::Size
    #[default]
    Whole,
    /// The middle: the shorter side to `resize`, then the middle `crop` x `crop`, as published results have
    /// it. Right for comparison with those; an inspection would not look at the rest.
    Paper,
}

impl Geometry {
    /// What models have that do not say.
    pub(super) fn unsaid() -> Self {
        Self::Paper
    }
}

/// How pictures come to the frame whose aspect is not theirs (docs/method.md, section 1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum FitAspect {
    /// Each side for itself, so that shapes are squeezed.
    #[default]
    Stretch,
    /// In their own aspect; what is left of the frame is neither learned nor scored.
    Pad,
    /// In their own aspect, the frame full; what passes it is not looked at.
    Crop,
}

/// A setting that is one of a few names. Its place in [`Choice::ALL`] is its number in C.
pub trait Choice: Copy + PartialEq + std::fmt::Display + std::str::FromStr<Err = Error> + 'static {
    /// All there are; later versions add some at the end.
    const ALL: &'static [Self];
    /// Their names, in that order.
    const NAMES: &'static [&'static str];
}

/// Names, and from them [`Choice`], `Display` and `FromStr`.
macro_rules! choices {
    ($($type:ident: $($variant:ident $name:literal),*;)*) => {$(
        impl Choice for $type {
            const ALL: &'static [Self] = &[$(Self::$variant),*];
            const NAMES: &'static [&'static str] = &[$($name),*];
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(match self {
                    $(Self::$variant => $name,)*
                })
            }
        }

        impl std::str::FromStr for $type {
            type Err = Error;

            /// # Errors
            /// [`Error::InvalidOption`] with the names that exist.
            fn from_str(text: &str) -> Result<Self> {
                match text {
                    $($name => Ok(Self::$variant),)*
                    _ => Err(Error::InvalidOption(format!("`{text}` is none of {}", Self::NAMES.join(", ")))),
                }
            }
        }
    )*};
}

choices! {
    Discriminator: Lof "lof", Nearest "nearest", Gaussian "gaussian", None "none", Auto "auto";
    Group: Position "position", Window "window", Global "global";
    Embedding: Auto "auto", Concat "concat", Pooled "pooled";
    Compat: None "none", Official "official";
    Geometry: Whole "whole", Paper "paper";
    FitAspect: Stretch "stretch", Pad "pad", Crop "crop";
    Precision: F32 "f32", F16 "f16";
}
