//! Standard error as JSON.

use super::*;
use serde_json::Value;

/// Every line of standard error as an object.
#[track_caller]
fn lines(said: &str) -> Vec<Value> {
    let of = |line: &str| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
    let all: Vec<Value> = said.lines().map(of).collect();
    for line in &all {
        let texts = ["time", "level", "target", "message"].iter().all(|key| line[*key].is_string());
        assert!(texts && line["fields"].is_object() && line["spans"].is_array(), "{line}");
    }
    all
}

/// Spans that ended, with their seconds.
fn closed(lines: &[Value]) -> Vec<(&str, f64, f64)> {
    let ends = lines.iter().filter(|line| line["message"] == "close");
    ends.map(|line| {
        let seconds = |key: &str| line[key].as_f64().unwrap();
        (line["span"].as_str().unwrap(), seconds("seconds"), seconds("busy_seconds"))
    })
    .collect()
}

#[test]
fn stages_are_told_as_json_and_the_output_is_the_same() {
    let _turn = turn();
    let folder = tempfile::tempdir().unwrap();
    let good = fitted().folder.path().join("good");
    let model = folder.path().join("part.safetensors");
    let (_, said) = succeeds(&fit(&good, &model, &["--discriminator", "auto", "--log", "json"]));
    let told = lines(&said);
    let stages = closed(&told);
    for stage in ["decode", "features", "denoise", "coreset", "floors", "calibrate"] {
        let &(_, seconds, busy) =
            stages.iter().find(|(name, ..)| *name == stage).unwrap_or_else(|| panic!("{stage}: {said}"));
        assert!(busy > 0.0 && seconds >= busy, "{stage}: {seconds} {busy}");
    }
    let decode = told.iter().find(|line| line["span"] == "decode" && line["message"] == "close").unwrap();
    assert_eq!((&decode["spans"][0], &decode["fields"]["images"]), (&"features".into(), &10.into()));

    let known = fitted().model();
    let score = |more: &[&str]| {
        let args = ["score", arg(&known), arg(&good), "--csv"];
        succeeds(&run(args.iter().chain(more)))
    };
    let (plain, _) = score(&[]);
    let (csv, said) = score(&["--log", "json"]);
    assert_eq!(csv, plain);
    assert!(closed(&lines(&said)).iter().any(|(name, ..)| *name == "score"), "{said}");
    assert_eq!(score(&["--log", "json", "-q"]), (plain, String::new()));
    // A fit with text has no more lines than before.
    let (_, said) = score(&["-v"]);
    assert!(!said.contains("close") && !said.contains("score:"), "{said}");
}

#[test]
fn errors_are_json_too() {
    let _turn = turn();
    let missing = Path::new("no\u{9b}thing.safetensors");
    let good = fitted().folder.path().join("good");
    for quiet in [&[][..], &["-q"]] {
        let output = run(["score", arg(missing), arg(&good), "--log", "json"].iter().chain(quiet));
        assert_eq!(output.status.code(), Some(1));
        let said = text(&output.stderr);
        assert!(!said.contains('\u{9b}'), "{said}");
        let told = lines(&said);
        let error = told.last().unwrap();
        assert_eq!((&error["level"], &error["fields"]["help"]), (&"ERROR".into(), &"check the path".into()));
        assert!(error["message"].as_str().unwrap().contains("thing.safetensors"), "{said}");
    }
    // A level that is asked for does not hide them; and wrong usage is told so, too.
    let output =
        program().env("SOFTPATCH_LOG", "off").args(["score", "none", arg(&good), "--log", "json"]).output();
    assert_eq!(lines(&text(&output.unwrap().stderr)).len(), 1);
    let output = run(["score", "--log", "json"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(lines(&text(&output.stderr))[0]["message"].as_str().unwrap().contains("Usage:"));
}
