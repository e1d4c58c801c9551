//! Disks that are full, cannot be read, or may not be written.

use super::*;

/// What every fault has to come to: an error that names file, cause and remedy, the earlier model as it was,
/// and beside what was whole already nothing.
#[track_caller]
fn nothing_is_spoilt(args: &[&str], faulty: &[(&str, &str)], folder: &Path, needles: &[&str]) {
    let before = snapshot(folder);
    let output = run(args.iter().copied(), faulty);
    fails(&output, 1, needles);
    let said = text(&output.stderr);
    assert!(said.contains("fault: "), "the fault did not bite: {said}");
    let after = snapshot(folder);
    for (name, bytes) in &before {
        assert!(after.get(name) == Some(bytes), "{name} was changed: {said}");
    }
    let halves: Vec<&str> =
        names(&after).into_iter().filter(|n| n.contains(".part") || n.contains(".tmp")).collect();
    assert!(halves.is_empty(), "{halves:?} left by {args:?}");
}

const FULL: &[&str] = &["No space left on device", "free some space"];

#[test]
fn a_full_disk_spoils_no_model() {
    let _turn = turn();
    if faults().is_none() {
        return;
    }
    let made = Bench::get();
    let (folder, model) = desk();
    let folder = folder.path();
    let at = |text: &str| arg(folder).to_owned() + text;
    let (set, here) = (made.set(), at("/"));
    let fit: Vec<&str> = ["fit", arg(&set), "-o", arg(&model)].into_iter().chain(TINY).collect();
    let good = made.test().join("good/000.png");
    let edits: [Vec<&str>; 4] = [
        vec!["model", arg(&model), "remove-image", "000.png"],
        vec!["model", arg(&model), "allow", arg(&good), "--region", "0,0,30,30"],
        vec!["model", arg(&model), "keep-references", arg(&set)],
        vec!["calibrate", arg(&model), arg(&set)],
    ];
    for bytes in ["0", "40000"] {
        nothing_is_spoilt(&fit, &[("FAULT_FULL", &here), ("FAULT_BYTES", bytes)], folder, FULL);
    }
    for edit in &edits {
        nothing_is_spoilt(edit, &[("FAULT_FULL", &here), ("FAULT_BYTES", "5000")], folder, FULL);
    }
    // A disk that takes the bytes and loses them, one that gives no names, one that nobody may write to, one
    // that does not give back what it has.
    let failing = ["Input/output error", "m.safetensors", "look into the system's log"];
    nothing_is_spoilt(&edits[0], &[("FAULT_FSYNC", &here)], folder, &failing);
    nothing_is_spoilt(&edits[0], &[("FAULT_RENAME", "1")], folder, &failing);
    let read_only = ["Read-only file system", "m.safetensors", "mount the file system for writing"];
    nothing_is_spoilt(&edits[0], &[("FAULT_READONLY", &here)], folder, &read_only);
    nothing_is_spoilt(&fit, &[("FAULT_READONLY", &here)], folder, &read_only);
    for nth in ["2", "5"] {
        let faulty = [("FAULT_READ", "m.safetensors"), ("FAULT_NTH", nth)];
        nothing_is_spoilt(&edits[0], &faulty, folder, &failing);
    }
    // What cannot be looked into is not written over, as it may be weights or a picture.
    nothing_is_spoilt(&fit, &[("FAULT_READ", "m.safetensors"), ("FAULT_NTH", "2")], folder, &failing);
}

#[test]
fn a_full_disk_for_temporary_files_is_said() {
    let _turn = turn();
    if faults().is_none() {
        return;
    }
    let made = Bench::get();
    let folder = tempfile::tempdir().unwrap();
    let [out, scratch] = ["out", "scratch"].map(|name| folder.path().join(name));
    for made in [&out, &scratch] {
        std::fs::create_dir(made).unwrap();
    }
    let (set, model) = (made.set(), out.join("m.safetensors"));
    let train = folder.path().join("train");
    std::fs::create_dir(&train).unwrap();
    for i in 0..32 {
        write_png(&train.join(format!("{i:02}.png")), &part(None, i)).unwrap();
    }
    for (bytes, needle) in [("0", "TMPDIR"), ("300000", "TMPDIR")] {
        let spooled = ["--size", "64", "--batch", "4", "--coreset-ratio", "0.5", "--memory", "4800kB"];
        let mut fit = program(&[("FAULT_FULL", arg(&scratch)), ("FAULT_BYTES", bytes)]);
        let fit = fit.args(["fit", arg(&train), "-o", arg(&model)]).args(spooled).env("TMPDIR", &scratch);
        let output = fit.output().unwrap();
        fails(&output, 1, &[needle, "No space left on device"]);
        assert!(snapshot(&out).is_empty() && snapshot(&scratch).is_empty());
    }
    // Of a bench the spooled features are those that are kept.
    let results = out.join("b");
    let bench =
        ["bench", arg(&set), "-o", arg(&results), "--methods", "none", "--noise", "0", "--memory", "1500kB"];
    for (bytes, more) in [("0", &["--no-keep-features"][..]), ("100000", &[])] {
        let place = if more.is_empty() { "/b/features" } else { "/b/#" };
        let args = bench.into_iter().chain(TINY).chain(more.iter().copied());
        let output = run(args, &[("FAULT_FULL", place), ("FAULT_BYTES", bytes)]);
        fails(&output, 1, &["spooling embeddings", "No space left on device", "free some space"]);
        assert_eq!(names(&snapshot(&results)).iter().filter(|n| !n.starts_with("splits/")).count(), 0);
    }
    // Where they fit the memory, a copy that cannot be kept costs nothing but a note.
    let small = ["bench", arg(&set), "-o", arg(&results), "--methods", "none", "--noise", "0"];
    let output =
        run(small.into_iter().chain(TINY), &[("FAULT_FULL", "/b/features"), ("FAULT_BYTES", "9000")]);
    assert!(
        output.status.success() && text(&output.stderr).contains("are not kept"),
        "{}",
        text(&output.stderr)
    );
}

#[test]
fn a_full_disk_leaves_whole_pictures_and_tables_or_none() {
    let _turn = turn();
    if faults().is_none() {
        return;
    }
    let made = Bench::get();
    let (test, model, set) = (made.test(), made.model(), made.set());
    let whole = tempfile::tempdir().unwrap();
    let score = |out: &Path| -> Vec<String> {
        let at = |name: &str| out.join(name).display().to_string();
        let args = [
            ["--heatmaps", &at("h")],
            ["--maps", &at("m")],
            ["--masks", &at("k")],
            ["--regions", &at("r.csv")],
            ["--report", &at("r.html")],
        ];
        let head = ["score", arg(&model), arg(&test), "--csv"].map(str::to_owned);
        head.into_iter().chain(args.into_iter().flatten().map(str::to_owned)).collect()
    };
    succeeds(score(whole.path()).iter().map(String::as_str));
    let whole = snapshot(whole.path());
    for bytes in ["3000", "60000", "330000"] {
        let out = tempfile::tempdir().unwrap();
        let args = score(out.path());
        let output =
            run(args.iter().map(String::as_str), &[("FAULT_FULL", arg(out.path())), ("FAULT_BYTES", bytes)]);
        fails(&output, 1, FULL);
        for (name, bytes) in snapshot(out.path()) {
            assert!(whole.get(&name) == Some(&bytes), "{name} is half written");
        }
    }
    // Standard output in a file on a full disk: said, and the status tells.
    let out = tempfile::tempdir().unwrap();
    for format in ["--csv", "--json"] {
        let file = std::fs::File::create(out.path().join("scores")).unwrap();
        let mut program = program(&[("FAULT_FULL", arg(out.path())), ("FAULT_BYTES", "100")]);
        let output = program.args(["score", arg(&model), arg(&test), format]).stdout(file).output().unwrap();
        fails(&output, 1, &["writing to standard output failed: No space left on device", "free some space"]);
    }
    // A log that takes nothing stops no work.
    let log = std::fs::File::create(out.path().join("log")).unwrap();
    let mut program = program(&[("FAULT_FULL", "/log"), ("FAULT_BYTES", "0")]);
    let args = ["-vv", "score", arg(&model), arg(&test), "--csv"];
    let output = program.args(args).stderr(log).output().unwrap();
    assert!(output.status.success() && text(&output.stdout).lines().count() > 4, "{:?}", output.status);
    let good = test.join("good/000.png");
    let pages: [(&[&str], &str); 4] = [
        (&["audit", arg(&set), "--size", "64", "--report"], "a.html"),
        (&["eval", arg(&model), arg(&set), "--report"], "e.html"),
        (&["explain", arg(&model), arg(&good), "-o"], "e.png"),
        (
            &["synth", "--materials", "metal", "--train", "2", "--test-good", "1", "--test-per-defect", "1"],
            "s",
        ),
    ];
    for (args, name) in pages {
        let out = tempfile::tempdir().unwrap();
        let target = out.path().join(name);
        let args = args.iter().copied().chain([arg(&target)]);
        let output = run(args, &[("FAULT_FULL", arg(out.path())), ("FAULT_BYTES", "2500")]);
        fails(&output, 1, FULL);
        let left = snapshot(out.path());
        assert!(left.keys().all(|n| n.ends_with(".json")), "{:?}", names(&left));
    }
}

#[test]
fn a_picture_that_the_disk_does_not_give_is_named() {
    let _turn = turn();
    if faults().is_none() {
        return;
    }
    let made = Bench::get();
    let (folder, model) = desk();
    let set = made.set();
    let out = folder.path().join("new.safetensors");
    let fit: Vec<&str> = ["fit", arg(&set), "-o", arg(&out)].into_iter().chain(TINY).collect();
    // At the header, without which the frame would be another one, and at the pixels.
    for nth in ["2", "3", "4"] {
        let faulty = [("FAULT_READ", "train/good/003.png"), ("FAULT_NTH", nth)];
        let output = run(fit.iter().copied(), &faulty);
        let said = text(&output.stderr);
        if output.status.success() {
            // It was read once more.
            let fine = std::fs::read(&out).unwrap();
            assert!(fine == std::fs::read(made.model()).unwrap(), "another model after {nth}: {said}");
            std::fs::remove_file(&out).unwrap();
            continue;
        }
        fails(&output, 1, &["train/good/003.png", "Input/output error"]);
        assert!(!out.exists());
    }
    let test = made.test();
    let mut named = 0;
    for nth in ["1", "2", "3"] {
        let faulty = [("FAULT_READ", "good/002.png"), ("FAULT_NTH", nth)];
        let output = run(["score", arg(&model), arg(&test), "--json"], &faulty);
        let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let images = document["images"].as_array().unwrap().len();
        if output.status.success() {
            // Its size was read before, and the picture once more, or less often than that.
            assert_eq!(images, 9, "{}", text(&output.stderr));
            continue;
        }
        named += 1;
        fails(&output, 3, &["good/002.png", "Input/output error", "1 of 9 images could not be read"]);
        assert_eq!(images, 8);
        assert!(document["errors"][0]["path"].as_str().unwrap().ends_with("good/002.png"));
    }
    assert!(named > 0, "the disk gave the picture at every opening");
    let output = run(["score", arg(&model), arg(&test)], &[("FAULT_READ", "m.safetensors")]);
    fails(&output, 1, &["m.safetensors", "Input/output error", "look into the system's log"]);
}

#[test]
fn a_folder_for_output_that_goes_is_named() {
    let _turn = turn();
    let made = Bench::get();
    let (folder, model) = desk();
    let out = folder.path().join("out");
    std::fs::create_dir(&out).unwrap();
    let many = folder.path().join("many");
    std::fs::create_dir(&many).unwrap();
    for i in 0..200 {
        std::fs::copy(made.test().join("good/000.png"), many.join(format!("{i}.png"))).unwrap();
    }
    let target = out.join("regions.csv");
    let mut scoring = program(&[])
        .args(["score", arg(&model), arg(&many), "--csv", "--regions", arg(&target)])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Once the first image is scored.
    let mut first = [0; 40];
    std::io::Read::read_exact(scoring.stdout.as_mut().unwrap(), &mut first).unwrap();
    std::fs::remove_dir(&out).unwrap();
    let output = scoring.wait_with_output().unwrap();
    fails(&output, 1, &["regions.csv", "No such file or directory", "folders for output must exist"]);
}
