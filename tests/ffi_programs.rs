//! Programs in C, C++, C# and Python on the shared library: built, run, and their output checked. What the machine has no
//! tool for is skipped with a line.

mod common;

use common::serial;
use softpatch::data::OwnedImage;
use softpatch::data::synth::{Material, render};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The folder of the libraries: cargo leaves them beside the test, or one above.
fn libraries() -> PathBuf {
    let deps = std::env::current_exe().unwrap().parent().unwrap().to_owned();
    let name = format!("{}softpatch{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
    assert!(deps.join(&name).is_file(), "{name} is not in {}", deps.display());
    deps
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
fn run(command: &mut Command) -> String {
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
    let _guard = serial();
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
    let misuse = build(place, "cc", "examples/c/misuse.c", &["-std=c99"], true);
    assert!(run(Command::new(&misuse).arg(&model)).contains("every misuse got its error code"));
    cpp_program(place, &model);
    csharp_program(place, &model);
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
        let said = run(Command::new("dotnet").args(["run", "--project"]).arg(&project).arg("--").arg(model));
        assert!(said.contains("20 frames in order"), "{said}");
    }
}

/// The C# source declares what the header does, also where no `dotnet` can say so.
#[test]
fn csharp_declares_known_functions() {
    let header = std::fs::read_to_string(root().join("include/softpatch.h")).unwrap();
    let source = std::fs::read_to_string(root().join("examples/csharp/Softpatch.cs")).unwrap();
    for name in source.split("extern ").skip(1).filter_map(|s| s.split(['(', '\n']).next()) {
        let name = name.split_whitespace().last().unwrap();
        assert!(header.contains(&format!("{name}(")), "{name}");
    }
}

#[test]
fn the_python_module_works() {
    let _guard = serial();
    // A virtual environment is named by SOFTPATCH_PYTHON.
    let python = std::env::var_os("SOFTPATCH_PYTHON").unwrap_or_else(|| "python3".into());
    let numpy = Command::new(&python).args(["-c", "import numpy"]).output();
    if !numpy.is_ok_and(|o| o.status.success()) {
        println!("skipped: there is no {} with numpy", python.display());
        return;
    }
    let library = format!("{}softpatch{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
    run(Command::new(&python)
        .arg(root().join("tools/test_softpatch_py.py"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("SOFTPATCH_LIBRARY", libraries().join(library)));
}

fn example(name: &str) -> PathBuf {
    let folder = libraries().parent().unwrap().join("examples");
    folder.join(format!("{name}{}", std::env::consts::EXE_SUFFIX))
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
    let _guard = serial();
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
        let device = softpatch::gpu::Device::open(&Default::default()).unwrap();
        let options = softpatch::detector::FitOptions { resize: 64, crop: 64, ..Default::default() };
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
