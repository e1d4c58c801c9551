//! What the targets share: a count of the memory that is taken, files that hold an input, and panics.

pub mod made_up;
pub mod memory;
pub mod models;
pub mod world;

use std::path::{Path, PathBuf};

/// A file that holds one input after the other, in the folder that `SOFTPATCH_FUZZ` names, which is one in
/// memory.
pub struct Slot(PathBuf);

impl Slot {
    /// A file of this name, whose folder is made.
    pub fn new(name: &str) -> Self {
        let folder = std::env::var_os("SOFTPATCH_FUZZ").map_or_else(std::env::temp_dir, PathBuf::from);
        let path = folder.join(std::process::id().to_string()).join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        Self(path)
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The file with this content.
    pub fn holding(&self, bytes: &[u8]) -> &Path {
        std::fs::write(&self.0, bytes).unwrap();
        &self.0
    }
}

/// Lets panics in the sources of other crates be caught, as the library does around decoders, and says once
/// where each was; those in ours end the process as before.
pub fn let_others_panic() {
    let ours = std::panic::take_hook();
    let seen = std::sync::Mutex::new(std::collections::BTreeSet::new());
    std::panic::set_hook(Box::new(move |info| {
        let place = info.location().map_or_else(String::new, ToString::to_string);
        if place.contains("/registry/src/") {
            if seen.lock().unwrap().insert(place.clone()) {
                eprintln!("caught: a decoder panicked at {place}");
            }
        } else {
            ours(info);
        }
    }));
}

/// The next byte of what steers a target, 0 past the end.
pub fn next(steer: &mut &[u8]) -> u8 {
    match steer.split_first() {
        Some((first, rest)) => {
            *steer = rest;
            *first
        }
        None => 0,
    }
}
