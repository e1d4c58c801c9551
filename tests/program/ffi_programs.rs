//! Programs in C, C++ and C# on the shared library: built, run, and their output checked. What the
//! machine has no tool for is skipped with a line.

#[cfg(unix)]
use crate::agreement::drivers;
use crate::common::turn;
use crate::root;
use softpatch::data::OwnedImage;
use softpatch::data::synth::{Material, render};
use softpatch::report::write_png;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
#[cfg(unix)]
use std::{io::Read, process::Stdio};

/// Where cargo leaves what it built for this test.
fn deps() -> PathBuf {
    std::env::current_exe().unwrap().parent().unwrap().to_owned()
}

pub(crate) fn shared_library(name: &str) -> String {
    format!("{}{name}{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX)
}

/// A folder with the libraries under the names under which they are installed.
pub(crate) fn libraries() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("lib");
        std::fs::create_dir_all(&folder).unwrap();
        let mut names = vec![[shared_library("softpatch_capi"), shared_library("softpatch")]];
        if cfg!(unix) {
            names.push(["libsoftpatch_capi.a", "libsoftpatch.a"].map(str::to_owned));
        }
        for [built, installed] in names {
            let to = folder.join(installed);
            let _ = std::fs::remove_file(&to);
            std::fs::copy(deps().join(&built), to).unwrap_or_else(|e| panic!("{built}: {e}"));
        }
        folder
    })
}

fn has(tool: &str, argument: &str) -> bool {
    let there = Command::new(tool).arg(argument).output().is_ok_and(|o| o.status.success());
    if !there {
        println!("skipped: there is no {tool}");
    }
    there
}

/// Runs a program to its end; its standard output.
#[track_caller]
pub(crate) fn run(command: &mut Command) -> String {
    command.env("LD_LIBRARY_PATH", libraries()).env("DYLD_LIBRARY_PATH", libraries());
    let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{command:?}: {}\n{text}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    println!("{text}");
    text
}

fn save_ppm(image: &OwnedImage, path: &Path) {
    let mut bytes = format!("P6\n{} {}\n255\n", image.width, image.height).into_bytes();
    bytes.extend(&image.pixels);
    std::fs::write(path, bytes).unwrap();
}

struct Place {
    folder: tempfile::TempDir,
    train: Vec<PathBuf>,
}

/// A folder with training images, as PPM files.
fn place() -> Place {
    let folder = tempfile::tempdir().unwrap();
    let train = (0..6)
        .map(|i| {
            let path = folder.path().join(format!("train{i}.ppm"));
            save_ppm(&render(Material::Metal, None, i, 80).unwrap().0, &path);
            path
        })
        .collect();
    Place { folder, train }
}

/// Builds a program against the shared library, or against the static one.
fn build(place: &Place, compiler: &str, source: &str, flags: &[&str], shared: bool) -> PathBuf {
    let name = Path::new(source).file_stem().unwrap().to_str().unwrap();
    let program = place.folder.path().join(format!("{name}-{}", if shared { "shared" } else { "static" }));
    let mut command = Command::new(compiler);
    command.args(["-O1", "-g", "-Wall", "-Wextra", "-Werror", "-pedantic"]).args(flags);
    command.arg("-I").arg(root().join("include")).arg(root().join(source)).arg("-o").arg(&program);
    if shared {
        command.arg("-L").arg(libraries()).arg("-lsoftpatch");
    } else {
        command.arg(libraries().join("libsoftpatch.a"));
    }
    run(command.args(["-lpthread", "-ldl", "-lm"]));
    program
}

/// A model made by the C example with the library that the other programs then use.
fn model(place: &Place, program: &Path) -> PathBuf {
    let model = place.folder.path().join("c.safetensors");
    if !model.is_file() {
        run(Command::new(program).arg("fit").arg(&model).arg("64").args(&place.train));
    }
    model
}

#[cfg(unix)]
#[test]
fn c_programs_run() {
    let _turn = turn();
    if !has("cc", "--version") {
        return;
    }
    let place = &place();
    let folder = place.folder.path();
    let program = build(place, "cc", "examples/c/score_ppm.c", &["-std=c99"], true);
    let model = model(place, &program);
    let image = folder.join("query.ppm");
    let map = folder.join("map.pgm");
    let defect = Material::Metal.defects()[0];
    save_ppm(&render(Material::Metal, Some(defect), 99, 80).unwrap().0, &image);
    let said = run(Command::new(&program).arg("score").args([&model, &image, &map]));
    assert!(said.contains("score "), "{said}");
    assert_eq!(std::fs::read(&map).unwrap().len(), b"P5\n80 80\n255\n".len() + 6400);
    // The same number from the static library.
    let fixed = build(place, "cc", "examples/c/score_ppm.c", &["-std=c99"], false);
    assert_eq!(run(Command::new(&fixed).arg("score").args([&model, &image])), said);
    interrupt(place, &program);
    models(place);
    misuse(place, &model);
    stream(place, &model);
    forked(place, &model);
    cpp_program(place, &model);
    csharp_program(place, &model);
}

/// Stopped by ctrl-c, the C example leaves neither model nor temporary file.
#[cfg(unix)]
fn interrupt(place: &Place, program: &Path) {
    let out = tempfile::tempdir().unwrap();
    let mut command = Command::new(program);
    command.arg("fit").arg(out.path().join("model")).arg("64");
    command.args(place.train.iter().cycle().take(48)).env("TMPDIR", out.path());
    command.env("LD_LIBRARY_PATH", libraries()).env("DYLD_LIBRARY_PATH", libraries());
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut stderr = child.stderr.take().unwrap();
    let mut said = Vec::new();
    while !String::from_utf8_lossy(&said).contains("denoise") {
        let mut some = [0; 64];
        let count = stderr.read(&mut some).unwrap();
        assert!(count > 0, "it ended too early: {}", String::from_utf8_lossy(&said));
        said.extend(&some[..count]);
    }
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    stderr.read_to_end(&mut said).unwrap();
    let said = String::from_utf8_lossy(&said);
    assert_eq!(child.wait().unwrap().code(), Some(1), "{said}");
    assert!(said.contains("fit: cancelled"), "{said}");
    assert_eq!(std::fs::read_dir(out.path()).unwrap().count(), 0);
}

/// `tests/c/models.c`: the life of a model, from its audit to its edits.
#[cfg(unix)]
fn models(place: &Place) {
    let program = build(place, "cc", "tests/c/models.c", &["-std=c99"], true);
    let empty = tempfile::tempdir().unwrap();
    assert!(run(Command::new(&program).arg(empty.path())).contains("every model did what it should"));
}

/// `tests/c/misuse.c` as it is, under the address sanitizer, and, without a model, under valgrind.
#[cfg(unix)]
fn misuse(place: &Place, model: &Path) {
    let program = build(place, "cc", MISUSE, &["-std=c99"], true);
    assert!(run(Command::new(&program).arg(model)).contains("every misuse got its error code"));
    if has("valgrind", "--version") {
        assert!(run(&mut valgrind(&program)).contains("every misuse without a model got its error code"));
    }
    let empty = place.folder.path().join("empty.c");
    std::fs::write(&empty, "int main(void) { return 0; }\n").unwrap();
    let mut can = Command::new("cc");
    can.arg("-fsanitize=address").arg(&empty).arg("-o").arg(empty.with_extension("out"));
    if !can.output().is_ok_and(|o| o.status.success()) {
        println!("skipped: cc has no address sanitizer");
        return;
    }
    let program = build(place, "cc", MISUSE, &["-std=c99", "-fsanitize=address"], true);
    // Leaks are valgrind's business, which knows the driver's.
    let said = run(Command::new(&program).arg(model).env("ASAN_OPTIONS", "detect_leaks=0"));
    assert!(said.contains("every misuse got its error code"));
}

/// `tests/c/stream.c`: many threads on one stream.
#[cfg(unix)]
fn stream(place: &Place, model: &Path) {
    let program = build(place, "cc", "tests/c/stream.c", &["-std=c99"], true);
    assert!(run(Command::new(&program).arg(model)).contains("every frame came out once"));
}

/// `tests/c/forked.c` on every driver there is: what hangs in a fork is a driver's threads.
#[cfg(unix)]
fn forked(place: &Place, model: &Path) {
    let program = build(place, "cc", "tests/c/forked.c", &["-std=c99"], true);
    let told = |command: &mut Command| {
        assert!(run(command.arg(model)).contains("every child was told, and ended"));
    };
    told(&mut Command::new(&program));
    for manifest in drivers() {
        let path = &manifest;
        told(Command::new(&program).env("VK_DRIVER_FILES", path).env("VK_ICD_FILENAMES", path));
    }
}

#[cfg(unix)]
const MISUSE: &str = "tests/c/misuse.c";

/// A program under memcheck: wrong accesses and what is definitely lost fail, but for the driver's.
#[cfg(unix)]
fn valgrind(program: &Path) -> Command {
    let mut command = Command::new("valgrind");
    command.args(["--quiet", "--leak-check=full", "--show-leak-kinds=definite"]);
    // Threads that wait for each other must all get on, and valgrind runs one at a time.
    command.args(["--errors-for-leak-kinds=definite", "--error-exitcode=9", "--fair-sched=yes"]);
    let known = root().join("packaging/valgrind/driver.supp");
    command.arg(format!("--suppressions={}", known.display())).arg(program);
    command
}

/// Fit, score, stream and every misuse under memcheck; `tools/valgrind.sh` runs it.
#[cfg(unix)]
#[test]
#[ignore = "takes minutes: every shader is compiled under valgrind"]
fn valgrind_finds_nothing() {
    let _turn = turn();
    if !has("valgrind", "--version") || !has("cc", "--version") {
        return;
    }
    let place = &place();
    let program = build(place, "cc", "examples/c/score_ppm.c", &["-std=c99"], true);
    let model = place.folder.path().join("small.safetensors");
    run(valgrind(&program).arg("fit").arg(&model).arg("32").args(&place.train[..3]));
    let map = place.folder.path().join("map.pgm");
    assert!(
        run(valgrind(&program).arg("score").arg(&model).arg(&place.train[3]).arg(map)).contains("score ")
    );
    let program = build(place, "cc", MISUSE, &["-std=c99"], true);
    assert!(run(valgrind(&program).arg(&model)).contains("every misuse got its error code"));
    if has("c++", "--version") {
        let program = build(place, "c++", "examples/cpp/frames.cpp", &["-std=c++17"], true);
        assert!(run(valgrind(&program).arg(&model)).contains("40 frames in order"));
    }
}

/// A new function must come with its misuse, and with its call in a forked process.
#[test]
fn every_function_is_misused() {
    let header = std::fs::read_to_string(root().join("include/softpatch.h")).unwrap();
    let names = functions(&header);
    assert!(names.len() > 20, "{names:?}");
    for program in ["tests/c/misuse.c", "tests/c/forked.c"] {
        let source = std::fs::read_to_string(root().join(program)).unwrap();
        for name in &names {
            assert!(source.contains(&format!("{name}(")), "{name} is not in {program}");
        }
    }
}

/// The functions that a header declares: names before a parenthesis outside comments and types.
fn functions(header: &str) -> Vec<&str> {
    let code =
        header.lines().filter(|l| !l.starts_with("//") && !l.starts_with(" *") && !l.starts_with("typedef"));
    code.filter_map(|line| {
        let before = line.split_once('(')?.0;
        let name = before.rsplit([' ', '*']).next()?;
        name.starts_with("softpatch_").then_some(name)
    })
    .collect()
}

/// The shared library exports what the header declares, and nothing else: it can live beside any other
/// library.
#[cfg(target_os = "linux")]
#[test]
fn nothing_else_is_exported() {
    if !has("nm", "--version") {
        return;
    }
    let said =
        run(Command::new("nm").args(["-D", "--defined-only"]).arg(libraries().join("libsoftpatch.so")));
    let mut exported: Vec<&str> = said.lines().filter_map(|l| l.split_whitespace().nth(2)).collect();
    exported.sort_unstable();
    let header = std::fs::read_to_string(root().join("include/softpatch.h")).unwrap();
    let mut declared = functions(&header);
    declared.sort_unstable();
    assert_eq!(exported, declared);
}

fn cpp_program(place: &Place, model: &Path) {
    if has("c++", "--version") {
        let program = build(place, "c++", "examples/cpp/frames.cpp", &["-std=c++17"], true);
        assert!(run(Command::new(&program).arg(model)).contains("40 frames in order"));
    }
}

fn csharp_program(place: &Place, model: &Path) {
    if has("dotnet", "--version") {
        let project = place.folder.path().join("csharp");
        std::fs::create_dir_all(&project).unwrap();
        for file in ["softpatch-example.csproj", "Softpatch.cs", "Program.cs"] {
            std::fs::copy(root().join("examples/csharp").join(file), project.join(file)).unwrap();
        }
        let images = place.folder.path().join("images");
        std::fs::create_dir_all(&images).unwrap();
        for i in 0..4 {
            let image = render(Material::Metal, None, i, 80).unwrap().0;
            write_png(&images.join(format!("{i}.png")), &image).unwrap();
        }
        let mut command = Command::new("dotnet");
        command.args(["run", "--project"]).arg(&project).arg("--").arg(model).arg(&images);
        let said = run(&mut command);
        assert!(said.contains("20 frames in order") && said.contains("fitted: score"), "{said}");
    }
}

fn example(name: &str) -> PathBuf {
    deps().parent().unwrap().join("examples").join(format!("{name}{}", std::env::consts::EXE_SUFFIX))
}

/// Cargo builds the examples before tests of the whole package; with `--test` alone it does not.
fn built(name: &str) -> bool {
    let there = example(name).is_file();
    if !there {
        println!("skipped: the example {name} was not built");
    }
    there
}

#[test]
fn rust_examples_run() {
    let _turn = turn();
    if built("shared_device") {
        assert!(run(&mut Command::new(example("shared_device"))).contains("score"));
    }
    if built("line_camera") {
        let folder = tempfile::tempdir().unwrap();
        let images: Vec<_> = (0..6).map(|i| render(Material::Metal, None, i, 80).unwrap().0).collect();
        for (i, image) in images.iter().enumerate() {
            let path = folder.path().join(format!("{i}.png"));
            image::save_buffer(path, &image.pixels, 80, 80, image::ColorType::Rgb8).unwrap();
        }
        let device = softpatch::low_level::gpu::Device::open(&Default::default()).unwrap();
        let options = softpatch::detector::FitOptions::paper(64, 64);
        let detector = softpatch::detector::Detector::fit(
            &device,
            &softpatch::detector::Backbone::embedded().unwrap(),
            &softpatch::data::MemorySource(&images),
            &options,
            &softpatch::detector::Quiet,
        );
        let model = folder.path().join("model");
        detector.unwrap().save(&model).unwrap();
        let said = run(Command::new(example("line_camera"))
            .args([&model, folder.path()])
            .args(["40", "60", "4"].map(OsStr::new)));
        assert!(said.contains("p99") && said.contains("dropped") && said.contains("verdicts"), "{said}");
    }
}
