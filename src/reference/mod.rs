//! Every step of the method in plain Rust with f64 accumulation: the executable specification of the shaders.

pub mod resize;
