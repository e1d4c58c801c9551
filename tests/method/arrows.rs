//! Arrows between the rooms of the library go one way: read from the `use` lines and paths of the source.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Rooms (folders and files right under `src`) by floor, the ground first. A file may know its own room and
/// those on lower floors; rooms of one floor do not know each other.
const FLOORS: &[&[&str]] = &[
    &["error"],
    &["ahead", "files", "process", "shapes", "text", "workers"],
    &["gpu", "spool"],
    &["data", "steps"],
    &["reference", "backbone", "report", "bank"],
    &["settings"],
    &["model", "cases"],
    &["detector", "roofline"],
    &["methods"],
    &["eval"],
];

/// Who may call the specification: the cases that the self-test, the benches and the tests walk.
const KNOW_THE_REFERENCE: &[&str] = &["cases"];

/// A module of the crate: its path, file, and text without comments and tests.
struct Module {
    path: Vec<String>,
    file: PathBuf,
    text: String,
}

fn modules(source: &str) -> Vec<Module> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(source);
    let mut all = Vec::new();
    let mut folders = vec![source.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let file = entry.unwrap().path();
            if file.is_dir() {
                folders.push(file);
            } else if file.extension().is_some_and(|e| e == "rs") {
                let mut path: Vec<String> = file
                    .strip_prefix(&source)
                    .unwrap()
                    .with_extension("")
                    .iter()
                    .map(|part| part.to_str().unwrap().to_owned())
                    .collect();
                if path.last().is_some_and(|last| last == "mod") {
                    path.pop();
                }
                let text = code(&std::fs::read_to_string(&file).unwrap());
                all.push(Module { path, file, text });
            }
        }
    }
    // The doors of the library only hand names on.
    all.retain(|m| !["lib", "low_level"].contains(&m.path[0].as_str()));
    all.sort_by(|a, b| a.path.cmp(&b.path));
    all
}

/// The text without comments, and without the tests at its end.
fn code(text: &str) -> String {
    let text = text.split("#[cfg(test)]\nmod ").next().unwrap();
    let lines = text.lines().map(|line| line.split("//").next().unwrap());
    lines.collect::<Vec<_>>().join("\n")
}

/// Every path in a tree such as `a::{b, c::{d, e as f}}`.
fn expand(tree: &str) -> Vec<String> {
    let tree = tree.trim();
    let Some(open) = tree.find('{') else {
        let path = tree.split(" as ").next().unwrap().trim().trim_end_matches("::self");
        return if path.is_empty() { Vec::new() } else { vec![path.to_owned()] };
    };
    let (prefix, inside) = (&tree[..open], &tree[open + 1..tree.rfind('}').unwrap()]);
    let (mut depth, mut start, mut parts) = (0, 0, Vec::new());
    for (i, c) in inside.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&inside[start..i]);
                start = i + 1;
            }
            _ => {}
        }
    }
    parts.push(&inside[start..]);
    let full = |part: &str| expand(&format!("{prefix}{}", part.trim()));
    parts.into_iter().filter(|part| !part.trim().is_empty()).flat_map(full).collect()
}

/// What a module imports and what it hands on, as paths as written.
fn uses(text: &str) -> (Vec<String>, Vec<String>) {
    let (mut own, mut handed, mut others) = (Vec::new(), Vec::new(), String::new());
    let mut rest = text;
    while let Some(at) = rest.find("use ") {
        let before = &rest[..at];
        let line = before.rsplit('\n').next().unwrap().trim().to_owned();
        let end = at + rest[at..].find(';').unwrap_or(rest.len() - at);
        others += before;
        if line.is_empty() || line.starts_with("pub") {
            let paths = expand(&rest[at + 4..end]);
            if line.is_empty() { own.extend(paths) } else { handed.extend(paths) }
        }
        rest = &rest[end..];
    }
    others += rest;
    // Paths in the code itself.
    for word in others.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':')) {
        if word.starts_with("crate::") || word.starts_with("super::") {
            own.push(word.trim_end_matches(':').to_owned());
        }
    }
    (own, handed)
}

struct House {
    modules: BTreeMap<Vec<String>, Module>,
}

impl House {
    /// The modules below a folder of the repository.
    fn open(source: &str) -> Self {
        Self { modules: modules(source).into_iter().map(|m| (m.path.clone(), m)).collect() }
    }

    /// The module that defines what `path`, written in module `from`, names; `None` for other crates.
    fn resolve(&self, from: &[String], path: &str, depth: usize) -> Option<Vec<String>> {
        let mut segments = path.split("::").peekable();
        let mut at = match segments.peek() {
            Some(&"crate") => Vec::new(),
            Some(&"super" | &"self") => from.to_vec(),
            Some(&child) if self.modules.contains_key(&[from, &[child.to_owned()]].concat()) => from.to_vec(),
            _ => return None,
        };
        for segment in segments {
            match segment {
                "crate" | "self" => {}
                "super" => {
                    at.pop();
                }
                child if self.is_module(&[at.as_slice(), &[child.to_owned()]].concat()) => {
                    at.push(child.to_owned());
                }
                name => {
                    let handed = self.modules.get(&at).map(|m| uses(&m.text).1).unwrap_or_default();
                    let via = handed.iter().find(|p| p.rsplit("::").next() == Some(name));
                    return match via {
                        Some(via) if depth < 8 => self.resolve(&at, via, depth + 1).or(Some(at)),
                        // At the root stand `Result`, `Error` and the like.
                        _ if at.is_empty() => Some(vec!["error".to_owned()]),
                        _ => Some(at),
                    };
                }
            }
        }
        Some(at)
    }

    fn is_module(&self, path: &[String]) -> bool {
        self.modules.keys().any(|key| key.starts_with(path))
    }

    /// Modules that each module knows.
    fn arrows(&self) -> BTreeMap<Vec<String>, BTreeSet<Vec<String>>> {
        let of = |module: &Module| {
            let known = uses(&module.text).0;
            let targets = known.iter().filter_map(|path| self.resolve(&module.path, path, 0));
            targets.filter(|to| *to != module.path && self.modules.contains_key(to)).collect()
        };
        self.modules.values().map(|m| (m.path.clone(), of(m))).collect()
    }
}

fn floor(room: &str) -> usize {
    FLOORS
        .iter()
        .position(|rooms| rooms.contains(&room))
        .unwrap_or_else(|| panic!("src/{room} stands on no floor: say where, in tests/method/arrows.rs"))
}

#[test]
fn no_arrow_goes_back_up() {
    let mut wrong = Vec::new();
    for (from, known) in House::open("src").arrows() {
        for to in known.iter().filter(|to| to[0] != from[0]) {
            if floor(&to[0]) >= floor(&from[0]) {
                wrong.push(format!("{} -> {}", from.join("/"), to.join("/")));
            }
            if to[0] == "reference" && !KNOW_THE_REFERENCE.contains(&from[0].as_str()) {
                wrong.push(format!("{} computes by the specification", from.join("/")));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn files_form_no_circle() {
    ["src", "cli/src", "capi/src"].into_iter().for_each(no_circle);
}

fn no_circle(source: &str) {
    let arrows = House::open(source).arrows();
    let reach = |from: &Vec<String>| {
        let (mut seen, mut next) = (BTreeSet::new(), vec![from]);
        while let Some(module) = next.pop() {
            for known in &arrows[module] {
                if seen.insert(known) {
                    next.push(known);
                }
            }
        }
        seen
    };
    let all: BTreeMap<_, _> = arrows.keys().map(|m| (m, reach(m))).collect();
    let mut circles = BTreeSet::new();
    for (module, reached) in all.iter().filter(|(module, reached)| reached.contains(*module)) {
        let members = reached.iter().filter(|other| all[**other].contains(*module));
        circles.insert(members.map(|m| m.join("/")).collect::<Vec<_>>());
    }
    assert!(circles.is_empty(), "{source}: {circles:#?}");
}

#[test]
fn wgpu_stays_in_its_room() {
    for module in House::open("src").modules.values().filter(|m| m.path[0] != "gpu") {
        let named = module.text.lines().find(|line| line.contains("wgpu::") && !line.contains("gpu::wgpu::"));
        assert_eq!(named, None, "{}", module.file.display());
    }
}

/// The host side of a step checks shapes and records; whoever calls it allocates, submits and reads.
#[test]
fn steps_only_record() {
    for module in House::open("src").modules.values().filter(|m| m.path[0] == "steps") {
        for call in
            [".alloc(", ".alloc_f16(", ".upload(", ".write(", ".read(", ".submit(", ".run()", ".wait("]
        {
            assert!(!module.text.contains(call), "{} calls {call}", module.file.display());
        }
    }
}

/// What the tests above stand on.
#[test]
fn use_lines_are_read_right() {
    let paths = |text: &str| uses(&code(text));
    let (own, handed) = paths(
        "use crate::{Error, gpu::{Device, Plan as P}};\npub use super::a::B; // use crate::nothing;\nlet x = \
         crate::c::d();\n#[cfg(test)]\nmod tests { use crate::late::Z; }",
    );
    assert_eq!(own, ["crate::Error", "crate::gpu::Device", "crate::gpu::Plan", "crate::c::d"]);
    assert_eq!(handed, ["super::a::B"]);
    let house = House::open("src");
    let at = |from: &[&str], path: &str| {
        let from: Vec<String> = from.iter().map(|s| (*s).to_owned()).collect();
        house.resolve(&from, path, 0).map(|m| m.join("/"))
    };
    assert_eq!(at(&["steps", "outlier", "lof"], "super::knn::Knn").as_deref(), Some("steps/outlier/knn"));
    assert_eq!(at(&["bank"], "crate::gpu::Device").as_deref(), Some("gpu/device"));
    assert_eq!(at(&["bank"], "std::fs::File"), None);
}
