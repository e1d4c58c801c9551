//! What a device offers, and what of it may be switched off.

use crate::{Error, Result};

/// Kernel family for the matrix-shaped work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Archetype {
    /// No workgroup memory and no barrier, a large register tile per invocation: CPU drivers.
    Direct,
    /// Tiles staged in workgroup memory: GPUs.
    Tiled,
}

impl std::fmt::Display for Archetype {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Direct => "direct",
            Self::Tiled => "tiled",
        })
    }
}

/// The cooperative matrices that the kernels use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Coop {
    /// Rows, columns and depth of a fragment: 16 or 8.
    pub side: u32,
    /// Lanes of a subgroup.
    pub lanes: u32,
    /// Emulated, see [`DeviceOptions::emulate_coop`](super::DeviceOptions::emulate_coop).
    pub emulated: bool,
}

/// What the device offers and what of it is used.
#[derive(Clone, Debug, PartialEq)]
pub struct Caps {
    /// Adapter name as the driver gives it.
    pub adapter: String,
    /// Driver name and version; empty where the backend does not tell (Metal).
    pub driver: String,
    /// Vendor, device and place on the bus, which tell adapters of one name apart.
    pub id: String,
    /// Backend: `vulkan`, `metal`, `dx12`.
    pub backend: String,
    /// Kernel family for matrix-shaped work.
    pub archetype: Archetype,
    /// Arithmetic in f16, which cooperative matrices need. Storage as f16 needs nothing.
    pub f16: bool,
    /// Words of 64 bits in shaders, in which the `direct` kernels load and store.
    pub int64: bool,
    /// Texels that a kernel can read as a texture, four values each; 0 where kernels of the `direct` family read
    /// buffers alone.
    pub texels: u64,
    /// Smallest and largest subgroup, where subgroup operations are offered.
    pub subgroup: Option<(u32, u32)>,
    /// Cooperative matrices with f16 operands and f32 sums; none where the adapter offers no shape that the
    /// kernels have.
    pub coop: Option<Coop>,
    /// Shaders run without wgpu's injected bounds and loop checks (release builds).
    pub unchecked: bool,
    /// Timestamp queries.
    pub timestamps: bool,
    /// Largest storage binding in bytes.
    pub max_binding: u64,
    /// Workgroup memory in bytes.
    pub max_workgroup_memory: u32,
    /// Invocations per workgroup.
    pub max_invocations: u32,
    /// Workgroups per dimension of a dispatch.
    pub max_groups: u32,
    /// Alignment of storage and uniform offsets in bytes.
    pub alignment: u64,
}

/// What an adapter may offer and kernels use where it is there. All of it can be done without.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Feature {
    /// Arithmetic in f16, which cooperative matrices need.
    F16,
    /// Words of 64 bits.
    Int64,
    /// Textures that are read without sampling, by which CPU drivers load faster.
    Texels,
    /// Subgroup operations.
    Subgroup,
    /// Cooperative matrices.
    Coop,
}

impl Feature {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::F16, Self::Int64, Self::Texels, Self::Subgroup, Self::Coop];

    /// Its name in `SOFTPATCH_DISABLE`.
    pub fn name(self) -> &'static str {
        match self {
            Self::F16 => "f16",
            Self::Int64 => "int64",
            Self::Texels => "texels",
            Self::Subgroup => "subgroup",
            Self::Coop => "coop",
        }
    }

    pub(super) fn wgpu(self) -> wgpu::Features {
        match self {
            Self::F16 => wgpu::Features::SHADER_F16,
            Self::Int64 => wgpu::Features::SHADER_INT64,
            Self::Texels => wgpu::Features::TEXTURE_ADAPTER_SPECIFIC_FORMAT_FEATURES,
            Self::Subgroup => wgpu::Features::SUBGROUP,
            Self::Coop => wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX,
        }
    }
}

/// What the user turned off: `SOFTPATCH_DISABLE=f16,int64,texels,subgroup,coop,unchecked`.
#[derive(Debug, Default)]
pub(super) struct Disabled {
    pub features: Vec<Feature>,
    /// Shaders without injected checks.
    pub unchecked: bool,
}

impl Disabled {
    /// # Errors
    /// [`Error::InvalidOption`] for a word that names nothing: a misspelt one would leave on what was to be
    /// off.
    pub fn from_env() -> Result<Self> {
        Self::parse(&std::env::var("SOFTPATCH_DISABLE").unwrap_or_default())
    }

    fn parse(list: &str) -> Result<Self> {
        let mut this = Self::default();
        for word in list.split(',').map(str::trim).filter(|w| !w.is_empty()) {
            match Feature::ALL.into_iter().find(|f| f.name() == word) {
                Some(feature) => this.features.push(feature),
                None if word == "unchecked" => this.unchecked = true,
                None => {
                    return Err(Error::InvalidOption(format!(
                        "SOFTPATCH_DISABLE: there is no '{word}'; use f16, int64, texels, subgroup, coop, unchecked"
                    )));
                }
            }
        }
        Ok(this)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_switched_off_is_told_by_name_and_misspelt_names_are_refused() {
        let all = Disabled::parse("f16, int64,texels,subgroup,coop ,unchecked,").unwrap();
        assert_eq!(all.features, Feature::ALL);
        assert!(all.unchecked);
        assert!(Disabled::parse("").unwrap().features.is_empty());
        let message = Disabled::parse("subgroups").unwrap_err().to_string();
        assert!(message.contains("'subgroups'") && message.contains("subgroup, coop"), "{message}");
    }
}
