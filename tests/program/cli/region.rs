//! What is looked at: the frame that is said, regions of interest, masks of what is ignored, and the pixels
//! in which figures are.

use super::*;

/// A mask of 20 x 10 that is white in its left half.
fn left_half(path: &Path) {
    image::GrayImage::from_fn(20, 10, |x, _| image::Luma([if x < 10 { 255 } else { 0 }])).save(path).unwrap();
}

#[test]
fn what_is_looked_at_is_said_and_kept() {
    let _turn = turn();
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let options = SynthOptions {
        materials: vec![Material::Metal],
        train: 8,
        test_good: 2,
        test_per_defect: 1,
        size: 80,
        seed: 1,
        contamination: 0.0,
    };
    generate(&at("set"), &options, &|_, _| {}).unwrap();
    let set = at("set").join("metal");
    left_half(&at("left.png"));
    let fit = |model: &str, more: &[&str]| run(["fit", arg(&set), "-o", arg(&at(model))].iter().chain(more));
    let (said, _) = succeeds(&fit("whole", &["--size", "64x80", "--fit-aspect", "crop"]));
    assert!(said.contains("frame       64x80 pixels, pictures cut to this shape"), "{said}");
    let (said, _) = succeeds(&fit("whole", &["--size", "64"]));
    assert!(said.contains("frame       64x64 pixels, whole pictures"), "{said}");
    let (said, notes) = succeeds(&fit("roi", &["--size", "64", "--roi", arg(&at("left.png"))]));
    assert!(said.contains("of which 50.0 % are looked at"), "{said}");
    assert!(!notes.contains("aspect"), "{notes}");
    let (said, notes) = succeeds(&fit("odd", &["--size", "128x64"]));
    assert!(said.contains("128x64"), "{said}");
    assert!(notes.contains("8 of 8 images differ from the aspect of the frame, 128x64"), "{notes}");
    for (mask, says) in [("set", "set"), ("none.png", "none.png")] {
        fails(&fit("never", &["--roi", arg(&at(mask))]), 1, &[says]);
    }

    // The peak lies where the model looks; where that is ignored, nothing can be scored.
    let score = |model: &str, more: &[&str]| {
        run(["score", arg(&at(model)), arg(&set.join("test")), "--json"].iter().chain(more))
    };
    let peaks = |output: &Output| -> Vec<u64> {
        let document: serde_json::Value = serde_json::from_str(&succeeds(output).0).unwrap();
        document["images"].as_array().unwrap().iter().map(|i| i["peak"][0].as_u64().unwrap()).collect()
    };
    assert!(peaks(&score("roi", &[])).iter().all(|x| *x < 40));
    assert!(peaks(&score("whole", &["--ignore", arg(&at("left.png"))])).iter().all(|x| *x >= 40));
    fails(&score("roi", &["--ignore", arg(&at("left.png"))]), 1, &["nothing is looked at"]);

    // Figures in source pixels, in the frame, in any size.
    let eval = |model: &str, size: &str| -> serde_json::Value {
        let (json, _) = succeeds(&run(["eval", arg(&at(model)), arg(&set), "--json", "--metric-size", size]));
        serde_json::from_str(&json).unwrap()
    };
    succeeds(&run(["fit", arg(&set), "-o", arg(&at("middle")), "--resize", "80", "--crop", "32"]));
    let middle = eval("middle", "source");
    let outside = |document: &serde_json::Value| {
        ["outside", "partly_outside"].map(|key| document["all"][key].as_u64().unwrap())
    };
    assert!(outside(&middle).iter().sum::<u64>() > 0, "{middle}");
    assert_eq!(outside(&eval("whole", "source")), [0, 0]);
    for size in ["frame", "40", "50x30"] {
        assert!(eval("whole", size)["all"]["pixel_auroc"].is_f64(), "{size}");
    }
    fails(&run(["eval", arg(&at("whole")), arg(&set), "--metric-size", "0"]), 2, &["--metric-size"]);
    let bench =
        run(["bench", arg(&set), "-o", arg(&at("out")), "--size", "64", "--noise", "0", "--ratio", "0.2"]);
    succeeds(&bench);
    let padded = run(["bench", arg(&set), "-o", arg(&at("out")), "--fit-aspect", "pad"]);
    fails(&padded, 2, &["fit-aspect is pad"]);
    let cells = std::fs::read_to_string(at("out").join("results.csv")).unwrap();
    assert!(cells.lines().next().unwrap().ends_with("outside,partly_outside,notes"), "{cells}");
}
