//! Devices that are lost under a command: the same output, or what was finished and a clear error.

use super::{Output, arg, fails, fitted, part, program, succeeds};
use crate::common::turn;
use softpatch::report::write_png;
use std::path::Path;

fn faulty(faults: &str, args: &[&str]) -> Output {
    program().env("SOFTPATCH_FAULTS", faults).args(args).output().unwrap()
}

fn pictures(folder: &Path, count: u64) {
    for i in 0..count {
        write_png(&folder.join(format!("{i:03}.png")), &part(None, 500 + i)).unwrap();
    }
}

#[test]
fn commands_go_on_after_a_lost_device() {
    let _turn = turn();
    let (folder, model) = (tempfile::tempdir().unwrap(), fitted().model());
    pictures(folder.path(), 20);
    let (model, folder) = (arg(&model), arg(folder.path()));
    let score = ["score", model, folder, "--csv", "--no-self-test"];
    let (whole, _) = succeeds(&faulty("", &score));
    for n in [1, 2, 4] {
        let (csv, said) = succeeds(&faulty(&format!("lose={n}"), &score));
        assert_eq!(csv, whole, "{said}");
        assert!(said.contains("the device was lost") && said.contains("it is opened again"), "{said}");
    }
    // A device that answers nothing is given up after the time that is said.
    let (csv, said) = succeeds(&faulty("silent=2", &[&score[..], &["--device-timeout", "7"]].concat()));
    assert!(csv == whole && said.contains("answered nothing for 7s"), "{said}");
    let (csv, said) =
        succeeds(&faulty("lose=3", &["explain", model, &format!("{folder}/000.png"), "--json"]));
    assert!(csv.contains("\"score\"") && said.contains("the device was lost"), "{said}");
}

#[test]
fn what_was_finished_before_the_second_loss_is_there() {
    let _turn = turn();
    let (folder, model) = (tempfile::tempdir().unwrap(), fitted().model());
    pictures(folder.path(), 40);
    let score = ["score", arg(&model), arg(folder.path()), "--csv", "--no-self-test"];
    let (whole, _) = succeeds(&faulty("", &score));
    let output = faulty("lose=8,14", &score);
    fails(&output, 1, &["the device was lost", "once before", "--device-timeout"]);
    let csv = super::text(&output.stdout);
    assert!(whole.starts_with(&csv) && csv.lines().count() > 2, "{csv}");
    fails(&faulty("memory=100000", &score), 1, &["out of memory"]);
    fails(&faulty("lose=x", &score), 1, &["SOFTPATCH_FAULTS", "lose=x"]);
}
