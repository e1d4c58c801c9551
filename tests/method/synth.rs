//! The procedural data set: determinism, masks, files.

use softpatch::Error;
use softpatch::data::synth::{Defect, Material, SynthOptions, SynthSummary, generate, render};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Mutex;

fn pairs() -> impl Iterator<Item = (Material, Defect)> {
    Material::ALL.into_iter().flat_map(|m| m.defects().iter().map(move |&d| (m, d)))
}

/// Largest difference of a channel at every pixel.
fn differences(a: &[u8], b: &[u8]) -> Vec<u8> {
    let pixels = a.chunks_exact(3).zip(b.chunks_exact(3));
    pixels.map(|(a, b)| a.iter().zip(b).map(|(a, b)| a.abs_diff(*b)).max().unwrap_or(0)).collect()
}

/// Every file under a folder: path with slashes, and content.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut open = vec![folder.to_owned()];
    while let Some(next) = open.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                let name = path.strip_prefix(folder).unwrap().to_string_lossy().replace('\\', "/");
                found.insert(name, std::fs::read(&path).unwrap());
            }
        }
    }
    found
}

fn small() -> SynthOptions {
    SynthOptions {
        materials: vec![Material::Metal, Material::Circuit],
        train: 10,
        test_good: 2,
        test_per_defect: 1,
        size: 64,
        seed: 5,
        contamination: 0.0,
    }
}

#[test]
fn the_same_seed_gives_the_same_picture_and_another_seed_another() {
    for material in Material::ALL {
        let (first, mask) = render(material, None, 3, 64).unwrap();
        assert_eq!((first.width, first.height, first.pixels.len()), (64, 64, 64 * 64 * 3));
        assert_eq!(mask, vec![false; 64 * 64]);
        assert_eq!(first, render(material, None, 3, 64).unwrap().0, "{material}");
        let other = render(material, None, 4, 64).unwrap().0;
        let changed = differences(&first.pixels, &other.pixels).iter().filter(|d| **d > 0).count();
        assert!(changed > 64 * 64 / 2, "{material}: only {changed} pixels differ between seeds");
    }
}

#[test]
fn the_mask_is_where_the_picture_changed() {
    for (material, defect) in pairs() {
        for seed in 0..5 {
            let (clean, _) = render(material, None, seed, 96).unwrap();
            let (image, mask) = render(material, Some(defect), seed, 96).unwrap();
            let area = mask.iter().filter(|m| **m).count();
            let name = format!("{material}, {defect}, seed {seed}: mask of {area} pixels");
            assert!(area >= 4, "{name} is too small to be a defect");
            assert!(area < 96 * 96 / 2, "{name} covers most of the picture");
            let difference = differences(&clean.pixels, &image.pixels);
            let outside = difference.iter().zip(&mask).filter(|(d, m)| **d > 0 && !**m).count();
            assert_eq!(outside, 0, "{name}: pixels outside it changed");
            let inside = difference.iter().zip(&mask).filter(|(d, m)| **d > 0 && **m).count();
            assert!(inside * 3 > area, "{name}: only {inside} pixels inside it changed");
            assert!(difference.iter().any(|d| *d >= 8), "{name}: too faint for anyone to find");
        }
    }
}

#[test]
fn pictures_look_alike_at_every_size() {
    let mean = |size| {
        let (image, _) = render(Material::Gear, None, 1, size).unwrap();
        image.pixels.iter().map(|&v| f64::from(v)).sum::<f64>() / image.pixels.len() as f64
    };
    let (small, large) = (mean(64), mean(200));
    assert!((small - large).abs() < 4.0, "mean brightness {small} at 64 pixels, {large} at 200");
}

#[test]
fn a_defect_that_cannot_happen_is_refused_with_those_that_can() {
    for (material, defect, known) in
        [(Material::Fabric, Defect::Bridge, "pulled_thread"), (Material::Metal, Defect::Missing, "dent")]
    {
        let Err(Error::InvalidOption(reason)) = render(material, Some(defect), 0, 64) else {
            panic!("{material} must not have {defect}")
        };
        assert!(reason.contains(known), "{reason}");
    }
    assert!(matches!(render(Material::Metal, None, 0, 63), Err(Error::InvalidOption(_))));
    assert!(matches!(render(Material::Metal, None, 0, 4096), Err(Error::InvalidOption(_))));
    assert_eq!("print".parse::<Material>().unwrap(), Material::Print);
    assert!(matches!("wood".parse::<Material>(), Err(Error::InvalidOption(m)) if m.contains("circuit")));
}

#[test]
fn every_material_has_five_defects_and_every_defect_a_material() {
    for material in Material::ALL {
        let kinds: BTreeSet<_> = material.defects().iter().map(|d| d.name()).collect();
        assert_eq!(kinds.len(), 5, "{material}: {kinds:?}");
    }
    assert_eq!(pairs().map(|(_, d)| d.name()).collect::<BTreeSet<_>>().len(), 13);
}

#[test]
fn the_folder_has_the_layout_of_mvtec() {
    let out = tempfile::tempdir().unwrap();
    let seen = Mutex::new(Vec::new());
    let summary =
        generate(out.path(), &small(), &|done, total| seen.lock().unwrap().push((done, total))).unwrap();
    let mut expected = SynthSummary::default();
    (expected.materials, expected.train, expected.test_good, expected.test_defect) = (2, 20, 4, 10);
    assert_eq!(summary, expected);
    assert_eq!(*seen.lock().unwrap(), (1..=34).map(|n| (n, 34)).collect::<Vec<_>>());

    let mut names = BTreeSet::from(["softpatch-synth.json".to_owned()]);
    for material in small().materials {
        names.extend((0..10).map(|i| format!("{material}/train/good/{i:03}.png")));
        names.extend((0..2).map(|i| format!("{material}/test/good/{i:03}.png")));
        for defect in material.defects() {
            names.insert(format!("{material}/test/{defect}/000.png"));
            names.insert(format!("{material}/ground_truth/{defect}/000_mask.png"));
        }
    }
    let found = files(out.path());
    assert_eq!(found.keys().cloned().collect::<BTreeSet<_>>(), names);
    for (name, bytes) in found.iter().filter(|(name, _)| name.ends_with(".png")) {
        let image = image::load_from_memory(bytes).unwrap();
        assert_eq!((image.width(), image.height()), (64, 64), "{name}");
        if name.contains("ground_truth") {
            assert_eq!(image.color(), image::ColorType::L8, "{name}");
            let values: BTreeSet<u8> = image.as_bytes().iter().copied().collect();
            assert_eq!(values, BTreeSet::from([0, 255]), "{name}");
        } else {
            assert_eq!(image.color(), image::ColorType::Rgb8, "{name}");
        }
    }
    let pictures: BTreeSet<&[u8]> = found.values().map(Vec::as_slice).collect();
    assert_eq!(pictures.len(), found.len(), "two files are equal: seeds must differ");
}

#[test]
fn the_files_do_not_depend_on_the_number_of_threads() {
    let options = SynthOptions { train: 3, contamination: 0.4, ..small() };
    let run = |threads: usize| {
        let out = tempfile::tempdir().unwrap();
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| generate(out.path(), &options, &|_, _| {})).unwrap();
        files(out.path())
    };
    assert!(run(1) == run(3));
}

#[test]
fn contamination_copies_defects_from_the_test_set_into_training() {
    let out = tempfile::tempdir().unwrap();
    let options = SynthOptions { contamination: 0.3, ..small() };
    let summary = generate(out.path(), &options, &|_, _| {}).unwrap();
    assert_eq!((summary.train, summary.contaminated, summary.test_defect), (26, 6, 10));
    for material in options.materials {
        let found = files(&out.path().join(material.name()));
        assert_eq!(found.keys().filter(|name| name.starts_with("train/good/")).count(), 13);
        let list = String::from_utf8(found["contamination.csv"].clone()).unwrap();
        let lines: Vec<Vec<&str>> = list.lines().map(|line| line.split(',').collect()).collect();
        assert_eq!(lines[0], ["file", "source", "defect"]);
        let sources: BTreeSet<_> = lines[1..].iter().map(|line| line[1]).collect();
        assert_eq!((lines.len(), sources.len()), (4, 3), "{list}");
        for (number, line) in lines[1..].iter().enumerate() {
            assert_eq!(line[0], format!("train/good/{:03}.png", 10 + number));
            assert_eq!(line[1], format!("test/{}/000.png", line[2]));
            assert!(found[line[0]] == found[line[1]], "{} is not a copy of {}", line[0], line[1]);
        }
    }
}

#[test]
fn settings_out_of_range_are_refused_before_anything_is_written() {
    let out = tempfile::tempdir().unwrap();
    let folder = out.path().join("set");
    for (options, word) in [
        (SynthOptions { contamination: 0.6, ..small() }, "test_per_defect"),
        (SynthOptions { contamination: f32::NAN, ..small() }, "contamination"),
        (SynthOptions { size: 8, ..small() }, "size"),
        (SynthOptions { train: 0, ..small() }, "train"),
        (SynthOptions { materials: vec![], ..small() }, "material"),
        (SynthOptions { materials: vec![Material::Metal; 2], ..small() }, "twice"),
    ] {
        let result = generate(&folder, &options, &|_, _| {});
        assert!(matches!(&result, Err(Error::InvalidOption(m)) if m.contains(word)), "{result:?}");
        assert!(!folder.exists());
    }
}

#[test]
fn a_folder_that_it_did_not_make_is_left_alone() {
    let out = tempfile::tempdir().unwrap();
    std::fs::write(out.path().join("holiday.txt"), "precious").unwrap();
    let error = generate(out.path(), &small(), &|_, _| {}).unwrap_err();
    assert!(matches!(error, Error::Dataset { .. }));
    let text = error.to_string();
    assert!(text.contains("not empty") && text.contains(&*out.path().to_string_lossy()), "{text}");
    assert_eq!(files(out.path()).len(), 1);
}

#[test]
fn its_own_folder_is_taken_over_without_leftovers_and_without_touching_others_files() {
    let out = tempfile::tempdir().unwrap();
    generate(out.path(), &SynthOptions { contamination: 0.2, ..small() }, &|_, _| {}).unwrap();
    std::fs::write(out.path().join("metal/notes.txt"), "mine").unwrap();
    let options = SynthOptions { train: 2, materials: vec![Material::Metal], ..small() };
    generate(out.path(), &options, &|_, _| {}).unwrap();
    let mut found = files(out.path());
    assert_eq!(found.remove("metal/notes.txt").unwrap(), b"mine");
    let fresh = tempfile::tempdir().unwrap();
    generate(fresh.path(), &options, &|_, _| {}).unwrap();
    assert!(found == files(fresh.path()));
}

#[test]
fn a_manifest_cannot_make_it_remove_files_elsewhere() {
    let out = tempfile::tempdir().unwrap();
    let folder = out.path().join("set");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(out.path().join("victim"), "x").unwrap();
    for files in [r#"["../victim"]"#, r#"["/etc/hostname"]"#, r#"[""]"#, "3", "[4]"] {
        std::fs::write(folder.join("softpatch-synth.json"), format!("{{\"files\":{files}}}")).unwrap();
        let error = generate(&folder, &small(), &|_, _| {}).unwrap_err();
        assert!(matches!(error, Error::Dataset { .. }), "{files}: {error}");
    }
    assert!(out.path().join("victim").exists());
}
