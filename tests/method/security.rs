//! What SECURITY.md says of the source.

use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Files of a folder with their texts; none where the folder is no part of the package.
fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    let (mut all, mut open) = (Vec::new(), vec![root().join(folder)]);
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                all.push((path.strip_prefix(root()).unwrap().to_owned(), text));
            }
        }
    }
    all
}

#[test]
fn tests_that_are_named_exist() {
    let text = std::fs::read_to_string(root().join("SECURITY.md")).unwrap();
    let all: Vec<_> = ["src", "cli/src", "capi/src", "tests"].into_iter().flat_map(sources).collect();
    let is_test = |word: &&str| {
        word.matches('_').count() > 2
            && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
    };
    let names: Vec<&str> = text.split('`').filter(is_test).collect();
    assert!(names.len() > 20, "{names:?}");
    if all.iter().any(|(path, _)| path.starts_with("tests/program")) {
        for name in names {
            let is = format!("fn {name}(");
            assert!(all.iter().any(|(_, text)| text.contains(&is)), "there is no {name}");
        }
    }
}

#[test]
fn unsafe_is_where_it_is_said() {
    let text = std::fs::read_to_string(root().join("SECURITY.md")).unwrap();
    for (path, source) in ["src", "cli/src"].into_iter().flat_map(sources) {
        let code = source.lines().map(|line| line.split("//").next().unwrap_or_default());
        let blocks = code
            .filter(|line| ["unsafe {", "unsafe fn", "unsafe impl"].iter().any(|u| line.contains(u)))
            .count();
        let name = path.display().to_string().replace('\\', "/");
        assert_eq!(blocks > 0, text.contains(&format!("| `{name}` |")), "{name}");
        assert!(source.matches("SAFETY: ").count() >= blocks, "{name}: a block without its reason");
    }
}

#[test]
fn nothing_speaks_to_the_network() {
    for (path, source) in ["src", "cli/src", "capi/src"].into_iter().flat_map(sources) {
        for word in ["std::net", "TcpStream", "UdpSocket"] {
            assert!(!source.contains(word), "{}: {word}", path.display());
        }
    }
    // Of what is linked, too: their names stand in the lock file.
    let Ok(lock) = std::fs::read_to_string(root().join("Cargo.lock")) else { return };
    for name in ["socket2", "hyper", "reqwest", "ureq", "curl", "rustls", "native-tls", "openssl"] {
        assert!(!lock.contains(&format!("\nname = \"{name}\"\n")), "{name}");
    }
}

/// Nothing of ours runs while it is built: what a build fetches, cargo fetches, by the lock file.
#[test]
fn nothing_of_ours_runs_at_build_time() {
    for folder in ["", "benches", "cli", "capi", "fuzz"] {
        let folder = root().join(folder);
        assert!(!folder.join("build.rs").exists(), "{}", folder.display());
        let Ok(manifest) = std::fs::read_to_string(folder.join("Cargo.toml")) else { continue };
        for line in manifest.lines() {
            let key = line.split('=').next().unwrap_or_default().trim();
            assert!(!["build", "proc-macro", "links"].contains(&key), "{}: {line}", folder.display());
        }
    }
}
