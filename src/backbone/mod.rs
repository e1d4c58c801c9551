//! Layer tables, batch-norm folding and weight loading of the supported backbones.
