//! `softpatch fit`: bad input, odd input, and what it says.

use super::*;

#[test]
fn bad_training_folders_are_named() {
    let _turn = turn();
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("out.safetensors");
    let missing = folder.path().join("missing");
    fails(&fit(&missing, &output, &[]), 1, &["missing", "there is no such folder", "help: check the path"]);
    let empty = folder.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    fails(&fit(&empty, &output, &[]), 1, &["empty", "png, jpg"]);
    let single = folder.path().join("single");
    fill(&single, 1);
    fails(&fit(&single, &output, &[]), 1, &["000.png", "only training image", "add images"]);
    assert_eq!(listing(folder.path()), ["single/000.png"]);
}

#[test]
fn bad_training_images_are_named_and_nothing_is_written() {
    let _turn = turn();
    let whole = softpatch::report::png_bytes(&part(None, 99)).unwrap();
    let cases: [(&str, &[u8], &str); 3] = [
        ("cut.png", &whole[..whole.len() / 2], "damaged or was cut off"),
        ("zero.png", &[], "the file is empty (0 bytes)"),
        ("text.png", b"not a picture, though the name says so\n", "no known image format"),
    ];
    for (name, bytes, needle) in cases {
        let folder = tempfile::tempdir().unwrap();
        let images = folder.path().join("images");
        fill(&images, 3);
        std::fs::write(images.join(name), bytes).unwrap();
        let before = listing(folder.path());
        let output = fit(&images, &folder.path().join("out.safetensors"), &[]);
        fails(&output, 1, &[name, "not a readable image", needle]);
        assert!(output.stdout.is_empty());
        assert_eq!(listing(folder.path()), before);
    }
}

#[test]
fn a_place_that_cannot_be_written_is_said_before_the_work() {
    let folder = tempfile::tempdir().unwrap();
    let images = folder.path().join("images");
    fill(&images, 2);
    let output = fit(&images, &folder.path().join("nowhere/out.safetensors"), &[]);
    fails(&output, 1, &["out.safetensors", "there is no folder", "nowhere"]);
    fails(&fit(&images, &images, &[]), 1, &["images", "name a file"]);
    assert_eq!(listing(folder.path()), ["images/000.png", "images/001.png"]);
}

#[test]
fn odd_images_are_legal_and_k_is_lowered() {
    let _turn = turn();
    let folder = tempfile::tempdir().unwrap();
    let images = folder.path().join("Teile und Stücke");
    std::fs::create_dir(&images).unwrap();
    write_png(&images.join("ein Teil.png"), &part(None, 1)).unwrap();
    let grey = image::GrayImage::from_fn(90, 70, |x, y| image::Luma([(x * 2 + y) as u8]));
    grey.save(images.join("grå.png")).unwrap();
    let wide = image::RgbImage::from_fn(3000, 300, |x, y| image::Rgb([x as u8, y as u8, (x / 16) as u8]));
    wide.save(images.join("breit.bmp")).unwrap();
    let deep = image::ImageBuffer::from_fn(70, 100, |x, y| image::Luma([(x * 300 + y * 200) as u16]));
    deep.save(images.join("部品.png")).unwrap();
    // A single pixel is an image like any other: it is stretched to the size that is looked at.
    image::RgbImage::from_pixel(1, 1, image::Rgb([90, 90, 90])).save(images.join("one.png")).unwrap();
    let model = folder.path().join("odd model.safetensors");
    let (summary, notes) = succeeds(&fit(&images, &model, &[]));
    assert!(notes.contains("k is lowered from 6 to 4"), "{notes}");
    assert!(summary.contains("images      5"), "{summary}");
    assert!(summary.contains(", k 4,"), "{summary}");
    let (table, _) = succeeds(&run(["score", arg(&model), arg(&images)]));
    assert_eq!(table.lines().count(), 6, "{table}");
    for name in ["ein Teil.png", "grå.png", "breit.bmp", "部品.png", "one.png"] {
        assert!(table.contains(name), "{table}");
    }
    // Quiet is quiet.
    let (_, notes) = succeeds(&fit(&images, &model, &["--quiet"]));
    assert_eq!(notes, "");
}

#[test]
fn a_summary_says_what_was_made() {
    let _turn = turn();
    let summary = &fitted().summary;
    for key in [
        "images      10",
        "patches     640 (8x8 an image)",
        "kept ",
        "bank        64 rows",
        "threshold ",
        "seconds ",
        "device ",
    ] {
        assert!(summary.contains(key), "no `{key}` in: {summary}");
    }
}
