//! `softpatch calibrate`, and what `softpatch eval` says of a threshold.

use super::*;

/// A labelled folder: `good` good parts and 5 with stains, none of which the model was fitted on.
fn labelled(folder: &Path, good: u64) {
    let write = |kind: &str, defect, seeds: std::ops::Range<u64>| {
        let folder = folder.join(kind);
        std::fs::create_dir_all(&folder).unwrap();
        for seed in seeds {
            write_png(&folder.join(format!("{seed}.png")), &part(defect, seed)).unwrap();
        }
    };
    write("test/good", None, 100..100 + good);
    write("test/stain", Some(Defect::Stain), 200..205);
    write("train/good", None, 0..2);
}

/// A number of 32 bits that was written down.
fn single(value: &serde_json::Value) -> Option<f32> {
    value.to_string().parse().ok()
}

fn json(output: &Output) -> serde_json::Value {
    serde_json::from_str(&succeeds(output).0).unwrap()
}

#[test]
fn a_labelled_folder_sets_the_thresholds() {
    let _turn = turn();
    let folder = tempfile::tempdir().unwrap();
    let (set, out) = (folder.path().join("part"), folder.path().join("new.safetensors"));
    labelled(&set, 25);
    let model = fitted().model();
    let before = std::fs::read(&model).unwrap();
    let call = |more: &[&str]| run(["calibrate", arg(&model), arg(&set), "-o", arg(&out)].iter().chain(more));
    let document = json(&call(&["--target-fpr", "0.1", "--json"]));
    // The 2nd largest of 25: floor(0.1 * 26).
    let at = &document["at_threshold"];
    assert_eq!(
        (&at["good"], &at["false_alarms"], &at["defects"]),
        (&25.into(), &1.into(), &5.into()),
        "{document:#}"
    );
    let calibration = &document["calibration"];
    assert_eq!(
        (&calibration["source"], &calibration["rule"], &calibration["good"]),
        (&"labelled".into(), &"order-statistic".into(), &25.into())
    );
    assert!(document["best_f1"].as_f64().is_some() && document["best_f1_threshold"].as_f64().is_some());
    assert_eq!(std::fs::read(&model).unwrap(), before, "the model that was read stays");
    let info = Model::load(&out).unwrap().info;
    assert_eq!(info.threshold, single(&document["threshold"]));
    assert_eq!(info.pixel_threshold, single(&document["pixel_threshold"]));
    assert_eq!(&serde_json::to_value(info.calibration).unwrap(), calibration);

    // What eval says of the written model is the same.
    let figures = json(&run(["eval", arg(&out), arg(&set), "--json"]));
    assert_eq!(&figures["at_threshold"], at);
    let (table, _) = succeeds(&run(["eval", arg(&out), arg(&set)]));
    assert!(table.contains("1 of 25 good images are called anomalous (4.0 %)"), "{table}");

    let (said, notes) = succeeds(&call(&["--target-fpr", "0.01"]));
    assert!(said.contains("for false alarms of 1 % from 25 good pictures, extrapolated"), "{said}");
    assert!(notes.contains("0.01 takes 99 good images to measure, and there are 25"), "{notes}");
}

#[test]
fn good_pictures_alone_will_do() {
    let _turn = turn();
    let folder = tempfile::tempdir().unwrap();
    let (set, model) = (folder.path().join("part"), folder.path().join("m.safetensors"));
    labelled(&set, 19);
    let good = set.join("test/good");
    std::fs::copy(fitted().model(), &model).unwrap();
    // Without -o, the model itself; without a rate, 0.05.
    let document = json(&run(["calibrate", arg(&model), arg(&good), "--json"]));
    assert_eq!(
        (&document["calibration"]["target_fpr"], &document["calibration"]["good"]),
        (&0.05.into(), &19.into())
    );
    assert!(document["best_f1"].is_null() && document["at_threshold"]["miss_rate"].is_null(), "{document:#}");
    let info = Model::load(&model).unwrap().info;
    assert_eq!(info.threshold, single(&document["threshold"]));
    // Nobody passes the largest of 19, and 19 in 20 score lower.
    let scored = json(&run(["score", arg(&model), arg(&good), "--json"]));
    let shares = scored["images"].as_array().unwrap().iter().map(|i| i["calibrated"].as_f64().unwrap());
    assert!((shares.fold(0.0, f64::max) - 0.95).abs() < 1e-6);
    assert!(scored["images"].as_array().unwrap().iter().all(|i| i["anomalous"] == false));
    // An edit like others: in the history, and taken back to the same file.
    let (said, _) = succeeds(&run(["model", arg(&model), "history"]));
    assert!(said.contains(" UTC  calibrate     19 good pictures\n"), "{said}");
    succeeds(&run(["model", arg(&model), "undo"]));
    assert_eq!(std::fs::read(&model).unwrap(), std::fs::read(fitted().model()).unwrap());
}

#[test]
fn what_cannot_calibrate_is_refused_and_leaves_the_model() {
    let _turn = turn();
    let folder = tempfile::tempdir().unwrap();
    let (set, model) = (folder.path().join("part"), folder.path().join("m.safetensors"));
    labelled(&set, 2);
    std::fs::copy(fitted().model(), &model).unwrap();
    let before = std::fs::read(&model).unwrap();
    let call = |dir: &Path, more: &[&str]| run(["calibrate", arg(&model), arg(dir)].iter().chain(more));
    fails(&call(&fitted().folder.path().join("good"), &[]), 1, &["10 of its images are training images"]);
    // Under another name, too, where the model keeps its pixels.
    let copies = folder.path().join("copies");
    std::fs::create_dir_all(&copies).unwrap();
    for i in 0..10 {
        std::fs::copy(
            fitted().folder.path().join(format!("good/00{i}.png")),
            copies.join(format!("c{i}.png")),
        )
        .unwrap();
    }
    let by_pixels = "8 of its images are by their pixels training images of the model, such as ";
    fails(&call(&copies, &[]), 1, &[by_pixels, "good/00"]);
    fails(&call(&set, &[]), 1, &["part", "takes the scores of 3 good images, and there are 2"]);
    fails(&call(&set, &["--target-fpr", "0.7"]), 2, &["target-fpr is 0.7, it must be 0.0001 to 0.5"]);
    fails(&call(&set, &["--target-fpr", "0"]), 2, &["target-fpr is 0, it must"]);
    fails(&call(&set.join("test/none"), &[]), 1, &["none"]);
    assert_eq!(std::fs::read(&model).unwrap(), before);
}
