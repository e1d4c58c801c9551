//! The header, and the C++, C# and Python sources, say what the library does; also where no tool is there to
//! run them.

use crate::root;
use softpatch::data::PixelFormat;
use softpatch::detector::{SETTINGS, Values};

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap()
}

/// Names of all languages alike: without case and underscores.
fn plain(name: &str) -> String {
    name.replace(['_', '-'], "").to_lowercase()
}

/// Fields of a struct of the header.
fn fields(header: &str, name: &str) -> Vec<String> {
    let body =
        header.split(&format!("}} {name};")).next().unwrap().rsplit("typedef struct {").next().unwrap();
    let lines =
        body.lines().filter(|l| !l.trim_start().starts_with("//")).filter_map(|l| l.strip_suffix(';'));
    lines.map(|l| plain(l.rsplit([' ', '*']).next().unwrap())).collect()
}

/// The C# source declares what the header does, also where no `dotnet` can say so.
#[test]
fn csharp_declares_known_functions() {
    let header = read("include/softpatch.h");
    let source = read("examples/csharp/Softpatch.cs");
    for name in source.split("extern ").skip(1).filter_map(|s| s.split(['(', '\n']).next()) {
        let name = name.split_whitespace().last().unwrap();
        assert!(header.contains(&format!("{name}(")), "{name}");
    }
}

/// The structs of the C# and Python sources have the header's fields, in its order.
#[test]
fn structs_have_the_headers_fields() {
    let (header, sharp, python) = (
        read("include/softpatch.h"),
        read("examples/csharp/Softpatch.cs"),
        read("python/src/softpatch/_abi.py"),
    );
    for (c, cs, py) in [
        ("softpatch_context_options", "NativeContextOptions", "ContextOptions"),
        ("softpatch_fit_options", "FitOptions", "FitOptions"),
        ("softpatch_image", "Image", "Image"),
        ("softpatch_result", "Result", "Result"),
        ("softpatch_region", "Region", "Region"),
    ] {
        let fields = fields(&header, c);
        assert!(fields.len() > 3, "{c}: {fields:?}");
        let body = sharp.split(&format!("struct {cs}\n{{")).nth(1).unwrap();
        let body = body.split("\n}").next().unwrap().lines().map(str::trim);
        let declared = body.filter(|l| l.starts_with("public ") || l.starts_with("internal "));
        let names =
            declared.filter_map(|l| l.strip_suffix(';')).map(|l| plain(l.rsplit(' ').next().unwrap()));
        assert_eq!(names.collect::<Vec<_>>(), fields, "{cs}");
        let body = python.split(&format!("class {py}(")).nth(1).unwrap().split("    ]").next().unwrap();
        let names = body.lines().filter_map(|l| l.trim().strip_prefix("(\"")?.split('"').next()).map(plain);
        assert_eq!(names.collect::<Vec<_>>(), fields, "{py}");
    }
}

/// A setting of a fit is a field of the header's struct, and so, by the test above, of C# and Python; C++ has
/// the struct itself. The names that it takes have their numbers. That defaults agree, the C library makes
/// sure as it compiles.
#[test]
fn every_setting_is_in_every_language() {
    let (header, sharp, python) = (
        read("include/softpatch.h"),
        read("examples/csharp/Softpatch.cs"),
        read("python/src/softpatch/_abi.py"),
    );
    assert!(read("include/softpatch.hpp").contains("inline softpatch_fit_options fit_options()"));
    let mut in_c = fields(&header, "softpatch_fit_options");
    // How a folder is opened is no setting of a model.
    in_c.retain(|field| !["structsize", "layout", "take", "all", "roi", "exclude"].contains(&field.as_str()));
    let mut names: Vec<_> = SETTINGS.iter().map(|s| plain(s.name)).collect();
    // A budget is a context's.
    names.retain(|name| name != "memory");
    assert!(fields(&header, "softpatch_context_options").contains(&"memorybudget".to_owned()));
    names.sort();
    in_c.sort();
    assert_eq!(in_c, names);
    for setting in SETTINGS {
        let Values::OneOf(values) = setting.values else { continue };
        let name = setting.name.replace('-', "_");
        let named = python.split(&format!("\"{name}\": {{")).nth(1).unwrap().split('}').next().unwrap();
        let declared =
            sharp.lines().find(|l| plain(l).starts_with(&format!("public enum {} :", plain(setting.name))));
        let declared = plain(declared.unwrap());
        for (number, value) in values.iter().enumerate() {
            let constant = format!("#define SOFTPATCH_{name}_{value} {number}\n").to_uppercase();
            assert!(header.to_uppercase().contains(&constant), "{constant}");
            assert!(named.contains(&format!("\"{value}\": {number}")), "{value} in {named}");
            assert!(declared.contains(&format!(" {value} = {number}")), "{value} in {declared}");
        }
        let count = values.len();
        assert_eq!(
            (named.matches(':').count(), declared.matches('=').count()),
            (count, count),
            "{}",
            setting.name
        );
    }
}

/// Formats of pixels and status codes have the header's numbers in C# and Python, too.
#[test]
fn formats_have_the_headers_numbers() {
    let (header, sharp, python) = (
        read("include/softpatch.h"),
        read("examples/csharp/Softpatch.cs"),
        read("python/src/softpatch/_abi.py"),
    );
    let declared = sharp.split("public enum PixelFormat : uint").nth(1).unwrap().split('}').next().unwrap();
    let named = python.split("FORMATS = {").nth(1).unwrap().split('}').next().unwrap();
    for (number, format) in PixelFormat::ALL.iter().enumerate() {
        let name = plain(&format!("{format:?}"));
        let constant = header.lines().find_map(|line| {
            let (constant, value) = line.strip_prefix("#define SOFTPATCH_")?.split_once(' ')?;
            (plain(constant) == name).then(|| value.to_owned())
        });
        assert_eq!(constant, Some(number.to_string()), "{name} in the header");
        let count = |text: &str, entry: String| {
            text.split([',', '{', '\n']).filter(|part| plain(part).replace([' ', '"'], "") == entry).count()
        };
        assert_eq!(count(declared, format!("{name}={number}")), 1, "{name} in C#");
        assert_eq!(count(named, format!("{name}:{number}")), 1, "{name} in Python");
    }
    for (name, number) in
        [("INVALID_HANDLE", 2), ("BUFFER_TOO_SMALL", 4), ("BUSY", 14), ("PENDING", 15), ("EMPTY", 16)]
            .into_iter()
            .chain([("CANCELLED", 13), ("CHOICE", 18), ("FORKED", 19)])
    {
        assert!(header.contains(&format!("#define SOFTPATCH_{name} {number}\n")), "{name}");
        assert!(python.contains(&format!("{name} = {number}\n")), "{name} in Python");
    }
}
