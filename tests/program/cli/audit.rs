//! `softpatch audit`, `fit --exclude` and `softpatch explain`.

use super::*;
use serde_json::Value;

#[test]
fn a_contaminated_folder_is_audited_and_fitted_without_what_is_listed() {
    let _turn = turn();
    let folder = tempfile::tempdir().unwrap();
    let images = folder.path().join("images");
    fill(&images, 9);
    let bad = images.join("<b>07 & 'x'.png");
    write_png(&bad, &part(Some(Defect::Stain), 70)).unwrap();
    let [list, page] = ["list.txt", "page.html"].map(|name| folder.path().join(name));
    let outputs = ["--suspects", arg(&list), "--report", arg(&page)];
    let audit = |more: &[&str]| run([&["audit", arg(&images)], TINY.as_slice(), more].concat());
    let (json, _) = succeeds(&audit(&[&["--json"], outputs.as_slice()].concat()));
    let json: Value = serde_json::from_str(&json).unwrap();
    let first = &json["images"][0];
    assert_eq!((first["name"].as_str(), first["suspect"].as_bool()), (Some(arg(&bad)), Some(true)));
    assert_eq!(json["images"].as_array().unwrap().len(), 10);
    assert!(!first["regions"].as_array().unwrap().is_empty());
    // No name becomes markup.
    let html = std::fs::read_to_string(&page).unwrap();
    assert!(!html.contains("<b>07") && html.contains("\\u003cb>07 & 'x'.png"));
    let (csv, _) = succeeds(&audit(&["--csv"]));
    assert_eq!(csv.lines().next(), Some("path,rank,suspicion,suspect,dropped,peak_x,peak_y"));
    assert!(csv.lines().nth(1).unwrap().starts_with(&format!("{},1,", arg(&bad))), "{csv}");
    let suspects = std::fs::read_to_string(&list).unwrap();
    assert!(suspects.lines().any(|line| line == arg(&bad)), "{suspects}");

    let model = folder.path().join("m.safetensors");
    std::fs::write(&list, "# seen\n<b>07 & 'x'.png\n").unwrap();
    let (summary, notes) = succeeds(&fit(&images, &model, &["--exclude", arg(&list)]));
    assert!(notes.contains("1 of 10 training images are left out") && summary.contains("images      9\n"));
    let made = Model::load(&model).unwrap();
    assert!(made.info.images.len() == 9 && !made.info.images.iter().any(|name| name == arg(&bad)));
    std::fs::write(&list, "08.png\n003.png\n09.png\n").unwrap();
    let wrong = fit(&images, &model, &["--exclude", arg(&list)]);
    fails(&wrong, 1, &["list.txt", "2 of 3 entries are no training image", "08.png", "09.png"]);
}

#[test]
fn a_score_is_explained_with_pictures_of_a_named_folder_alone() {
    let _turn = turn();
    let fitted = fitted();
    let folder = tempfile::tempdir().unwrap();
    let [bad, sheet] = ["it's bad.png", "why.png"].map(|name| folder.path().join(name));
    write_png(&bad, &part(Some(Defect::Stain), 40)).unwrap();
    let model = fitted.model();
    let explain = |more: &[&str]| succeeds(&run([&["explain", arg(&model), arg(&bad)], more].concat())).0;
    let good = fitted.folder.path().join("good");
    let json: Value =
        serde_json::from_str(&explain(&["--json", "--images", arg(&good), "-o", arg(&sheet)])).unwrap();
    assert_eq!(json["anomalous"], true);
    let over = json["over"].as_array().unwrap().len();
    assert!(over > 0 && json["allow"].as_str().unwrap().contains(" allow '"), "{}", json["allow"]);
    let neighbours = json["places"][0]["neighbours"].as_array().unwrap();
    assert_eq!(neighbours.len(), 3);
    for neighbour in neighbours {
        // The model has the paths; the folder has the files.
        assert_eq!(neighbour["path"], neighbour["name"]);
        assert_eq!(neighbour["bbox"].as_array().unwrap().len(), 4);
    }
    let drawn = image::open(&sheet).unwrap();
    assert!(drawn.width() > 800 && drawn.height() > 700, "{}x{}", drawn.width(), drawn.height());
    // The files are there, and are not opened unless the folder is named.
    let json: Value = serde_json::from_str(&explain(&["--json"])).unwrap();
    let first = &json["places"][0]["neighbours"][0];
    assert!(first["path"].is_null() && first["bbox"].is_null() && first["name"].is_string());
    let text = explain(&[]);
    // A normal part has places, too; they are said and drawn apart.
    assert_eq!(json["places"][0]["above_threshold"], true);
    let normal = good.join("000.png");
    std::fs::remove_file(&sheet).unwrap();
    let (said, _) = succeeds(&run(["explain", arg(&model), arg(&normal), "-o", arg(&sheet)]));
    assert!(said.contains("  1. at ") && said.matches(", below the threshold\n").count() == 3, "{said}");
    let cyan = |file: &Path| image::open(file).unwrap().to_rgb8().pixels().any(|p| p.0 == [64, 255, 255]);
    assert!(!cyan(&sheet));
    std::fs::remove_file(&sheet).unwrap();
    explain(&["-o", arg(&sheet)]);
    assert!(cyan(&sheet));
    assert!(
        text.contains("to pass, ") && text.contains("softpatch model ") && text.contains("row "),
        "{text}"
    );
}

/// A name that is no text, in a command that does what it says.
#[cfg(target_os = "linux")]
#[test]
fn the_command_that_explain_suggests_works_as_it_is_pasted() {
    use std::os::unix::ffi::OsStrExt;
    let _turn = turn();
    let folder = tempfile::tempdir().unwrap();
    let bad = folder.path().join(std::ffi::OsStr::from_bytes(b"it's \xff\x1b[1m.png"));
    let (plain, model) = (folder.path().join("plain.png"), folder.path().join("m.safetensors"));
    write_png(&plain, &part(Some(Defect::Stain), 40)).unwrap();
    std::fs::rename(&plain, &bad).unwrap();
    std::fs::copy(fitted().model(), &model).unwrap();
    let (said, _) = succeeds(&run(["explain".as_ref(), model.as_os_str(), bad.as_os_str()]));
    let command = said.split("if it is a good part: softpatch ").nth(1).unwrap().trim();
    let output = Command::new("bash")
        .args(["-c", &format!("\"$0\" {command}"), env!("CARGO_BIN_EXE_softpatch")])
        .output()
        .unwrap();
    let (said, _) = succeeds(&output);
    assert!(said.contains("allow") && said.contains("rows in"), "{said}");
}
