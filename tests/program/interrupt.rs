//! `softpatch fit` stopped by ctrl-c: an exit status of its own, no model, nothing left behind.

use crate::common::turn;
use softpatch::data::synth::{Material, render};
use softpatch::detector::Model;
use softpatch::report::write_png;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

fn start(train: &Path, model: &Path, scratch: &Path) -> Child {
    Command::new(env!("CARGO_BIN_EXE_softpatch"))
        .args(["-v", "fit"])
        .arg(train)
        .arg("-o")
        .arg(model)
        // So little memory that embeddings wait on disk, in a folder that is looked at afterwards.
        .args(["--size", "64", "--batch", "4", "--coreset-ratio", "0.5", "--memory", "4800kB"])
        .env("TMPDIR", scratch)
        .env_remove("SOFTPATCH_LOG")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts")
}

/// Interrupts the program once it says that `stage` begins; how it ended, and what it said.
fn interrupt(mut child: Child, stage: &str) -> (ExitStatus, String) {
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut said = String::new();
    while !said.contains(&format!(" {stage} (")) {
        assert!(stderr.read_line(&mut said).unwrap() > 0, "it ended before {stage}: {said}");
    }
    let kill = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(kill.success());
    stderr.read_to_string(&mut said).unwrap();
    (child.wait().unwrap(), said)
}

fn names(folder: &Path) -> Vec<std::ffi::OsString> {
    std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name()).collect()
}

#[test]
fn an_interrupted_fit_leaves_nothing() {
    let _turn = turn();
    let folder = tempfile::tempdir().unwrap();
    let [train, out, scratch] = ["train", "out", "scratch"].map(|name| folder.path().join(name));
    for made in [&train, &out, &scratch] {
        std::fs::create_dir(made).unwrap();
    }
    for i in 0..32 {
        write_png(&train.join(format!("{i:02}.png")), &render(Material::Metal, None, i, 80).unwrap().0)
            .unwrap();
    }
    let model = out.join("part.safetensors");
    for stage in ["features", "denoise", "coreset", "calibrate"] {
        let (status, said) = interrupt(start(&train, &model, &scratch), stage);
        assert!(names(&scratch).is_empty(), "{stage}: {:?}\n{said}", names(&scratch));
        assert!(!said.contains("panicked"), "{said}");
        if stage == "calibrate" && status.success() {
            // It was done before it heard: then the model is there, whole, and alone.
            Model::load(&model).unwrap();
            assert_eq!(names(&out).len(), 1);
            std::fs::remove_file(&model).unwrap();
            continue;
        }
        assert_eq!(status.code(), Some(130), "{stage}: {status}\n{said}");
        assert!(said.contains("error: cancelled"), "{said}");
        assert!(names(&out).is_empty(), "{stage}: {:?}", names(&out));
    }
    // A model that is there stays as it was.
    let whole = start(&train, &model, &scratch).wait_with_output().unwrap();
    assert!(whole.status.success(), "{}", String::from_utf8_lossy(&whole.stderr));
    let earlier = std::fs::read(&model).unwrap();
    let (status, said) = interrupt(start(&train, &model, &scratch), "denoise");
    assert_eq!(status.code(), Some(130), "{status}\n{said}");
    assert!(std::fs::read(&model).unwrap() == earlier, "the earlier model was changed");
    assert_eq!(names(&out).len(), 1);
}
