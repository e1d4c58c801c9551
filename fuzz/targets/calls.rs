//! Sequences of calls of the C interface with null, odd and huge arguments, stale handles and hostile models.
//! One context, on the first adapter, is opened once; pointers that are not null are good for what goes with
//! them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use softpatch_capi::*;
use softpatch_fuzz::world::{SIDE, World, gray, image};
use softpatch_fuzz::{Slot, next};
use std::ffi::{CString, c_char, c_void};
use std::ptr::{null, null_mut};
use std::sync::OnceLock;

static WORLD: OnceLock<World> = OnceLock::new();

/// What one input has made, and where its arguments come from.
struct Calls<'a> {
    steer: &'a [u8],
    world: &'a World,
    made: Vec<u64>,
    texts: Vec<CString>,
    room: Vec<f32>,
}

impl Calls<'_> {
    fn byte(&mut self) -> u8 {
        next(&mut self.steer)
    }

    /// A handle: a good one mostly.
    fn handle(&mut self, good: u64) -> u64 {
        let which = self.byte();
        match which % 12 {
            0 => 0,
            1 => u64::MAX,
            2 => good ^ 1,
            3..=7 => self.made.get(usize::from(which / 12) % self.made.len().max(1)).copied().unwrap_or(good),
            _ => good,
        }
    }

    fn number(&mut self) -> u32 {
        let which = self.byte();
        match which % 8 {
            0 => 0,
            1 => u32::MAX,
            2 => i32::MAX as u32,
            3 => u32::from(which) << 16,
            _ => u32::from(which / 8),
        }
    }

    /// A length that is `good`, less, or more than memory has.
    fn len(&mut self, good: usize) -> usize {
        match self.byte() % 8 {
            0 => 0,
            1 => good.saturating_sub(1),
            2 => usize::MAX,
            3 => usize::MAX / 2 + 1,
            4 => good / 2,
            _ => good,
        }
    }

    /// Null, odd, or `good`.
    fn pointer<T>(&mut self, good: *mut T) -> *mut T {
        match self.byte() % 8 {
            0 => null_mut(),
            // Of bytes none is odd.
            1 if align_of::<T>() > 1 => good.wrapping_byte_add(1),
            _ => good,
        }
    }

    fn text(&mut self) -> *const c_char {
        let path = |slot: &Slot| slot.path().to_str().unwrap().to_owned().into_bytes();
        let text = match self.byte() % 10 {
            0 => return null(),
            1 => b"\xff\xfe".to_vec(),
            2 => Vec::new(),
            3 => b"no/such/place".to_vec(),
            4 => b"/".to_vec(),
            5 => vec![b'x'; 5000],
            6 => path(&self.world.output),
            7 => b"image 0".to_vec(),
            _ => path(&self.world.file),
        };
        self.texts.push(CString::new(text).unwrap());
        self.texts.last().unwrap().as_ptr()
    }

    fn image(&mut self) -> softpatch_image {
        let mut image = image();
        for _ in 0..self.byte() % 3 {
            match self.byte() % 8 {
                0 => image.pixels = null(),
                1 => image.size = self.len(image.size),
                2 => image.stride = self.len(SIDE as usize),
                3 => image.width = self.number(),
                4 => image.height = self.number(),
                5 => image.format = u32::from(self.byte()) % 24,
                6 => image.reserved = self.number(),
                _ => image.pixels = gray()[usize::from(self.byte())..].as_ptr().cast::<c_void>(),
            }
        }
        if !image.pixels.is_null() && image.size < usize::MAX / 4 {
            image.size = image.size.min(2 * (SIDE * SIDE) as usize);
        }
        image
    }

    fn fit_options(&mut self) -> softpatch_fit_options {
        // SAFETY: the pointer is good for its size.
        let mut options = unsafe {
            let mut options = std::mem::zeroed::<softpatch_fit_options>();
            softpatch_fit_options_init(&mut options, size_of_val(&options));
            options
        };
        options.size.width = SIDE;
        for _ in 0..self.byte() % 3 {
            let n = self.number();
            match self.byte() % 16 {
                0 => options.struct_size = self.len(size_of::<softpatch_fit_options>()),
                1 => options.tau = f64::from_bits(u64::from(n) << 32),
                2 => options.coreset_ratio = f64::from_bits(u64::from(n) << 33),
                3 => options.discriminator = n,
                4 => options.lof_k = n,
                5 => options.soft_weights = n,
                6 => options.projection = n,
                7 => (options.resize, options.crop) = (n, n / 2),
                8 => options.batch = n,
                9 => options.embedding = n,
                10 => options.embedding_dim = n,
                11 => options.compat = n,
                12 => options.bits = n,
                13 => options.size.height = n,
                14 => options.precision = n,
                _ => options.all = n,
            }
        }
        options
    }

    /// The model of the world with bytes changed: in the file, or handed over.
    fn hostile(&mut self) -> Vec<u8> {
        let mut bytes = self.world.model.clone();
        for _ in 0..self.byte() % 3 {
            let at = (usize::from(self.byte()) << 8 | usize::from(self.byte())) * 5 % bytes.len();
            bytes[at] ^= self.byte();
        }
        let cut = self.len(bytes.len()).min(bytes.len());
        bytes.truncate(cut);
        bytes
    }

    /// One call. What is made lands among the handles, whose text or detector the next call may use.
    fn call(&mut self) -> Option<softpatch_status> {
        let which = self.byte();
        let World { context, detector, .. } = *self.world;
        let (mut made, mut size, mut x, mut y) = (0_u64, 0_usize, 0_u32, 0_u32);
        let mut value = 0.0_f32;
        let mut result = softpatch_result::default();
        let mut buffer = vec![0_u8; 256];
        let (out, needed) = (self.pointer(&mut made), self.pointer(&mut size));
        let (px, py) = (self.pointer(&mut x), self.pointer(&mut y));
        let one = self.pointer(&mut result);
        let mut picture = self.image();
        let picture = self.pointer(&mut picture).cast_const();
        let bytes = self.pointer(buffer.as_mut_ptr());
        let capacity = self.len(buffer.len());
        let room = self.room.as_mut_ptr();
        let (room, kind) = (self.pointer(room), self.number());
        let values = self.len(self.room.len());
        let never: softpatch_progress_fn = Some(at_once);
        // SAFETY: what is not null is good for as long as is said, or said to be longer than memory is.
        let status = unsafe {
            match which % 44 {
                0 => softpatch_context_info_json(self.handle(context), bytes.cast(), capacity, needed),
                1 => softpatch_detector_to_bytes(self.handle(detector), bytes, capacity, needed),
                2 => softpatch_detector_info_json(self.handle(detector), bytes.cast(), capacity, needed),
                3 => softpatch_text_copy(self.handle(made), bytes.cast(), capacity, needed),
                4 => softpatch_map_size(self.handle(detector), kind, self.number(), self.number(), px, py),
                5 | 6 => {
                    let (w, h) = (self.number(), self.number());
                    softpatch_peak(self.handle(detector), kind, room, values, w, h, px, py)
                }
                7..=9 => {
                    let mut regions = [std::mem::zeroed::<softpatch_region>(); 4];
                    let mut points = [std::mem::zeroed::<softpatch_point>(); 8];
                    let (w, h) = (u32::from(self.byte() % 80), u32::from(self.byte() % 80));
                    let threshold = f32::from_bits(u32::from(self.byte()) << 23);
                    let some = self.byte() % 3 > 0;
                    let values = if some { (w * h) as usize } else { values };
                    let values = if values > usize::MAX / 8 { values } else { values.min(self.room.len()) };
                    let (regions, most) = (self.pointer(regions.as_mut_ptr()), self.len(4));
                    let (corners, many) = (self.pointer(points.as_mut_ptr()), self.len(8));
                    let mut count = 0_usize;
                    let detector = self.handle(detector);
                    softpatch_regions(
                        detector, room, values, w, h, threshold, regions, most, needed, corners, many,
                        &mut count,
                    )
                }
                10 => softpatch_score(self.handle(detector), picture, kind % 6, room, values, one),
                11 => {
                    let images = [self.image(), self.image()];
                    let mut results = [result; 2];
                    let maps = [room, self.room.as_mut_ptr()];
                    let lens = [values, self.len(self.room.len())];
                    let count = self.len(2);
                    let detector = self.handle(detector);
                    softpatch_score_batch(
                        detector,
                        images.as_ptr(),
                        count,
                        kind % 6,
                        maps.as_ptr(),
                        lens.as_ptr(),
                        results.as_mut_ptr(),
                    )
                }
                12 => softpatch_stream_create(self.handle(detector), self.len(3), out),
                13 => softpatch_stream_submit(self.handle(made), picture, out),
                14 => softpatch_stream_wait(self.handle(made), 20, kind % 6, room, values, one),
                15 => softpatch_stream_discard(self.handle(made), u64::from(self.number()), px),
                16 => softpatch_stream_in_flight(self.handle(made), needed),
                17 => softpatch_stream_free(self.handle(made)),
                18 => softpatch_text_free(self.handle(made)),
                19 => {
                    // The world's own stay.
                    let handle = self.handle(0);
                    if handle == detector {
                        return None;
                    }
                    softpatch_detector_free(handle)
                }
                20 => softpatch_detector_calibrated(self.handle(detector), f32::from_bits(kind), &mut value),
                21 => {
                    let path = self.text();
                    softpatch_detector_explain(
                        self.handle(detector),
                        path,
                        picture,
                        kind,
                        self.number(),
                        null(),
                        out,
                    )
                }
                22..=24 => {
                    let bytes = self.hostile();
                    let len = if self.byte() % 8 == 0 { usize::MAX } else { bytes.len() };
                    softpatch_detector_load_bytes(self.handle(context), bytes.as_ptr(), len, out)
                }
                25 => softpatch_detector_load(self.handle(context), self.text(), out),
                26 => softpatch_detector_info(self.handle(detector), &mut std::mem::zeroed()),
                27 => softpatch_detector_ignore(
                    self.handle(detector),
                    if kind > 9 { null() } else { self.text() },
                ),
                28 => {
                    let bytes = self.hostile();
                    self.world.file.holding(&bytes);
                    softpatch_model_info_json(self.text(), out)
                }
                29 => softpatch_model_history_json(self.text(), out),
                30 => softpatch_model_remove_image(self.text(), self.text(), self.text(), out),
                31 => softpatch_model_undo(self.text(), self.text(), out),
                32 => {
                    let region = [self.number(), self.number(), self.number(), self.number()];
                    let region = if kind % 2 == 0 { null() } else { region.as_ptr() };
                    let context = self.handle(context);
                    softpatch_model_allow(
                        context,
                        self.text(),
                        self.text(),
                        picture,
                        region,
                        self.text(),
                        out,
                    )
                }
                33 => {
                    let at_most = f64::from_bits(u64::from(self.number()) << 32);
                    let context = self.handle(context);
                    softpatch_model_deny(
                        context,
                        self.text(),
                        self.text(),
                        picture,
                        null(),
                        at_most,
                        self.text(),
                        out,
                    )
                }
                34 => {
                    let mut options = self.fit_options();
                    let (options, count) = (self.pointer(&mut options), self.len(1));
                    softpatch_fit_images(
                        self.handle(context),
                        picture,
                        count,
                        options,
                        never,
                        null_mut(),
                        out,
                    )
                }
                35 => {
                    let mut options = self.fit_options();
                    let options = self.pointer(&mut options);
                    let folder = self.safe_folder();
                    softpatch_fit_folder(self.handle(context), folder, options, never, null_mut(), out)
                }
                36 => {
                    let mut options = self.fit_options();
                    let options = self.pointer(&mut options);
                    let folder = self.safe_folder();
                    softpatch_audit(self.handle(context), folder, options, never, null_mut(), out)
                }
                37 => {
                    let mut options = self.fit_options();
                    let options = self.pointer(&mut options);
                    let (folder, context) = (self.safe_folder(), self.handle(context));
                    let (model, to) = (self.text(), self.text());
                    softpatch_model_calibrate(context, model, folder, options, to, never, null_mut(), out)
                }
                38 => {
                    let mut options = self.fit_options();
                    let options = self.pointer(&mut options);
                    let (folder, context) = (self.safe_folder(), self.handle(context));
                    softpatch_model_keep_references(context, self.text(), folder, options, self.text(), out)
                }
                39 => softpatch_detector_save(self.handle(detector), self.safe_output()),
                40 => {
                    let mut options = std::mem::zeroed::<softpatch_fit_options>();
                    let size = self.len(size_of_val(&options));
                    softpatch_fit_options_init(self.pointer(&mut options), size)
                }
                41 => {
                    let mut options = std::mem::zeroed::<softpatch_context_options>();
                    let size = self.len(size_of_val(&options));
                    softpatch_context_options_init(self.pointer(&mut options), size)
                }
                42 => softpatch_detector_verify(self.handle(detector), out),
                _ => {
                    assert!(!softpatch_status_name(kind as i32).is_null());
                    softpatch_context_free(self.handle(1).max(context + 1))
                }
            }
        };
        if made != 0 && which % 44 != 13 {
            self.made.push(made);
        }
        Some(status)
    }

    /// A folder with nothing below it that takes long to walk.
    fn safe_folder(&mut self) -> *const c_char {
        let folder = if self.byte() % 2 == 0 { "no/such/folder" } else { env!("CARGO_MANIFEST_DIR") };
        self.texts.push(CString::new(folder).unwrap());
        self.texts.last().unwrap().as_ptr()
    }

    fn safe_output(&mut self) -> *const c_char {
        let path = self.world.output.path().to_str().unwrap();
        let text = if self.byte() % 2 == 0 { "no/such/folder/x" } else { path };
        self.texts.push(CString::new(text).unwrap());
        self.texts.last().unwrap().as_ptr()
    }
}

extern "C" fn at_once(_: *mut c_void, _: u32, _: u64, _: u64) -> i32 {
    1
}

fuzz_target!(init: {
    let _ = WORLD.set(World::new());
}, |data: &[u8]| {
    let Some(world) = WORLD.get() else { return };
    let room = vec![0.5; 4 * (SIDE * SIDE) as usize];
    let mut calls = Calls { steer: data, world, made: Vec::new(), texts: Vec::new(), room };
    for _ in 0..8 {
        if calls.steer.is_empty() {
            break;
        }
        if let Some(status) = calls.call() {
            // A panic that was caught is a fault all the same.
            assert_ne!(status, SOFTPATCH_INTERNAL);
        }
    }
    for handle in calls.made {
        let _ = [softpatch_stream_free(handle), softpatch_text_free(handle), softpatch_detector_free(handle)];
    }
    // SAFETY: null ends what was ignored.
    unsafe { softpatch_detector_ignore(world.detector, null()) };
});
