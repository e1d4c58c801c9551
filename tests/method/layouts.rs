//! The layouts of the published data sets and of their kin, as small trees of tiny images.

use crate::tree::{Tree, take};
use softpatch::data::{Dataset, DecodeOptions, Layout, OpenOptions, Reason, TestSet};
use softpatch::detector::Framing;
use softpatch::eval::{MetricSize, load_mask};
use std::fs;

#[test]
fn mvtec_ad_and_one_category_of_it() {
    let tree = Tree::new()
        .pictures(&["a/train/good/0.png", "a/test/good/0.png", "a/test/cut/1.png", "b/train/good/0.png"])
        .pictures(&["b/test/good/1.png", "license/readme.png"])
        .masks(&["a/ground_truth/cut/1_mask.png"]);
    let sets = tree.open(Layout::Mvtec);
    assert_eq!(sets.iter().map(|c| c.name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(tree.train(&sets[0]), ["a/train/good/0.png"]);
    let expected = ["a/test/cut/1.png cut a/ground_truth/cut/1_mask.png", "a/test/good/0.png -"];
    assert_eq!(tree.test(&sets[0]), expected);
    let one = Dataset::open(tree.root().join("a")).unwrap();
    assert_eq!(one.categories, sets[..1]);
    let set = Dataset::open(tree.root()).unwrap();
    assert_eq!(set.clone().only(&["b".into()]).unwrap().categories, sets[1..]);
    let message = set.only(&["c".into()]).unwrap_err().to_string();
    assert!(message.contains("no category c") && message.contains("a, b"), "{message}");
    assert_eq!(tree.left(&tree.set().left_out), [("license/readme.png".to_owned(), Reason::Outside)]);
    // What is not there is missed only where it is needed.
    tree.remove("b/test");
    let sets = tree.open(Layout::Mvtec);
    assert_eq!(tree.train(&sets[1]), ["b/train/good/0.png"]);
    let message = sets[1].require_test().unwrap_err().to_string();
    assert!(message.contains("looked for the folder test/") && message.contains("train/ (1)"), "{message}");
}

#[test]
fn loco_takes_the_union_of_masks() {
    let tree = Tree::new()
        .pictures(&["a/train/good/0.png", "a/validation/good/0.png", "a/test/good/0.png"])
        .pictures(&["a/test/logical_anomalies/0.png", "a/test/structural_anomalies/3.png"])
        .masks(&["a/ground_truth/logical_anomalies/0/000.png", "a/ground_truth/logical_anomalies/0/001.png"])
        .masks(&["a/ground_truth/structural_anomalies/3/000.png"]);
    let sets = tree.open(Layout::Loco);
    assert_eq!(tree.train(&sets[0]), ["a/train/good/0.png"]);
    let expected = [
        "a/test/good/0.png -",
        "a/test/logical_anomalies/0.png logical_anomalies a/ground_truth/logical_anomalies/0",
        "a/test/structural_anomalies/3.png structural_anomalies a/ground_truth/structural_anomalies/3",
    ];
    assert_eq!(tree.test(&sets[0]), expected);
    let item = &sets[0].test.items[1];
    let mask = load_mask(
        item.mask.as_ref().unwrap(),
        &item.path,
        &DecodeOptions::default(),
        Framing::middle(8, 8),
        MetricSize::Frame,
    )
    .unwrap();
    let mask = mask.pixels;
    let marked: Vec<usize> = (0..64).filter(|&i| mask[i]).collect();
    assert_eq!(marked, [16, 17]);
    assert_eq!(tree.left(&tree.set().left_out), [("a/validation/good/0.png".to_owned(), Reason::Validation)]);
    tree.remove("a/ground_truth/structural_anomalies");
    let missing = tree.set().categories[0].test.missing_masks().unwrap();
    assert!(missing.contains("1 of 2") && missing.contains("ground_truth/structural_anomalies"), "{missing}");

    // The kinds' names do not make a set LOCO: here every image has one mask.
    let tree = Tree::new()
        .pictures(&["train/good/0.png", "test/good/0.png", "test/logical_anomalies/0.png"])
        .masks(&["ground_truth/logical_anomalies/0_mask.png"]);
    let sets = tree.open(Layout::Mvtec);
    let expected = [
        "test/good/0.png -",
        "test/logical_anomalies/0.png logical_anomalies ground_truth/logical_anomalies/0_mask.png",
    ];
    assert_eq!(tree.test(&sets[0]), expected);
}

#[test]
fn mvtec_3d_takes_the_colour_images() {
    let tree = Tree::new()
        .pictures(&["a/train/good/rgb/0.png", "a/test/good/rgb/0.png", "a/test/hole/rgb/1.png"])
        .pictures(&["a/train/good/xyz/0.tiff", "a/test/hole/xyz/1.tiff"])
        .blank(&["a/test/good/gt/0.png"])
        .masks(&["a/test/hole/gt/1.png"]);
    let sets = tree.open(Layout::Mvtec3d);
    assert_eq!(tree.train(&sets[0]), ["a/train/good/rgb/0.png"]);
    assert_eq!(
        tree.test(&sets[0]),
        ["a/test/good/rgb/0.png -", "a/test/hole/rgb/1.png hole a/test/hole/gt/1.png"]
    );
    let left = tree.left(&tree.set().left_out);
    let expected = [
        ("a/test/good/gt/0.png", Reason::Mask),
        ("a/test/hole/xyz/1.tiff", Reason::OtherSensor),
        ("a/train/good/xyz/0.tiff", Reason::OtherSensor),
    ];
    assert_eq!(left, expected.map(|(path, reason)| (path.to_owned(), reason)));
}

#[test]
fn btad() {
    let tree = Tree::new()
        .pictures(&["01/train/ok/0.bmp", "01/test/ok/0.bmp", "01/test/ko/7.bmp", "01/test/ko/8.bmp"])
        .masks(&["01/ground_truth/ko/7.png"]);
    let sets = tree.open(Layout::Btad);
    assert_eq!(tree.train(&sets[0]), ["01/train/ok/0.bmp"]);
    let expected =
        ["01/test/ko/7.bmp ko 01/ground_truth/ko/7.png", "01/test/ko/8.bmp ko", "01/test/ok/0.bmp -"];
    assert_eq!(tree.test(&sets[0]), expected);
    tree.remove("01/test/ok");
    tree.refused(&["looked for a folder of good images", "ok", "ko/ (2)", "--take"]);
}

#[test]
fn visa_follows_its_list() {
    let images = ["n/0.png", "n/1.png", "a/0.png"].map(|n| format!("candle/Data/Images/{n}"));
    let tree =
        Tree::new().pictures(&images.each_ref().map(String::as_str)).masks(&["candle/Data/Masks/a/0.png"]);
    let list = tree.path("split_csv/1cls.csv");
    let lines = |labels: [&str; 3]| {
        let mut text = "object,split,label,image,mask\n".to_owned();
        for (label, image) in labels.iter().zip(&images) {
            let mask = if label.contains("anomaly") { "candle/Data/Masks/a/0.png" } else { "" };
            text.push_str(&format!("candle,{label},{image},{mask}\n"));
        }
        text
    };
    fs::write(&list, lines(["train,normal", "test,normal", "test,anomaly"])).unwrap();
    let sets = tree.open(Layout::Visa);
    assert_eq!(sets[0].name, "candle");
    assert_eq!(tree.train(&sets[0]), [images[0].as_str()]);
    let defect = format!("{} anomaly candle/Data/Masks/a/0.png", images[2]);
    assert_eq!(tree.test(&sets[0]), [defect, format!("{} -", images[1])]);
    // The same split where one object is opened.
    assert_eq!(Dataset::open(tree.root().join("candle")).unwrap().categories, sets);
    fs::write(&list, lines(["train,normal", "test,strange", "test,anomaly"])).unwrap();
    tree.refused(&["line 3", "strange"]);
    tree.remove(&images[2]);
    fs::write(&list, lines(["train,normal", "test,normal", "test,anomaly"])).unwrap();
    tree.refused(&["line 4", "not there"]);
    fs::write(&list, "object,image\n").unwrap();
    tree.refused(&["line 1", "object,split,label,image,mask"]);
}

#[test]
fn kolektor_splits_by_item() {
    let tree = Tree::new()
        .pictures(&["kos01/Part0.jpg", "kos01/Part1.jpg", "kos02/Part0.jpg", "kos02/Part5.jpg"])
        .masks(&["kos01/Part1_label.bmp", "kos02/Part5_label.bmp"]);
    let tree = tree.blank(&["kos01/Part0_label.bmp", "kos02/Part0_label.bmp"]);
    let sets = tree.open(Layout::Kolektor);
    assert_eq!(tree.train(&sets[0]), ["kos01/Part0.jpg"]);
    let expected = [
        "kos01/Part1.jpg defect kos01/Part1_label.bmp",
        "kos02/Part0.jpg -",
        "kos02/Part5.jpg defect kos02/Part5_label.bmp",
    ];
    assert_eq!(tree.test(&sets[0]), expected);
    tree.remove("kos02/Part0_label.bmp");
    tree.refused(&["Part0_label"]);

    let tree = Tree::new()
        .pictures(&["train/0.png", "train/1.png", "test/2.png", "test/3.png"])
        .masks(&["train/1_GT.png", "test/3_GT.png"]);
    let tree = tree.blank(&["train/0_GT.png", "test/2_GT.png"]);
    let sets = tree.open(Layout::Kolektor2);
    assert_eq!(tree.train(&sets[0]), ["train/0.png"]);
    assert_eq!(tree.test(&sets[0]), ["test/2.png -", "test/3.png defect test/3_GT.png"]);
    let left = tree.left(&tree.set().left_out);
    assert!(left.contains(&("train/1.png".to_owned(), Reason::TrainDefect)), "{left:?}");
    assert_eq!(tree.fitted(&OpenOptions::default()), ["train/0.png"]);
}

#[test]
fn magnetic_tile_as_published() {
    let names: Vec<String> = (0..6).map(|i| format!("MT_Free/Imgs/f{i}.jpg")).collect();
    let tree = Tree::new()
        .pictures(&names.iter().map(String::as_str).collect::<Vec<_>>())
        .pictures(&["MT_Blowhole/Imgs/b.jpg"])
        .masks(&["MT_Free/Imgs/f0.png", "MT_Blowhole/Imgs/b.png"]);
    let sets = tree.open(Layout::Magnetic);
    assert_eq!(tree.train(&sets[0]).len(), 5);
    let expected = ["MT_Blowhole/Imgs/b.jpg blowhole MT_Blowhole/Imgs/b.png", "MT_Free/Imgs/f4.jpg -"];
    assert_eq!(tree.test(&sets[0]), expected);
}

#[test]
fn a_plain_folder_and_what_is_none() {
    let names: Vec<String> = (0..5).map(|i| format!("good/{i}.png")).collect();
    let tree = Tree::new().pictures(&names.iter().map(String::as_str).collect::<Vec<_>>());
    // Without defects there is nothing to hold images out for.
    assert_eq!(tree.fitted(&OpenOptions::default()).len(), 5);
    let tree = tree.pictures(&["dent/a.png"]).masks(&["ground_truth/dent/a_mask.png"]);
    let sets = tree.open(Layout::Plain);
    assert_eq!(tree.train(&sets[0]).len(), 4);
    assert_eq!(tree.test(&sets[0]), ["dent/a.png dent ground_truth/dent/a_mask.png", "good/4.png -"]);
    let message =
        Tree::new().pictures(&["x/y.png"]).set().categories[0].require_test().unwrap_err().to_string();
    for word in ["train/ and test/", "good, ok", "--layout", "x/ (1)"] {
        assert!(message.contains(word), "{message}");
    }
    assert!(Dataset::open("no/such").unwrap_err().to_string().contains("no such folder"));
}

#[test]
fn visa_without_its_list() {
    let good: Vec<String> = (0..5).map(|i| format!("candle/Data/Images/Normal/{i}.JPG")).collect();
    let tree = Tree::new()
        .pictures(&good.iter().map(String::as_str).collect::<Vec<_>>())
        .pictures(&["candle/Data/Images/Anomaly/0.JPG", "candle/Data/Images/Anomaly/1.JPG"])
        .masks(&["candle/Data/Masks/Anomaly/0.png"]);
    let sets = tree.open(Layout::Visa);
    assert_eq!(sets[0].name, "candle");
    assert_eq!(tree.train(&sets[0]), good[..4]);
    let expected = [
        "candle/Data/Images/Anomaly/0.JPG anomaly candle/Data/Masks/Anomaly/0.png",
        "candle/Data/Images/Anomaly/1.JPG anomaly",
        "candle/Data/Images/Normal/4.JPG -",
    ];
    assert_eq!(tree.test(&sets[0]), expected);
    assert_eq!(tree.fitted(&OpenOptions::default()), good[..4]);
    let one = Dataset::open(tree.root().join("candle")).unwrap();
    assert_eq!(one.categories, sets);
    assert_eq!(one.layout, Layout::Visa);
}

#[test]
fn splits_and_good_folders_by_other_names() {
    let names = [
        ["TRAIN/OK", "TEST/OK", "TEST/NG", "GROUND_TRUTH/NG"],
        ["training/pass", "testing/pass", "testing/fail", "masks/fail"],
        ["Train/i.o.", "Test/i.o.", "Test/n.i.o.", "gt/n.i.o."],
        ["train/良品", "test/良品", "test/不良", "labels/不良"],
        ["train_set/defect-free", "test_set/defect-free", "test_set/Bruch", "Mask/bruch"],
        ["train/images/normal", "test/images/normal", "test/images/dent", "test/masks/dent"],
        ["train/good", "test/good", "test/color", "annotations/test/color"],
        ["train/good", "test/good/image", "test/mask/image", "ground_truth/mask"],
    ];
    for [train, good, bad, masks] in names {
        let name = |folder: &str| format!("{folder}/0.png");
        let mask = format!("{masks}/0.png");
        let tree = Tree::new().pictures(&[&name(train), &name(good), &name(bad)]).masks(&[&mask]);
        let sets = tree.open(Layout::Mvtec);
        assert_eq!(tree.train(&sets[0]), [name(train)]);
        let mut test = tree.test(&sets[0]);
        test.sort_by_key(|line| line.contains(" - ") || line.ends_with(" -"));
        let kind = bad.split('/').find(|part| !part.to_lowercase().starts_with("test") && *part != "images");
        assert_eq!(test, [format!("{} {} {mask}", name(bad), kind.unwrap()), format!("{} -", name(good))]);
        assert!(tree.set().left_out.is_empty(), "{masks}: {}", tree.set().left_out);
    }
}

#[test]
fn a_test_split_alone_and_a_validation_split() {
    let tree = Tree::new()
        .pictures(&["a/train/good/0.png", "a/test/good/0.png", "a/test/dent/1.png"])
        .masks(&["a/ground_truth/dent/1_mask.png"]);
    // The split itself: its masks lie beside it, its good images are not for fitting.
    let set = Dataset::open(tree.root().join("a/test")).unwrap();
    let expected = ["a/test/dent/1.png dent a/ground_truth/dent/1_mask.png", "a/test/good/0.png -"];
    assert_eq!(tree.test(&set.categories[0]), expected);
    assert!(matches!(set.categories[0].require_train(), Err(softpatch::Error::Choice { .. })));

    let tree = Tree::new().pictures(&["train/good/0.png", "val/good/0.png", "val/bad/1.png"]);
    let sets = tree.open(Layout::Mvtec);
    assert_eq!(tree.test(&sets[0]), ["val/bad/1.png bad", "val/good/0.png -"]);
    assert!(sets[0].test.notes[0].contains("validation"), "{:?}", sets[0].test.notes);
}

#[test]
fn images_in_the_splits_themselves_are_told_by_masks() {
    // As in DAGM 2007: a label for each defect, none for good images.
    let tree = Tree::new()
        .pictures(&["Class1/Train/1.png", "Class1/Train/2.png", "Class1/Test/3.png", "Class1/Test/4.png"])
        .masks(&["Class1/Train/Label/2_label.png", "Class1/Test/Label/4_label.PNG"]);
    let sets = tree.open(Layout::Mvtec);
    assert_eq!(tree.train(&sets[0]), ["Class1/Train/1.png"]);
    let expected = ["Class1/Test/3.png -", "Class1/Test/4.png defect Class1/Test/Label/4_label.PNG"];
    assert_eq!(tree.test(&sets[0]), expected);
    assert!(sets[0].notes[0].contains("told by their masks"), "{:?}", sets[0].notes);
}

#[test]
fn a_layout_that_is_named_decides_and_says_what_it_misses() {
    let tree = Tree::new().pictures(&["good/0.png", "train/good/1.png", "bad/2.png"]);
    assert_eq!(tree.set().layout, Layout::Mvtec);
    let plain = tree.set_as(Layout::Plain);
    assert_eq!(tree.train(&plain.categories[0]), ["good/0.png"]);
    for (layout, word) in [
        (Layout::Visa, "split_csv/1cls.csv"),
        (Layout::Kolektor, "kos01/"),
        (Layout::Kolektor2, "NNN_GT.png"),
        (Layout::Magnetic, "MT_Free/"),
    ] {
        let options = OpenOptions { layout: Some(layout), ..OpenOptions::default() };
        let message = Dataset::open_with(tree.root(), &options).unwrap_err().to_string();
        assert!(message.contains(word) && message.contains(layout.title()), "{message}");
    }
}

#[test]
fn folders_around_sets_and_several_sets() {
    let tree = Tree::new().pictures(&["in/in/bottle/train/good/0.png", "in/in/bottle/test/good/1.png"]);
    assert_eq!(tree.open(Layout::Mvtec)[0].name, "bottle");
    let tree = tree.pictures(&["in/other/bottle/train/good/0.png"]);
    let names: Vec<String> = tree.open(Layout::Mvtec).into_iter().map(|c| c.name).collect();
    assert_eq!(names, ["in_in_bottle", "in_other_bottle"]);
    let message = TestSet::open(tree.root()).unwrap_err().to_string();
    assert!(
        message.contains("folder of categories; name one of its 2") && message.contains("bottle"),
        "{message}"
    );
    let tree = Tree::new().pictures(&["images/good/0.png", "images/dent/1.png"]).masks(&["masks/dent/1.png"]);
    let expected = ["images/dent/1.png dent masks/dent/1.png"];
    assert_eq!(tree.test(&tree.open(Layout::Plain)[0]), expected);
    let tree = Tree::new().pictures(&["a/OK/0.png", "a/NG/1.png", "b/OK/0.png", "b/NG/1.png"]);
    assert_eq!(tree.open(Layout::Plain).len(), 2);
}

#[test]
fn folders_that_the_caller_calls_good() {
    let tree = Tree::new().pictures(&["train/a/0.png", "train/b/1.png", "test/a/2.png", "test/b/3.png"]);
    tree.refused(&["a/ (1), b/ (1)", "--take"]);
    let set = Dataset::open_with(tree.root(), &take(&["a"])).unwrap();
    assert_eq!(tree.train(&set.categories[0]), ["train/a/0.png"]);
    assert_eq!(tree.test(&set.categories[0]), ["test/a/2.png -", "test/b/3.png b"]);
    let message = Dataset::open_with(tree.root(), &take(&["c"])).unwrap_err().to_string();
    assert!(message.contains("no folder c") && message.contains("train/ (2)"), "{message}");
}
