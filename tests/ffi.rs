//! The C ABI called from Rust: the same bits as the Rust API, error codes for every misuse, cancellation, streams.
#![allow(clippy::undocumented_unsafe_blocks, reason = "every call here is a call across the C ABI")]

mod common;

use common::serial;
use softpatch::data::synth::{Material, render};
use softpatch::data::{Frame, Image, MemorySource, OwnedImage, PixelFormat};
use softpatch::detector::{
    Backbone, Busy, Detector, FitJob, FitOptions, Model, Quiet, Score, Stream, Waited,
};
use softpatch::ffi::*;
use softpatch::gpu::{Device, DeviceOptions};
use std::ffi::{CStr, CString, c_void};
use std::ptr::{null, null_mut};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

const SIZE: u32 = 80;
const CROP: u32 = 64;

fn images(count: u64) -> Vec<OwnedImage> {
    (0..count).map(|i| render(Material::Metal, None, i, SIZE).unwrap().0).collect()
}

fn options() -> FitOptions {
    FitOptions { resize: CROP, crop: CROP, coreset_ratio: 0.25, batch: 4, ..FitOptions::default() }
}

fn c_options() -> softpatch_fit_options {
    let mut c = unsafe { std::mem::zeroed::<softpatch_fit_options>() };
    assert_eq!(unsafe { softpatch_fit_options_init(&mut c) }, SOFTPATCH_OK);
    let o = options();
    (c.resize, c.crop, c.coreset_ratio, c.batch) = (o.resize, o.crop, o.coreset_ratio, o.batch);
    c
}

fn c_image(image: &OwnedImage) -> softpatch_image {
    softpatch_image {
        pixels: image.pixels.as_ptr().cast(),
        size: image.pixels.len(),
        stride: 0,
        width: image.width,
        height: image.height,
        format: SOFTPATCH_RGB8,
        reserved: 0,
    }
}

fn message() -> String {
    unsafe { CStr::from_ptr(softpatch_last_error_message()) }.to_str().unwrap().to_owned()
}

#[track_caller]
fn ok(status: softpatch_status) {
    assert_eq!(status, SOFTPATCH_OK, "{}", message());
}

/// A wrong call gets its code, and the thread's last error says the same.
#[track_caller]
fn fails(status: softpatch_status, with: softpatch_status) {
    assert_eq!(status, with, "{}", message());
    assert_eq!(softpatch_last_error_code(), with);
    assert!(!message().is_empty());
}

fn context() -> softpatch_context {
    let mut context = 0;
    ok(unsafe { softpatch_context_create(null(), &mut context) });
    context
}

/// A small model fitted once, as bytes, with a detector of the Rust API.
fn fitted() -> &'static (Vec<u8>, Arc<Detector>) {
    static FITTED: OnceLock<(Vec<u8>, Arc<Detector>)> = OnceLock::new();
    FITTED.get_or_init(|| {
        let device = Device::open(&DeviceOptions::default()).unwrap();
        let images = images(6);
        let source = MemorySource(&images);
        let detector =
            Detector::fit(&device, &Backbone::embedded().unwrap(), &source, &options(), &Quiet).unwrap();
        (detector.model().to_bytes().unwrap(), Arc::new(detector))
    })
}

fn load(context: softpatch_context) -> softpatch_detector {
    let mut detector = 0;
    let bytes = &fitted().0;
    ok(unsafe { softpatch_detector_load_bytes(context, bytes.as_ptr(), bytes.len(), &mut detector) });
    detector
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|v| v.to_bits()).collect()
}

#[test]
fn types_are_shared_between_threads() {
    fn both<T: Send + Sync>() {}
    both::<Device>();
    both::<Detector>();
    both::<Model>();
    both::<Backbone>();
    both::<Score>();
    both::<Stream>();
    both::<Frame>();
    both::<FitOptions>();
    both::<softpatch::Error>();
    fn moved<T: Send>() {}
    moved::<FitJob>();
    moved::<softpatch::detector::Finished>();
}

#[test]
fn the_abi_gives_the_same_bits_as_the_rust_api() {
    let _guard = serial();
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
        (detector, SOFTPATCH_MAP_CROP),
        (from_folder, SOFTPATCH_MAP_CROP),
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
            let mut source = vec![0.0; ((SIZE + 16) * (SIZE + 16)) as usize];
            rust.map_in_source(score, SIZE + 16, SIZE + 16, &mut source).unwrap();
            let map = match kind {
                SOFTPATCH_MAP_GRID => &score.patches,
                SOFTPATCH_MAP_CROP => &score.map,
                _ => &source,
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
    assert_eq!((info.crop, info.images, info.bank_rows), (CROP, 6, rust.info().rows));
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
    let _guard = serial();
    let context = context();
    let detector = load(context);
    let image = &images(1)[0];
    let grey: Vec<u8> = image.pixels.chunks_exact(3).map(|p| p[1]).collect();
    let as_grey = OwnedImage { pixels: grey.iter().flat_map(|&g| [g; 3]).collect(), ..image.clone() };
    let score = |c: softpatch_image| {
        let (mut result, mut map) = (softpatch_result::default(), vec![0.0; (CROP * CROP) as usize]);
        ok(unsafe {
            softpatch_score(detector, &c, SOFTPATCH_MAP_CROP, map.as_mut_ptr(), map.len(), &mut result)
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

#[test]
fn every_misuse_gets_an_error_code() {
    let _guard = serial();
    let (ctx, other) = (context(), context());
    let det = load(ctx);
    let mut stream = 0;
    ok(unsafe { softpatch_stream_create(det, 2, &mut stream) });
    let owned = &images(1)[0];
    let image = c_image(owned);
    let (mut id, mut size, mut small) = (9, 0_usize, 0_u32);
    let mut result = softpatch_result::default();
    let mut map = vec![0.0_f32; 16];
    ok(softpatch_context_free(other));
    let path = c"no/such/place".as_ptr();

    // Handles: none, freed, invented, of another kind.
    for bad in [0, other, u64::MAX, stream] {
        fails(softpatch_context_free(bad), SOFTPATCH_INVALID_HANDLE);
        fails(
            unsafe { softpatch_context_info_json(bad, null_mut(), 0, &mut size) },
            SOFTPATCH_INVALID_HANDLE,
        );
        fails(
            unsafe { softpatch_fit_folder(bad, path, null(), None, null_mut(), &mut id) },
            SOFTPATCH_INVALID_HANDLE,
        );
        assert_eq!(id, 0, "a handle is 0 after a failure");
        fails(
            unsafe { softpatch_fit_images(bad, &image, 1, null(), None, null_mut(), &mut id) },
            SOFTPATCH_INVALID_HANDLE,
        );
        fails(unsafe { softpatch_detector_load(bad, path, &mut id) }, SOFTPATCH_INVALID_HANDLE);
        fails(
            unsafe { softpatch_detector_load_bytes(bad, [0].as_ptr(), 1, &mut id) },
            SOFTPATCH_INVALID_HANDLE,
        );
        fails(unsafe { softpatch_detector_save(bad, path) }, SOFTPATCH_INVALID_HANDLE);
        fails(
            unsafe { softpatch_detector_to_bytes(bad, null_mut(), 0, &mut size) },
            SOFTPATCH_INVALID_HANDLE,
        );
        fails(softpatch_detector_free(bad), SOFTPATCH_INVALID_HANDLE);
        fails(unsafe { softpatch_detector_info(bad, null_mut()) }, SOFTPATCH_INVALID_HANDLE);
        fails(
            unsafe { softpatch_detector_info_json(bad, null_mut(), 0, &mut size) },
            SOFTPATCH_INVALID_HANDLE,
        );
        fails(unsafe { softpatch_map_size(bad, 1, 1, 1, &mut small, &mut small) }, SOFTPATCH_INVALID_HANDLE);
        fails(
            unsafe { softpatch_score(bad, &image, 0, null_mut(), 0, &mut result) },
            SOFTPATCH_INVALID_HANDLE,
        );
        fails(
            unsafe { softpatch_score_batch(bad, &image, 1, 0, null(), null(), &mut result) },
            SOFTPATCH_INVALID_HANDLE,
        );
        fails(unsafe { softpatch_stream_create(bad, 1, &mut id) }, SOFTPATCH_INVALID_HANDLE);
    }
    for bad in [0, other, u64::MAX, det] {
        fails(unsafe { softpatch_stream_submit(bad, &image, null_mut()) }, SOFTPATCH_INVALID_HANDLE);
        fails(
            unsafe { softpatch_stream_wait(bad, 0, 0, null_mut(), 0, &mut result) },
            SOFTPATCH_INVALID_HANDLE,
        );
        fails(unsafe { softpatch_stream_discard(bad, 0, &mut small) }, SOFTPATCH_INVALID_HANDLE);
        fails(unsafe { softpatch_stream_in_flight(bad, &mut size) }, SOFTPATCH_INVALID_HANDLE);
        fails(softpatch_stream_free(bad), SOFTPATCH_INVALID_HANDLE);
    }

    // Null.
    let null_code = SOFTPATCH_NULL_POINTER;
    fails(unsafe { softpatch_adapter_list(null_mut(), 0, null_mut()) }, null_code);
    fails(unsafe { softpatch_adapter_list(null_mut(), 3, &mut size) }, null_code);
    fails(unsafe { softpatch_context_options_init(null_mut()) }, null_code);
    fails(unsafe { softpatch_fit_options_init(null_mut()) }, null_code);
    fails(unsafe { softpatch_context_create(null(), null_mut()) }, null_code);
    fails(unsafe { softpatch_context_info_json(ctx, null_mut(), 0, null_mut()) }, null_code);
    fails(unsafe { softpatch_fit_folder(ctx, null(), null(), None, null_mut(), &mut id) }, null_code);
    fails(unsafe { softpatch_fit_folder(ctx, path, null(), None, null_mut(), null_mut()) }, null_code);
    fails(unsafe { softpatch_fit_images(ctx, null(), 1, null(), None, null_mut(), &mut id) }, null_code);
    fails(unsafe { softpatch_fit_images(ctx, &image, 1, null(), None, null_mut(), null_mut()) }, null_code);
    fails(unsafe { softpatch_detector_save(det, null()) }, null_code);
    fails(unsafe { softpatch_detector_to_bytes(det, null_mut(), 5, &mut size) }, null_code);
    fails(unsafe { softpatch_detector_load(ctx, null(), &mut id) }, null_code);
    fails(unsafe { softpatch_detector_load(ctx, path, null_mut()) }, null_code);
    fails(unsafe { softpatch_detector_load_bytes(ctx, null(), 7, &mut id) }, null_code);
    fails(unsafe { softpatch_detector_load_bytes(ctx, null(), 0, &mut id) }, null_code);
    fails(unsafe { softpatch_detector_info(det, null_mut()) }, null_code);
    fails(unsafe { softpatch_detector_info_json(det, null_mut(), 0, null_mut()) }, null_code);
    fails(unsafe { softpatch_map_size(det, 1, 1, 1, null_mut(), &mut small) }, null_code);
    fails(unsafe { softpatch_map_size(det, 1, 1, 1, &mut small, null_mut()) }, null_code);
    fails(unsafe { softpatch_score(det, null(), 0, null_mut(), 0, &mut result) }, null_code);
    fails(unsafe { softpatch_score(det, &image, 0, null_mut(), 0, null_mut()) }, null_code);
    fails(unsafe { softpatch_score(det, &image, 1, null_mut(), 64, &mut result) }, null_code);
    fails(unsafe { softpatch_score_batch(det, null(), 1, 0, null(), null(), &mut result) }, null_code);
    fails(unsafe { softpatch_score_batch(det, &image, 1, 0, null(), null(), null_mut()) }, null_code);
    fails(unsafe { softpatch_score_batch(det, &image, 1, 1, null(), null(), &mut result) }, null_code);
    fails(unsafe { softpatch_stream_create(det, 1, null_mut()) }, null_code);
    fails(unsafe { softpatch_stream_submit(stream, null(), null_mut()) }, null_code);
    fails(unsafe { softpatch_stream_wait(stream, 0, 0, null_mut(), 0, null_mut()) }, null_code);
    fails(unsafe { softpatch_stream_discard(stream, 0, null_mut()) }, null_code);
    fails(unsafe { softpatch_stream_in_flight(stream, null_mut()) }, null_code);
    let nothing = softpatch_image { pixels: null(), ..image };
    fails(unsafe { softpatch_score(det, &nothing, 0, null_mut(), 0, &mut result) }, null_code);

    // Wrong lengths, formats, values.
    let wrong = |change: fn(&mut softpatch_image), code| {
        let mut bad = image;
        change(&mut bad);
        let mut result = softpatch_result::default();
        fails(unsafe { softpatch_score(det, &bad, 0, null_mut(), 0, &mut result) }, code);
        fails(unsafe { softpatch_stream_submit(stream, &bad, null_mut()) }, code);
        let mut id = 9;
        let c = c_options();
        fails(unsafe { softpatch_fit_images(ctx, &bad, 1, &c, None, null_mut(), &mut id) }, code);
        assert_eq!(result, softpatch_result::default());
    };
    wrong(|i| i.size -= 1, SOFTPATCH_INVALID_IMAGE);
    wrong(|i| i.stride = 3, SOFTPATCH_INVALID_IMAGE);
    wrong(|i| i.stride = usize::MAX, SOFTPATCH_INVALID_IMAGE);
    wrong(|i| i.width = 0, SOFTPATCH_INVALID_IMAGE);
    wrong(|i| i.height = u32::MAX, SOFTPATCH_INVALID_IMAGE);
    wrong(|i| i.width = u32::MAX, SOFTPATCH_INVALID_IMAGE);
    wrong(|i| i.format = 6, SOFTPATCH_INVALID_ARGUMENT);
    wrong(|i| i.size = usize::MAX, SOFTPATCH_INVALID_ARGUMENT);
    let short = SOFTPATCH_BUFFER_TOO_SMALL;
    fails(unsafe { softpatch_score(det, &image, 2, map.as_mut_ptr(), 16, &mut result) }, short);
    fails(unsafe { softpatch_detector_info_json(det, [0; 4].as_mut_ptr(), 4, &mut size) }, short);
    assert!(size > 4);
    fails(unsafe { softpatch_detector_to_bytes(det, [0; 4].as_mut_ptr(), 4, null_mut()) }, short);
    let argument = SOFTPATCH_INVALID_ARGUMENT;
    fails(unsafe { softpatch_score(det, &image, 4, map.as_mut_ptr(), 16, &mut result) }, argument);
    let odd: *mut f32 = map.as_mut_ptr().cast::<u8>().wrapping_add(1).cast();
    fails(unsafe { softpatch_score(det, &image, 1, odd, 1 << 20, &mut result) }, argument);
    fails(unsafe { softpatch_map_size(det, 4, 1, 1, &mut small, &mut small) }, argument);
    fails(unsafe { softpatch_stream_create(det, 0, &mut id) }, argument);
    fails(unsafe { softpatch_stream_create(det, 4097, &mut id) }, argument);
    fails(unsafe { softpatch_stream_wait(stream, 0, 7, null_mut(), 0, &mut result) }, argument);
    let mut c = c_options();
    c.struct_size = 0;
    fails(unsafe { softpatch_fit_images(ctx, &image, 1, &c, None, null_mut(), &mut id) }, argument);
    for change in [
        |c: &mut softpatch_fit_options| c.discriminator = 4,
        |c: &mut softpatch_fit_options| c.soft_weights = 2,
        |c: &mut softpatch_fit_options| c.tau = f64::NAN,
        |c: &mut softpatch_fit_options| c.crop = 0,
        |c: &mut softpatch_fit_options| c.batch = 0,
    ] {
        let mut c = c_options();
        change(&mut c);
        fails(unsafe { softpatch_fit_images(ctx, &image, 1, &c, None, null_mut(), &mut id) }, argument);
    }
    fails(unsafe { softpatch_fit_images(ctx, &image, 0, null(), None, null_mut(), &mut id) }, argument);
    let mut make = unsafe { std::mem::zeroed::<softpatch_context_options>() };
    fails(unsafe { softpatch_context_create(&make, &mut id) }, argument);
    let mut create = |change: fn(&mut softpatch_context_options), code| {
        ok(unsafe { softpatch_context_options_init(&mut make) });
        change(&mut make);
        fails(unsafe { softpatch_context_create(&make, &mut id) }, code);
    };
    create(|o| o.power = 2, argument);
    create(|o| o.adapter_index = 1000, argument);
    create(|o| o.adapter_index = -2, argument);
    create(|o| (o.adapter_index, o.adapter_name) = (0, c"x".as_ptr()), argument);
    create(|o| o.adapter_name = c"\xff".as_ptr(), argument);
    create(|o| o.adapter_name = c"no adapter is called this".as_ptr(), SOFTPATCH_DEVICE);
    create(|o| o.weights_path = c"no/such/weights".as_ptr(), SOFTPATCH_IO);

    // Files.
    fails(unsafe { softpatch_detector_load(ctx, path, &mut id) }, SOFTPATCH_IO);
    fails(unsafe { softpatch_detector_load_bytes(ctx, [1; 99].as_ptr(), 99, &mut id) }, SOFTPATCH_MODEL);
    fails(unsafe { softpatch_detector_save(det, path) }, SOFTPATCH_IO);
    fails(unsafe { softpatch_fit_folder(ctx, path, null(), None, null_mut(), &mut id) }, SOFTPATCH_DATASET);

    // Nothing to take, and results that do not fit stay.
    fails(unsafe { softpatch_stream_wait(stream, 1, 0, null_mut(), 0, &mut result) }, SOFTPATCH_EMPTY);
    ok(unsafe { softpatch_stream_submit(stream, &image, null_mut()) });
    fails(unsafe { softpatch_stream_wait(stream, 60_000, 2, map.as_mut_ptr(), 16, &mut result) }, short);
    fails(unsafe { softpatch_stream_wait(stream, 60_000, 2, null_mut(), 0, &mut result) }, null_code);
    ok(unsafe { softpatch_stream_wait(stream, 60_000, 0, null_mut(), 0, &mut result) });
    assert_eq!(result.ticket, 0);

    // Freed by one thread while another uses it; a handle is freed once.
    let freed: usize = std::thread::scope(|scope| {
        let user = scope.spawn(move || {
            let owned = &images(1)[0];
            let mut result = softpatch_result::default();
            loop {
                match unsafe { softpatch_score(det, &c_image(owned), 0, null_mut(), 0, &mut result) } {
                    SOFTPATCH_OK => {}
                    SOFTPATCH_INVALID_HANDLE => return,
                    other => panic!("{other}: {}", message()),
                }
            }
        });
        std::thread::sleep(Duration::from_millis(100));
        let freers: Vec<_> = (0..2)
            .map(|_| scope.spawn(move || usize::from(softpatch_detector_free(det) == SOFTPATCH_OK)))
            .collect();
        user.join().unwrap();
        freers.into_iter().map(|f| f.join().unwrap()).sum()
    });
    assert_eq!(freed, 1);
    // The stream lives on without its detector's handle, and the context's.
    ok(softpatch_context_free(ctx));
    fails(softpatch_context_free(ctx), SOFTPATCH_INVALID_HANDLE);
    ok(unsafe { softpatch_stream_submit(stream, &image, null_mut()) });
    ok(softpatch_stream_free(stream));
    fails(softpatch_stream_free(stream), SOFTPATCH_INVALID_HANDLE);
    assert_eq!(unsafe { CStr::from_ptr(softpatch_status_name(99)) }, c"unknown status");
}

#[test]
fn adapters_are_listed_and_chosen() {
    let _guard = serial();
    let mut count = 0;
    ok(unsafe { softpatch_adapter_list(null_mut(), 0, &mut count) });
    let mut list = vec![unsafe { std::mem::zeroed::<softpatch_adapter>() }; count];
    ok(unsafe { softpatch_adapter_list(list.as_mut_ptr(), count, &mut count) });
    let mut make = unsafe { std::mem::zeroed::<softpatch_context_options>() };
    ok(unsafe { softpatch_context_options_init(&mut make) });
    (make.adapter_name, make.power) = (list[0].name.as_ptr(), SOFTPATCH_POWER_LOW);
    let (mut by_name, mut by_index) = (0, 0);
    ok(unsafe { softpatch_context_create(&make, &mut by_name) });
    (make.adapter_name, make.adapter_index) = (null(), list[0].index as i32);
    ok(unsafe { softpatch_context_create(&make, &mut by_index) });
    ok(softpatch_context_free(by_name));
    ok(softpatch_context_free(by_index));
}

#[test]
fn a_cancelled_fit_returns_at_once() {
    let _guard = serial();
    let context = context();
    let training = images(64);
    let c_images: Vec<_> = training.iter().map(c_image).collect();
    struct Plan {
        stage: u32,
        since: Option<Instant>,
    }
    unsafe extern "C" fn cancel(user: *mut c_void, stage: u32, done: u64, _: u64) -> i32 {
        let plan = unsafe { &mut *user.cast::<Plan>() };
        if stage < plan.stage || (stage == plan.stage && done == 0) {
            return 0;
        }
        plan.since.get_or_insert_with(Instant::now);
        1
    }
    let mut c = c_options();
    (c.resize, c.crop, c.coreset_ratio) = (128, 128, 0.5);
    for stage in [SOFTPATCH_STAGE_FEATURES, SOFTPATCH_STAGE_DENOISE] {
        let (mut plan, mut detector) = (Plan { stage, since: None }, 9);
        let (images, user) = (c_images.as_ptr(), (&raw mut plan).cast());
        fails(
            unsafe { softpatch_fit_images(context, images, 64, &c, Some(cancel), user, &mut detector) },
            SOFTPATCH_CANCELLED,
        );
        let took = plan.since.unwrap().elapsed();
        println!("stage {stage}: returned {took:?} after cancelling");
        assert!(took < Duration::from_millis(500), "stage {stage}: {took:?}");
        assert_eq!(detector, 0);
    }
    // Waits for what the cancelled fits were computing.
    ok(softpatch_context_free(context));
}

fn frames(count: u64) -> Vec<Frame> {
    images(count).iter().map(|i| Frame::copy_of(&i.as_image().unwrap())).collect()
}

#[test]
fn a_stream_keeps_order_and_loses_nothing() {
    let _guard = serial();
    let stream = Stream::new(fitted().1.clone(), 4).unwrap();
    let frames = frames(7);
    let views: Vec<_> = frames.iter().map(Frame::as_image).collect();
    let expected = fitted().1.score(&views).unwrap();
    let (mut taken, mut busy) = (0, 0);
    let check = |finished: softpatch::detector::Finished, at: &mut u64| {
        assert_eq!(finished.ticket, *at);
        assert_eq!(finished.score.unwrap(), expected[(*at % 7) as usize]);
        *at += 1;
    };
    for n in 0..300_u64 {
        loop {
            match stream.submit(&views[(n % 7) as usize]) {
                Ok(ticket) => break assert_eq!(ticket, n),
                Err(Busy { limit: 4 }) => busy += 1,
                Err(other) => panic!("{other}"),
            }
            assert_eq!(stream.in_flight(), 4);
            match stream.wait(Duration::from_secs(60)) {
                Waited::Finished(finished) => check(finished, &mut taken),
                other => panic!("{other:?}"),
            }
        }
    }
    while stream.in_flight() > 0 {
        if let Waited::Finished(finished) = stream.wait(Duration::from_secs(60)) {
            check(finished, &mut taken);
        }
    }
    assert!(matches!(stream.poll(), Waited::Empty));
    assert!(taken == 300 && busy > 0, "{taken} results, {busy} times busy");

    // As an iterator.
    let mut at = 300;
    for finished in stream.scores(frames.iter().cycle().skip(300 % 7).take(30)) {
        assert_eq!((finished.ticket, finished.size), (at, [SIZE; 2]));
        check(finished, &mut at);
    }
    assert_eq!(at, 330);
}

#[test]
fn a_frame_that_fails_takes_no_other_with_it_and_discarding_is_the_callers_choice() {
    let _guard = serial();
    let stream = Stream::new(fitted().1.clone(), 16).unwrap();
    let good = &frames(1)[0];
    // So long that it has no size once its shorter side is brought to the crop's.
    let long = vec![0_u8; 70_000_000];
    let bad = Image::new(&long, 70_000_000, 1, 70_000_000, PixelFormat::Gray8).unwrap();
    assert!(fitted().1.score(&[bad]).is_err());
    for i in 0..6 {
        stream.submit(&if i == 2 { bad } else { good.as_image() }).unwrap();
    }
    let last = stream.submit(&good.as_image()).unwrap();
    let gone = stream.discard(last);
    assert!(!stream.discard(99));
    let mut outcomes = Vec::new();
    while stream.in_flight() > 0 {
        if let Waited::Finished(finished) = stream.wait(Duration::from_secs(60)) {
            outcomes.push((finished.ticket, finished.score.is_ok()));
        }
    }
    let expected: Vec<_> = (0..if gone { 6 } else { 7 }).map(|i| (i, i != 2)).collect();
    assert_eq!(outcomes, expected);
}

#[test]
fn one_thread_submits_while_another_takes() {
    let _guard = serial();
    let context = context();
    let detector = load(context);
    let mut stream = 0;
    ok(unsafe { softpatch_stream_create(detector, 3, &mut stream) });
    let busy = AtomicU64::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let owned = &images(1)[0];
            for n in 0..100 {
                let mut ticket = 0;
                while unsafe { softpatch_stream_submit(stream, &c_image(owned), &mut ticket) } != SOFTPATCH_OK
                {
                    assert_eq!(softpatch_last_error_code(), SOFTPATCH_BUSY);
                    busy.fetch_add(1, Ordering::Relaxed);
                    std::thread::sleep(Duration::from_millis(2));
                }
                assert_eq!(ticket, n);
            }
        });
        scope.spawn(|| {
            let mut map = vec![0.0; (SIZE * SIZE) as usize];
            for n in 0..100 {
                let mut result = softpatch_result::default();
                let (kind, len) = (SOFTPATCH_MAP_SOURCE, map.len());
                ok(unsafe {
                    softpatch_stream_wait(stream, 60_000, kind, map.as_mut_ptr(), len, &mut result)
                });
                assert_eq!((result.ticket, result.map_width), (n, SIZE));
            }
        });
    });
    assert!(busy.load(Ordering::Relaxed) > 0);
    // A thread that waits is woken when the stream goes.
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| {
            let mut result = softpatch_result::default();
            unsafe { softpatch_stream_wait(stream, 60_000, 0, null_mut(), 0, &mut result) }
        });
        std::thread::sleep(Duration::from_millis(100));
        ok(softpatch_stream_free(stream));
        assert!([SOFTPATCH_EMPTY, SOFTPATCH_INVALID_HANDLE].contains(&waiter.join().unwrap()));
    });
    ok(softpatch_detector_free(detector));
    ok(softpatch_context_free(context));
}

/// 10 000 frames with 4 in flight; minutes on a software driver. Run with `--ignored --nocapture` for the figures.
#[test]
#[ignore = "takes minutes"]
fn ten_thousand_frames_leave_memory_flat() {
    let _guard = serial();
    let resident = || {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let line = status.lines().find(|l| l.starts_with("VmRSS:")).map(str::to_owned);
        line.and_then(|l| l.split_whitespace().nth(1)?.parse::<u64>().ok()).unwrap_or(0)
    };
    let stream = Stream::new(fitted().1.clone(), 4).unwrap();
    let frames = frames(5);
    let (mut at, mut first, began) = (0, 0, Instant::now());
    for finished in stream.scores(frames.iter().cycle().take(10_000)) {
        assert_eq!(finished.ticket, at);
        finished.score.unwrap();
        at += 1;
        if at == 1000 {
            first = resident();
        }
        if at % 1000 == 0 {
            println!("{at} frames: {} KiB resident, {:?}", resident(), began.elapsed());
        }
    }
    assert_eq!(at, 10_000);
    assert!(resident() as f64 <= 1.05 * first as f64, "{first} KiB grew to {} KiB", resident());
}

/// One frame after the other through the Rust API, the C ABI and a stream, in turns; medians. Needs a quiet machine.
#[test]
#[ignore = "a measurement"]
fn the_abi_and_the_queue_cost_little() {
    let _guard = serial();
    let rust = &fitted().1;
    let context = context();
    let detector = load(context);
    let stream = Stream::new(rust.clone(), 1).unwrap();
    let owned = &images(1)[0];
    let (view, c) = (owned.as_image().unwrap(), c_image(owned));
    let mut map = vec![0.0; (CROP * CROP) as usize];
    let mut times = [const { Vec::new() }; 3];
    for round in 0..320 {
        let mut time = |kind: usize, f: &mut dyn FnMut()| {
            let began = Instant::now();
            f();
            if round >= 20 {
                times[kind].push(began.elapsed());
            }
        };
        time(0, &mut || drop(rust.score(&[view]).unwrap()));
        time(1, &mut || {
            let mut result = softpatch_result::default();
            let (map, len) = (map.as_mut_ptr(), map.len());
            ok(unsafe { softpatch_score(detector, &c, SOFTPATCH_MAP_CROP, map, len, &mut result) });
        });
        time(2, &mut || {
            stream.submit(&view).unwrap();
            assert!(matches!(stream.wait(Duration::from_secs(60)), Waited::Finished(_)));
        });
    }
    let [bare, abi, queue] = times.map(|mut t| {
        t.sort_unstable();
        t[t.len() / 2].as_secs_f64() * 1e3
    });
    println!("a frame: {bare:.3} ms bare, {abi:.3} ms through the C ABI, {queue:.3} ms through a stream");
    assert!(abi <= 1.05 * bare && queue <= 1.05 * bare);
    ok(softpatch_detector_free(detector));
    ok(softpatch_context_free(context));
}
