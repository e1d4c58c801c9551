//! Folder layouts and masks.

use softpatch::Error;
use softpatch::data::{DecodeOptions, ImageSource, TestSet, TrainSet};
use softpatch::eval::load_mask;
use std::path::{Path, PathBuf};

fn touch(root: &Path, names: &[&str]) {
    for name in names {
        let path = root.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, b"x").unwrap();
    }
}

fn relative(root: &Path, path: &Path) -> String {
    path.strip_prefix(root).unwrap().to_str().unwrap().replace('\\', "/")
}

fn refused<T: std::fmt::Debug>(result: softpatch::Result<T>) -> String {
    match result {
        Err(e @ Error::Dataset { .. }) => e.to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_category_is_understood() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    touch(
        root,
        &[
            "train/good/001.png",
            "train/good/000.png",
            "train/later/000.jpg",
            "test/good/000.png",
            "test/scratch, deep/000.png",
            "test/scratch, deep/001.png",
            "test/hole/000.JPG",
            "test/hole/more/000.png",
            "ground_truth/scratch, deep/000_mask.png",
            "ground_truth/scratch, deep/000.png",
            "ground_truth/hole/000.png",
            "ground_truth/hole/more/000_mask.bmp",
            "ground_truth/good/000_mask.png",
        ],
    );
    let train = TrainSet::open(root).unwrap();
    let names: Vec<_> = train.paths.iter().map(|p| relative(root, p)).collect();
    assert_eq!(names, ["train/good/000.png", "train/good/001.png", "train/later/000.jpg"]);
    assert_eq!(train.root, root.join("train"));
    assert_eq!(train.source(DecodeOptions::default()).len(), 3);

    let test = TestSet::open(root).unwrap();
    let items: Vec<_> = test
        .items
        .iter()
        .map(|i| {
            let mask = i.mask.as_ref().map(|m| relative(root, m));
            (relative(root, &i.path), i.defect.as_deref(), mask)
        })
        .collect();
    let mask = |name: &str| Some(format!("ground_truth/{name}"));
    assert_eq!(
        items,
        [
            ("test/good/000.png".to_owned(), None, None),
            ("test/hole/000.JPG".to_owned(), Some("hole"), mask("hole/000.png")),
            ("test/hole/more/000.png".to_owned(), Some("hole"), mask("hole/more/000_mask.bmp")),
            (
                "test/scratch, deep/000.png".to_owned(),
                Some("scratch, deep"),
                mask("scratch, deep/000_mask.png")
            ),
            ("test/scratch, deep/001.png".to_owned(), Some("scratch, deep"), None),
        ]
    );
    assert_eq!(test.items.iter().filter(|i| i.is_defect()).count(), 4);
    let without: Vec<_> = test.without_mask().map(|i| relative(root, &i.path)).collect();
    assert_eq!(without, ["test/scratch, deep/001.png"]);
    assert!(test.source(DecodeOptions::default()).name(0).ends_with("000.png"));
}

#[test]
fn a_plain_folder_is_taken_whole() {
    let dir = tempfile::tempdir().unwrap();
    touch(dir.path(), &["monday/2.png", "1.png", "readme.txt"]);
    let train = TrainSet::open(dir.path()).unwrap();
    let names: Vec<_> = train.paths.iter().map(|p| relative(dir.path(), p)).collect();
    assert_eq!(names, ["1.png", "monday/2.png"]);
}

#[test]
fn wrong_folders_say_what_was_looked_for() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    touch(
        root,
        &[
            "file.png",
            "empty/notes.txt",
            "no_train/test/good/0.png",
            "all/bottle/train/good/0.png",
            "loose/test/0.png",
        ],
    );
    std::fs::create_dir_all(root.join("hollow/train/good")).unwrap();
    std::fs::create_dir_all(root.join("hollow/test/good")).unwrap();
    let train = |name: &str| refused(TrainSet::open(root.join(name)));
    let test = |name: &str| refused(TestSet::open(root.join(name)));

    assert!(train("absent").contains("absent: there is no such folder"));
    assert!(test("absent").contains("there is no such folder"));
    assert!(train("file.png").contains("this is a file"));
    assert!(train("empty").contains("looked for images (png, jpg"));
    assert!(train("hollow").contains("looked for images"));
    assert!(test("hollow").contains("looked for images"));
    assert!(test("empty").contains("looked for the folder test/"));
    assert!(train("no_train").contains("looked for the folder train/"));
    let message = train("all");
    assert!(message.contains("folder of categories") && message.contains("bottle"), "{message}");
    assert!(test("loose").contains("Move it to test/good/"));
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
        let got = load_mask(path, number("resize"), number("crop")).unwrap();
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
fn mask_settings_are_checked() {
    let dir = tempfile::tempdir().unwrap();
    for (resize, crop) in [(20, 0), (20, 21), (0, 0)] {
        let mask = mask_file(dir.path(), 90, 60, |_, _| 255);
        assert!(matches!(load_mask(mask, resize, crop), Err(Error::InvalidOption(_))), "{resize} {crop}");
    }
    assert!(matches!(load_mask("absent.png", 20, 16), Err(Error::Image { .. })));
}
