//! The Python package on the shared library, as it is in the repository: its tests, and what wheels are built
//! with. What the machine has no module for is skipped with a line.

use crate::common::turn;
use crate::ffi_programs::{libraries, run, shared_library};
use crate::root;
use std::ffi::OsString;
use std::process::Command;

/// An interpreter that has these modules. A virtual environment is named by SOFTPATCH_PYTHON.
fn python(modules: &str) -> Option<OsString> {
    let python = std::env::var_os("SOFTPATCH_PYTHON").unwrap_or_else(|| "python3".into());
    let there = Command::new(&python).arg("-c").arg(format!("import {modules}")).output();
    if there.is_ok_and(|o| o.status.success()) {
        return Some(python);
    }
    println!("skipped: there is no {} with {modules}", python.display());
    None
}

/// `python/tests`, on this library and against this program.
#[test]
fn the_python_package_works() {
    let _turn = turn();
    let Some(python) = python("numpy") else { return };
    let tests = root().join("python/tests");
    run(Command::new(python)
        .args(["-m", "unittest", "discover", "--start-directory"])
        .arg(&tests)
        .current_dir(&tests)
        .env("PYTHONPATH", root().join("python/src"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("SOFTPATCH_PROGRAM", env!("CARGO_BIN_EXE_softpatch"))
        .env("SOFTPATCH_CACHE", concat!(env!("CARGO_TARGET_TMPDIR"), "/cache"))
        .env("SOFTPATCH_LIBRARY", libraries().join(shared_library("softpatch"))));
}
