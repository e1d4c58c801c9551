//! Ctrl-c in every command that may take long: it ends with no more than the step in progress, and leaves no
//! halves.

use super::*;
use softpatch::data::{DecodeOptions, decode_bytes};
use std::io::{BufRead, BufReader, Read};
use std::time::{Duration, Instant};

/// Presses ctrl-c once standard error has `sign`, or after a while where there is none; status, and what was
/// said after that.
fn press(args: &[&str], sign: Option<&str>, scratch: &Path) -> (std::process::ExitStatus, String) {
    let mut child = program(&[])
        .args(args)
        .env("TMPDIR", scratch)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut said = String::new();
    match sign {
        Some(sign) => {
            while !said.contains(sign) {
                assert!(stderr.read_line(&mut said).unwrap() > 0, "{args:?} ended before {sign}: {said}");
            }
        }
        None => std::thread::sleep(Duration::from_millis(300)),
    }
    let before = said.len();
    let pressed = Instant::now();
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    stderr.read_to_string(&mut said).unwrap();
    let status = child.wait().unwrap();
    println!("{:?} after {:?}: {status}", args.first(), pressed.elapsed());
    (status, said[before..].to_owned())
}

#[test]
fn ctrl_c_ends_every_long_command_in_order() {
    use std::os::unix::process::ExitStatusExt;
    const SIGINT: i32 = 2;
    let _turn = turn();
    let made = Bench::get();
    let folder = tempfile::tempdir().unwrap();
    let [many, scratch, out] = ["many", "scratch", "out"].map(|name| folder.path().join(name));
    for made in [&many, &scratch, &out] {
        std::fs::create_dir(made).unwrap();
    }
    let set = many.join("set");
    let picture = std::fs::read(made.test().join("good/000.png")).unwrap();
    for (kind, count) in [("good", 150), ("crack", 150)] {
        std::fs::create_dir_all(set.join(kind)).unwrap();
        (0..count).for_each(|i| std::fs::write(set.join(kind).join(format!("{i}.png")), &picture).unwrap());
    }
    let (model, test) = (made.edited(), made.test());
    let own = out.join("m.safetensors");
    std::fs::copy(made.model(), &own).unwrap();
    let at = |name: &str| out.join(name).display().to_string();
    let (new, heat, page, results) = (at("new.safetensors"), at("h"), at("p.html"), at("b"));
    let (demo, painted, table, report) = (at("demo"), at("painted"), at("tune.json"), at("doctor.json"));
    let why = at("why.png");
    let good = test.join("good/000.png");
    // With what is said as the step begins; where nothing is, files are whole or not at all in any case, and
    // the system ends the program.
    let asks: [(Vec<&str>, &str, &[&str]); 7] = [
        (vec!["-v", "fit", arg(&set), "-o", &new, "--size", "64"], " features (", &["denoise ("]),
        (vec!["-v", "audit", arg(&set), "--report", &page, "--size", "64"], " features (", &["denoise ("]),
        (
            vec!["-v", "score", arg(&model), arg(&set), "--heatmaps", &heat, "--report", &page],
            " score (",
            &["scored,"],
        ),
        (vec!["-v", "eval", arg(&model), arg(&set), "--report", &page], " score (", &["image AUROC"]),
        (vec!["-v", "calibrate", arg(&own), arg(&set)], " score (", &["threshold"]),
        (
            vec!["-v", "bench", arg(&set), "-o", &results, "--size", "64", "--noise", "0"],
            " features (",
            &["denoise (", "1/2"],
        ),
        (
            vec![
                "-v",
                "bench",
                arg(&set),
                "-o",
                &results,
                "--size",
                "64",
                "--noise",
                "0",
                "--methods",
                "none,spade",
            ],
            " coreset (",
            &["1/2"],
        ),
    ];
    for (args, sign, never) in &asks {
        let (status, after) = press(args, Some(sign), &scratch);
        assert_eq!(status.code(), Some(130), "{args:?}: {status}: {after}");
        assert!(after.contains("error: cancelled"), "{args:?}: {after}");
        assert!(never.iter().all(|never| !after.contains(never)), "{args:?} went on: {after}");
    }
    let rest: [Vec<&str>; 9] = [
        vec!["verify", arg(&model)],
        vec!["explain", arg(&model), arg(&good), "-o", &why],
        vec!["profile", arg(&set)],
        vec!["roofline"],
        vec!["tune", "--out", &table],
        vec!["doctor", "--report", &report],
        vec!["demo", "--out", &demo],
        vec!["synth", &painted],
        vec!["data", arg(&set)],
    ];
    for args in &rest {
        let (status, said) = press(args, None, &scratch);
        let stopped = status.code() == Some(130) || status.signal() == Some(SIGINT) || status.success();
        assert!(stopped && !said.contains("panicked"), "{args:?}: {status}: {said}");
    }
    let left = snapshot(&out);
    assert!(left["m.safetensors"] == std::fs::read(made.model()).unwrap(), "the model was changed");
    assert!(!left.contains_key("new.safetensors") && !left.contains_key("p.html"), "{:?}", names(&left));
    let scratch = snapshot(&scratch);
    assert!(scratch.is_empty(), "{:?}", names(&scratch));
    for (name, bytes) in &left {
        let whole = !name.ends_with(".png") || decode_bytes(name, bytes, &DecodeOptions::default()).is_ok();
        assert!(whole, "{name}");
    }
}
