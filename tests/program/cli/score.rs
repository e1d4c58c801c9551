//! `softpatch score`: damaged models and images, output formats, heatmaps.

use super::*;

#[test]
fn damaged_models_are_refused() {
    let _turn = turn();
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
    let _turn = turn();
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
    let _turn = turn();
    let folder = tempfile::tempdir().unwrap();
    let images = folder.path().join("a, \"b\"");
    fill(&images, 2);
    let model = fitted().model();
    let (json, _) = succeeds(&run(["score", arg(&model), arg(&images), "--json"]));
    let document: serde_json::Value = serde_json::from_str(&json).unwrap();
    let keys = |value: &serde_json::Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&document), ["errors", "images", "map_scale", "model", "pixel_threshold", "threshold"]);
    assert_eq!(
        keys(&document["images"][0]),
        ["anomalous", "calibrated", "heatmap", "map", "mask", "path", "peak", "regions", "score", "size"]
    );
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
    let _turn = turn();
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
    let _turn = turn();
    let folder = tempfile::tempdir().unwrap();
    let (a, b) = (folder.path().join("a"), folder.path().join("b"));
    fill(&a, 2);
    fill(&b, 2);
    let (model, maps) = (fitted().model(), folder.path().join("maps"));
    succeeds(&run(["score", arg(&model), arg(&a), arg(&b), "--heatmaps", arg(&maps)]));
    assert_eq!(listing(&maps), ["a/000.png", "a/001.png", "b/000.png", "b/001.png"]);
    let size = |path: &Path| image::image_dimensions(path).unwrap();
    assert_eq!(size(&maps.join("a/000.png")), size(&a.join("000.png")));
    let before = listing(folder.path());
    fails(&run(["score", arg(&model), arg(&a), "--heatmaps", arg(&a)]), 2, &["choose a folder outside"]);
    fails(
        &run(["score", arg(&model), arg(&a.join("000.png")), "--heatmaps", arg(&a)]),
        2,
        &["would overwrite an image"],
    );
    assert_eq!(listing(folder.path()), before);
}

/// A map as NumPy reads it: rows, columns, values.
fn npy(path: &Path) -> ([usize; 2], Vec<f32>) {
    let bytes = std::fs::read(path).unwrap();
    let start = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let header = String::from_utf8(bytes[10..start].to_vec()).unwrap();
    let shape = header.split("'shape': (").nth(1).unwrap().split(')').next().unwrap();
    let sides: Vec<usize> = shape.split(", ").map(|side| side.parse().unwrap()).collect();
    let values = bytes[start..].chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap()));
    ([sides[0], sides[1]], values.collect())
}

#[test]
fn maps_masks_and_regions_say_the_same() {
    let _turn = turn();
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let images = at("images");
    std::fs::create_dir(&images).unwrap();
    // Higher than wide, and with a hole.
    let mut image = part(None, 90);
    (image.height, image.width) = (60, 40);
    image.pixels = vec![90; 60 * 40 * 3];
    image.pixels[3 * 40 * 20..3 * 40 * 30].fill(255);
    write_png(&images.join("a.png"), &image).unwrap();
    write_png(&images.join("b.png"), &part(None, 91)).unwrap();
    let model = fitted().model();
    let (maps, masks, regions) = (at("maps"), at("masks"), at("regions.csv"));
    let base = ["score", arg(&model), arg(&images), "--json", "--maps", arg(&maps)];
    let all = ["--masks", arg(&masks), "--regions", arg(&regions)];
    let document = |more: &[&str]| -> serde_json::Value {
        serde_json::from_str(&succeeds(&run(base.iter().chain(more))).0).unwrap()
    };
    let first = document(&all);
    assert!(first["map_scale"].is_null());
    let threshold = first["pixel_threshold"].as_f64().unwrap() as f32;
    assert_eq!(listing(&maps).len() + listing(&masks).len(), 4);
    let mut lines = vec!["path,region,x,y,width,height,area,peak,peak_x,peak_y".to_owned()];
    for (row, name) in first["images"].as_array().unwrap().iter().zip(["a", "b"]) {
        let ([rows, columns], map) = npy(&maps.join(format!("{name}.npy")));
        assert_eq!(row["size"], serde_json::json!([columns, rows]));
        assert_eq!(row["map"], arg(&maps.join(format!("{name}.npy"))));
        let mask = image::open(masks.join(format!("{name}.png"))).unwrap().into_luma8();
        assert_eq!((mask.width() as usize, mask.height() as usize), (columns, rows));
        assert!(mask.as_raw().iter().zip(&map).all(|(m, v)| *m == if *v > threshold { 255 } else { 0 }));
        let peak = [0, 1].map(|i| row["peak"][i].as_u64().unwrap() as usize);
        assert_eq!(map[peak[1] * columns + peak[0]], map.iter().copied().fold(0.0, f32::max));
        let area: u64 = row["regions"].as_array().unwrap().iter().map(|r| r["area"].as_u64().unwrap()).sum();
        assert_eq!(area, map.iter().filter(|v| **v > threshold).count() as u64);
        for (i, region) in row["regions"].as_array().unwrap().iter().enumerate() {
            let numbers = |key: &str| region[key].as_array().unwrap().iter().map(|v| v.to_string());
            let fields = [row["path"].as_str().unwrap().to_owned(), i.to_string()].into_iter();
            let fields = fields.chain(numbers("bbox")).chain([region["area"].to_string()]);
            let fields = fields.chain([region["peak"].to_string()]).chain(numbers("peak_at"));
            lines.push(fields.collect::<Vec<_>>().join(","));
        }
    }
    assert!(lines.len() > 1, "nothing was found");
    let text = std::fs::read_to_string(&regions).unwrap();
    assert_eq!(text.lines().collect::<Vec<_>>(), lines);

    // The same values in the other formats.
    let png = document(&["--map-format", "png16"]);
    let scale = png["map_scale"].as_f64().unwrap() as f32;
    document(&["--map-format", "tiff"]);
    for name in ["a", "b"] {
        let (_, map) = npy(&maps.join(format!("{name}.npy")));
        let levels = image::open(maps.join(format!("{name}.png"))).unwrap().into_luma16();
        for (level, v) in levels.as_raw().iter().zip(&map) {
            let (level, v, scale) = (f64::from(*level), f64::from(*v), f64::from(scale));
            assert!((level - (v / scale).min(65_535.0)).abs() <= 0.5, "{v} is {level}");
        }
        let bytes = std::fs::read(maps.join(format!("{name}.tiff"))).unwrap();
        let values = bytes[8..].chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap()));
        assert!(values.take(map.len()).eq(map));
    }

    // Places that would not do.
    let before = listing(folder.path());
    for (more, says) in [
        (&["--masks", arg(&maps)][..], "name a folder of its own"),
        (&["--heatmaps", arg(&images.join("new"))], "choose a folder outside"),
        (&["--regions", arg(&images.join("a.png"))], "an image that is there"),
    ] {
        fails(&run(base.iter().chain(more)), 2, &[says]);
    }
    fails(&run(["score", arg(&model), arg(&images), "--map-format", "tiff"]), 2, &["--maps"]);

    // Models without thresholds.
    let mut other = Model::load(&model).unwrap();
    other.info.pixel_threshold = None;
    other.save(&at("old.safetensors")).unwrap();
    let old = at("old.safetensors");
    let (json, notes) = succeeds(&run(["score", arg(&old), arg(&images), "--json"]));
    assert!(
        json.contains("\"pixel_threshold\": null") && notes.contains("has no pixel threshold"),
        "{notes}"
    );
    other.info.threshold = None;
    other.save(&at("none.safetensors")).unwrap();
    let none = at("none.safetensors");
    let (json, _) = succeeds(&run(["score", arg(&none), arg(&images), "--json"]));
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert!(json["images"][0]["regions"].is_null());
    fails(&run(["score", arg(&none), arg(&images), "--masks", arg(&masks)]), 1, &["no threshold"]);
    let png = ["--maps", arg(&maps), "--map-format", "png16"];
    fails(&run(["score", arg(&none), arg(&images)].iter().chain(&png)), 1, &["npy and tiff"]);
    std::fs::remove_file(&none).unwrap();
    std::fs::remove_file(at("old.safetensors")).unwrap();
    assert_eq!(listing(folder.path()), before);
}

#[test]
fn a_closed_pipe_is_no_failure() {
    let _turn = turn();
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

/// No name runs in a spreadsheet, or steers the terminal.
#[cfg(target_os = "linux")]
#[test]
fn names_are_neither_formulas_nor_commands() {
    let _turn = turn();
    let folder = tempfile::tempdir().unwrap();
    let formula = "=HYPERLINK(\"x\").png";
    write_png(&folder.path().join(formula), &part(None, 3)).unwrap();
    // A C1 control sequence, and a name that reads as another one.
    let steering = "a\u{9b}2J\u{202e}gnp.png";
    std::fs::write(folder.path().join(steering), b"no picture").unwrap();
    let regions = folder.path().join("r.csv");
    let output = program()
        .current_dir(folder.path())
        .args(["score", arg(&fitted().model()), formula, steering, "--csv", "--regions", arg(&regions)])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(3));
    let (csv, said) = (text(&output.stdout), text(&output.stderr));
    assert!(csv.lines().nth(1).unwrap().starts_with("\"'=HYPERLINK(\"\"x\"\").png\","), "{csv}");
    assert!(!std::fs::read_to_string(&regions).unwrap().contains("\n\"="), "{csv}");
    assert!(said.contains("a\\u{9b}2J\\u{202e}gnp.png") && !said.contains(['\u{9b}', '\u{202e}']), "{said}");
}
