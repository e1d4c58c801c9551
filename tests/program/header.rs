//! `include/softpatch.h` says what the library exports.

use crate::root;

/// With `SOFTPATCH_WRITE_HEADER=1` it writes the header instead.
#[test]
fn the_header_is_current() {
    let mut builder = cbindgen::Builder::new().with_config(cbindgen::Config::from_root_or_default(root()));
    for module in [
        "status",
        "context",
        "choices",
        "fit_options",
        "watch",
        "fit",
        "model",
        "score",
        "regions",
        "stream",
        "texts",
        "explain",
        "audit",
        "calibrate",
        "edit",
        "shards",
    ] {
        builder = builder.with_src(root().join(format!("capi/src/{module}.rs")));
    }
    let mut made = Vec::new();
    builder.generate().expect("the C ABI is readable").write(&mut made);
    let made = String::from_utf8(made).unwrap();
    let path = root().join("include/softpatch.h");
    if std::env::var_os("SOFTPATCH_WRITE_HEADER").is_some() {
        std::fs::write(&path, &made).unwrap();
    }
    let there = std::fs::read_to_string(&path).unwrap_or_default().replace("\r\n", "\n");
    assert!(
        there == made,
        "include/softpatch.h is not current: run SOFTPATCH_WRITE_HEADER=1 cargo test --test program header"
    );
}

/// Every function of the header is exported, and nothing else is called `softpatch_*`.
#[test]
fn every_exported_function_is_in_the_header() {
    let header = std::fs::read_to_string(root().join("include/softpatch.h")).unwrap();
    let mut count = 0;
    for entry in std::fs::read_dir(root().join("capi/src")).unwrap() {
        let source = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        for part in source.split("#[unsafe(no_mangle)]").skip(1) {
            let name = part.split("fn ").nth(1).unwrap().split('(').next().unwrap();
            assert!(header.contains(&format!("{name}(")), "{name} is not in the header");
            count += 1;
        }
    }
    assert!(count > 20, "{count}");
}
