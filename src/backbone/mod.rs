//! Layer tables, batch-norm folding and weight loading of the supported backbones.

mod efficientnet_lite;
mod extractor;
mod feed;
pub mod network;
mod weights;

pub use efficientnet_lite::efficientnet_lite;
pub use extractor::Extractor;
pub use feed::Feed;
pub use network::Network;
pub use weights::{Folded, WeightFile};
