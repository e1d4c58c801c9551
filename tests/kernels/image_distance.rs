//! Pooled features and their distances against the plain-Rust ones.

use crate::common::{DIVISION, assert_close, checked, distance_error, gamma, noise, on_devices, turn};
use softpatch::low_level::gpu::Recorder;
use softpatch::low_level::reference;
use softpatch::low_level::steps::search::{image_distance, image_mean};

#[test]
fn means() {
    let _turn = turn();
    for (images, positions, dim, mean) in
        [(1, 1, 4, 0.0), (5, 49, 152, 0.0), (3, 64, 40, 1000.0), (70, 3, 12, -2.0)]
    {
        let x = noise(7, images * positions * dim, mean, 1.0);
        let want = reference::search::image_mean::image_mean(&x, positions, dim);
        on_devices(|name, device| {
            let input = device.upload(&x, "x").unwrap();
            let out = device.alloc(images * dim, "mean").unwrap();
            let mut recorder = Recorder::new(device);
            let shape = [images as u32, positions as u32, dim as u32];
            image_mean::record(&mut recorder, &input, shape, &out).unwrap();
            recorder.run().unwrap();
            let got: Vec<f32> = device.read(&out).unwrap();
            // Differences to the first position are at most 2, rounded once each, then at every sum and at
            // the division; the last sum and the reference round the result.
            let (absolute, relative) = (2.0 * gamma(positions + DIVISION), gamma(2));
            assert_close(&format!("{name} {images}x{positions}x{dim}"), &got, &want, absolute, relative);
        });
    }
}

#[test]
fn distances() {
    let _turn = turn();
    for (q, m, dim) in [(1, 1, 4), (3, 70, 152), (17, 5, 1024)] {
        let (a, b) = (noise(1, q * dim, 1.0, 1.0), noise(2, m * dim, 1.0, 1.0));
        let want = reference::search::image_distance::image_distance(&a, &b, dim);
        on_devices(|name, device| {
            let (left, right) = (device.upload(&a, "a").unwrap(), device.upload(&b, "b").unwrap());
            let out = device.alloc(q * m, "distances").unwrap();
            let mut recorder = Recorder::new(device);
            let shape = [q as u32, m as u32, dim as u32];
            image_distance::record(&mut recorder, &left, &right, shape, &out).unwrap();
            recorder.run().unwrap();
            let got: Vec<f32> = device.read(&out).unwrap();
            assert_close(&format!("{name} {q}x{m}x{dim}"), &got, &want, 0.0, distance_error(dim));
        });
    }
    let device = &checked()[0].1;
    let small = device.alloc(4, "small").unwrap();
    let mut recorder = Recorder::new(device);
    assert!(image_distance::record(&mut recorder, &small, &small, [2, 1, 4], &small).is_err());
    assert!(image_mean::record(&mut recorder, &small, [1, 1, 3], &small).is_err());
}
