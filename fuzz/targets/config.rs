//! The program's configuration, TOML to settings.
#![no_main]
#![allow(dead_code, unused_imports, reason = "the program uses the rest")]

use libfuzzer_sys::fuzz_target;
use softpatch_fuzz::Slot;
use softpatch_fuzz::memory::bounded;
use std::sync::OnceLock;

#[path = "../../cli/src/common/mod.rs"]
mod common;

static SLOT: OnceLock<Slot> = OnceLock::new();

fuzz_target!(init: {
    let _ = SLOT.set(Slot::new("fit.toml"));
}, |data: &[u8]| {
    let Some(slot) = SLOT.get() else { return };
    let config = Some(slot.holding(data).to_owned());
    let args = common::config::FitArgs { config, ..Default::default() };
    let settings = bounded(data.len() * 256 + (1 << 20), || args.settings(common::device::DeviceArgs::default()));
    let Ok(settings) = settings else { return };
    settings.fit.validate().expect("settings are checked as they are read");
    for setting in softpatch::detector::SETTINGS {
        let text = setting.get(&settings.fit);
        assert!(!text.chars().any(char::is_control), "{}: {text}", setting.name);
    }
});
