//! Masks: what they mark, whose they are.

use crate::tree::Tree;
use image::metadata::Orientation;
use image::{GrayImage, ImageBuffer, Luma, LumaA, RgbImage, Rgba};
use softpatch::Error;
use softpatch::data::{DecodeOptions, Layout, TestItem, decode_with_notes};
use softpatch::detector::Framing;
use softpatch::eval::{Mask, Masks, MetricSize, load_mask as load};
use std::path::{Path, PathBuf};

/// The mask of an image of its own size.
fn load_mask(mask: impl AsRef<Path>, resize: u32, crop: u32) -> softpatch::Result<Vec<bool>> {
    load(&mask, &mask, &DecodeOptions::default(), Framing::middle(resize, crop), MetricSize::Frame)
        .map(|mask| mask.pixels)
}

fn mask_file(dir: &Path, width: u32, height: u32, value: impl Fn(u32, u32) -> u8) -> PathBuf {
    let path = dir.join("mask.png");
    let pixel = |x, y| image::Luma([if (3 * x + 2 * y) % 97 < 55 { value(x, y) } else { 0 }]);
    image::GrayImage::from_fn(width, height, pixel).save(&path).unwrap();
    path
}

#[test]
fn masks_equal_pillow_and_torchvision() {
    let dir = tempfile::tempdir().unwrap();
    let golden: serde_json::Value = serde_json::from_str(include_str!("../golden/masks.json")).unwrap();
    for case in golden["cases"].as_array().unwrap() {
        let number = |key: &str| case[key].as_u64().unwrap() as u32;
        let soft = case["soft"].as_bool().unwrap();
        let value = |x, y| if soft { ((x * 5 + y * 3) % 256) as u8 } else { 255 };
        let path = mask_file(dir.path(), number("width"), number("height"), value);
        let got = load_mask(&path, number("resize"), number("crop")).unwrap();
        let got: String = got.iter().map(|&d| if d { '1' } else { '0' }).collect();
        assert_eq!(got, case["defect"].as_str().unwrap(), "{case}");
    }
}

#[test]
fn class_numbers_and_any_one_value_are_hard_masks() {
    let dir = tempfile::tempdir().unwrap();
    let load =
        |value: &dyn Fn(u32, u32) -> u8| load_mask(mask_file(dir.path(), 90, 60, value), 20, 16).unwrap();
    let want = load(&|_, _| 255);
    assert!(want.contains(&true) && want.contains(&false));
    assert_eq!(load(&|_, _| 1), want);
    assert_eq!(load(&|_, _| 200), want);
    assert_eq!(load(&|x, _| 1 + (x % 3) as u8), want);
    assert!(!load(&|_, _| 0).contains(&true));
}

#[test]
fn masks_that_seem_inverted_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let notes = |marks: &dyn Fn(u32, u32) -> bool| {
        let path = dir.path().join("0_mask.png");
        GrayImage::from_fn(40, 40, |x, y| Luma([if marks(x, y) { 255 } else { 0 }])).save(&path).unwrap();
        let (defect, mask) = (Some("hole".to_owned()), Some(path.clone()));
        Masks::load(
            &[TestItem { path, defect, mask }],
            &DecodeOptions::default(),
            Framing::middle(32, 32),
            MetricSize::Frame,
        )
        .notes
    };
    let hole = |x: u32, y: u32| (15..25).contains(&x) && (15..25).contains(&y);
    assert!(notes(&hole).is_empty() && notes(&|x, _| x < 36).is_empty() && notes(&|_, _| false).is_empty());
    let told = notes(&|x, y| !hole(x, y));
    assert!(told.len() == 1 && told[0].contains("inverted"), "{told:?}");
}

#[test]
fn mask_settings_are_checked() {
    let dir = tempfile::tempdir().unwrap();
    for (resize, crop) in [(20, 0), (20, 21), (0, 0)] {
        let mask = mask_file(dir.path(), 90, 60, |_, _| 255);
        assert!(matches!(load_mask(mask, resize, crop), Err(Error::InvalidOption(_))), "{resize} {crop}");
    }
    assert!(matches!(load_mask("absent.png", 20, 16), Err(Error::Image { .. })));
}

/// The mask of an image of `(w, h)` pixels, brought to 16 x 16.
fn mask_of(dir: &Path, (w, h): (u32, u32), mask: &Path) -> softpatch::Result<Mask> {
    let image = dir.join("image.png");
    RgbImage::new(w, h).save(&image).unwrap();
    load(mask, image, &DecodeOptions::default(), Framing::middle(16, 16), MetricSize::Frame)
}

/// Where `value` marks a block of 16 x 16 of 32 x 32 pixels: a quarter of the mask.
fn block(x: u32, y: u32) -> bool {
    (8..24).contains(&x) && (8..24).contains(&y)
}

#[test]
fn every_value_but_0_is_a_defect() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("m.png");
    let count = |path: &Path| {
        let mask = mask_of(dir.path(), (32, 32), path).unwrap();
        assert!(mask.notes.is_empty(), "{:?}", mask.notes);
        mask.pixels.iter().filter(|&&p| p).count()
    };
    let sixteen = |value: u16| {
        let at = |x, y| Luma([if block(x, y) { value } else { 0 }]);
        ImageBuffer::<Luma<u16>, Vec<u16>>::from_fn(32, 32, at).save(&path).unwrap();
        count(&path)
    };
    let all = sixteen(u16::MAX);
    assert!(all >= 36, "{all}");
    for value in [1, 2, 127, 128, 256, 300, 40_000] {
        assert_eq!(sixteen(value), all, "{value}");
    }
    // Class numbers, in two halves and in thin lines.
    let grey = |at: &dyn Fn(u32, u32) -> u8| {
        GrayImage::from_fn(32, 32, |x, y| Luma([if block(x, y) { at(x, y) } else { 0 }]))
            .save(&path)
            .unwrap();
        count(&path)
    };
    assert_eq!(grey(&|x, _| if x < 16 { 60 } else { 180 }), all);
    assert_eq!(grey(&|x, y| if x < 16 { 200 - 10 * (y / 8) as u8 } else { 255 }), all);
    // Colours, and what is transparent.
    let colour = |x, y| if block(x, y) { Rgba([200, 0, 0, 255]) } else { Rgba([0, 0, 0, 0]) };
    image::RgbaImage::from_fn(32, 32, colour).save(&path).unwrap();
    assert_eq!(count(&path), all);
    let alpha = |x, y| LumaA([0, if block(x, y) { 255 } else { 0 }]);
    ImageBuffer::<LumaA<u8>, Vec<u8>>::from_fn(32, 32, alpha).save(&path).unwrap();
    assert_eq!(count(&path), all);
}

#[test]
fn grey_scale_masks_have_a_threshold_and_say_so() {
    let dir = tempfile::tempdir().unwrap();
    let hard = GrayImage::from_fn(64, 64, |x, y| Luma([if block(x / 2, y / 2) { 255 } else { 0 }]));
    let soft = [
        ("resized.png", image::imageops::blur(&hard, 1.5)),
        (
            "dark.png",
            GrayImage::from_fn(64, 64, |x, y| Luma([(hard.get_pixel(x, y)[0] / 255 * 3) * (x.min(y)) as u8])),
        ),
        ("compressed.jpg", hard.clone()),
    ];
    for (name, mask) in soft {
        let path = dir.path().join(name);
        mask.save(&path).unwrap();
        let got = mask_of(dir.path(), (64, 64), &path).unwrap();
        if name == "compressed.jpg" && got.notes.is_empty() {
            continue; // an encoder may lose nothing here
        }
        assert!(got.notes[0].contains("grey-scale") && got.notes[0].contains(name), "{:?}", got.notes);
        let marked = got.pixels.iter().filter(|&&p| p).count();
        assert!((20..=81).contains(&marked), "{name}: {marked}");
    }
}

#[test]
fn sizes_are_compared() {
    let dir = tempfile::tempdir().unwrap();
    let of = |mask: (u32, u32), image: (u32, u32)| {
        let path = dir.path().join("m.png");
        GrayImage::new(mask.0, mask.1).save(&path).unwrap();
        mask_of(dir.path(), image, &path)
    };
    for (mask, image) in [
        ((64, 48), (64, 48)),
        ((128, 96), (64, 48)),
        ((32, 24), (64, 48)),
        ((1000, 714), (256, 183)),
        ((256, 183), (1000, 714)),
        ((700, 500), (91, 65)),
    ] {
        of(mask, image).unwrap_or_else(|e| panic!("{mask:?} for {image:?}: {e}"));
    }
    for (mask, image) in
        [((64, 64), (64, 48)), ((48, 64), (64, 48)), ((64, 46), (64, 48)), ((900, 500), (900, 505))]
    {
        let Err(Error::Image { reason, path, .. }) = of(mask, image) else {
            panic!("{mask:?} for {image:?}")
        };
        assert!(path.ends_with("m.png"));
        for size in [mask, image] {
            assert!(reason.contains(&format!("{}x{}", size.0, size.1)), "{reason}");
        }
    }
}

/// A JPEG of `(w, h)` pixels with this EXIF orientation.
fn turned(path: &Path, (w, h): (u32, u32), orientation: Orientation) {
    let mut jpeg = std::io::Cursor::new(Vec::new());
    RgbImage::new(w, h).write_to(&mut jpeg, image::ImageFormat::Jpeg).unwrap();
    let mut exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0".to_vec();
    exif.extend([orientation.to_exif(), 0, 0, 0, 0, 0, 0, 0]);
    let mut bytes = vec![0xff, 0xd8, 0xff, 0xe1];
    bytes.extend((exif.len() as u16 + 2).to_be_bytes());
    bytes.extend(exif);
    bytes.extend(&jpeg.into_inner()[2..]);
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn an_image_that_is_not_turned_as_exif_says_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let image = dir.path().join("i.jpg");
    let topics = |orientation, exif_orientation| {
        turned(&image, (20, 10), orientation);
        let options = DecodeOptions { exif_orientation, ..DecodeOptions::default() };
        let (_, notes) = decode_with_notes(&image, &options).unwrap();
        notes.iter().map(|note| note.topic()).collect::<Vec<_>>()
    };
    assert_eq!(topics(Orientation::Rotate90, false), ["orientation"]);
    assert!(topics(Orientation::Rotate90, true).is_empty());
    assert!(topics(Orientation::NoTransforms, false).is_empty());
}

#[test]
fn masks_turn_with_their_images() {
    let dir = tempfile::tempdir().unwrap();
    let (image, mask) = (dir.path().join("i.jpg"), dir.path().join("m.png"));
    let exif = DecodeOptions { exif_orientation: true, ..DecodeOptions::default() };
    let corner = |w: u32, h: u32| {
        GrayImage::from_fn(w, h, |x, y| Luma([if x < w / 2 && y < h / 2 { 255 } else { 0 }]))
            .save(&mask)
            .unwrap();
    };
    // The middle of each quarter of a 16 x 16 crop: top left, top right, bottom left, bottom right.
    let corners = |options: &DecodeOptions| {
        let mask = load(&mask, &image, options, Framing::middle(16, 16), MetricSize::Frame).unwrap().pixels;
        [[2, 2], [13, 2], [2, 13], [13, 13]].map(|[x, y]| mask[y * 16 + x])
    };
    for (orientation, size, at) in [
        (Orientation::Rotate90, (32, 24), 1),
        (Orientation::Rotate180, (32, 24), 3),
        (Orientation::Rotate270, (32, 24), 2),
        (Orientation::FlipHorizontal, (32, 24), 1),
        (Orientation::Rotate90, (32, 32), 1),
    ] {
        turned(&image, size, orientation);
        corner(size.0, size.1);
        // Drawn on the pixels as stored: turned with them, or neither.
        assert_eq!(corners(&exif), std::array::from_fn(|i| i == at), "{orientation:?}");
        assert_eq!(corners(&DecodeOptions::default()), [true, false, false, false], "{orientation:?}");
    }
    // Drawn on the image as shown: as it is; without turning it cannot fit.
    turned(&image, (32, 24), Orientation::Rotate90);
    corner(24, 32);
    assert_eq!(corners(&exif), [true, false, false, false]);
    let message = load(&mask, &image, &DecodeOptions::default(), Framing::middle(16, 16), MetricSize::Frame)
        .unwrap_err()
        .to_string();
    assert!(message.contains("24x32") && message.contains("32x24") && message.contains("exif"), "{message}");
}

#[test]
fn masks_are_found_wherever_people_put_them() {
    for mask in [
        "ground_truth/dent/0_mask.PNG",
        "ground_truth/dent/0_GT.bmp",
        "Ground_Truth/Dent/0.tif",
        "GT/0.png",
        "masks/0-mask.png",
        "label/dent/0_label.png",
        "labels/test/dent/0_labels.png",
        "test/masks/dent/0.png",
        "test/dent/gt/0.png",
        "test/dent/0_mask.png",
        "annotations/dent/0.jpg.png",
        "masks/dent/mask_0.png",
        "segmentation/dent/0.webp",
    ] {
        let tree = Tree::new()
            .pictures(&["train/good/0.png", "test/good/0.png", "test/good/5.png", "test/dent/0.jpg"])
            .masks(&[mask]);
        let set = tree.set();
        let test = tree.test(&set.categories[0]);
        assert_eq!(test[0], format!("test/dent/0.jpg dent {mask}"));
        assert_eq!(test.len(), 3, "{mask}");
        assert!(set.left_out.is_empty(), "{mask}: {}", set.left_out);
    }
    // In one folder for all kinds a name that two images have tells neither's mask.
    let tree = Tree::new()
        .pictures(&[
            "train/good/9.png",
            "test/good/9.png",
            "test/dent/0.png",
            "test/bend/0.png",
            "test/bend/1.png",
        ])
        .masks(&["masks/0.png", "masks/1.png"]);
    let expected = [
        "test/bend/0.png bend",
        "test/bend/1.png bend masks/1.png",
        "test/dent/0.png dent",
        "test/good/9.png -",
    ];
    assert_eq!(tree.test(&tree.open(Layout::Mvtec)[0]), expected);
    // Names that differ in case alone.
    #[cfg(target_os = "linux")]
    {
        let tree = Tree::new()
            .pictures(&["test/good/9.png", "test/dent/a.png", "test/dent/A.png"])
            .masks(&["ground_truth/dent/a_mask.png", "ground_truth/dent/A_mask.png"]);
        let test = tree.test(&tree.open(Layout::Mvtec)[0]);
        assert_eq!(test[0], "test/dent/A.png dent ground_truth/dent/A_mask.png");
        assert_eq!(test[1], "test/dent/a.png dent ground_truth/dent/a_mask.png");
    }
}
