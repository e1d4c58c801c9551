//! Settings of a fit, and what of it fits the memory.

mod budget;

pub(crate) use budget::{FeatureShape, Layout, Parts, coreset_batch, picks};
