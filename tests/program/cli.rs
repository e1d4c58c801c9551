//! The program as a user runs it: bad input, odd input, output formats, exit statuses.

use crate::common::serial;
use softpatch::data::OwnedImage;
use softpatch::data::synth::{Defect, Material, SynthOptions, generate, render};
use softpatch::detector::Model;
use softpatch::report::write_png;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

/// Settings that make a fit of a few images quick.
const TINY: [&str; 6] = ["--resize", "64", "--crop", "64", "--batch", "4"];

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_softpatch"));
    command
        .env_remove("SOFTPATCH_LOG")
        .env_remove("SOFTPATCH_DISABLE")
        // What passed its self-test in one of the tests need not be tried in the others.
        .env("SOFTPATCH_CACHE", concat!(env!("CARGO_TARGET_TMPDIR"), "/cache"))
        .stdin(Stdio::null());
    command
}

fn run<S: AsRef<std::ffi::OsStr>>(args: impl IntoIterator<Item = S>) -> Output {
    program().args(args).output().expect("the program starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("output is UTF-8")
}

#[track_caller]
fn succeeds(output: &Output) -> (String, String) {
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{:?}\n{out}\n{err}", output.status);
    assert!(!err.contains("panicked"), "{err}");
    assert!(!out.contains('\u{1b}') && !err.contains('\u{1b}'), "escape codes in a pipe: {out}\n{err}");
    (out, err)
}

/// The program ends with `code` and one `error:` that holds all of `needles`, without a trace of a panic.
#[track_caller]
fn fails(output: &Output, code: i32, needles: &[&str]) {
    let err = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{err}");
    assert!(err.starts_with("error: ") || err.contains("\nerror: "), "{err}");
    assert!(!err.contains("panicked") && !err.contains("RUST_BACKTRACE"), "{err}");
    for needle in needles {
        assert!(err.contains(needle), "no `{needle}` in: {err}");
    }
}

/// Everything below a folder, by relative path.
fn listing(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(dir) = open.pop() {
        for entry in std::fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                found.push(path.strip_prefix(folder).unwrap().to_string_lossy().into_owned());
            }
        }
    }
    found.sort();
    found
}

fn part(defect: Option<Defect>, seed: u64) -> OwnedImage {
    render(Material::Metal, defect, seed, 80).unwrap().0
}

/// `count` good parts in `folder`.
fn fill(folder: &Path, count: u64) {
    std::fs::create_dir_all(folder).unwrap();
    for i in 0..count {
        write_png(&folder.join(format!("{i:03}.png")), &part(None, i)).unwrap();
    }
}

fn fit(folder: &Path, output: &Path, more: &[&str]) -> Output {
    let fixed = ["fit".as_ref(), folder.as_os_str(), "-o".as_ref(), output.as_os_str()];
    run(fixed.into_iter().chain(TINY.iter().chain(more).map(AsRef::as_ref)))
}

struct Fitted {
    folder: tempfile::TempDir,
    summary: String,
}

impl Fitted {
    fn model(&self) -> PathBuf {
        self.folder.path().join("part.safetensors")
    }
}

/// A model of ten images, made once; hold the lock of [`serial`].
fn fitted() -> &'static Fitted {
    static MODEL: OnceLock<Fitted> = OnceLock::new();
    MODEL.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        fill(&folder.path().join("good"), 10);
        let output = fit(&folder.path().join("good"), &folder.path().join("part.safetensors"), &[]);
        let (summary, _) = succeeds(&output);
        Fitted { folder, summary }
    })
}

fn arg(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn wrong_usage_ends_with_2() {
    for args in [vec!["fit"], vec!["score", "m"], vec!["paint"], vec!["fit", "a", "-o", "b", "--tau", "much"]]
    {
        assert_eq!(run(&args).status.code(), Some(2), "{args:?}");
    }
    for (args, needle) in [
        (vec!["fit", "a", "-o", "b", "--tau", "2"], "tau is 2"),
        (vec!["fit", "a", "-o", "b", "--crop", "300"], "crop"),
        (vec!["fit", "a", "-o", "b", "--memory", "lots"], "800MB"),
        (vec!["fit", "a", "-o", "b", "--discriminator", "knn"], "lof, nearest, gaussian or none"),
        (vec!["synth", "a", "--materials", "cheese"], "fabric"),
        (vec!["score", "m", "i", "--json", "--csv"], "cannot be used with"),
    ] {
        fails(&run(args), 2, &[needle]);
    }
}

#[test]
fn a_configuration_with_an_unknown_key_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fit.toml");
    std::fs::write(&path, "tau = 0.1\ntaw = 0.2\n").unwrap();
    let output = run(["fit", "a", "-o", "b", "--config", arg(&path)]);
    fails(&output, 2, &["fit.toml", "`taw`", "lof-k", "exif"]);
    let output = run(["fit", "a", "-o", "b", "--config", arg(&folder.path().join("none.toml"))]);
    fails(&output, 1, &["none.toml", "help: check the path"]);
}

#[test]
fn bad_training_folders_are_named() {
    let _guard = serial();
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("out.safetensors");
    let missing = folder.path().join("missing");
    fails(&fit(&missing, &output, &[]), 1, &["missing", "there is no such folder", "help: check the path"]);
    let empty = folder.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    fails(&fit(&empty, &output, &[]), 1, &["empty", "png, jpg"]);
    let single = folder.path().join("single");
    fill(&single, 1);
    fails(&fit(&single, &output, &[]), 1, &["000.png", "only training image", "add images"]);
    assert_eq!(listing(folder.path()), ["single/000.png"]);
}

#[test]
fn bad_training_images_are_named_and_nothing_is_written() {
    let _guard = serial();
    let whole = softpatch::report::png_bytes(&part(None, 99)).unwrap();
    let cases: [(&str, &[u8], &str); 3] = [
        ("cut.png", &whole[..whole.len() / 2], "damaged or was cut off"),
        ("zero.png", &[], "the file is empty (0 bytes)"),
        ("text.png", b"not a picture, though the name says so\n", "no known image format"),
    ];
    for (name, bytes, needle) in cases {
        let folder = tempfile::tempdir().unwrap();
        let images = folder.path().join("images");
        fill(&images, 3);
        std::fs::write(images.join(name), bytes).unwrap();
        let before = listing(folder.path());
        let output = fit(&images, &folder.path().join("out.safetensors"), &[]);
        fails(&output, 1, &[name, "not a readable image", needle]);
        assert!(output.stdout.is_empty());
        assert_eq!(listing(folder.path()), before);
    }
}

#[test]
fn a_place_that_cannot_be_written_is_said_before_the_work() {
    let folder = tempfile::tempdir().unwrap();
    let images = folder.path().join("images");
    fill(&images, 2);
    let output = fit(&images, &folder.path().join("nowhere/out.safetensors"), &[]);
    fails(&output, 1, &["out.safetensors", "there is no folder", "nowhere"]);
    fails(&fit(&images, &images, &[]), 1, &["images", "name a file"]);
    assert_eq!(listing(folder.path()), ["images/000.png", "images/001.png"]);
}

#[test]
fn odd_images_are_legal_and_k_is_lowered() {
    let _guard = serial();
    let folder = tempfile::tempdir().unwrap();
    let images = folder.path().join("Teile und Stücke");
    std::fs::create_dir(&images).unwrap();
    write_png(&images.join("ein Teil.png"), &part(None, 1)).unwrap();
    let grey = image::GrayImage::from_fn(90, 70, |x, y| image::Luma([(x * 2 + y) as u8]));
    grey.save(images.join("grå.png")).unwrap();
    let wide = image::RgbImage::from_fn(3000, 300, |x, y| image::Rgb([x as u8, y as u8, (x / 16) as u8]));
    wide.save(images.join("breit.bmp")).unwrap();
    let deep = image::ImageBuffer::from_fn(70, 100, |x, y| image::Luma([(x * 300 + y * 200) as u16]));
    deep.save(images.join("部品.png")).unwrap();
    // A single pixel is an image like any other: it is stretched to the size that is looked at.
    image::RgbImage::from_pixel(1, 1, image::Rgb([90, 90, 90])).save(images.join("one.png")).unwrap();
    let model = folder.path().join("odd model.safetensors");
    let (summary, notes) = succeeds(&fit(&images, &model, &[]));
    assert!(notes.contains("k is lowered from 6 to 4"), "{notes}");
    assert!(summary.contains("images      5"), "{summary}");
    assert!(summary.contains(", k 4,"), "{summary}");
    let (table, _) = succeeds(&run(["score", arg(&model), arg(&images)]));
    assert_eq!(table.lines().count(), 6, "{table}");
    for name in ["ein Teil.png", "grå.png", "breit.bmp", "部品.png", "one.png"] {
        assert!(table.contains(name), "{table}");
    }
    // Quiet is quiet.
    let (_, notes) = succeeds(&fit(&images, &model, &["--quiet"]));
    assert_eq!(notes, "");
}

#[test]
fn a_summary_says_what_was_made() {
    let _guard = serial();
    let summary = &fitted().summary;
    for key in [
        "images      10",
        "patches     640 (8x8 an image)",
        "kept ",
        "bank        64 rows",
        "threshold ",
        "seconds ",
        "device ",
    ] {
        assert!(summary.contains(key), "no `{key}` in: {summary}");
    }
}

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
    fails(&output, 1, &["001.png", "the file is empty", "1 of 3 images could not be read"]);
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
fn a_set_is_painted_and_measured() {
    let _guard = serial();
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("set");
    let small = [
        "--size",
        "80",
        "--train",
        "10",
        "--test-good",
        "3",
        "--test-per-defect",
        "1",
        "--contamination",
        "0.1",
    ];
    let (said, _) = succeeds(&run(["synth", arg(&out), "--materials", "metal"].iter().chain(&small)));
    assert!(said.contains("11 training images (1 of them defective)"), "{said}");
    let (model, set) = (fitted().model(), out.join("metal"));
    let (json, _) = succeeds(&run(["eval", arg(&model), arg(&set), "--json"]));
    let document: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(document["all"]["images"], 8);
    assert_eq!(document["defects"].as_object().unwrap().len(), 5);
    for key in ["image_auroc", "image_ap", "image_f1", "pixel_auroc", "pixel_ap", "pixel_f1", "aupro"] {
        assert!(document["all"][key].is_f64(), "{key}: {json}");
    }
    let (table, _) = succeeds(&run(["eval", arg(&model), arg(&set)]));
    assert!(table.contains("AUPRO@30") && table.contains("crack"), "{table}");
    fails(&run(["eval", arg(&model), arg(&out)]), 1, &["test/good/"]);
    // A folder with something else in it stays as it is.
    std::fs::write(folder.path().join("mine.txt"), "mine").unwrap();
    fails(&run(["synth", arg(folder.path())]), 1, &["not empty"]);
}

#[test]
fn a_benchmark_is_run_once_and_timed() {
    let _guard = serial();
    let folder = tempfile::tempdir().unwrap();
    let (set, out) = (folder.path().join("set"), folder.path().join("out"));
    let options = SynthOptions {
        materials: vec![Material::Metal],
        train: 8,
        test_good: 3,
        test_per_defect: 1,
        size: 80,
        seed: 1,
        contamination: 0.0,
    };
    generate(&set, &options, &|_, _| {}).unwrap();
    let tiny =
        ["--resize", "64", "--crop", "64", "--noise", "0,0.125", "--protocol", "overlap", "--ratio", "0.2"];
    let bench = |more: &[&str]| run(["bench", arg(&set)].iter().chain(&tiny).chain(more));
    let (table, notes) = succeeds(&bench(&["-o", arg(&out), "--methods", "none,softpatch-nearest"]));
    assert!(table.contains("### image AUROC, noise 0.125 overlap"), "{table}");
    assert!(table.contains("4 cells, 4 of them computed now"), "{table}");
    assert!(
        notes.contains("layout of MVTec AD: 1 category, 4 cells") && notes.contains("4/4 metal"),
        "{notes}"
    );
    let files = listing(&out);
    for name in ["results.csv", "results.json", "table.md", "report.html", "splits/metal_noise0_seed0.csv"] {
        assert!(files.iter().any(|f| f == name), "{name}: {files:?}");
    }
    let (table, notes) = succeeds(&bench(&["-o", arg(&out), "--methods", "none,softpatch-nearest"]));
    assert!(table.contains("4 cells, 0 of them computed now; features of 0 images"), "{table}");
    assert!(notes.contains("(was there)"), "{notes}");
    let tiny = ["--resize", "64", "--crop", "64", "--coreset-ratio", "0.2"];
    let profile = |more: &[&str]| run(["profile", arg(&set)].iter().chain(&tiny).chain(more));
    let (times, _) = succeeds(&profile(&[]));
    for needle in ["fit: ", "coreset", "p50 ", "p95 ", "device memory: "] {
        assert!(times.contains(needle), "no {needle} in: {times}");
    }
    let (times, _) = succeeds(&profile(&["--made-up-weights", "resnet18"]));
    assert!(times.contains("rows of 1024 values"), "{times}");
    fails(&profile(&["--made-up-weights", "vgg"]), 1, &["no architecture is called 'vgg'", "resnet18"]);
    fails(&bench(&["-o", arg(&out), "--methods", "knn"]), 2, &["there is no method knn", "softpatch+"]);
    fails(&bench(&["-o", arg(&out), "--protocol", "twice"]), 2, &["there is no protocol twice"]);
    fails(&bench(&["-o", arg(&out), "--category", "wood"]), 2, &["no category wood", "metal"]);
    fails(&bench(&[]), 2, &["--out"]);
    for gone in ["--time", "--roofline"] {
        fails(&bench(&["-o", arg(&out), gone]), 2, &["unexpected argument", gone]);
    }
    fails(&run(["bench", arg(folder.path()), "-o", arg(&out)]), 1, &["known here"]);
}

#[test]
fn devices_and_doctor() {
    let _guard = serial();
    let (json, _) = succeeds(&run(["devices", "--json"]));
    let list: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert!(list[0]["caps"]["archetype"].is_string(), "{json}");
    let (listed, _) = succeeds(&run(["devices"]));
    assert!(listed.starts_with("0: "), "{listed}");
    let (checked, _) = succeeds(&run(["doctor"]));
    assert!(checked.contains("checks pass") && !checked.contains("FAIL"), "{checked}");
    fails(&run(["doctor", "--device", "no such adapter"]), 1, &["no adapter fits", "softpatch devices"]);
}

#[test]
fn kernels_are_tried_once_on_an_adapter() {
    let _guard = serial();
    let folder = tempfile::tempdir().unwrap();
    let good = fitted().folder.path().join("good");
    let score = |more: &[&str], cache: &Path| {
        let mut command = program();
        command.env("SOFTPATCH_CACHE", cache).args(["-v", "score", arg(&fitted().model()), arg(&good)]);
        succeeds(&command.args(more).output().unwrap())
    };
    let (cache, other) = (folder.path().join("a"), folder.path().join("b"));
    let file = cache.join("self-test.json");
    let (first, said) = score(&[], &cache);
    assert!(said.contains("self-test: ") && said.contains("cases pass"), "{said}");
    let kept = std::fs::read(&file).unwrap();
    let (second, said) = score(&[], &cache);
    assert!(!said.contains("self-test"), "{said}");
    assert_eq!((second, std::fs::read(&file).unwrap()), (first.clone(), kept));
    let (third, said) = score(&["--no-self-test"], &other);
    assert!(!said.contains("self-test") && third == first && !other.exists(), "{said}");
    // A damaged file is nothing to trust.
    std::fs::write(&file, "[{]").unwrap();
    let (_, said) = score(&[], &cache);
    assert!(said.contains("self-test: "), "{said}");
}

#[test]
fn a_misspelt_feature_is_not_left_on() {
    let output = program().env("SOFTPATCH_DISABLE", "subgroups").arg("devices").output().unwrap();
    let told = text(&output.stdout) + &text(&output.stderr);
    assert!(told.contains("there is no 'subgroups'"), "{told}");
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
