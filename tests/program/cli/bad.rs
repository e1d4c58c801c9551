//! What cannot be used, what nobody said is good, and what is left out: named, counted, and in the exit
//! status.

use super::*;

/// A set with good images, defects and masks; two images and a mask are damaged where `damaged`.
fn set(root: &Path, damaged: bool) {
    let options = SynthOptions {
        materials: vec![Material::Metal],
        train: 8,
        test_good: 3,
        test_per_defect: 1,
        size: 80,
        seed: 1,
        contamination: 0.0,
    };
    generate(root, &options, &|_, _| {}).unwrap();
    if damaged {
        let metal = root.join("metal");
        for file in ["train/good/002.png", "train/good/007.png", "test/good/001.png"] {
            let bytes = std::fs::read(metal.join(file)).unwrap();
            std::fs::write(metal.join(file), &bytes[..bytes.len() / 2]).unwrap();
        }
        std::fs::write(metal.join("ground_truth/crack/000_mask.png"), "no mask").unwrap();
    }
}

const SMALL: [&str; 4] = ["--size", "64", "--coreset-ratio", "0.2"];

#[test]
fn every_bad_file_is_named_in_one_run_or_skipped() {
    let _turn = turn();
    let dir = tempfile::tempdir().unwrap();
    set(&dir.path().join("set"), true);
    let (metal, model) = (dir.path().join("set/metal"), dir.path().join("m.safetensors"));
    let trained = ["train/good/002.png", "train/good/007.png"];
    fails(&fit(&metal, &model, &[]), 1, &["2 of 8 files cannot be used", trained[0], trained[1]]);
    assert!(!model.exists());
    let skipped = fit(&metal, &model, &["--on-error", "skip"]);
    fails(
        &skipped,
        3,
        &[trained[0], trained[1], "2 images could not be used; the model was made without them"],
    );
    assert!(text(&skipped.stdout).contains("images      6"));
    assert_eq!(Model::load(&model).unwrap().info.images.len(), 6);

    let tested = ["test/good/001.png", "ground_truth/crack/000_mask.png"];
    fails(&run(["eval", arg(&model), arg(&metal), "--json"]), 1, &tested);
    let skipped = run(["eval", arg(&model), arg(&metal), "--json", "--on-error", "skip"]);
    fails(&skipped, 3, &[tested[0], tested[1], "2 images could not be used"]);
    let document: serde_json::Value = serde_json::from_slice(&skipped.stdout).unwrap();
    assert_eq!(document["all"]["images"], 7, "3 good ones less 1, 5 defects: {document:#}");
    assert!(document["all"]["pixel_auroc"].is_f64());
    assert!(document["all"]["notes"][0].as_str().unwrap().contains("6 of 7 images"), "{document:#}");

    let out = dir.path().join("out");
    let bench = |more: &[&str]| {
        let args = ["bench", arg(&metal), "-o", arg(&out), "--methods", "none", "--noise", "0"];
        run(args.iter().chain(&SMALL).chain(more))
    };
    // Masks are read first; with a bad one, all images are looked at.
    fails(&bench(&[]), 1, &[&trained[..], &tested[..]].concat());
    let skipped = bench(&["--on-error", "skip"]);
    fails(&skipped, 3, &[&trained[..], &tested[..], &["4 images could not be used"]].concat());
    assert!(text(&skipped.stdout).contains("1 cells, 1 of them computed now; features of 13 images"));

    let listed = run(["score", arg(&model), arg(&metal.join("test/good")), "--on-error", "stop"]);
    fails(&listed, 1, &["1 of 3 files cannot be used", "001.png"]);
}

/// A picture that takes more memory than there is, which its header says, is one that cannot be used.
#[test]
fn a_picture_too_large_for_the_memory_is_left_out_before_it_is_decoded() {
    let _turn = turn();
    let dir = tempfile::tempdir().unwrap();
    let (good, model) = (dir.path().join("good"), dir.path().join("m.safetensors"));
    fill(&good, 4);
    succeeds(&fit(&good, &model, &[]));
    image::GrayImage::new(6000, 6000).save(good.join("001b.png")).unwrap();
    let says = ["001b.png", "decoding 6000x6000 pixels takes", "MiB would do"];
    let scored = run(["score", arg(&model), arg(&good), "--memory", "200MB", "--csv"]);
    fails(&scored, 3, &says);
    assert_eq!(text(&scored.stdout).lines().count(), 5, "{}", text(&scored.stdout));
    let stopped = run(["score", arg(&model), arg(&good), "--memory", "200MB", "--on-error", "stop"]);
    fails(&stopped, 1, &[&says[..], &["1 of 5 files cannot be used"]].concat());
    fails(&fit(&good, &model, &["--memory", "200MB"]), 1, &says);
    fails(&run(["plan", arg(&good), "--size", "64", "--no-probe", "--memory", "200MB"]), 1, &says);
    let skipped = fit(&good, &model, &["--memory", "200MB", "--on-error", "skip"]);
    fails(&skipped, 3, &[&says[..], &["1 image could not be used; the model was made without it"]].concat());
    assert_eq!(Model::load(&model).unwrap().info.images.len(), 4);
}

#[test]
fn nobody_fits_on_what_may_be_a_defect() {
    let _turn = turn();
    let dir = tempfile::tempdir().unwrap();
    let (parts, model) = (dir.path().join("parts"), dir.path().join("m.safetensors"));
    for (folder, count) in [("front_ok", 4), ("front_scratched", 2)] {
        fill(&parts.join(folder), count);
    }
    fails(&fit(&parts, &model, &[]), 1, &["front_ok/ (4)", "front_scratched/ (2)", "--take", "--all"]);
    assert!(!model.exists());
    for (more, images) in [(["--take", "front_ok"].as_slice(), 4), (&["--all"], 6)] {
        succeeds(&fit(&parts, &model, more));
        assert_eq!(Model::load(&model).unwrap().info.images.len(), images, "{more:?}");
    }
    fails(&fit(&parts, &model, &["--take", "front_bad"]), 1, &["front_bad", "front_ok/ (4)"]);
    fails(&fit(&parts, &model, &["--all", "--take", "x"]), 2, &["cannot be used with"]);
    fails(&fit(&parts, &model, &["--layout", "coco"]), 2, &["there is no layout coco", "mvtec"]);
    fails(&fit(&parts, &model, &["--layout", "visa"]), 1, &["1cls.csv"]);
}

#[test]
fn names_of_files_and_of_folders_inside_speak_too() {
    let _turn = turn();
    let dir = tempfile::tempdir().unwrap();
    let model = dir.path().join("m.safetensors");
    let images = || Model::load(&model).unwrap().info.images.len();
    // Defects by the names of files.
    let flat = dir.path().join("flat");
    fill(&flat, 4);
    std::fs::rename(flat.join("003.png"), flat.join("NG_003.png")).unwrap();
    let (_, notes) = succeeds(&fit(&flat, &model, &[]));
    assert!(images() == 3 && notes.contains("1 image named after a defect") && notes.contains("NG_003.png"));
    succeeds(&fit(&flat, &model, &["--all"]));
    assert_eq!(images(), 4);
    std::fs::remove_file(&model).unwrap();
    fails(&fit(&flat, &model, &["--strict"]), 1, &["NG_003.png"]);
    // A folder for each day, with good parts and others in each.
    let days = dir.path().join("days");
    for day in ["2026-11-24", "2026-11-25"] {
        fill(&days.join(day).join("OK"), 3);
        fill(&days.join(day).join("NG"), 1);
    }
    fails(&fit(&days, &model, &[]), 1, &["name one of its 2", "2026-11-24"]);
    let (_, notes) = succeeds(&fit(&days, &model, &["--take", "2026-11-24"]));
    assert!(images() == 3 && notes.contains("1 image named after a defect") && notes.contains("NG/000.png"));
    for take in ["OK", "ok"] {
        succeeds(&fit(&days, &model, &["--take", take]));
        assert_eq!(images(), 6, "{take}");
    }
    let one = days.join("2026-11-25");
    succeeds(&fit(&one, &model, &["--take", arg(&one.join("OK"))]));
    assert_eq!(images(), 3);
    // Rejects inside the folder of good parts.
    let nested = dir.path().join("nested");
    fill(&nested.join("train/good"), 4);
    fill(&nested.join("train/good/rejected"), 2);
    let (_, notes) = succeeds(&fit(&nested, &model, &[]));
    assert!(images() == 4 && notes.contains("2 images named after defects"), "{notes}");
    // Masks beside the folder that was opened.
    let split = dir.path().join("split");
    fill(&split.join("images"), 3);
    fill(&split.join("masks"), 1);
    fails(&fit(&split.join("images"), &model, &[]), 1, &["masks of defects beside it", "masks/"]);
    fails(&fit(&split, &model, &[]), 1, &["1 of 3 images have one"]);
    // Small copies that a program put beside its pictures.
    let small = dir.path().join("small");
    fill(&small, 3);
    std::fs::copy(small.join("000.png"), small.join("000_thumb.png")).unwrap();
    let (_, notes) = succeeds(&fit(&small, &model, &[]));
    assert!(images() == 3 && notes.contains("1 thumbnail"), "{notes}");
    // A slip of the keyboard costs no picture.
    fails(&fit(&small, &small.join("000.png"), &[]), 2, &["000.png is an image that is there"]);
    #[cfg(unix)]
    fails(&fit(&small, Path::new("/dev/null"), &[]), 2, &["a device or a pipe"]);
}

#[test]
fn what_is_left_out_is_said_and_an_error_where_it_is_asked_for() {
    let _turn = turn();
    let dir = tempfile::tempdir().unwrap();
    let (folder, model) = (dir.path().join("good"), dir.path().join("m.safetensors"));
    fill(&folder, 5);
    let bytes = std::fs::read(folder.join("000.png")).unwrap();
    std::fs::create_dir_all(folder.join("@eaDir/001.png")).unwrap();
    std::fs::write(folder.join("@eaDir/001.png/SYNOPHOTO_THUMB_S.png"), &bytes).unwrap();
    std::fs::write(folder.join("._002.png"), &bytes).unwrap();
    std::fs::write(folder.join("list.txt"), "five images\n").unwrap();
    // An image whatever it is called.
    std::fs::rename(folder.join("003.png"), folder.join("003")).unwrap();
    let mut said = vec!["1 system folder", "@eaDir", "._002.png", "list.txt"];
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink("000.png", folder.join("again.png")).unwrap();
        std::fs::hard_link(folder.join("001.png"), folder.join("twice.png")).unwrap();
        said.extend(["2 duplicates through links"]);
    }
    let (summary, notes) = succeeds(&fit(&folder, &model, &[]));
    assert!(summary.contains("images      5"), "{summary}");
    for needle in &said {
        assert!(notes.contains(needle), "no {needle} in: {notes}");
    }
    let (json, _) = succeeds(&run(["score", arg(&model), arg(&folder), "--json"]));
    let document: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(document["images"].as_array().unwrap().len(), 5, "{document:#}");
    for output in [fit(&folder, &model, &["--strict"]), run(["score", arg(&model), arg(&folder), "--strict"])]
    {
        fails(&output, 1, &["--strict", "@eaDir", "._002.png"]);
        assert!(!text(&output.stderr).contains("list.txt"), "a text is no image");
    }
}

#[test]
fn a_class_without_images_is_no_figure() {
    let _turn = turn();
    let dir = tempfile::tempdir().unwrap();
    set(&dir.path().join("set"), false);
    let (metal, model) = (dir.path().join("set/metal"), fitted().model());
    std::fs::remove_dir_all(metal.join("test/good")).unwrap();
    let output = run(["eval", arg(&model), arg(&metal)]);
    fails(&output, 1, &["not defined", "no good test images found in", "crack/ (1)", "ok, normal"]);
    set(&dir.path().join("again"), false);
    let metal = dir.path().join("again/metal");
    for entry in std::fs::read_dir(metal.join("test")).unwrap() {
        let path = entry.unwrap().path();
        if !path.ends_with("good") {
            std::fs::remove_dir_all(path).unwrap();
        }
    }
    fails(&run(["eval", arg(&model), arg(&metal)]), 1, &["not defined", "no defect images found in"]);
    // Masks under no name that is known: called missing, with the names that were tried.
    set(&dir.path().join("third"), false);
    let metal = dir.path().join("third/metal");
    std::fs::rename(metal.join("ground_truth"), metal.join("drawings")).unwrap();
    let (table, notes) = succeeds(&run(["eval", arg(&model), arg(&metal)]));
    assert!(notes.contains("5 of 5 defect images have no mask") && notes.contains("ground_truth"), "{notes}");
    assert!(notes.contains("left out") && table.contains('-'), "{notes}\n{table}");
}

#[test]
fn copies_of_one_image_give_no_verdict() {
    let _turn = turn();
    let dir = tempfile::tempdir().unwrap();
    let (folder, model) = (dir.path().join("same"), dir.path().join("m.safetensors"));
    fill(&folder, 1);
    for i in 1..6 {
        std::fs::copy(folder.join("000.png"), folder.join(format!("{i:03}.png"))).unwrap();
    }
    let (summary, notes) = succeeds(&fit(&folder, &model, &[]));
    assert!(summary.contains("threshold   none") && notes.contains("copies of each other"), "{notes}");
    let (json, _) = succeeds(&run(["score", arg(&model), arg(&folder), "--json"]));
    let document: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert!(
        document["threshold"].is_null()
            && document["images"][0]["anomalous"].is_null()
            && document["images"][0]["calibrated"].is_null(),
        "{document:#}"
    );
    let (_, said) = succeeds(&run(["score", arg(&model), arg(&folder)]));
    assert!(said.contains("no verdict") && said.contains("copies of each other"), "{said}");
    // Two images: nothing to compare them with but each other.
    let two = dir.path().join("two");
    fill(&two, 2);
    let (summary, notes) = succeeds(&fit(&two, &model, &[]));
    assert!(summary.contains("threshold   none") && notes.contains("3 training images"), "{notes}");
}
