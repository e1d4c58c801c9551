//! What the library says of folders and models in JSON is what the program prints.

use super::*;
use serde_json::Value;
use softpatch::data::synth::Defect;
use softpatch::report::write_png;
use std::path::Path;
use std::process::Command;

/// What the program prints with `--json`.
fn printed(args: &[&str]) -> Value {
    let mut command = Command::new(env!("CARGO_BIN_EXE_softpatch"));
    command.env("SOFTPATCH_CACHE", concat!(env!("CARGO_TARGET_TMPDIR"), "/cache"));
    let output = command.args(args).output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap_or_default()
}

/// A text as JSON; it is freed.
fn said(text: softpatch_text) -> Value {
    let mut size = 0;
    ok(unsafe { softpatch_text_copy(text, null_mut(), 0, &mut size) });
    let mut buffer = vec![0_u8; size];
    ok(unsafe { softpatch_text_copy(text, buffer.as_mut_ptr().cast(), size, null_mut()) });
    ok(softpatch_text_free(text));
    let mut value: Value = serde_json::from_slice(&buffer[..size - 1]).unwrap();
    // The program says these on standard error.
    value.as_object_mut().map(|object| object.remove("notes"));
    value
}

fn info_of(detector: softpatch_detector) -> Value {
    let mut size = 0;
    ok(unsafe { softpatch_detector_info_json(detector, null_mut(), 0, &mut size) });
    let mut buffer = vec![0_u8; size];
    ok(unsafe { softpatch_detector_info_json(detector, buffer.as_mut_ptr().cast(), size, null_mut()) });
    serde_json::from_slice(&buffer[..size - 1]).unwrap()
}

fn folder(place: &Path, name: &str, seeds: std::ops::Range<u64>) -> String {
    let folder = place.join(name);
    std::fs::create_dir(&folder).unwrap();
    for i in seeds {
        let image = render(Material::Metal, None, i, SIZE).unwrap().0;
        write_png(&folder.join(format!("{i:03}.png")), &image).unwrap();
    }
    folder.to_str().unwrap().to_owned()
}

#[test]
fn documents_are_those_of_the_program() {
    let _turn = turn();
    let place = tempfile::tempdir().unwrap();
    let at = |name: &str| place.path().join(name).to_str().unwrap().to_owned();
    let c = |text: &str| CString::new(text).unwrap();
    let (train, good) = (folder(place.path(), "train", 0..8), folder(place.path(), "new", 100..110));
    let (model, set, bad) = (at("model"), at("set"), at("bad.png"));
    let defect = render(Material::Metal, Some(Defect::Stain), 99, SIZE).unwrap().0;
    write_png(Path::new(&bad), &defect).unwrap();
    printed(&["fit", &train, "--size", "64", "--batch", "4", "-o", &model]);

    let context = context();
    let mut options = unsafe { std::mem::zeroed::<softpatch_fit_options>() };
    ok(unsafe { softpatch_fit_options_init(&mut options, size_of_val(&options)) });
    (options.size.width, options.batch) = (64, 4);
    let (c_train, c_good, c_model) = (c(&train), c(&good), c(&model));
    let (c_train, c_good, c_model) = (c_train.as_ptr(), c_good.as_ptr(), c_model.as_ptr());
    let mut text = 0;
    let mut detector = 0;

    ok(unsafe { softpatch_audit(context, c_train, &options, None, null_mut(), &mut text) });
    assert_eq!(said(text), printed(&["audit", &train, "--size", "64", "--batch", "4", "--json"]));
    let list = at("list.txt");
    std::fs::write(&list, "002.png\n").unwrap();
    let c_list = c(&list);
    options.exclude = c_list.as_ptr();
    ok(unsafe { softpatch_audit(context, c_train, &options, None, null_mut(), &mut text) });
    let without = said(text);
    let args = ["audit", &train, "--size", "64", "--batch", "4", "--exclude", &list, "--json"];
    assert_eq!(without, printed(&args));
    assert_eq!(without["images"].as_array().unwrap().len(), 7, "{without}");
    ok(unsafe { softpatch_fit_folder(context, c_train, &options, None, null_mut(), &mut detector) });
    let info = info_of(detector);
    assert!(info["images"].as_array().unwrap().iter().all(|n| n != "002.png"), "{info}");
    assert!(info["notes"].to_string().contains("1 of 8 training images are left out"), "{info}");
    ok(softpatch_detector_free(detector));
    options.exclude = c"no/such/list".as_ptr();
    let status = unsafe { softpatch_audit(context, c_train, &options, None, null_mut(), &mut text) };
    assert_eq!(status, SOFTPATCH_IO);
    options.exclude = null();
    ok(unsafe { softpatch_model_info_json(c_model, &mut text) });
    assert_eq!(said(text), printed(&["model", &model, "info", "--json"]));

    ok(unsafe { softpatch_detector_load(context, c_model, &mut detector) });
    ok(unsafe { softpatch_detector_verify(detector, &mut text) });
    assert_eq!(said(text), printed(&["verify", &model, "--json"]));
    let c_bad = c(&bad);
    ok(unsafe { softpatch_detector_explain(detector, c_bad.as_ptr(), null(), 2, 4, c_train, &mut text) });
    let args = ["explain", &model, &bad, "--places", "2", "--neighbours", "4", "--images", &train, "--json"];
    let explained = said(text);
    assert_eq!(explained, printed(&args));
    assert!(explained["places"][0]["neighbours"][3]["path"].is_string(), "{explained}");
    ok(softpatch_detector_free(detector));

    options.target_fpr = 0.2;
    let c_set = c(&set);
    ok(unsafe {
        softpatch_model_calibrate(
            context,
            c_model,
            c_good,
            &options,
            c_set.as_ptr(),
            None,
            null_mut(),
            &mut text,
        )
    });
    let bytes = std::fs::read(&set).unwrap();
    assert_eq!(
        said(text),
        printed(&["calibrate", &model, &good, "--target-fpr", "0.2", "-o", &set, "--json"])
    );
    // But for the time of the edit.
    let timeless = |bytes: &[u8]| {
        let mut model = Model::from_bytes(bytes, "m".as_ref()).unwrap();
        model.info.history.iter_mut().for_each(|edit| edit.seconds = 0);
        model
    };
    let by_program = std::fs::read(&set).unwrap();
    assert!(timeless(&by_program) == timeless(&bytes), "the program writes another model");
    let bytes = by_program;

    let name = c("003.png");
    ok(unsafe { softpatch_model_remove_image(c_set.as_ptr(), name.as_ptr(), null(), null_mut()) });
    ok(unsafe { softpatch_model_history_json(c_set.as_ptr(), &mut text) });
    assert_eq!(said(text), printed(&["model", &set, "history", "--json"]));
    ok(unsafe { softpatch_model_undo(c_set.as_ptr(), null(), null_mut()) });
    assert!(std::fs::read(&set).unwrap() == bytes, "the edit left a trace");
    ok(unsafe {
        softpatch_model_keep_references(context, c_set.as_ptr(), c_train, &options, null(), null_mut())
    });
    let kept = || Model::load(Path::new(&set)).unwrap().references.is_some();
    assert!(kept());
    ok(unsafe { softpatch_model_forget_references(c_set.as_ptr(), null(), &mut text) });
    assert_eq!(said(text)["model"], set.as_str());
    assert!(!kept());
    ok(softpatch_context_free(context));
}
