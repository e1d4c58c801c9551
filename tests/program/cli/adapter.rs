//! What is said of adapters, and the self-test.

use super::*;

#[test]
fn devices_and_doctor() {
    let _turn = turn();
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
    let _turn = turn();
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
    assert!(
        !said.contains("self-test") && third == first && !other.join("self-test.json").exists(),
        "{said}"
    );
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

/// Runs `doctor --report` with a home and more; the status, the report and its text.
fn reported(
    file: &Path,
    home: &Path,
    more: &[(&str, &str)],
    args: &[&str],
) -> (Option<i32>, serde_json::Value) {
    let mut command = program();
    command.env("HOME", home).env("USERPROFILE", home).envs(more.iter().copied());
    let output = command.args(["doctor", "--report", arg(file)]).args(args).output().unwrap();
    let said = std::fs::read_to_string(file).unwrap_or_else(|e| panic!("{e}: {}", text(&output.stderr)));
    assert!(!said.contains(arg(home)), "{said}");
    let code = output.status.code();
    (code, serde_json::from_str(&said).unwrap())
}

#[test]
fn a_report_has_what_a_maintainer_asks_for_and_no_paths() {
    let _turn = turn();
    let folder = tempfile::tempdir().unwrap();
    let (file, home) = (folder.path().join("report.json"), folder.path().join("alice"));
    let config = home.join("config");
    std::fs::create_dir_all(config.join("softpatch")).unwrap();
    let cache = concat!(env!("CARGO_TARGET_TMPDIR"), "/cache");
    let env = [("XDG_CONFIG_HOME", arg(&config)), ("SOFTPATCH_DISABLE", "f16"), ("VK_LAYER_PATH", "/alice")];
    let (code, report) = reported(&file, &home, &env, &[]);
    assert_eq!((code, &report["outcome"]), (Some(0), &"passed".into()), "{report:#}");
    assert_eq!((&report["format"], &report["doing"]), (&1.into(), &serde_json::Value::Null));
    assert_eq!(report["program"]["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(report["system"]["arch"], std::env::consts::ARCH);
    assert!(report["adapters"][0]["caps"]["max_binding"].as_u64() > Some(0), "{report:#}");
    assert_eq!(report["device"]["caps"]["f16"], false);
    let checks = report["checks"].as_array().unwrap();
    assert!(checks.len() > 20, "{report:#}");
    for check in checks {
        let right = check["passed"] == true && check["kernels"][0].is_string() && check["ms"].is_f64();
        assert!(right && check["error_and_allowed"][1].is_f64(), "{check:#}");
    }
    assert_eq!(report["environment"]["SOFTPATCH_DISABLE"], "f16");
    assert_eq!(report["environment"]["VK_LAYER_PATH"], "set");
    let cores = std::thread::available_parallelism().unwrap().get();
    let threads = &report["environment"]["LP_NUM_THREADS"];
    match (std::env::var("LP_NUM_THREADS"), cores) {
        (Ok(set), _) => assert_eq!(threads, &set),
        (Err(_), 1) => assert_eq!(threads, "0"),
        (Err(_), 2..=4) => assert_eq!(threads, &(2 * cores).to_string()),
        (Err(_), _) => assert_eq!(threads, &cores.to_string()),
    }
    assert_eq!(report["default_settings"]["lof-k"], softpatch::FitOptions::default().lof_k.to_string());
    let said = report.to_string();
    assert!(!said.contains("alice") && !said.contains(cache), "{said}");
}

#[test]
fn a_report_is_written_where_nothing_can_be_checked() {
    let _turn = turn();
    let folder = tempfile::tempdir().unwrap();
    let (file, home) = (folder.path().join("report.json"), folder.path().join("alice"));
    std::fs::create_dir_all(&home).unwrap();
    // As where there is no driver; other systems have theirs all the same.
    let none = [("VK_DRIVER_FILES", "/none.json"), ("VK_ICD_FILENAMES", "/none.json")];
    let (code, report) = reported(&file, &home, &none, &["--device", "no such adapter"]);
    assert_eq!((code, &report["outcome"]), (Some(1), &"not run".into()), "{report:#}");
    assert!(report["error"].as_str().unwrap().contains("adapter"), "{report:#}");
    if cfg!(target_os = "linux") {
        assert_eq!(report["adapters"].as_array().unwrap().len(), 0, "{report:#}");
    }
    // A damaged table keeps the device from being opened, and lies in the home folder.
    let table = home.join("tuning.json");
    std::fs::write(&table, "{").unwrap();
    let (code, report) = reported(&file, &home, &[("SOFTPATCH_TUNING", arg(&table))], &[]);
    assert_eq!((code, &report["outcome"]), (Some(1), &"not run".into()), "{report:#}");
    assert_eq!(report["tuning"]["table"], "~/tuning.json");
    assert!(report["tuning"]["error"].as_str().unwrap().contains("<tuning>"), "{report:#}");
    // What is there and no report of ours is not written over.
    let model = fitted().model();
    let before = std::fs::read(&model).unwrap();
    fails(&run(["doctor", "--report", arg(&model)]), 2, &["a model that is there"]);
    fails(&run(["doctor", "--report", arg(&folder.path().join("no/r.json"))]), 1, &["r.json"]);
    assert_eq!(std::fs::read(&model).unwrap(), before);
}
