//! Models that are verified, looked into and mended.

use super::*;

#[test]
fn a_model_is_verified_mended_and_as_it_was() {
    let _turn = turn();
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let model = at("part.safetensors");
    std::fs::copy(fitted().model(), &model).unwrap();
    let before = std::fs::read(&model).unwrap();
    assert!(fitted().summary.contains("references  8 pictures kept in the model"), "{}", fitted().summary);
    let tell = |action: &[&str]| run(["model", arg(&model)].iter().chain(action));

    let (said, _) = succeeds(&run(["verify", arg(&model)]));
    assert!(
        said.contains("bank as approved, thresholds as approved") && said.ends_with("the same\n"),
        "{said}"
    );
    let (json, _) = succeeds(&run(["verify", arg(&model), "--json"]));
    let found: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&found["ok"], &found["count"], &found["edits"]), (&true.into(), &8.into(), &0.into()));

    let (said, _) = succeeds(&tell(&["info"]));
    assert!(said.contains("references      8 pictures") && said.contains("coreset-ratio   0.1"), "{said}");
    let (json, _) = succeeds(&tell(&["info", "--json"]));
    let info: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(info["images"].as_array().unwrap().len(), 10);
    let rows: u64 = info["rows_of_images"].as_array().unwrap().iter().map(|n| n.as_u64().unwrap()).sum();
    assert_eq!(rows, info["rows"].as_u64().unwrap());
    assert_eq!(succeeds(&tell(&["history"])).0, "no edits since the fit\n");
    fails(&tell(&["undo"]), 1, &["no edit to take back"]);

    // What is wrong changes nothing.
    let alarm = at("alarm.png");
    write_png(&alarm, &part(Some(Defect::Stain), 50)).unwrap();
    fails(
        &tell(&["remove-image", "nobody.png"]),
        1,
        &["nobody.png is none of the model's 10 images", "nearest names"],
    );
    fails(&tell(&["allow", arg(&alarm), "--region", "1,2,3"]), 2, &["X,Y,WIDTH,HEIGHT"]);
    fails(
        &tell(&["allow", arg(&alarm), "--region", "70,70,20,20"]),
        1,
        &["does not lie in a picture of 80x80"],
    );
    fails(&tell(&["deny", arg(&alarm), "--at-most", "2"]), 1, &["must lie between 0 and 1"]);
    fails(&tell(&["allow", arg(&alarm), "-o", arg(&at("no/folder"))]), 1, &["there is no folder"]);
    assert_eq!(std::fs::read(&model).unwrap(), before);

    let (said, _) =
        succeeds(&tell(&["allow", arg(&alarm), "--region", "0,0,80,80", "-o", arg(&at("other"))]));
    assert!(said.contains("-> 0.0000 normal") && said.contains("rows in"), "{said}");
    assert_eq!(std::fs::read(&model).unwrap(), before);
    let (said, _) = succeeds(&tell(&["remove-image", "003.png"]));
    assert!(said.contains("remove-image") && said.contains("rows out"), "{said}");
    let (said, _) = succeeds(&tell(&["history"]));
    assert!(said.contains(" UTC  remove-image") && said.lines().count() == 1, "{said}");
    let (said, _) = succeeds(&run(["verify", arg(&model)]));
    assert!(said.contains("1 edit since the approval") && said.ends_with("the same\n"), "{said}");
    succeeds(&tell(&["undo"]));
    assert_eq!(std::fs::read(&model).unwrap(), before);

    succeeds(&tell(&["forget-references"]));
    fails(&run(["verify", arg(&model)]), 1, &["no reference pictures", "keep-references"]);
    let good = fitted().folder.path().join("good");
    let (said, _) = succeeds(&tell(&["keep-references", arg(&good)]));
    assert!(said.contains("8 pictures"), "{said}");
    succeeds(&run(["verify", arg(&model)]));

    // Another bank under the same references.
    let mut changed = Model::load(&model).unwrap();
    changed.bank.weights.iter_mut().for_each(|w| *w *= 1.5);
    changed.save(&model).unwrap();
    let output = run(["verify", arg(&model)]);
    fails(&output, 1, &["is not what was approved", "scores differ by"]);
    assert!(text(&output.stdout).ends_with("NOT the same\n"));
}

#[test]
fn pictures_stay_out_of_the_model_where_that_is_said() {
    let _turn = turn();
    let folder = tempfile::tempdir().unwrap();
    fill(&folder.path().join("good"), 4);
    let model = folder.path().join("m");
    let (said, _) = succeeds(&fit(&folder.path().join("good"), &model, &["--no-references"]));
    assert!(!said.contains("references"), "{said}");
    assert_eq!(Model::load(&model).unwrap().references, None);
}

/// No output takes the place of a model, of weights or of an image, and a model only that of a model.
#[test]
fn a_wrong_name_for_an_output_costs_nothing() {
    let _turn = turn();
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let (model, list, picture, weights) =
        (at("part.safetensors"), at("list.txt"), at("part.png"), at("weights.safetensors"));
    std::fs::copy(fitted().model(), &model).unwrap();
    std::fs::write(&list, "001.png\n").unwrap();
    write_png(&picture, &part(None, 50)).unwrap();
    let header = br#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#;
    std::fs::write(&weights, [&(header.len() as u64).to_le_bytes()[..], header, &[0; 4]].concat()).unwrap();
    let files = [&model, &list, &picture, &weights];
    let before = files.map(|file| std::fs::read(file).unwrap());
    let (m, p) = (arg(&model), arg(&picture));
    let refused = |args: &[&str], says: &str| fails(&run(args), 2, &[says, "name a new file for the output"]);
    refused(&["explain", m, p, "-o", m], "is a model that is there");
    refused(&["score", m, p, "--report", m], "is a model that is there");
    refused(&["audit", arg(folder.path()), "--suspects", m], "is a model that is there");
    refused(&["score", m, p, "--regions", arg(&weights)], "is a file of weights that is there");
    refused(
        &["model", m, "remove-image", "003.png", "-o", arg(&weights)],
        "is a file of weights that is there",
    );
    refused(&["model", m, "remove-image", "003.png", "-o", p], "is an image that is there");
    refused(&["calibrate", m, arg(folder.path()), "-o", arg(&list)], "is a file that is there and no model");
    assert_eq!(files.map(|file| std::fs::read(file).unwrap()), before);
}

/// A link to the model in use stays one, and who may read it stays as it was.
#[cfg(unix)]
#[test]
fn an_edit_keeps_links_and_rights() {
    use std::os::unix::fs::PermissionsExt;
    let _turn = turn();
    let folder = tempfile::tempdir().unwrap();
    let (model, link) = (folder.path().join("v1.safetensors"), folder.path().join("current.safetensors"));
    std::fs::copy(fitted().model(), &model).unwrap();
    std::fs::set_permissions(&model, std::fs::Permissions::from_mode(0o640)).unwrap();
    std::os::unix::fs::symlink("v1.safetensors", &link).unwrap();
    succeeds(&run(["model", arg(&link), "remove-image", "003.png"]));
    assert!(link.is_symlink());
    assert_eq!(std::fs::metadata(&model).unwrap().permissions().mode() & 0o777, 0o640);
    assert!(succeeds(&run(["model", arg(&model), "history"])).0.contains("remove-image"));
}
