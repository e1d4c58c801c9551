//! What SoftPatch is compared with.

pub mod padim;
pub mod spade;
