//! The C ABI gives what the Rust API gives.

use super::*;

#[test]
fn the_abi_gives_the_same_bits_as_the_rust_api() {
    let _turn = turn();
    let (bytes, rust) = fitted();
    let context = context();
    let training = images(6);
    let c_images: Vec<_> = training.iter().map(c_image).collect();
    unsafe extern "C" fn count(user: *mut c_void, stage: u32, done: u64, total: u64) -> i32 {
        assert!(stage <= SOFTPATCH_STAGE_CALIBRATE && done <= total);
        unsafe { *user.cast::<u64>() += 1 };
        0
    }
    let (mut calls, mut detector) = (0_u64, 0);
    let user = (&raw mut calls).cast();
    ok(unsafe {
        softpatch_fit_images(context, c_images.as_ptr(), 6, &c_options(), Some(count), user, &mut detector)
    });
    assert!(calls >= 4, "{calls} calls of the callback");

    let mut needed = 0;
    ok(unsafe { softpatch_detector_to_bytes(detector, null_mut(), 0, &mut needed) });
    let mut made = vec![0; needed];
    ok(unsafe { softpatch_detector_to_bytes(detector, made.as_mut_ptr(), needed, null_mut()) });
    assert_eq!(
        &Model::from_bytes(&made, "c".as_ref()).unwrap(),
        &Model::from_bytes(bytes, "rust".as_ref()).unwrap()
    );

    // A file, and a folder.
    let folder = tempfile::tempdir().unwrap();
    let path = CString::new(folder.path().join("model").to_str().unwrap()).unwrap();
    ok(unsafe { softpatch_detector_save(detector, path.as_ptr()) });
    ok(softpatch_detector_free(detector));
    ok(unsafe { softpatch_detector_load(context, path.as_ptr(), &mut detector) });
    for (i, image) in training.iter().enumerate() {
        let file = folder.path().join(format!("{i}.png"));
        image::save_buffer(file, &image.pixels, SIZE, SIZE, image::ColorType::Rgb8).unwrap();
    }
    let dir = CString::new(folder.path().to_str().unwrap()).unwrap();
    let mut from_folder = 0;
    ok(unsafe {
        softpatch_fit_folder(context, dir.as_ptr(), &c_options(), None, null_mut(), &mut from_folder)
    });

    // Single images, batches, every kind of map.
    let queries: Vec<_> =
        (0..5).map(|i| render(Material::Metal, None, 50 + i, SIZE + 16).unwrap().0).collect();
    let views: Vec<_> = queries.iter().map(|q| q.as_image().unwrap()).collect();
    let expected = rust.score(&views).unwrap();
    let c_queries: Vec<_> = queries.iter().map(c_image).collect();
    for (detector, kind) in [
        (detector, SOFTPATCH_MAP_GRID),
        (detector, SOFTPATCH_MAP_FRAME),
        (from_folder, SOFTPATCH_MAP_FRAME),
        (detector, SOFTPATCH_MAP_SOURCE),
    ] {
        let (mut w, mut h) = (0, 0);
        ok(unsafe { softpatch_map_size(detector, kind, SIZE + 16, SIZE + 16, &mut w, &mut h) });
        let len = (w * h) as usize;
        let mut maps = vec![vec![f32::NAN; len]; 5];
        let pointers: Vec<_> = maps.iter_mut().map(|m| m.as_mut_ptr()).collect();
        let mut results = [softpatch_result::default(); 5];
        ok(unsafe {
            softpatch_score_batch(
                detector,
                c_queries.as_ptr(),
                5,
                kind,
                pointers.as_ptr(),
                [len; 5].as_ptr(),
                results.as_mut_ptr(),
            )
        });
        for (i, score) in expected.iter().enumerate() {
            let source = rust.complete(score.clone(), Want::Source).unwrap();
            let map = match kind {
                SOFTPATCH_MAP_GRID => &score.patches,
                SOFTPATCH_MAP_FRAME => &score.map,
                _ => &source.map,
            };
            assert_eq!(bits(&maps[i]), bits(map), "map {kind} of image {i}");
            assert_eq!(results[i].score.to_bits(), score.score.to_bits());
            assert_eq!(results[i].verdict, score.anomalous.map_or(-1, i32::from));
            assert_eq!((results[i].map_width, results[i].map_height), (w, h));
            let (mut one, mut map) = (softpatch_result::default(), vec![0.0; len]);
            ok(unsafe { softpatch_score(detector, &c_queries[i], kind, map.as_mut_ptr(), len, &mut one) });
            assert_eq!((one.score.to_bits(), bits(&map)), (results[i].score.to_bits(), bits(&maps[i])));
        }
    }

    let mut info = unsafe { std::mem::zeroed::<softpatch_model_info>() };
    ok(unsafe { softpatch_detector_info(detector, &mut info) });
    assert_eq!((info.frame_rows, info.images, info.bank_rows), (CROP, 6, rust.info().rows));
    assert_eq!(info.threshold.to_bits(), rust.info().threshold.unwrap().to_bits());
    ok(unsafe { softpatch_detector_info_json(detector, null_mut(), 0, &mut needed) });
    let mut json = vec![0_u8; needed];
    ok(unsafe { softpatch_detector_info_json(detector, json.as_mut_ptr().cast(), needed, null_mut()) });
    let json: serde_json::Value = serde_json::from_slice(&json[..needed - 1]).unwrap();
    assert_eq!(json["options"]["crop"], CROP);
    ok(unsafe { softpatch_context_info_json(context, null_mut(), 0, &mut needed) });
    for detector in [detector, from_folder] {
        ok(softpatch_detector_free(detector));
    }
    ok(softpatch_context_free(context));
}

/// A frame in each format, with gaps between rows, scores like the same pixels in RGB.
#[test]
fn formats_and_strides_are_understood() {
    let _turn = turn();
    let context = context();
    let detector = load(context);
    let image = &images(1)[0];
    let grey: Vec<u8> = image.pixels.chunks_exact(3).map(|p| p[1]).collect();
    let as_grey = OwnedImage { pixels: grey.iter().flat_map(|&g| [g; 3]).collect(), ..image.clone() };
    let score = |c: softpatch_image| {
        let (mut result, mut map) = (softpatch_result::default(), vec![0.0; (CROP * CROP) as usize]);
        ok(unsafe {
            softpatch_score(detector, &c, SOFTPATCH_MAP_FRAME, map.as_mut_ptr(), map.len(), &mut result)
        });
        bits(&map)
    };
    let (colour, grey_bits) = (score(c_image(image)), score(c_image(&as_grey)));
    assert_ne!(colour, grey_bits);
    type Pack = fn(&[u8]) -> Vec<u8>;
    let packs: [(u32, &Vec<u32>, Pack); 6] = [
        (SOFTPATCH_GRAY8, &grey_bits, |p| vec![p[1]]),
        (SOFTPATCH_GRAY16, &grey_bits, |p| (u16::from(p[1]) * 257).to_ne_bytes().to_vec()),
        (SOFTPATCH_RGB8, &colour, |p| p.to_vec()),
        (SOFTPATCH_BGR8, &colour, |p| vec![p[2], p[1], p[0]]),
        (SOFTPATCH_RGBA8, &colour, |p| vec![p[0], p[1], p[2], 9]),
        (SOFTPATCH_BGRA8, &colour, |p| vec![p[2], p[1], p[0], 9]),
    ];
    for (format, expected, pack) in packs {
        let mut pixels = Vec::new();
        for row in image.pixels.chunks_exact(SIZE as usize * 3) {
            row.chunks_exact(3).for_each(|p| pixels.extend(pack(p)));
            pixels.extend([77; 14]);
        }
        let stride = pixels.len() / SIZE as usize;
        let c = softpatch_image {
            pixels: pixels.as_ptr().cast(),
            size: pixels.len(),
            stride,
            format,
            ..c_image(image)
        };
        assert_eq!(&score(c), expected, "format {format}");
    }
    ok(softpatch_detector_free(detector));
    ok(softpatch_context_free(context));
}
