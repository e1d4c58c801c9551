//! Lists: pictures left out, splits, the split of a data set, tile sizes of adapters. The first byte says
//! which.
#![no_main]

use libfuzzer_sys::fuzz_target;
use softpatch::data::{Dataset, Exclude, Split, csv_guarded, csv_unguarded};
use softpatch::low_level::roofline::tune::Table;
use softpatch_fuzz::Slot;
use softpatch_fuzz::memory::bounded;
use std::path::PathBuf;
use std::sync::OnceLock;

struct Slots {
    list: Slot,
    written: Slot,
    /// Of a folder that is a data set by its list.
    set: Slot,
}

static SLOTS: OnceLock<Slots> = OnceLock::new();

fn excluded(slots: &Slots, text: &[u8]) {
    let Ok(list) = Exclude::load(slots.list.holding(text)) else { return };
    let before: Vec<PathBuf> =
        ["a/good/001.png", "a/good/002.png", "b/003.png", "-x.png"].map(PathBuf::from).into();
    let mut paths = before.clone();
    match list.apply(&mut paths) {
        Ok(gone) => assert!(gone == before.len() - paths.len() && !paths.is_empty()),
        Err(_) => assert_eq!(paths, before),
    }
}

fn split(slots: &Slots, text: &[u8]) {
    let Ok(split) = Split::read_csv(slots.list.holding(text)) else { return };
    split.write_csv(slots.written.path()).expect("what was read is text");
    let again = Split::read_csv(slots.written.path()).expect("what was written is read");
    assert_eq!(split, again);
}

fn set(slots: &Slots, text: &[u8]) {
    slots.set.holding(text);
    let folder = slots.set.path().ancestors().nth(2).unwrap();
    let _ = Dataset::open(folder);
}

fn tiles(slots: &Slots, text: &[u8]) {
    let Ok(table) = Table::load(slots.list.holding(text)) else { return };
    table.save(slots.written.path()).expect("a table is written");
    assert_eq!(table, Table::load(slots.written.path()).expect("what was written is read"));
}

fn name(text: &[u8]) {
    let text = String::from_utf8_lossy(text);
    let field = csv_guarded(&text);
    assert_eq!(csv_unguarded(&field), text);
    let shown = softpatch::text::plain(&text).to_string();
    assert!(!shown.chars().any(char::is_control), "{shown:?}");
}

fuzz_target!(init: {
    let set = Slot::new("set/split_csv/1cls.csv");
    let images = set.path().ancestors().nth(2).unwrap().join("candle");
    std::fs::create_dir_all(&images).unwrap();
    for name in ["0.png", "1.png", "2.png"] {
        std::fs::write(images.join(name), b"\x89PNG\r\n\x1a\n").unwrap();
    }
    let _ = SLOTS.set(Slots { list: Slot::new("list"), written: Slot::new("written"), set });
}, |data: &[u8]| {
    let (Some((which, text)), Some(slots)) = (data.split_first(), SLOTS.get()) else { return };
    bounded(data.len() * 64 + (1 << 20), || match which % 8 {
        0 | 1 => excluded(slots, text),
        2 | 3 => split(slots, text),
        4 => set(slots, text),
        5 | 6 => tiles(slots, text),
        _ => name(text),
    });
});
