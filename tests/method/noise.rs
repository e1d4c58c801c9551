//! Noise protocols, their lists, and the affine move.

use proptest::prelude::*;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use softpatch::Error;
use softpatch::data::{
    Affine, DecodeOptions, ImageSource, NoiseProtocol, OwnedImage, Split, SplitSource, TestItem, TestSet,
    TrainEntry, split,
};
use std::collections::HashSet;
use std::path::PathBuf;

use NoiseProtocol::{AugmentedOverlap, NoOverlap, Overlap};

fn sets(train: usize, good: usize, defects: usize) -> (Vec<PathBuf>, TestSet) {
    let item = |i: usize| {
        let defect = (i >= good).then(|| "hole".to_owned());
        let mask = defect.as_ref().map(|_| format!("gt/{i}.png").into());
        TestItem { path: format!("test/{i}.png").into(), defect, mask }
    };
    let train = (0..train).map(|i| format!("train/{i}.png").into()).collect();
    (train, TestSet { items: (0..good + defects).map(item).collect(), ..Default::default() })
}

fn noise(split: &Split) -> Vec<&TrainEntry> {
    split.train.iter().filter(|e| e.is_noise).collect()
}

#[test]
fn each_protocol_keeps_its_word() {
    let (train, test) = sets(100, 5, 40);
    let make = |protocol, seed| split(&train, &test, 0.29, protocol, seed).unwrap();
    let apart = make(NoOverlap, 1);
    assert_eq!((apart.train.len(), apart.test.len()), (129, 45 - 29));
    let paths: HashSet<_> = noise(&apart).iter().map(|e| e.path.clone()).collect();
    assert_eq!(paths.len(), 29, "without replacement");
    assert!(apart.test.iter().all(|i| !paths.contains(&i.path)));
    assert!(apart.train[..100].iter().zip(&train).all(|(e, p)| !e.is_noise && e.path == *p));
    assert!(test.items.iter().filter(|i| i.is_defect()).any(|i| paths.contains(&i.path)));
    assert!(!apart.repeats_noise());

    let over = make(Overlap, 1);
    assert_eq!(over.test, test.items);
    assert_eq!(over.train, apart.train, "the same seed draws the same images");
    let moved = make(AugmentedOverlap, 1);
    assert_eq!(moved.test, test.items);
    assert!(noise(&moved).iter().zip(noise(&over)).all(|(m, o)| m.path == o.path && m.augment.is_some()));

    assert_eq!(make(AugmentedOverlap, 1), moved);
    assert_ne!(make(AugmentedOverlap, 2), moved);
    assert_eq!(split(&train, &test, 0.0, NoOverlap, 1).unwrap().train.len(), 100);
}

/// A change of the generator or of how it is used would change published splits without anyone noticing.
#[test]
fn a_seed_draws_the_same_for_ever() {
    let (train, test) = sets(20, 2, 9);
    let split = split(&train, &test, 0.2, AugmentedOverlap, 1).unwrap();
    let drawn: Vec<_> = noise(&split).iter().map(|e| e.path.to_str().unwrap().to_owned()).collect();
    assert_eq!(drawn, ["test/6.png", "test/2.png", "test/10.png", "test/5.png"]);
    assert!((noise(&split)[0].augment.unwrap().rotation - 8.272_133_284_638_127).abs() < 1e-12);
}
#[test]
fn too_few_defects_are_repeated_and_moved() {
    let (train, test) = sets(100, 5, 8);
    let split_ = split(&train, &test, 0.2, Overlap, 3).unwrap();
    assert!(split_.repeats_noise());
    let noise = noise(&split_);
    assert_eq!(noise.len(), 20);
    let first: HashSet<_> = noise[..8].iter().map(|e| &e.path).collect();
    assert_eq!(first.len(), 8);
    assert!(noise[..8].iter().all(|e| e.augment.is_none()));
    assert!(noise[8..].iter().all(|e| e.augment.is_some() && first.contains(&e.path)));
}

#[test]
fn impossible_splits_are_refused() {
    let refused = |defects, ratio, protocol| {
        let (train, test) = sets(100, 5, defects);
        match split(&train, &test, ratio, protocol, 0) {
            Err(e @ Error::InvalidOption(_)) => e.to_string(),
            other => panic!("{other:?}"),
        }
    };
    for ratio in [-0.1, 1.1, f64::NAN] {
        assert!(refused(9, ratio, Overlap).contains("not in 0..=1"));
    }
    assert!(refused(0, 0.1, Overlap).contains("the test set has none"));
    assert!(refused(10, 0.1, NoOverlap).contains("takes 10 of 10"));
    let (train, test) = sets(100, 5, 11);
    assert!(split(&train, &test, 0.1, NoOverlap, 0).is_ok());
}

#[test]
fn lists_come_back_as_they_were() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("split.csv");
    let (mut train, mut test) = sets(10, 3, 4);
    train[0] = "größe, \"best\"\nof two.png".into();
    test.items[0].path = " a b.png ".into();
    test.items[4].defect = Some("scratch, \"deep\"".to_owned());
    let split = split(&train, &test, 0.6, AugmentedOverlap, 9).unwrap();
    split.write_csv(&file).unwrap();
    assert_eq!(Split::read_csv(&file).unwrap(), split);
    let text = std::fs::read_to_string(&file).unwrap();
    let head = "split,path,defect,mask,noise,rotation,shift_x,shift_y,scale,shear\n";
    assert!(
        text.starts_with(&format!("{head}train,\"größe, \"\"best\"\"\nof two.png\",,,0,,,,,\n")),
        "{text}"
    );
    assert!(
        text.contains("\ntest, a b.png ,,,,,,,,\n") && text.contains(",\"scratch, \"\"deep\"\"\",gt/"),
        "{text}"
    );

    // Spreadsheets add a byte-order mark and carriage returns.
    let text = std::fs::read_to_string(&file).unwrap().replace('\n', "\r\n");
    std::fs::write(&file, format!("\u{feff}{text}")).unwrap();
    let got = Split::read_csv(&file).unwrap();
    assert_eq!((&got.train[1..], &got.test), (&split.train[1..], &split.test));
}

#[test]
fn damaged_lists_name_the_line() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("split.csv");
    let read = |text: &str| {
        std::fs::write(&file, text).unwrap();
        match Split::read_csv(&file) {
            Err(e @ Error::Dataset { .. }) => e.to_string(),
            other => panic!("{other:?}"),
        }
    };
    let head = "split,path,defect,mask,noise,rotation,shift_x,shift_y,scale,shear\n";
    assert!(read("").contains("line 1: expected the columns split,path"));
    assert!(read("a,b\n").contains("line 1"));
    let body = |lines: &str| read(&format!("{head}{lines}"));
    assert!(body("train,a.png,,,0,,,,,\ntrain,b.png\n").contains("line 3: expected the columns"));
    assert!(body("\n\nval,a.png,,,0,,,,,\n").contains("line 4: split is `val`"));
    assert!(body("\r\n\r\nval,a.png,,,0,,,,,\r\n").contains("line 4: split is `val`"));
    assert!(body("train,a.png,,,0,,,,,\r\n\r\nval,a.png,,,0,,,,,").contains("line 4: split is `val`"));
    assert!(body("train,\"a\nb\",,,0,,,,,\ntrain,b,,,yes,,,,,\n").contains("line 4: noise is `yes`"));
    assert!(body("train,,,,0,,,,,\n").contains("line 2: the path is empty"));
    assert!(body("train,a,,,1,1,0,x,1,0\n").contains("line 2: shift_y is `x`"));
    assert!(body("train,a,,,1,1,0,0,0,0\n").contains("scale must be above 0"));
    assert!(body("train,\"a,,,1\n").contains("line 2: expected the columns"), "a quote is not closed");
    std::fs::write(&file, b"split,\xff").unwrap();
    assert!(Split::read_csv(&file).unwrap_err().to_string().contains("not UTF-8"));
    assert!(matches!(Split::read_csv(dir.path().join("absent.csv")), Err(Error::Io { .. })));
}

fn picture(width: u32, height: u32) -> OwnedImage {
    let pixels = (0..height)
        .flat_map(|y| (0..width).flat_map(move |x| [(x * 9) as u8, (y * 11) as u8, (x * y) as u8]))
        .collect();
    OwnedImage { width, height, pixels }
}

#[test]
fn moves_go_the_way_they_say() {
    let image = picture(20, 16);
    assert_eq!(Affine::IDENTITY.apply(&image).unwrap(), image);
    let at = |image: &OwnedImage, x: u32, y: u32| {
        let i = ((y * image.width + x) * 3) as usize;
        [image.pixels[i], image.pixels[i + 1], image.pixels[i + 2]]
    };
    // 0.1 of 20 to the right, 0.125 of 16 down: two pixels each; the border is repeated.
    let moved = Affine { shift_x: 0.1, shift_y: 0.125, ..Affine::IDENTITY }.apply(&image).unwrap();
    assert_eq!(at(&moved, 7, 9), at(&image, 5, 7));
    assert_eq!(at(&moved, 0, 0), at(&image, 0, 0));
    assert_eq!(at(&moved, 0, 9), at(&image, 0, 7));
    // A square turned by 90 degrees clockwise: the left column becomes the top row.
    let square = picture(16, 16);
    let turned = Affine { rotation: 90.0, ..Affine::IDENTITY }.apply(&square).unwrap();
    for i in 0..16 {
        assert_eq!(at(&turned, 15 - i, 0), at(&square, 0, i));
    }
    // Twice as large: the centre stays.
    let large = Affine { scale: 2.0, ..Affine::IDENTITY }.apply(&square).unwrap();
    let (got, want) = (at(&large, 8, 8), at(&square, 8, 8));
    assert!(got.iter().zip(want).all(|(&g, w)| g.abs_diff(w) <= 6), "{got:?} {want:?}");
    // A shear of 45 degrees: x += y, from the centre.
    let sheared = Affine { shear: 45.0, ..Affine::IDENTITY }.apply(&square).unwrap();
    let (got, want) = (at(&sheared, 11, 10), at(&square, 8, 10));
    assert!(got.iter().zip(want).all(|(&g, w)| g.abs_diff(w) <= 9), "{got:?} {want:?}");

    let broken = OwnedImage { width: 9, height: 9, pixels: vec![0; 3] };
    assert!(matches!(Affine::IDENTITY.apply(&broken), Err(Error::InvalidImage(_))));
}

proptest! {
    #[test]
    fn random_moves_stay_in_range(seed in any::<u64>(), width in 1u32..20, height in 1u32..20) {
        let a = Affine::random(&mut ChaCha8Rng::seed_from_u64(seed));
        prop_assert!(a.rotation.abs() <= 10.0 && a.shear.abs() <= 10.0);
        prop_assert!(a.shift_x.abs() <= 0.1 && a.shift_y.abs() <= 0.1 && (0.9..=1.1).contains(&a.scale));
        let grey = OwnedImage { width, height, pixels: vec![77; (width * height * 3) as usize] };
        prop_assert_eq!(a.apply(&grey).unwrap(), grey);
    }
}

#[test]
fn a_split_loads_moved_images() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.png");
    let image = picture(20, 16);
    image::save_buffer(&path, &image.pixels, 20, 16, image::ExtendedColorType::Rgb8).unwrap();
    let augment = Affine { rotation: 7.0, ..Affine::IDENTITY };
    let entry = |augment| TrainEntry { path: path.clone(), augment, is_noise: true };
    let split = Split { train: vec![entry(None), entry(Some(augment))], test: Vec::new() };
    let source = SplitSource::new(&split, DecodeOptions::default());
    assert_eq!(source.len(), 2);
    assert_eq!(*source.load(0).unwrap(), image);
    assert_eq!(*source.load(1).unwrap(), augment.apply(&image).unwrap());
    assert!(source.name(1).ends_with("a.png (moved)"));
}
