//! Numbers of the settings that are one of a few names.

/// Local outlier factor among the patches that `group` names.
pub const SOFTPATCH_DISCRIMINATOR_LOF: u32 = 0;
/// Distance to the nearest of the patches that `group` names.
pub const SOFTPATCH_DISCRIMINATOR_NEAREST: u32 = 1;
/// Mahalanobis distance to the patches at the same position.
pub const SOFTPATCH_DISCRIMINATOR_GAUSSIAN: u32 = 2;
/// No patch is dropped: PatchCore.
pub const SOFTPATCH_DISCRIMINATOR_NONE: u32 = 3;
/// Local outlier factor, but nothing is dropped: rows of the bank vouch for no more than others vouch for
/// them.
pub const SOFTPATCH_DISCRIMINATOR_AUTO: u32 = 4;

/// A training patch is compared with those at its own position in the other images.
pub const SOFTPATCH_GROUP_POSITION: u32 = 0;
/// With those in a window of `window` x `window` positions around it.
pub const SOFTPATCH_GROUP_WINDOW: u32 = 1;
/// With all patches of the other images.
pub const SOFTPATCH_GROUP_GLOBAL: u32 = 2;

/// Pooled for ResNets, concatenated for EfficientNet-Lite.
pub const SOFTPATCH_EMBEDDING_AUTO: u32 = 0;
/// 3x3 means of the stages side by side.
pub const SOFTPATCH_EMBEDDING_CONCAT: u32 = 1;
/// 3x3 neighbourhoods, averaged adaptively to `embedding_dim` values.
pub const SOFTPATCH_EMBEDDING_POOLED: u32 = 2;

/// As the method is described.
pub const SOFTPATCH_COMPAT_NONE: u32 = 0;
/// As the published program selects its memory bank, for comparison with it; its runs also have `lof_k` 5.
pub const SOFTPATCH_COMPAT_OFFICIAL: u32 = 1;

/// The backbone stores 32-bit values.
pub const SOFTPATCH_PRECISION_F32: u32 = 0;
/// The backbone stores 16-bit values where the device can, else 32-bit ones; sums are 32-bit.
pub const SOFTPATCH_PRECISION_F16: u32 = 1;

/// Pictures are looked at whole, in a frame of the training pictures' aspect.
pub const SOFTPATCH_GEOMETRY_WHOLE: u32 = 0;
/// The middle square is looked at, as published results have it: for comparison with those.
pub const SOFTPATCH_GEOMETRY_PAPER: u32 = 1;

/// Pictures of another aspect are brought to the frame each side for itself.
pub const SOFTPATCH_FIT_ASPECT_STRETCH: u32 = 0;
/// They keep their aspect; what is left of the frame is neither learned nor scored.
pub const SOFTPATCH_FIT_ASPECT_PAD: u32 = 1;
/// They keep their aspect and fill the frame; what passes it is not looked at.
pub const SOFTPATCH_FIT_ASPECT_CROP: u32 = 2;
