//! The layouts of the published data sets, as small trees of tiny images.

use image::{GrayImage, Luma, RgbImage};
use softpatch::data::{Category, Dataset, Layout};
use softpatch::eval::load_mask;
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

struct Tree(TempDir);

impl Tree {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }
    fn path(&self, name: &str) -> PathBuf {
        let path = self.0.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        path
    }
    fn pictures(self, names: &[&str]) -> Self {
        names.iter().for_each(|name| RgbImage::new(8, 8).save(self.path(name)).unwrap());
        self
    }
    /// Masks of 8x8 with one marked pixel each.
    fn masks(self, names: &[&str]) -> Self {
        for (i, name) in names.iter().enumerate() {
            let mut mask = GrayImage::new(8, 8);
            mask.put_pixel(i as u32, 2, Luma([255]));
            mask.save(self.path(name)).unwrap();
        }
        self
    }
    fn root(&self) -> &Path {
        self.0.path()
    }
    fn open(&self, layout: Layout) -> Vec<Category> {
        let set = Dataset::open(self.root()).unwrap();
        assert_eq!(set.layout, layout);
        set.categories
    }
    fn refused(&self, words: &[&str]) {
        let message = Dataset::open(self.root()).unwrap_err().to_string();
        words.iter().for_each(|word| assert!(message.contains(word), "{word}: {message}"));
    }
    fn train(&self, category: &Category) -> Vec<String> {
        category.train.iter().map(|p| self.inside(p)).collect()
    }
    /// `path [defect] [mask]` of every test image.
    fn test(&self, category: &Category) -> Vec<String> {
        let line = |item: &softpatch::data::TestItem| {
            let mask = item.mask.as_ref().map_or(String::new(), |m| format!(" {}", self.inside(m)));
            format!("{} {}{mask}", self.inside(&item.path), item.defect.as_deref().unwrap_or("-"))
        };
        category.test.items.iter().map(line).collect()
    }
    fn inside(&self, path: &Path) -> String {
        path.strip_prefix(self.root()).unwrap().to_string_lossy().replace('\\', "/")
    }
}

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
    fs::remove_dir_all(tree.root().join("b/test")).unwrap();
    tree.refused(&["test/good/"]);
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
    let mask = load_mask(sets[0].test.items[1].mask.as_ref().unwrap(), 8, 8).unwrap();
    let marked: Vec<usize> = (0..64).filter(|&i| mask[i]).collect();
    assert_eq!(marked, [16, 17]);
    fs::remove_dir_all(tree.root().join("a/ground_truth/structural_anomalies")).unwrap();
    tree.refused(&["structural_anomalies", "no folder of masks"]);
}

#[test]
fn mvtec_3d_takes_the_colour_images() {
    let tree = Tree::new()
        .pictures(&["a/train/good/rgb/0.png", "a/test/good/rgb/0.png", "a/test/hole/rgb/1.png"])
        .pictures(&["a/train/good/xyz/0.tiff", "a/test/good/gt/0.png"])
        .masks(&["a/test/hole/gt/1.png"]);
    let sets = tree.open(Layout::Mvtec3d);
    assert_eq!(tree.train(&sets[0]), ["a/train/good/rgb/0.png"]);
    assert_eq!(
        tree.test(&sets[0]),
        ["a/test/good/rgb/0.png -", "a/test/hole/rgb/1.png hole a/test/hole/gt/1.png"]
    );
    fs::remove_dir_all(tree.root().join("a/test/hole/rgb")).unwrap();
    tree.refused(&["rgb", "3D"]);
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
    fs::remove_dir_all(tree.root().join("01/test/ok")).unwrap();
    tree.refused(&["BTAD"]);
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
    fs::write(&list, lines(["train,normal", "test,strange", "test,anomaly"])).unwrap();
    tree.refused(&["line 3", "strange"]);
    fs::remove_file(tree.root().join(&images[2])).unwrap();
    fs::write(&list, lines(["train,normal", "test,normal", "test,anomaly"])).unwrap();
    tree.refused(&["line 4", "not there"]);
    fs::write(&list, "object,image\n").unwrap();
    tree.refused(&["line 1", "object,split,label,image,mask"]);
}

#[test]
fn kolektor_splits_by_item() {
    let blank = |tree: Tree, names: &[&str]| {
        names.iter().for_each(|name| GrayImage::new(8, 8).save(tree.path(name)).unwrap());
        tree
    };
    let tree = Tree::new()
        .pictures(&["kos01/Part0.jpg", "kos01/Part1.jpg", "kos02/Part0.jpg", "kos02/Part5.jpg"])
        .masks(&["kos01/Part1_label.bmp", "kos02/Part5_label.bmp"]);
    let tree = blank(tree, &["kos01/Part0_label.bmp", "kos02/Part0_label.bmp"]);
    let sets = tree.open(Layout::Kolektor);
    assert_eq!(tree.train(&sets[0]), ["kos01/Part0.jpg"]);
    let expected = [
        "kos01/Part1.jpg defect kos01/Part1_label.bmp",
        "kos02/Part0.jpg -",
        "kos02/Part5.jpg defect kos02/Part5_label.bmp",
    ];
    assert_eq!(tree.test(&sets[0]), expected);
    fs::remove_file(tree.root().join("kos02/Part0_label.bmp")).unwrap();
    tree.refused(&["Part0_label"]);

    let tree = Tree::new()
        .pictures(&["train/0.png", "train/1.png", "test/2.png", "test/3.png"])
        .masks(&["train/1_GT.png", "test/3_GT.png"]);
    let tree = blank(tree, &["train/0_GT.png", "test/2_GT.png"]);
    let sets = tree.open(Layout::Kolektor2);
    assert_eq!(tree.train(&sets[0]), ["train/0.png"]);
    assert_eq!(tree.test(&sets[0]), ["test/2.png -", "test/3.png defect test/3_GT.png"]);
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
    tree.refused(&["no folder of defects"]);
    let tree = tree.pictures(&["dent/a.png"]).masks(&["ground_truth/dent/a_mask.png"]);
    let sets = tree.open(Layout::Plain);
    assert_eq!(tree.train(&sets[0]).len(), 4);
    assert_eq!(tree.test(&sets[0]), ["dent/a.png dent ground_truth/dent/a_mask.png", "good/4.png -"]);
    Tree::new().pictures(&["x/y.png"]).refused(&["train/", "split_csv/1cls.csv", "good/"]);
    assert!(Dataset::open("no/such").unwrap_err().to_string().contains("no such folder"));
}
