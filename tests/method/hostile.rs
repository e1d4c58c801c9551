//! Inputs that `tools/fuzz.sh` found, made by code: each stands for its kind.

use softpatch::data::{DecodeOptions, Note, OwnedImage, decode_bytes, decode_with_notes};
use softpatch::detector::{Framing, Way};
use softpatch::eval::{MetricSize, framed_mask, load_mask};
use softpatch::low_level::bank::Axes;
use softpatch::report::framed;

/// A few hundred bytes of one row or one column, which on their way to a frame would be gigabytes.
#[test]
fn a_thin_picture_takes_no_more_memory_than_a_large_one() {
    let [rows, columns] = [[4096, 4096], [256, 4096]];
    for ([width, height], way, frame) in [
        ([256, 1], Way::Cut, rows),
        ([1, 256], Way::Cut, rows),
        ([1, 1 << 17], Way::Stretch, columns),
        ([256, 1], Way::Middle { shorter: 4096 }, [64, 64]),
    ] {
        let framing = Framing { frame, way };
        let image = OwnedImage { width, height, pixels: vec![9; (3 * width * height) as usize] };
        let error = framed(&image, framing).unwrap_err().to_string();
        assert!(error.contains(&format!("{width}x{height} is too long and thin")), "{error}");
        let grey = vec![9; (width * height) as usize];
        assert!(framed_mask(&grey, width, height, framing).is_err());
        let folder = tempfile::tempdir().unwrap();
        let mask = folder.path().join("mask.png");
        image::GrayImage::from_raw(width, height, grey).unwrap().save(&mask).unwrap();
        let loaded = load_mask(&mask, &mask, &DecodeOptions::default(), framing, MetricSize::Frame);
        assert!(loaded.unwrap_err().to_string().contains("too long and thin"));
    }
}

/// To compare each with each takes a time that grows with the cube of a file's size.
#[test]
fn axes_are_no_more_than_any_device_uses() {
    let unit = |dim: usize, count: usize| Axes {
        mean: vec![0.0; dim],
        vectors: (0..count * dim).map(|i| f32::from(u8::from(i % dim == i / dim))).collect(),
    };
    assert!(unit(512, Axes::count(512)).are_orthonormal() && unit(8, 8).are_orthonormal());
    assert!(!unit(512, 129).are_orthonormal() && !unit(8, 9).are_orthonormal());
}

/// A TIFF of these entries (tag, type, count, value or place) in a directory after the header; `next` is where
/// the next one is, and `rest` follows.
fn tiff(entries: &[[u32; 4]], next: u32, rest: &[u8]) -> Vec<u8> {
    let mut file = b"II*\0\x08\0\0\0".to_vec();
    file.extend((entries.len() as u16).to_le_bytes());
    for [tag, kind, count, value] in entries {
        file.extend([*tag as u16, *kind as u16].map(u16::to_le_bytes).concat());
        file.extend([*count, *value].map(u32::to_le_bytes).concat());
    }
    file.extend(next.to_le_bytes());
    file.extend(rest);
    file
}

/// Tags of a grey picture of 8 bit in a compression, and where what follows them lies with `more` tags.
fn grey([width, height]: [u32; 2], compression: u32, more: usize) -> (Vec<[u32; 4]>, u32) {
    let tags = vec![
        [256, 4, 1, width],
        [257, 4, 1, height],
        [258, 3, 1, 8],
        [259, 3, 1, compression],
        [262, 3, 1, 1],
    ];
    let end = 8 + 2 + 12 * (tags.len() + more) as u32 + 4;
    (tags, end)
}

fn tiff_error(file: &[u8]) -> String {
    decode_bytes("hostile.tif", file, &DecodeOptions::default()).unwrap_err().to_string()
}

/// A megabyte has room for thousands of directories of thousands of entries where they may lie over each other.
#[test]
fn directories_of_a_tiff_do_not_lie_over_each_other() {
    const DIRECTORIES: u32 = 2000;
    let (mut tags, end) = grey([1, 1], 1, 2);
    // Two bytes of 0x60 after 0: a count of 24576 entries, wherever one begins.
    let place = end + 4;
    tags.extend([[273, 4, 1, end], [279, 4, 1, 1]]);
    let list = 2 + 12 * 0x6000;
    let mut rest = [0, 0x60].repeat((list + 4 * DIRECTORIES) as usize / 2 + 8);
    for i in 0..DIRECTORIES {
        let next = if i + 1 < DIRECTORIES { place + 4 * (i + 1) } else { 0 };
        rest[(4 + list + 4 * i) as usize..][..4].copy_from_slice(&next.to_le_bytes());
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hostile.tif");
    std::fs::write(&path, tiff(&tags, place, &rest)).unwrap();
    let (_, notes) = decode_with_notes(&path, &DecodeOptions::default()).unwrap();
    assert!(notes.contains(&Note::FirstPage(2)), "{notes:?}");
}

/// What tags say of tiles takes neither memory nor time out of proportion to the picture.
#[test]
fn tiles_are_no_larger_than_pictures_need() {
    for compression in [5, 8, 32_773, 50_000] {
        let (mut tags, end) = grey([1, 1], compression, 4);
        tags.extend([[322, 4, 1, 20_000], [323, 4, 1, 20_000], [324, 4, 1, end], [325, 4, 1, 9]]);
        let error = tiff_error(&tiff(&tags, 0, &[0; 9]));
        assert!(error.contains("a strip or tile of 400000000 bytes"), "{compression}: {error}");
        // Each is small enough, and all of them are not.
        let (mut tags, end) = grey([2000, 1], compression, 4);
        tags.extend([[322, 4, 1, 1], [323, 4, 1, 60_000_000], [324, 4, 2000, end], [325, 4, 2000, end]]);
        let error = tiff_error(&tiff(&tags, 0, &[0; 8000]));
        assert!(error.contains("strips or tiles of 120000000000 samples"), "{compression}: {error}");
    }
}

/// A strip of a few pixels that is a JPEG of millions.
#[test]
fn a_jpeg_in_a_tiff_is_no_larger_than_its_strip() {
    let (mut tags, end) = grey([8, 8], 7, 2);
    let jpeg =
        b"\xff\xd8\xff\xc0\0\x0b\x08\x0b\xb8\x0b\xb8\x01\x01\x11\0\xff\xda\0\x08\x01\x01\0\0\x3f\0\0\xff\xd9";
    tags.extend([[273, 4, 1, end], [279, 4, 1, jpeg.len() as u32]]);
    let error = tiff_error(&tiff(&tags, 0, jpeg));
    assert!(error.contains("3000x3000"), "{error}");
}
