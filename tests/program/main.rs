//! The program, the C library, and what they are shipped with.

#[path = "../common/mod.rs"]
mod common;

mod agreement;
mod bindings;
mod cli;
#[cfg(target_os = "linux")]
mod crash;
mod ffi;
mod ffi_programs;
mod header;
#[cfg(unix)]
mod interrupt;
mod licences;
mod python;

use std::path::Path;

/// The repository's root.
fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}
