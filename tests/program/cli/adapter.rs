//! What is said of adapters, and the self-test.

use super::*;

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
