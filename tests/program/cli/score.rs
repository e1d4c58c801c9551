//! `softpatch score`: damaged models and images, output formats, heatmaps.

use super::*;

#[test]
fn damaged_models_are_refused() {
    let _guard = serial();
    let good = fitted().folder.path().join("good");
    let bytes = std::fs::read(fitted().model()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bad.safetensors");
    let header = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize + 8;

    for length in [0, 4, 8, header / 2, header, header + 100, bytes.len() - 1] {
        std::fs::write(&path, &bytes[..length]).unwrap();
        fails(&run(["score", arg(&path), arg(&good)]), 1, &["bad.safetensors", "softpatch fit"]);
    }
    for at in [0, 3, 7, 20, header / 3, header - 10, header, header + 1000, bytes.len() / 2, bytes.len() - 1]
    {
        let mut flipped = bytes.clone();
        flipped[at] ^= 0x10;
        std::fs::write(&path, &flipped).unwrap();
        fails(&run(["score", arg(&path), arg(&good)]), 1, &["bad.safetensors"]);
    }
    // Not a model at all.
    std::fs::write(&path, "a text\n").unwrap();
    fails(&run(["score", arg(&path), arg(&good)]), 1, &["bad.safetensors", "not a softpatch model"]);
    fails(
        &run(["score", arg(&folder.path().join("none")), arg(&good)]),
        1,
        &["none", "help: check the path"],
    );

    let later = text_replaced(&bytes, "\"version\":\"1\"", "\"version\":\"9\"");
    std::fs::write(&path, later).unwrap();
    fails(&run(["score", arg(&path), arg(&good)]), 1, &["bad.safetensors", "version 9", "update softpatch"]);

    let mut other = Model::load(&fitted().model()).unwrap();
    other.info.backbone.weights_sha256 = "0".repeat(64);
    other.save(&path).unwrap();
    fails(&run(["score", arg(&path), arg(&good)]), 1, &["bad.safetensors", "backbone", "fit anew"]);
}

/// Bytes with the first occurrence of one text replaced by another of its length.
fn text_replaced(bytes: &[u8], from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let at = bytes.windows(from.len()).position(|w| w == from.as_bytes()).expect("the text is there");
    let mut out = bytes.to_vec();
    out[at..at + to.len()].copy_from_slice(to.as_bytes());
    out
}

#[test]
fn a_damaged_image_does_not_stop_the_others() {
    let _guard = serial();
    let folder = tempfile::tempdir().unwrap();
    let images = folder.path().join("images");
    fill(&images, 3);
    std::fs::write(images.join("001.png"), b"").unwrap();
    let output = run(["score", arg(&fitted().model()), arg(&images), "--json"]);
    fails(&output, 3, &["001.png", "the file is empty", "1 of 3 images could not be read"]);
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["images"].as_array().unwrap().len(), 2);
    assert_eq!(document["errors"].as_array().unwrap().len(), 1);
    assert!(document["errors"][0]["path"].as_str().unwrap().ends_with("001.png"));

    fails(
        &run(["score", arg(&fitted().model()), arg(&folder.path().join("no.png"))]),
        1,
        &["no.png", "Check the path"],
    );
}

#[test]
fn formats_are_stable_and_agree() {
    let _guard = serial();
    let folder = tempfile::tempdir().unwrap();
    let images = folder.path().join("a, \"b\"");
    fill(&images, 2);
    let model = fitted().model();
    let (json, _) = succeeds(&run(["score", arg(&model), arg(&images), "--json"]));
    let document: serde_json::Value = serde_json::from_str(&json).unwrap();
    let keys = |value: &serde_json::Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&document), ["errors", "images", "model", "threshold"]);
    assert_eq!(keys(&document["images"][0]), ["anomalous", "heatmap", "path", "peak", "score"]);
    let (csv, _) = succeeds(&run(["score", arg(&model), arg(&images), "--csv"]));
    let mut lines = csv.lines();
    assert_eq!(lines.next(), Some("path,score,anomalous,heatmap"));
    for (line, row) in lines.zip(document["images"].as_array().unwrap()) {
        let path = row["path"].as_str().unwrap().replace('"', "\"\"");
        let score: f32 = row["score"].to_string().parse().unwrap();
        assert_eq!(line, format!("\"{path}\",{score},{},", row["anomalous"]));
    }
    // The same scores again, to the last digit.
    assert_eq!(succeeds(&run(["score", arg(&model), arg(&images), "--json"])).0, json);
}

#[test]
fn an_image_that_is_named_twice_is_scored_once() {
    let _guard = serial();
    let folder = tempfile::tempdir().unwrap();
    let good = folder.path().join("good");
    fill(&good, 2);
    let (first, dotted) = (good.join("000.png"), good.join("../good"));
    let given = [arg(&good), arg(&first), arg(&dotted)];
    let (lines, notes) = succeeds(&run(["score", "--csv", arg(&fitted().model())].iter().chain(&given)));
    assert_eq!(lines.lines().count(), 3, "{lines}");
    assert!(notes.contains("left out: 3 files named before: such as"), "{notes}");
}

#[test]
fn heatmaps_of_one_name_do_not_collide() {
    let _guard = serial();
    let folder = tempfile::tempdir().unwrap();
    let (a, b) = (folder.path().join("a"), folder.path().join("b"));
    fill(&a, 2);
    fill(&b, 2);
    let (model, maps) = (fitted().model(), folder.path().join("maps"));
    succeeds(&run(["score", arg(&model), arg(&a), arg(&b), "--heatmaps", arg(&maps)]));
    assert_eq!(listing(&maps), ["a/000.png", "a/001.png", "b/000.png", "b/001.png"]);
    let map = image::open(maps.join("a/000.png")).unwrap();
    assert_eq!((map.width(), map.height()), (64, 64));
    let before = listing(folder.path());
    fails(&run(["score", arg(&model), arg(&a), "--heatmaps", arg(&a)]), 2, &["choose a folder outside"]);
    fails(
        &run(["score", arg(&model), arg(&a.join("000.png")), "--heatmaps", arg(&a)]),
        2,
        &["would overwrite an image"],
    );
    assert_eq!(listing(folder.path()), before);
}

#[test]
fn a_closed_pipe_is_no_failure() {
    let _guard = serial();
    let model = fitted().model();
    let good = fitted().folder.path().join("good");
    let mut child = program()
        .args(["score", arg(&model), arg(&good)])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let mut err = String::new();
    child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    assert!(child.wait().unwrap().success(), "{err}");
    assert!(!err.contains("panicked") && !err.contains("error"), "{err}");
}
