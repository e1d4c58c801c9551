//! What goes into the library and the program has a licence that `deny.toml` allows. `cargo deny` looks at
//! more; this needs nothing but cargo.

use crate::root;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

/// `cargo metadata` without the network: for every platform where all crates are here, else for this one.
fn metadata() -> Option<Value> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let host = {
        let said =
            Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into())).arg("-vV").output();
        let text = String::from_utf8(said.ok()?.stdout).ok()?;
        text.lines().find_map(|l| l.strip_prefix("host: ")).map(str::to_owned)?
    };
    [vec![], vec!["--filter-platform", &host]].into_iter().find_map(|only| {
        let mut command = Command::new(&cargo);
        command
            .args(["metadata", "--format-version", "1", "--offline", "--locked", "--all-features"])
            .args(only);
        let output = command.current_dir(root()).output().ok()?;
        output.status.success().then(|| serde_json::from_slice(&output.stdout).expect("cargo writes JSON"))
    })
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().map_or(&[], Vec::as_slice)
}

/// Ids of the crates that are linked in: the trees below the packages here without what only tests and build
/// scripts use.
fn linked(metadata: &Value) -> BTreeSet<&str> {
    let nodes: BTreeMap<&str, &Value> =
        list(&metadata["resolve"], "nodes").iter().map(|n| (n["id"].as_str().unwrap(), n)).collect();
    let mut found = BTreeSet::new();
    let mut open: Vec<_> =
        list(metadata, "workspace_members").iter().map(|id| id.as_str().unwrap()).collect();
    assert_eq!(open.len(), 4, "{open:?}");
    while let Some(id) = open.pop() {
        if found.insert(id) {
            let normal = |dep: &&Value| list(dep, "dep_kinds").iter().any(|kind| kind["kind"].is_null());
            open.extend(
                list(nodes[id], "deps").iter().filter(normal).map(|dep| dep["pkg"].as_str().unwrap()),
            );
        }
    }
    found
}

/// Whether a licence expression can be met with what is allowed. `WITH` belongs to the name before it; `/` is
/// an old `OR`.
fn met(expression: &str, allowed: &BTreeSet<&str>) -> bool {
    fn any<'a>(
        tokens: &mut std::iter::Peekable<impl Iterator<Item = &'a str>>,
        allowed: &BTreeSet<&str>,
    ) -> bool {
        let mut met = all(tokens, allowed);
        while tokens.next_if_eq(&"OR").is_some() {
            met |= all(tokens, allowed);
        }
        met
    }
    fn all<'a>(
        tokens: &mut std::iter::Peekable<impl Iterator<Item = &'a str>>,
        allowed: &BTreeSet<&str>,
    ) -> bool {
        let mut met = true;
        loop {
            let one = match tokens.next() {
                Some("(") => {
                    let inside = any(tokens, allowed);
                    assert_eq!(tokens.next(), Some(")"));
                    inside
                }
                Some(name) if tokens.next_if_eq(&"WITH").is_some() => {
                    let exception = tokens.next().unwrap_or_default();
                    allowed.contains(format!("{name} WITH {exception}").as_str())
                }
                name => allowed.contains(name.unwrap_or_default()),
            };
            met &= one;
            if tokens.next_if_eq(&"AND").is_none() {
                return met;
            }
        }
    }
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let mut tokens = spaced.split_whitespace().peekable();
    let met = any(&mut tokens, allowed);
    assert_eq!(tokens.next(), None, "{expression} cannot be read");
    met
}

#[test]
fn expressions_are_read() {
    let allowed = BTreeSet::from(["MIT", "Zlib", "Apache-2.0 WITH LLVM-exception"]);
    for good in
        ["MIT", "GPL-3.0 OR MIT", "MPL-2.0/MIT", "(X OR MIT) AND Zlib", "Apache-2.0 WITH LLVM-exception"]
    {
        assert!(met(good, &allowed), "{good}");
    }
    for bad in ["", "MPL-2.0", "MIT AND X", "(X OR MIT) AND Y", "X OR MIT AND Y", "Apache-2.0", "MIT WITH X"]
    {
        assert!(!met(bad, &allowed), "{bad}");
    }
}

#[test]
fn every_crate_has_an_allowed_licence() {
    let Some(metadata) = metadata() else {
        println!("skipped: cargo cannot list the crates without the network");
        return;
    };
    let deny = std::fs::read_to_string(root().join("deny.toml")).unwrap();
    let allow = deny.split("allow = [").nth(1).unwrap().split(']').next().unwrap();
    let allowed: BTreeSet<&str> = allow.split('"').skip(1).step_by(2).collect();
    assert!(allowed.contains("MIT"), "{allowed:?}");
    let linked = linked(&metadata);
    assert!(linked.len() > 50, "{} crates", linked.len());
    for package in list(&metadata, "packages") {
        if linked.contains(package["id"].as_str().unwrap()) {
            let licence = package["license"].as_str().unwrap_or_default();
            assert!(met(licence, &allowed), "{} {}: `{licence}`", package["name"], package["version"]);
        }
    }
}
