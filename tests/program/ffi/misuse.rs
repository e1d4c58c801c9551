//! Wrong calls get error codes.

use super::*;

#[test]
fn every_misuse_gets_an_error_code() {
    let _turn = turn();
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
    fails(unsafe { softpatch_context_options_init(null_mut(), 8) }, null_code);
    fails(unsafe { softpatch_fit_options_init(null_mut(), 8) }, null_code);
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
    let (mut areas, mut corners) = (0_usize, 0_usize);
    let few = [1.0_f32; 4];
    fails(unsafe { softpatch_peak(det, 3, null(), 1, 1, 1, &mut small, &mut small) }, null_code);
    fails(unsafe { softpatch_peak(det, 3, few.as_ptr(), 1, 1, 1, null_mut(), &mut small) }, null_code);
    fails(unsafe { softpatch_peak(det, 3, few.as_ptr(), 1, 1, 1, &mut small, null_mut()) }, null_code);
    fails(
        unsafe { softpatch_peak(det, 3, few.as_ptr(), 3, 2, 2, &mut small, &mut small) },
        SOFTPATCH_INVALID_ARGUMENT,
    );
    fails(
        unsafe { softpatch_peak(det, 0, few.as_ptr(), 4, 2, 2, &mut small, &mut small) },
        SOFTPATCH_INVALID_ARGUMENT,
    );
    let find = |map: *const f32, len, n: *mut usize, points: *mut usize, room| unsafe {
        softpatch_regions(det, map, len, 2, 2, 0.5, null_mut(), room, n, null_mut(), 0, points)
    };
    fails(find(null(), 4, &mut areas, &mut corners, 0), null_code);
    fails(find(few.as_ptr(), 4, null_mut(), &mut corners, 0), null_code);
    fails(find(few.as_ptr(), 4, &mut areas, null_mut(), 0), null_code);
    fails(find(few.as_ptr(), 4, &mut areas, &mut corners, 1), null_code);
    fails(find(few.as_ptr(), 3, &mut areas, &mut corners, 0), SOFTPATCH_INVALID_ARGUMENT);
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
    wrong(|i| i.format = SOFTPATCH_BAYER_BG8 + 1, SOFTPATCH_INVALID_ARGUMENT);
    // Bytes of grey are no 10-bit values.
    wrong(|i| (i.format, i.width) = (SOFTPATCH_GRAY10, i.width / 2), SOFTPATCH_INVALID_IMAGE);
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
        |c: &mut softpatch_fit_options| c.embedding = 3,
        |c: &mut softpatch_fit_options| c.embedding_dim = 0,
        |c: &mut softpatch_fit_options| c.compat = 2,
        |c: &mut softpatch_fit_options| c.exif = 2,
        |c: &mut softpatch_fit_options| c.precision = 2,
        |c: &mut softpatch_fit_options| c.bits = 7,
        |c: &mut softpatch_fit_options| (c.bits, c.white) = (12, 1.0),
    ] {
        let mut c = c_options();
        change(&mut c);
        fails(unsafe { softpatch_fit_images(ctx, &image, 1, &c, None, null_mut(), &mut id) }, argument);
    }
    fails(unsafe { softpatch_fit_images(ctx, &image, 0, null(), None, null_mut(), &mut id) }, argument);
    let mut make = unsafe { std::mem::zeroed::<softpatch_context_options>() };
    fails(unsafe { softpatch_context_create(&make, &mut id) }, argument);
    let mut create = |change: fn(&mut softpatch_context_options), code| {
        ok(unsafe { softpatch_context_options_init(&mut make, size_of_val(&make)) });
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
    create(|o| o.no_self_test = 2, argument);
    create(|o| o.cache_folder = c"\xff".as_ptr(), argument);

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
