//! What is compared.

use crate::settings::Discriminator;
use crate::{Error, Result};
use std::str::FromStr;

/// A way to find anomalies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Method {
    /// SoftPatch with a discriminator; `soft` where the bank keeps outlier scores as weights.
    SoftPatch {
        /// Lof, nearest, gaussian or auto.
        discriminator: Discriminator,
        /// Whether distances are weighed.
        soft: bool,
    },
    /// PatchCore: no discriminator.
    PatchCore,
    /// SoftPatch+: the mean rank of LOF and Gaussian; a bank without the worst 15 % for the image score, one
    /// without the worst half for the map.
    SoftPatchPlus,
    /// SPADE: patches of the training images that look most alike.
    Spade,
    /// PaDiM: a Gaussian at every position.
    Padim,
}

impl Method {
    /// All methods, in the order of a table.
    pub const ALL: [Self; 11] = {
        const fn of(discriminator: Discriminator, soft: bool) -> Method {
            Method::SoftPatch { discriminator, soft }
        }
        [
            Self::Padim,
            Self::Spade,
            Self::PatchCore,
            of(Discriminator::Nearest, true),
            of(Discriminator::Nearest, false),
            of(Discriminator::Gaussian, true),
            of(Discriminator::Gaussian, false),
            of(Discriminator::Lof, true),
            of(Discriminator::Lof, false),
            of(Discriminator::Auto, false),
            Self::SoftPatchPlus,
        ]
    };

    /// The discriminator of its training patches; for SoftPatch+ the first of two.
    pub const fn discriminator(self) -> Discriminator {
        match self {
            Self::SoftPatch { discriminator, .. } => discriminator,
            Self::SoftPatchPlus => Discriminator::Lof,
            Self::PatchCore | Self::Spade | Self::Padim => Discriminator::None,
        }
    }

    /// Its name, as [`FromStr`] reads it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::SoftPatch { discriminator: Discriminator::Lof, soft: true } => "softpatch-lof",
            Self::SoftPatch { discriminator: Discriminator::Lof, soft: false } => "softpatch-lof-hard",
            Self::SoftPatch { discriminator: Discriminator::Nearest, soft: true } => "softpatch-nearest",
            Self::SoftPatch { discriminator: Discriminator::Nearest, soft: false } => {
                "softpatch-nearest-hard"
            }
            Self::SoftPatch { discriminator: Discriminator::Gaussian, soft: true } => "softpatch-gaussian",
            Self::SoftPatch { discriminator: Discriminator::Gaussian, soft: false } => {
                "softpatch-gaussian-hard"
            }
            Self::SoftPatch { discriminator: Discriminator::Auto, .. } => "softpatch-auto",
            Self::SoftPatch { discriminator: Discriminator::None, .. } | Self::PatchCore => "patchcore",
            Self::SoftPatchPlus => "softpatch+",
            Self::Spade => "spade",
            Self::Padim => "padim",
        }
    }
}

impl std::fmt::Display for Method {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Method {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let name = if name == "none" { "patchcore" } else { name };
        Self::ALL.into_iter().find(|m| m.name() == name).ok_or_else(|| {
            let known: Vec<&str> = Self::ALL.iter().map(|m| m.name()).collect();
            Error::InvalidOption(format!("there is no method {name}; there are {}", known.join(", ")))
        })
    }
}
