//! Pictures and masks of every format: decoded, looked into, brought to a frame. The last bytes of an input
//! are the settings.
#![no_main]

use libfuzzer_sys::fuzz_target;
use softpatch::data::{DecodeOptions, Levels, Roi, decode_bytes, decode_with_notes, inspect_file};
use softpatch::detector::{Cover, Framing, Way};
use softpatch::eval::{MetricSize, framed_mask, load_mask};
use softpatch::report::framed;
use softpatch_fuzz::memory::bounded;
use softpatch_fuzz::{Slot, let_others_panic, next};
use std::sync::OnceLock;

/// Pixels that are decoded.
const PIXELS: u64 = 1 << 14;
/// Bytes for a byte of the file, for a pixel, and for what decoders keep whatever the file.
const MOST: [usize; 3] = [64, 64, 80 << 20];

static SLOT: OnceLock<Slot> = OnceLock::new();

fn options(steer: &mut &[u8]) -> DecodeOptions {
    let levels = match next(steer) % 4 {
        0 | 1 => Levels::Found,
        2 => Levels::Bits(u32::from(next(steer))),
        _ => Levels::Range { black: f64::from(next(steer)) - 100.0, white: f64::from(next(steer)) * 40.0 },
    };
    DecodeOptions { exif_orientation: next(steer) % 2 == 1, max_pixels: PIXELS, levels }
}

fn framing(steer: &mut &[u8]) -> Framing {
    let mut side = || match next(steer) {
        255 => 4096,
        side => u32::from(side),
    };
    let frame = [side(), side()];
    let way = match next(steer) % 4 {
        0 => Way::Stretch,
        1 => Way::Pad,
        2 => Way::Cut,
        _ => Way::Middle { shorter: u32::from(next(steer)) * 2 },
    };
    Framing { frame, way }
}

fuzz_target!(init: {
    let_others_panic();
    let _ = SLOT.set(Slot::new("picture"));
}, |data: &[u8]| {
    let mut steer = &data[data.len().saturating_sub(9)..];
    let (options, framing) = (options(&mut steer), framing(&mut steer));
    let [byte, pixel, fixed] = MOST;
    let most = data.len() * byte + PIXELS as usize * pixel + fixed;
    let decoded = bounded(most, || decode_bytes("picture", data, &options));
    // From a file all is done again, and more: every other time where the picture is none.
    if decoded.is_err() && data.len() % 2 == 0 {
        return;
    }
    let Some(slot) = SLOT.get() else { return };
    let path = slot.holding(data);
    let header = bounded(most, || inspect_file(path, &options));
    let Ok(image) = decoded else { return };
    assert_eq!(image.pixels.len() as u64, u64::from(image.width) * u64::from(image.height) * 3);
    assert!(u64::from(image.width) * u64::from(image.height) <= PIXELS);
    let header = header.expect("what is decoded has a header");
    let (size, stored) = ([image.width, image.height], [header.width, header.height]);
    assert!(size == stored || (options.exif_orientation && size == [stored[1], stored[0]]));
    let (again, _) = bounded(most, || decode_with_notes(path, &options)).expect("it was decoded before");
    assert!(again == image);
    // Whatever its shape, after no pass of its resize it has more pixels than the largest picture. To compute
    // them all takes seconds.
    let Ok(placement) = framing.place(image.width, image.height) else { return };
    let passes = u64::from(placement.width) * u64::from(placement.height.max(image.height));
    assert!(passes <= 1 << 28, "{placement:?}");
    if passes > PIXELS * 16 {
        return;
    }
    let most = most + PIXELS as usize * 16 * 16;
    let view = bounded(most, || framed(&image, framing)).expect("it has a place in the frame");
    assert_eq!([view.height, view.width], framing.frame);
    let grey: Vec<u8> = image.pixels.iter().step_by(3).copied().collect();
    assert!(bounded(most, || framed_mask(&grey, image.width, image.height, framing)).is_ok());
    if data.len() % 4 > 0 {
        return;
    }
    let size = if data.len() % 8 == 0 { MetricSize::Frame } else { MetricSize::Source };
    if let Ok(mask) = bounded(most, || load_mask(path, path, &options, framing, size)) {
        assert_eq!(mask.pixels.len(), mask.size.iter().map(|side| *side as usize).product::<usize>());
    }
    if let Ok(roi) = bounded(most, || Roi::load(path)) {
        let size = roi.size();
        let inside = |x, y| roi.is_inside(x, y);
        let _ = bounded(most, || Cover::of(size, framing, inside).map(|cover| cover.positions([7, 9])));
    }
});
