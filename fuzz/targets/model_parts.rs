//! Model files whose parts are changed one by one, with a checksum that fits: whoever writes a model can have
//! it.
#![no_main]

use arbitrary::Unstructured;
use libfuzzer_sys::{Corpus, fuzz_target};
use softpatch::model::Model;
use softpatch_fuzz::made_up::{made_up, use_up};
use softpatch_fuzz::memory::bounded;
use softpatch_fuzz::models::Parts;
use std::path::Path;
use std::sync::OnceLock;

static BASES: OnceLock<[Parts; 2]> = OnceLock::new();

fuzz_target!(|data: &[u8]| -> Corpus {
    let bases = BASES.get_or_init(|| {
        [false, true].map(|whole| {
            let file = made_up(whole).to_bytes().unwrap();
            Model::from_bytes(&file, Path::new("model")).expect("what is changed is whole");
            Parts::of(&file)
        })
    });
    let Some((first, rest)) = data.split_first() else { return Corpus::Reject };
    let parts = bases[usize::from(first % 4 > 0)].changed(&mut Unstructured::new(rest));
    let Some(file) = parts.file() else { return Corpus::Reject };
    let read = bounded(file.len() * 64 + (1 << 16), || Model::from_bytes(&file, Path::new("model")));
    read.into_iter().for_each(use_up);
    Corpus::Keep
});
