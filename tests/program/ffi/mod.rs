//! The C ABI called from Rust: the same bits as the Rust API, error codes for every misuse, cancellation,
//! streams.
#![allow(clippy::undocumented_unsafe_blocks, reason = "every call here is a call across the C ABI")]

mod cancel;
mod cost;
mod documents;
mod folder;
#[cfg(unix)]
mod forked;
mod misuse;
mod regions;
mod same_bits;
mod shards;
mod stream;

use crate::common::{alone, turn};
use softpatch::data::synth::{Material, render};
use softpatch::data::{Frame, Image, MemorySource, OwnedImage, PixelFormat};
use softpatch::detector::{
    Backbone, Busy, Detector, FitJob, FitOptions, Model, Quiet, Score, Stream, Waited, Want,
};
use softpatch::low_level::gpu::{Device, DeviceOptions};
use softpatch_capi::*;
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
    FitOptions { coreset_ratio: 0.25, batch: 4, ..FitOptions::paper(CROP, CROP) }
}

fn c_options() -> softpatch_fit_options {
    let mut c = unsafe { std::mem::zeroed::<softpatch_fit_options>() };
    assert_eq!(unsafe { softpatch_fit_options_init(&mut c, size_of_val(&c)) }, SOFTPATCH_OK);
    let o = options();
    (c.resize, c.crop, c.coreset_ratio, c.batch) = (o.resize, o.crop, o.coreset_ratio, o.batch);
    c.geometry = SOFTPATCH_GEOMETRY_PAPER;
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
fn adapters_are_listed_and_chosen() {
    let _turn = turn();
    let mut count = 0;
    ok(unsafe { softpatch_adapter_list(null_mut(), 0, &mut count) });
    let mut list = vec![unsafe { std::mem::zeroed::<softpatch_adapter>() }; count];
    ok(unsafe { softpatch_adapter_list(list.as_mut_ptr(), count, &mut count) });
    let mut make = unsafe { std::mem::zeroed::<softpatch_context_options>() };
    ok(unsafe { softpatch_context_options_init(&mut make, size_of_val(&make)) });
    (make.adapter_name, make.power) = (list[0].name.as_ptr(), SOFTPATCH_POWER_LOW);
    let (mut by_name, mut by_index) = (0, 0);
    ok(unsafe { softpatch_context_create(&make, &mut by_name) });
    (make.adapter_name, make.adapter_index) = (null(), list[0].index as i32);
    ok(unsafe { softpatch_context_create(&make, &mut by_index) });
    ok(softpatch_context_free(by_name));
    ok(softpatch_context_free(by_index));
}

fn frames(count: u64) -> Vec<Frame> {
    images(count).iter().map(|i| Frame::copy_of(&i.as_image().unwrap())).collect()
}
