//! Pixels to the backbone's input, and scores to the anomaly map, against the plain-Rust reference.

use crate::common::{
    F16_FLUSHED, F16_ROUNDING, Named, assert_close, checked, direct, gamma, noise, on_devices, tiled, turn,
};
use proptest::prelude::*;
use rand::{Rng, SeedableRng};
use softpatch::data::{Image, PixelFormat};
use softpatch::low_level::backbone::{Feed, efficientnet_lite};
use softpatch::low_level::bank::Maps;
use softpatch::low_level::reference;
use softpatch::low_level::steps::input::geometry::{Framing, Way};

fn pixels(seed: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    rand_chacha::ChaCha8Rng::seed_from_u64(seed).fill(bytes.as_mut_slice());
    bytes
}

/// (v - mean) * (1 / std), with `v` exact, against (v - mean) / std: a difference, the host's inverse, a
/// product and the reference.
fn normalised() -> f32 {
    gamma(4)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn the_feed_equals_pillow(
        w in 1_u32..300, h in 1_u32..300, crop in 16_u32..60, extra in 0_u32..20, slot in 0_u32..2, way in 0_usize..4, seed: u64,
    ) {
        let _turn = turn();
        let network = efficientnet_lite(0);
        let framing = match way {
            0 => Framing::middle(crop + extra, crop),
            way => Framing { frame: [crop, crop + extra], way: [Way::Stretch, Way::Pad, Way::Cut][way - 1] },
        };
        let rgb = pixels(seed, (w * h * 3) as usize);
        let want = reference::input::resize::preprocess(&rgb, w, h, framing, network.mean, network.std).unwrap();
        let image = Image::new(&rgb, w, h, w as usize * 3, PixelFormat::Rgb8).unwrap();
        on_devices(|name, device| {
            let mut feed = Feed::new(device, &network, framing).unwrap();
            let len = want.len();
            let input = device.alloc(2 * len, "input").unwrap();
            feed.push(&[image], &input, slot, &(0..crop)).unwrap();
            feed.submit(&[]).unwrap();
            let got: Vec<f32> = device.read(&input).unwrap();
            assert_close(name, &got[slot as usize * len..][..len], &want, 0.0, normalised());
            // In bands of rows, whose last is shorter.
            let (height, row) = (crop as usize, len / crop as usize);
            let band = device.alloc(5 * row, "band").unwrap();
            for first in (0..height).step_by(5) {
                let rows = first..height.min(first + 5);
                feed.push(&[image], &band, 0, &(rows.start as u32..rows.end as u32)).unwrap();
                feed.submit(&[]).unwrap();
                let got: Vec<f32> = device.read(&band).unwrap();
                let want = &want[first * row..rows.end * row];
                assert_close(name, &got[..want.len()], want, 0.0, normalised());
            }
            let input = device.alloc_f16(2 * len, "input").unwrap();
            feed.push(&[image], &input, slot, &(0..crop)).unwrap();
            feed.submit(&[]).unwrap();
            let got = device.read_values(&input).unwrap();
            let relative = normalised() + F16_ROUNDING;
            assert_close(name, &got[slot as usize * len..][..len], &want, F16_FLUSHED, relative);
        });
    }

    #[test]
    fn the_map_equals_scipy(h in 1_u32..12, w in 1_u32..12, oh in 1_u32..70, ow in 1_u32..70, seed: u64) {
        let _turn = turn();
        let scores = noise(seed, (3 * h * w) as usize, 1.0, 1.0);
        let size = |a: u32, b: u32| [a as usize, b as usize];
        let want: Vec<f32> = scores
            .chunks_exact((h * w) as usize)
            .flat_map(|s| reference::map::anomaly_map::anomaly_map(s, size(h, w), size(oh, ow)))
            .collect();
        on_devices(|name, device| {
            // In batches of one and of two: of three in all.
            let got = Maps::new(device, [h, w], [oh, ow], 2).unwrap().run(&scores).unwrap().concat();
            // Twice a sum of at most 12 terms, none negative, with rounded weights that add up to 1; values
            // up to 2.
            let absolute = 2.0 * gamma(2 * (12 + 2) + 1);
            assert_close(name, &got, &want, absolute, 0.0);
        });
    }
}

/// An image larger than the upload buffer goes up in strips, many images in several submissions, every format
/// alike.
#[test]
fn large_images_and_every_format() {
    let _turn = turn();
    let network = efficientnet_lite(0);
    let (name, device) = direct();
    let (w, h) = (3000, 1900);
    let rgb = pixels(1, w * h * 3);
    let pad = 7;
    let convert = |bytes: usize, f: &dyn Fn(&[u8]) -> Vec<u8>| {
        let mut out = Vec::new();
        for row in rgb.chunks_exact(w * 3) {
            out.extend(row.chunks_exact(3).flat_map(f));
            out.extend([0xAA; 7]);
        }
        (out, w * bytes + pad)
    };
    let run = |data: &[u8], stride, format| {
        let mut feed = Feed::new(device, &network, Framing::middle(64, 48)).unwrap();
        let image = Image::new(data, w as u32, h as u32, stride, format).unwrap();
        let input = device.alloc(2 * 48 * 48 * 4, "input").unwrap();
        for slot in 0..2 {
            feed.push(&[image], &input, slot, &(0..48)).unwrap();
        }
        feed.submit(&[]).unwrap();
        device.read::<f32>(&input).unwrap()
    };
    let want = |rgb: &[u8]| {
        reference::input::resize::preprocess(
            rgb,
            w as u32,
            h as u32,
            Framing::middle(64, 48),
            network.mean,
            network.std,
        )
        .unwrap()
        .repeat(2)
    };
    let colour = want(&rgb);
    type FromRgb<'a> = &'a dyn Fn(&[u8]) -> Vec<u8>;
    let formats: [(PixelFormat, usize, FromRgb<'_>); 4] = [
        (PixelFormat::Rgb8, 3, &|p| p.to_vec()),
        (PixelFormat::Bgr8, 3, &|p| vec![p[2], p[1], p[0]]),
        (PixelFormat::Rgba8, 4, &|p| vec![p[0], p[1], p[2], 9]),
        (PixelFormat::Bgra8, 4, &|p| vec![p[2], p[1], p[0], 9]),
    ];
    for (format, bytes, f) in formats {
        let (data, stride) = convert(bytes, f);
        assert_close(&format!("{name} {format:?}"), &run(&data, stride, format), &colour, 0.0, normalised());
    }
    let grey_rgb: Vec<u8> = rgb.chunks_exact(3).flat_map(|p| [p[0]; 3]).collect();
    let grey = want(&grey_rgb);
    let (data, stride) = convert(1, &|p| vec![p[0]]);
    assert_close("grey8", &run(&data, stride, PixelFormat::Gray8), &grey, 0.0, normalised());
    let (data, stride) = convert(2, &|p| (u16::from(p[0]) * 257).to_ne_bytes().to_vec());
    assert_close("grey16", &run(&data, stride, PixelFormat::Gray16), &grey, 0.0, normalised());
}

#[test]
fn sizes_out_of_range_are_refused() {
    let _turn = turn();
    let (_, device) = checked()[0];
    let network = efficientnet_lite(0);
    for (resize, crop) in [(0, 0), (64, 0), (64, 65), (10_000, 10_000)] {
        assert!(Feed::new(device, &network, Framing::middle(resize, crop)).is_err(), "{resize} {crop}");
    }
}

/// Images that do not fit the upload buffer together, more sizes than are remembered, neighbours of one size, which
/// are resized together as far as the buffers go, and one after the other.
#[test]
fn a_batch_is_what_its_images_are_one_by_one() {
    let _turn = turn();
    let network = efficientnet_lite(0);
    // Of the widest frame, rows between the passes of three images of 500 rows fill their buffer.
    let framings = [Framing::middle(40, 32), Framing { frame: [16, 600], way: Way::Stretch }];
    let sizes = [[1500, 1200], [60, 50], [1500, 1200], [41, 77], [1900, 1000], [1000, 1900]];
    let many = (0..80).map(|i| [50 + i, 50]);
    let alike = [[40, 500]; 5].into_iter().chain([[900, 1000]; 6]).chain([[40, 500]; 2]);
    let pixels: Vec<(u32, u32, Vec<u8>)> = (sizes.into_iter().chain(many).chain(alike).zip(0..))
        .map(|([w, h], seed)| (w, h, pixels(seed, (w * h * 3) as usize)))
        .collect();
    let image = |(w, h, rgb)| Image::new(rgb, w, h, w as usize * 3, PixelFormat::Rgb8).unwrap();
    let images: Vec<Image<'_>> = pixels.iter().map(|(w, h, rgb)| image((*w, *h, rgb))).collect();
    on_devices(|name, device| {
        for framing in framings {
            let [rows, columns] = framing.frame;
            let len = (rows * columns * 4) as usize;
            let read = |together: usize| -> Vec<f32> {
                let mut feed = Feed::new(device, &network, framing).unwrap();
                let input = device.alloc(images.len() * len, "input").unwrap();
                for (run, images) in images.chunks(together).enumerate() {
                    feed.push(images, &input, (run * together) as u32, &(0..rows)).unwrap();
                    feed.submit(&[]).unwrap();
                }
                device.read(&input).unwrap()
            };
            let one_by_one = read(1);
            assert!(one_by_one.chunks_exact(len).all(|image| image.iter().any(|v| *v != 0.0)));
            for together in [2, 7, images.len()] {
                assert!(read(together) == one_by_one, "{name}: {together} at a time");
            }
        }
    });
}

#[test]
fn neighbours_of_one_size_are_one_piece_of_work() {
    let _turn = turn();
    let network = efficientnet_lite(0);
    let plans = |(_, device): &Named, sizes: &[[u32; 2]], framing: Framing| {
        let rgb = vec![9; 3 * 900 * 1000];
        let image = |&[w, h]: &[u32; 2]| Image::new(&rgb, w, h, w as usize * 3, PixelFormat::Rgb8).unwrap();
        let images: Vec<Image<'_>> = sizes.iter().map(image).collect();
        let mut feed = Feed::new(device, &network, framing).unwrap();
        let values = images.len() * (framing.frame[0] * framing.frame[1] * 4) as usize;
        let input = device.alloc(values, "input").unwrap();
        feed.push(&images, &input, 0, &(0..framing.frame[0])).unwrap();
        feed.take().len()
    };
    let small = Framing::middle(40, 32);
    let all = [[60, 50]; 32];
    assert_eq!((plans(tiled(), &all, small), plans(direct(), &all, small)), (1, 32));
    assert_eq!(plans(tiled(), &[[60, 50], [50, 60], [50, 60], [60, 50]], small), 3);
    // What did not fit the upload buffer with the last two was submitted before them.
    assert_eq!(plans(tiled(), &[[900, 1000]; 6], Framing { frame: [32; 2], way: Way::Stretch }), 1);
    assert_eq!(plans(tiled(), &[[40, 500]; 5], Framing { frame: [16, 600], way: Way::Stretch }), 2);
}
