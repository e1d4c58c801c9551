//! What a folder is taken for.

use super::*;

/// A set with a defect without a mask, and an image in no place of the layout.
fn set() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (i, name) in ["train/OK/0.png", "train/OK/1.png", "test/OK/2.png", "test/NG/3.png", "old/4.png"]
        .into_iter()
        .enumerate()
    {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, picture(20 + i as u32)).unwrap();
    }
    std::fs::write(folder.path().join("notes.txt"), "notes").unwrap();
    folder
}

/// A grey PNG of this width and 16 rows.
fn picture(width: u32) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    image::GrayImage::new(width, 16).write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    bytes.into_inner()
}

#[test]
fn a_folder_is_described() {
    let folder = set();
    let (text, _) = succeeds(&run(["data", arg(folder.path())]));
    for part in [
        "MVTec AD (mvtec): test/, train/",
        "fit       2 images",
        "1 good; defects: NG 1 (no mask)",
        "test/NG/3_mask.*",
        "20 to 23 wide, 16 to 16 high; PNG, grey or palette, 8 bit (4)",
        "1 image outside the layout: ",
        "1 file that is no image: ",
    ] {
        assert!(text.contains(part), "no `{part}` in: {text}");
    }
    let (json, _) = succeeds(&run(["data", arg(folder.path()), "--json"]));
    let document: serde_json::Value = serde_json::from_str(&json).unwrap();
    let category = &document["categories"][0];
    assert_eq!(document["layout"], "mvtec");
    assert_eq!((&category["train"], &category["good"]), (&2.into(), &1.into()));
    assert_eq!(category["defects"]["NG"], serde_json::json!({"images": 1, "masks": 0}));
    assert!(category["fit"].is_null() && category["eval"].is_null());
    assert_eq!(category["pictures"]["largest"], serde_json::json!([23, 16]));
    assert_eq!(document["left_out"].as_array().unwrap().len(), 2);
}

#[test]
fn what_is_left_out_fails_when_strict_and_other_layouts_say_what_they_miss() {
    let folder = set();
    let strict = run(["data", arg(folder.path()), "--strict"]);
    assert_eq!(strict.status.code(), Some(1));
    assert!(text(&strict.stdout).contains("outside the layout"));
    fails(
        &run(["data", arg(folder.path()), "--layout", "visa"]),
        1,
        &["VisA", "split_csv/1cls.csv", "train/ (2)"],
    );
    fails(&run(["data", arg(folder.path()), "--layout", "visam"]), 2, &["visam", "mvtec"]);
    std::fs::rename(folder.path().join("test/NG"), folder.path().join("train/NG")).unwrap();
    let (text, _) = succeeds(&run(["data", arg(folder.path())]));
    assert!(text.contains("NG/ (1), OK/ (2)") && text.contains("--take OK takes its 2 images"), "{text}");
    let (text, _) = succeeds(&run(["data", arg(folder.path()), "--take", "OK"]));
    assert!(text.contains("fit       2 images") && text.contains("1 image that was not taken"), "{text}");
}
