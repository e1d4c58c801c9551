//! Fits on folders.

use super::*;
use image::{ImageBuffer, Luma};
use std::path::Path;

/// Pictures of 16 bit with values up to `largest`.
fn pictures(folder: &Path, largest: u32) {
    std::fs::create_dir_all(folder).unwrap();
    for (i, image) in images(4).iter().enumerate() {
        let deep = ImageBuffer::from_fn(SIZE, SIZE, |x, y| {
            Luma([(u32::from(image.pixels[(y * SIZE + x) as usize * 3]) * largest / 255) as u16])
        });
        deep.save(folder.join(format!("{i}.png"))).unwrap();
    }
}

fn fit(
    context: softpatch_context,
    folder: &Path,
    c: &softpatch_fit_options,
) -> Result<u64, softpatch_status> {
    let folder = CString::new(folder.to_str().unwrap()).unwrap();
    let mut detector = 9;
    match unsafe { softpatch_fit_folder(context, folder.as_ptr(), c, None, null_mut(), &mut detector) } {
        SOFTPATCH_OK => Ok(detector),
        code => {
            assert_eq!((detector, softpatch_last_error_code()), (0, code));
            Err(code)
        }
    }
}

/// What the model says of itself.
fn info(detector: u64) -> serde_json::Value {
    let mut needed = 0;
    ok(unsafe { softpatch_detector_info_json(detector, null_mut(), 0, &mut needed) });
    let mut text = vec![0_u8; needed];
    ok(unsafe { softpatch_detector_info_json(detector, text.as_mut_ptr().cast(), needed, null_mut()) });
    ok(softpatch_detector_free(detector));
    serde_json::from_slice(&text[..needed - 1]).unwrap()
}

#[test]
fn a_folder_says_which_bits_are_significant() {
    let _turn = turn();
    let (context, folder) = (context(), tempfile::tempdir().unwrap());
    pictures(&folder.path().join("twelve"), 4095);
    pictures(&folder.path().join("sixteen"), 65535);
    let c = c_options();
    for (name, bits) in [("twelve", 12), ("sixteen", 16)] {
        let model = info(fit(context, &folder.path().join(name), &c).unwrap());
        assert_eq!(model["options"]["bits"], bits, "{name}");
        assert!(model["notes"].to_string().contains(&format!("{bits} significant bits")), "{model:#}");
    }
    let told = softpatch_fit_options { bits: 14, ..c };
    assert_eq!(info(fit(context, &folder.path().join("twelve"), &told).unwrap())["options"]["bits"], 14);
    // More than was told: nothing is cut in silence.
    assert_eq!(fit(context, &folder.path().join("sixteen"), &told), Err(SOFTPATCH_IMAGE_FILE));
    assert!(message().contains(".png"), "{}", message());
    let white = softpatch_fit_options { white: 5000.0, ..c };
    let model = info(fit(context, &folder.path().join("twelve"), &white).unwrap());
    assert_eq!(
        (&model["options"]["white"], &model["options"]["bits"]),
        (&5000.0.into(), &serde_json::Value::Null)
    );
    ok(softpatch_context_free(context));
}

#[test]
fn a_folder_is_opened_as_told() {
    let _turn = turn();
    let (context, folder) = (context(), tempfile::tempdir().unwrap());
    for name in ["fine", "torn"] {
        pictures(&folder.path().join(name), 255);
    }
    let c = c_options();
    assert_eq!(fit(context, folder.path(), &c), Err(SOFTPATCH_CHOICE));
    assert!(message().contains("fine") && message().contains("torn"), "{}", message());
    let count = |c: &softpatch_fit_options| {
        info(fit(context, folder.path(), c).unwrap())["images"].as_array().unwrap().len()
    };
    assert_eq!(count(&softpatch_fit_options { take: c"fine".as_ptr(), ..c }), 4);
    assert_eq!(count(&softpatch_fit_options { take: c"fine\ntorn\n".as_ptr(), ..c }), 8);
    assert_eq!(count(&softpatch_fit_options { all: 1, ..c }), 8);
    // A program that was built before there was a choice asks for nothing.
    let old =
        softpatch_fit_options { all: 1, struct_size: std::mem::offset_of!(softpatch_fit_options, bits), ..c };
    assert_eq!(fit(context, folder.path(), &old), Err(SOFTPATCH_CHOICE));
    std::fs::write(folder.path().join("fine/3.png"), b"\x89PNG\r\n\x1a\n").unwrap();
    let bad = softpatch_fit_options { all: 1, ..c };
    assert_eq!(fit(context, folder.path(), &bad), Err(SOFTPATCH_IMAGE_FILE));
    assert!(message().contains("3.png"), "{}", message());
    ok(softpatch_context_free(context));
}
