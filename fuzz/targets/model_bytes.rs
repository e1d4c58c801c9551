//! Bytes as a model file.
#![no_main]

use libfuzzer_sys::fuzz_target;
use softpatch::model::Model;
use softpatch_fuzz::made_up::use_up;
use softpatch_fuzz::memory::bounded;
use std::path::Path;

fuzz_target!(|data: &[u8]| {
    let read = bounded(data.len() * 64 + (1 << 16), || Model::from_bytes(data, Path::new("model")));
    read.into_iter().for_each(use_up);
});
