//! `softpatch plan`, and `--memory` of what scores.

use super::*;

fn planned(folder: &Path, more: &[&str]) -> Output {
    let fixed = ["plan".as_ref(), folder.as_os_str(), "--no-probe".as_ref()];
    run(fixed.into_iter().chain(TINY.iter().chain(more).map(AsRef::as_ref)))
}

#[test]
fn a_plan_says_what_a_fit_will_take_and_writes_nothing() {
    let _turn = turn();
    let fitted = fitted();
    let good = fitted.folder.path().join("good");
    let before = listing(fitted.folder.path());
    let (said, _) = succeeds(&planned(&good, &[]));
    for line in [
        "images      10, 80x80 the largest",
        "frame       64x64 pixels, 4 at a time",
        "patches     640 (8x8 an image)",
        "bank        64 rows of 152 values",
        "disk        nothing waits there",
        "            features ",
        "            calibrate ",
        "budget      fits: ",
        "time        not probed",
    ] {
        assert!(said.contains(line), "no `{line}` in: {said}");
    }
    assert!(fitted.summary.contains("64 rows of 152 values"), "{}", fitted.summary);
    // With so little, features wait on disk.
    let (said, _) = succeeds(&planned(&good, &["--memory", "320KiB"]));
    assert!(said.contains(" in temporary files: projected vectors and embeddings"), "{said}");
    let (said, _) = succeeds(&planned(&good, &["--json", "--memory", "320KiB"]));
    let document: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(document["disk"], 640 * 4 * (128 + 152));
    assert_eq!(document["frame"], serde_json::json!([64, 64]));
    assert_eq!((&document["rows"], &document["memory"]), (&64.into(), &(320 << 10).into()));
    assert!(document["seconds"].is_null() && document["device"].as_u64() > Some(1 << 20), "{said}");
    let stages = document["stages"].as_array().unwrap();
    let names: Vec<&str> = stages.iter().map(|stage| stage["stage"].as_str().unwrap()).collect();
    assert_eq!(names, ["features", "denoise", "coreset", "calibrate", "score"]);
    assert_eq!(listing(fitted.folder.path()), before);
}

#[test]
fn a_probe_tells_the_time_of_the_features() {
    let _turn = turn();
    let good = fitted().folder.path().join("good");
    let arguments = ["plan", arg(&good), "--size", "64", "--batch", "4"];
    let (said, _) = succeeds(&run(arguments));
    assert!(
        said.contains("for the features, as 4 pictures took") || said.contains("pictures took"),
        "{said}"
    );
    let (said, _) = succeeds(&run(arguments.iter().chain(&["--json"])));
    let document: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert!(document["seconds"].as_f64() > Some(0.0) && document["probed"].as_u64() > Some(3), "{said}");
}

#[test]
fn what_does_not_fit_is_said_with_what_to_do() {
    let _turn = turn();
    let fitted = fitted();
    let good = fitted.folder.path().join("good");
    let output = planned(&good, &["--memory", "20KiB"]);
    fails(&output, 1, &["10 images of 64 patches", "with all features on disk", "raise --memory"]);
    assert!(output.stdout.is_empty());
    fails(&planned(&fitted.folder.path().join("none"), &[]), 1, &["there is no such folder"]);
    let model = fitted.model();
    let image = good.join("000.png");
    let scored = |more: &[&str]| {
        let fixed = ["score", arg(&model), arg(&image), "--csv"];
        run(fixed.into_iter().chain(more.iter().copied()))
    };
    let (within, _) = succeeds(&scored(&["--memory", "500MB"]));
    assert_eq!(within, succeeds(&scored(&[])).0);
    assert_eq!(within, succeeds(&scored(&["--memory", "4KiB"])).0);
    // Maps and masks are needed all at once.
    let folder = tempfile::tempdir().unwrap();
    let set = folder.path().join("labelled");
    fill(&set.join("good"), 2);
    fill(&set.join("scratch"), 2);
    let measured = |more: &[&str]| {
        let fixed = ["eval", arg(&model), arg(&set), "--all"];
        run(fixed.into_iter().chain(more.iter().copied()))
    };
    let output = measured(&["--memory", "60KiB"]);
    fails(&output, 1, &["maps and masks of 2 images", "75 KiB", "raise it to 1MiB", "--metric-size frame"]);
    assert!(output.stdout.is_empty());
    fails(&scored(&["--memory", "some"]), 2, &["800MB"]);
}
