//! Inputs that `tools/fuzz.sh` found, made by code: each stands for its kind.

use softpatch::data::{DecodeOptions, OwnedImage};
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
