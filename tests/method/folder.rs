//! What fitting and testing take of a folder, and what they leave out.

use crate::tree::{Tree, take};
use softpatch::Error;
use softpatch::data::{
    DecodeOptions, ImageSource, Layout, OpenOptions, Reason, TestSet, TrainSet, list_images,
};
use std::path::Path;

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
            "train/good/later/000.jpg",
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
    assert_eq!(names, ["train/good/000.png", "train/good/001.png", "train/good/later/000.jpg"]);
    assert_eq!(train.root, root);
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
            "all/can/train/good/0.png",
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
    assert!(train("empty").contains("1 file that is no image"));
    assert!(train("no_train").contains("looked for the folder train/"));
    let message = train("all");
    assert!(message.contains("folder of categories") && message.contains("bottle"), "{message}");
    assert!(test("loose").contains("Move it to test/good/"));
}

#[test]
fn fitting_asks_before_it_takes_what_may_not_be_good() {
    let all = OpenOptions { all: true, ..OpenOptions::default() };
    // Good parts and defects by the words of their names.
    let tree =
        Tree::new().pictures(&["train/ok_front/0.png", "train/ok_front/1.png", "train/def_front/2.png"]);
    tree.asks(&["def_front/ (1), ok_front/ (2)", "--take ok_front takes its 2 images", "--all takes all 3"]);
    assert_eq!(tree.fitted(&take(&["ok_front"])), ["train/ok_front/0.png", "train/ok_front/1.png"]);
    assert_eq!(tree.fitted(&take(&["train/ok_front/"])).len(), 2);
    assert_eq!(tree.fitted(&all).len(), 3);
    let set = TrainSet::open_with(tree.root(), &take(&["ok_front"])).unwrap();
    assert_eq!(tree.left(&set.left_out), [("train/def_front/2.png".to_owned(), Reason::NotTaken)]);

    for (names, words) in [
        (vec!["a/0.png", "b/1.png"], "a/ (1), b/ (1)"),
        (vec!["train/good/0.png", "train/scratch/1.png"], "--take good"),
        (vec!["train/OK/0.png", "train/NG/1.png"], "NG/ (1), OK/ (1)"),
        (vec!["train/good/0.png", "train/1.png"], "1 images in the folder itself"),
        (vec!["defects/0.png", "1.png"], "defects/ (1)"),
        (vec!["NG/0.png"], "NG/ (1)"),
    ] {
        let tree = Tree::new().pictures(&names);
        tree.asks(&[words, "--all"]);
        assert_eq!(tree.fitted(&all).len(), names.len());
    }
    for names in [
        ["monday/0.png", "1.png"],
        ["train/good/0.png", "train/good/sub/1.png"],
        ["train/0.png", "train/1.png"],
        ["train/roll 7/0.png", "train/roll 7/1.png"],
        ["good/0.png", "OK/1.png"],
        ["car.png", "car_label_big.png"],
    ] {
        assert_eq!(Tree::new().pictures(&names).fitted(&OpenOptions::default()).len(), 2, "{names:?}");
    }
}

#[test]
fn fitting_never_takes_masks() {
    let all = OpenOptions { all: true, ..OpenOptions::default() };
    let tree = Tree::new().pictures(&["a.png", "b.png"]).masks(&["a_mask.png", "GT/b.png"]);
    tree.asks(&["masks of defects"]);
    assert_eq!(tree.fitted(&all), ["a.png", "b.png"]);
    let tree = Tree::new().pictures(&["train/good/a.png"]).blank(&["train/good/a_GT.bmp"]);
    tree.asks(&["masks of defects"]);
    // Without a partner it is an image, whatever its name is; a photograph is one beside a partner, too.
    let tree =
        Tree::new().pictures(&["train/good/car_label.png", "train/good/b.png", "train/good/b_label.png"]);
    assert_eq!(tree.fitted(&OpenOptions::default()).len(), 3);
}

#[test]
fn folders_opened_by_themselves() {
    let tree = Tree::new()
        .pictures(&["p/train/good/0.png", "p/test/good/1.png", "p/test/dent/2.png", "p/test/hole/3.png"])
        .masks(&["p/ground_truth/dent/2_mask.png"]);
    let open = |name: &str| TrainSet::open(tree.root().join(name));
    assert_eq!(open("p/train").unwrap().layout, Layout::Images);
    assert_eq!(open("p/test/good").unwrap().paths.len(), 1);
    for (name, word) in [
        ("p/test", "split"),
        ("p/test/dent", "holds defects"),
        ("p/test/hole", "test images"),
        ("p/ground_truth", "masks"),
    ] {
        let message = open(name).unwrap_err().to_string();
        assert!(message.contains(word), "{name}: {message}");
    }
}

#[test]
fn files_are_images_by_content_and_the_rest_is_named() {
    let tree = Tree::new()
        .pictures(&["a/0.jfif", "a/1.jpe", "a/2.dib", "a/3", "a/4.dat", "a/5.png"])
        .files(&["a/text.jpg", "a/empty.tif"], b"")
        .files(&["a/phone.heic"], b"\0\0\0\x18ftypheic\0\0\0\0")
        .files(&["a/Thumbs.db", "a/notes", "a/paper.pdf", "a/BMW.txt"], b"BMW and %PDF-")
        .pictures(&[
            "a/.hidden.png",
            "a/._0.png",
            ".thumbnails/0.png",
            "a/@eaDir/0.jpg/t.jpg",
            "lost+found/x.png",
        ])
        .pictures(&["__MACOSX/a/0.png", "a/.Trash-1000/0.png", "thumbs/0.png"]);
    let listing = list_images(tree.root()).unwrap();
    let images: Vec<_> = listing.images.iter().map(|p| tree.inside(p)).collect();
    let expected = ["0.jfif", "1.jpe", "2.dib", "3", "4.dat", "5.png", "empty.tif", "phone.heic", "text.jpg"];
    assert_eq!(images, expected.map(|name| format!("a/{name}")));
    let counts = listing.left_out.counts();
    let expected =
        [(Reason::Thumbnail, 2), (Reason::SystemFolder, 4), (Reason::Hidden, 2), (Reason::NotAnImage, 4)];
    assert_eq!(counts.into_iter().collect::<Vec<_>>(), expected);
    let text = listing.left_out.to_string();
    assert!(text.contains("4 files that are no images: such as") && text.lines().count() == 4, "{text}");
}

#[cfg(unix)]
#[test]
fn what_links_lead_to_counts_once() {
    use std::os::unix::fs::symlink;
    let tree = Tree::new()
        .pictures(&["train/good/0.png", "train/good/1.png", "test/good/2.png", "test/dent/3.png"])
        .masks(&["ground_truth/dent/3.png"]);
    let at = |name: &str| tree.path(name);
    std::fs::hard_link(at("train/good/0.png"), at("train/good/a.png")).unwrap();
    symlink(at("train/good/1.png"), at("train/good/0 link.png")).unwrap();
    symlink(at("train/good"), at("train/good/loop")).unwrap();
    symlink(at("test/dent"), at("test/bend")).unwrap();
    symlink(at("ground_truth/dent"), at("ground_truth/bend")).unwrap();
    symlink(at("gone"), at("train/good/gone.png")).unwrap();
    // What is tested may be fitted on elsewhere: it is one image in each.
    symlink(at("train/good/0.png"), at("test/good/0.png")).unwrap();
    let set = tree.set();
    let category = &set.categories[0];
    assert_eq!(tree.train(category), ["train/good/0.png", "train/good/1.png", "train/good/gone.png"]);
    let kind = |name: &str| format!("test/{name}/3.png {name} ground_truth/{name}/3.png");
    assert_eq!(tree.test(category), [kind("bend"), "test/good/0.png -".into(), "test/good/2.png -".into()]);
    let left: Vec<_> = (set.left_out.paths.iter())
        .filter(|left| left.reason == Reason::Duplicate)
        .map(|left| (tree.inside(&left.path), left.same_as.as_ref().map(|p| tree.inside(p))))
        .collect();
    let pair = |path: &str, same: &str| (path.to_owned(), Some(same.to_owned()));
    let expected = [
        pair("test/dent", "test/bend"),
        pair("train/good/0 link.png", "train/good/1.png"),
        pair("train/good/a.png", "train/good/0.png"),
        pair("train/good/loop", "train/good"),
    ];
    assert_eq!(left, expected);
}

#[test]
fn what_is_in_no_place_of_a_layout_is_named() {
    let tree = Tree::new()
        .pictures(&["train/good/0.png", "test/good/1.png", "test/dent/2.png", "old/3.png", "4.png"])
        .masks(&["ground_truth/dent/9_mask.png"]);
    let set = TestSet::open(tree.root()).unwrap();
    let expected = [
        ("4.png", Reason::Outside),
        ("ground_truth/dent/9_mask.png", Reason::LoneMask),
        ("old/3.png", Reason::Outside),
    ];
    assert_eq!(tree.left(&set.left_out), expected.map(|(path, reason)| (path.to_owned(), reason)));
    let missing = set.missing_masks().unwrap();
    for word in ["1 of 1 defect images", "2.png", "ground_truth/dent/2_mask.*"] {
        assert!(missing.contains(word), "{missing}");
    }
}
