//! Data sets: painted, measured, compared, timed.

use super::*;

#[test]
fn a_set_is_painted_and_measured() {
    let _turn = turn();
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
    // A folder with one category stands for it.
    let (same, _) = succeeds(&run(["eval", arg(&model), arg(&out), "--json"]));
    assert_eq!(serde_json::from_str::<serde_json::Value>(&same).unwrap()["all"], document["all"]);
    // A folder with something else in it stays as it is.
    std::fs::write(folder.path().join("mine.txt"), "mine").unwrap();
    fails(&run(["synth", arg(folder.path())]), 1, &["not empty"]);
}

#[test]
fn a_benchmark_is_run_once_and_timed() {
    let _turn = turn();
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
    let tiny = ["--size", "64", "--coreset-ratio", "0.2"];
    let profile = |more: &[&str]| run(["profile", arg(&set)].iter().chain(&tiny).chain(more));
    let (times, _) = succeeds(&profile(&[]));
    for needle in ["fit: ", "coreset", "p50 ", "p95 ", "device memory: "] {
        assert!(times.contains(needle), "no {needle} in: {times}");
    }
    let (times, _) = succeeds(&profile(&["--made-up-weights", "resnet18"]));
    assert!(times.contains("rows of 1024 values"), "{times}");
    fails(&profile(&["--made-up-weights", "vgg"]), 1, &["no architecture is called 'vgg'", "resnet18"]);
    // Lists of another run; where one is missing, its part of the table is.
    std::fs::remove_file(out.join("splits/metal_noise0.125_overlap_seed0.csv")).unwrap();
    let (again, lists) = (folder.path().join("again"), out.join("splits"));
    let from_lists = |lists: &Path, more: &[&str]| {
        let given = ["-o", arg(&again), "--methods", "none,patchcore", "--splits", arg(lists)];
        bench(&[&given, more].concat())
    };
    let (table, _) = succeeds(&from_lists(&lists, &[]));
    assert!(table.contains("noise 0.125 overlap: left out: there is no list"), "{table}");
    assert!(table.contains("1 cells, 1 of them"), "one method under two names: {table}");
    fails(&from_lists(folder.path(), &[]), 1, &["there is no list"]);
    fails(&bench(&["-o", arg(&out), "--methods", "knn"]), 2, &["there is no method knn", "softpatch+"]);
    fails(&bench(&["-o", arg(&out), "--protocol", "twice"]), 2, &["there is no protocol twice"]);
    fails(&bench(&["-o", arg(&out), "--category", "wood"]), 2, &["no category wood", "metal"]);
    fails(&bench(&[]), 2, &["--out"]);
    // What a run writes is none of the next one's images.
    for inside in ["new", "metal/test/good", "metal/train/good/new", "metal/ground_truth", "metal/../new/a"] {
        let before = listing(&set);
        fails(&bench(&["-o", arg(&set.join(inside))]), 2, &["--out", "choose a folder outside"]);
        assert_eq!(listing(&set), before, "{inside}");
        assert!(!set.join("new").exists() && !set.join("metal/train/good/new").exists());
    }
    #[cfg(unix)]
    {
        let linked = folder.path().join("linked");
        std::fs::create_dir(&linked).unwrap();
        for part in ["train", "test", "ground_truth"] {
            std::os::unix::fs::symlink(set.join("metal").join(part), linked.join(part)).unwrap();
        }
        let inside = set.join("metal/test/good/new");
        fails(&run(["bench", arg(&linked), "-o", arg(&inside)]), 2, &["choose a folder outside"]);
    }
    for gone in ["--time", "--roofline"] {
        fails(&bench(&["-o", arg(&out), gone]), 2, &["unexpected argument", gone]);
    }
    // What is shown, measured and compared agree on what is missing.
    for (gone, needle) in [("good", "good test images"), ("", "there are no defects")] {
        let part = folder.path().join(format!("without-{gone}"));
        for kind in ["train/good", "test/good", "test/hole"] {
            let kept = if gone.is_empty() { kind != "test/hole" } else { kind != "test/good" };
            if kept {
                fill(&part.join(kind), 3);
            }
        }
        fails(&run(["bench", arg(&part), "-o", arg(&again)].iter().chain(&tiny[..4])), 1, &[needle]);
        fails(&run(["eval", arg(&fitted().model()), arg(&part)]), 1, &["not defined"]);
        let (said, _) = succeeds(&run(["data", arg(&part)]));
        assert!(said.contains("eval      nothing: ") && said.contains("bench     nothing"), "{said}");
    }
    let empty = folder.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    fails(&run(["bench", arg(&empty), "-o", arg(&out)]), 1, &["empty", "looked for images"]);
}
