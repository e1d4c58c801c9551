//! Wrong usage and configurations.

use super::*;

#[test]
fn the_program_says_who_it_is() {
    let (said, _) = succeeds(&run(["--version"]));
    assert_eq!(said, concat!("softpatch ", env!("CARGO_PKG_VERSION"), "\n"));
}

#[test]
fn wrong_usage_ends_with_2() {
    for args in [vec!["fit"], vec!["score", "m"], vec!["paint"], vec!["fit", "a", "-o", "b", "--tau", "much"]]
    {
        assert_eq!(run(&args).status.code(), Some(2), "{args:?}");
    }
    for (args, needle) in [
        (vec!["fit", "a", "-o", "b", "--tau", "2"], "tau is 2"),
        (vec!["fit", "a", "-o", "b", "--tau", "-1"], "tau is -1"),
        (vec!["fit", "a", "-o", "b", "--black", "-1", "--white", "-2"], "white is -2"),
        (vec!["fit", "a", "-o", "b", "--crop", "300"], "at least crop"),
        (vec!["fit", "a", "-o", "b", "--memory", "lots"], "800MB"),
        (vec!["fit", "a", "-o", "b", "--discriminator", "knn"], "lof, nearest, gaussian, none or auto"),
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

/// What is given to both alike is said alike.
#[test]
fn fit_audit_and_plan_take_the_same_training_images_and_settings() {
    let [fit, audit, plan] = ["fit", "audit", "plan"].map(|name| succeeds(&run([name, "--help"])).0);
    // The arguments of a help, each with its text.
    let arguments = |help: &str| -> Vec<String> {
        let options = help.split("\nOptions:\n").nth(1).unwrap();
        let lines = options.lines().take_while(|line| line.is_empty() || line.starts_with("  "));
        let mut all: Vec<String> = Vec::new();
        for line in lines {
            if line.trim_start().starts_with("--") || line.trim_start().starts_with("-o") {
                all.push(String::new());
            }
            all.last_mut().unwrap().push_str(line.trim());
        }
        all
    };
    let [fit, audit, plan] = [fit, audit, plan].map(|help| arguments(&help));
    let own = [
        "-o, --output",
        "--no-probe",
        "--no-references",
        "--top",
        "--json",
        "--csv",
        "--report",
        "--suspects",
    ];
    let shared = |all: &[String]| -> Vec<String> {
        all.iter().filter(|text| !own.iter().any(|own| text.starts_with(own))).cloned().collect()
    };
    assert!(shared(&fit).len() > 20, "{fit:?}");
    assert_eq!(shared(&fit), shared(&audit));
    assert_eq!(shared(&fit), shared(&plan));
}
