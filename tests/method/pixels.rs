//! Pixels in memory of every format, against values worked out by hand, by plain loops, and by OpenCV
//! (tools/golden_bayer.py).

use serde_json::Value;
use softpatch::Error;
use softpatch::data::{Frame, Image, PixelFormat};

/// 8-bit RGB of one row of pixels.
fn row(format: PixelFormat, width: u32, bytes: &[u8]) -> Vec<[u8; 3]> {
    assert_eq!(bytes.len(), format.row_bytes(width), "{format:?}");
    let image = Image::new(bytes, width, 1, bytes.len(), format).unwrap().to_rgb8();
    image.pixels.chunks_exact(3).map(|p| [p[0], p[1], p[2]]).collect()
}

fn words(values: &[u16]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_ne_bytes()).collect()
}

/// `(v * 255 + m / 2) / m`, in numbers without an end.
fn scaled(value: u64, largest: u64) -> u8 {
    ((2 * value * 255 + largest) / (2 * largest)) as u8
}

#[test]
fn grey_of_more_than_8_bit_fills_the_range() {
    use PixelFormat::{Gray10, Gray12, Gray14, Gray16};
    for (format, bits) in [(Gray10, 10), (Gray12, 12), (Gray14, 14), (Gray16, 16)] {
        let values: Vec<u16> = (0..1_u32 << bits).map(|v| v as u16).collect();
        for (grey, value) in row(format, values.len() as u32, &words(&values)).iter().zip(&values) {
            assert_eq!(*grey, [scaled((*value).into(), (1 << bits) - 1); 3], "{format:?} {value}");
        }
    }
}

#[test]
fn a_value_above_the_range_is_named() {
    for (format, largest) in
        [(PixelFormat::Gray10, 1023), (PixelFormat::Gray12, 4095), (PixelFormat::Gray14, 16383)]
    {
        // Two rows of three pixels and one more of padding, where anything may be.
        let mut values = [largest, 0, 1, 65535, 7, 8, largest, 65535];
        let view = |values: &[u16]| Image::new(&words(values), 3, 2, 8, format).map(|_| ());
        view(&values).unwrap();
        for (at, place) in [(0, "column 0 of row 0"), (5, "column 1 of row 1"), (6, "column 2 of row 1")] {
            let kept = std::mem::replace(&mut values[at], largest + 1);
            let said = view(&values).unwrap_err();
            values[at] = kept;
            let Error::InvalidImage(reason) = &said else { panic!("{said}") };
            let bound = format!("{place} is {}, {format:?} has values up to {largest}", largest + 1);
            assert!(reason.starts_with(&bound), "{reason}");
        }
    }
}

/// Values by the tables of GigE Vision and of GenICam's Pixel Format Naming Convention.
#[test]
fn packed_pixels_are_unpacked() {
    let ten = |values: &[u64]| values.iter().map(|v| [scaled(*v, 1023); 3]).collect::<Vec<_>>();
    let twelve = |values: &[u64]| values.iter().map(|v| [scaled(*v, 4095); 3]).collect::<Vec<_>>();
    let packed = [0xab, 0x2c, 0x31, 0xff, 0x0f];
    assert_eq!(row(PixelFormat::Mono12Packed, 3, &packed), twelve(&[0xabc, 0x312, 0xfff]));
    assert_eq!(row(PixelFormat::Mono12Packed, 2, &packed[..3]), twelve(&[0xabc, 0x312]));
    let packed = [0b1010_1011, 0b0001_0010, 0b0100_0001, 0xff, 0x03];
    assert_eq!(
        row(PixelFormat::Mono10Packed, 3, &packed),
        ten(&[0b10_1010_1110, 0b01_0000_0101, 0b11_1111_1111])
    );
    assert_eq!(row(PixelFormat::Mono12p, 3, &[0xbc, 0x2a, 0x31, 0xff, 0x0f]), twelve(&[0xabc, 0x312, 0xfff]));
    // Every width, so that a row ends at every place of a group of bytes; nothing above it is read.
    for (format, bits) in [(PixelFormat::Mono10p, 10), (PixelFormat::Mono12p, 12)] {
        for width in 1..11 {
            let values: Vec<u64> = (0..width).map(|x| (x * x * 391 + 77 * x + 13) % (1 << bits)).collect();
            let all = values.iter().rev().fold(0_u128, |all, v| all << bits | u128::from(*v));
            let mut bytes = all.to_le_bytes().to_vec();
            bytes.resize(format.row_bytes(width as u32), 0);
            if width * bits % 8 > 0 {
                *bytes.last_mut().unwrap() |= 0xff << (width * bits % 8);
            }
            let expected = if bits == 10 { ten(&values) } else { twelve(&values) };
            assert_eq!(row(format, width as u32, &bytes), expected, "{format:?}, {width} wide");
        }
    }
}

#[test]
fn colours_are_in_their_order() {
    let rgb = [[1, 2, 3], [250, 128, 0], [255, 255, 254]];
    let deep = |order: &[usize]| {
        let value =
            |p: &[u8; 3], at: &usize| p.get(*at).map_or(9999, |v| (u16::from(*v) * 257).saturating_add(100));
        words(&rgb.iter().flat_map(|p| order.iter().map(move |at| value(p, at))).collect::<Vec<_>>())
    };
    assert_eq!(row(PixelFormat::Rgb16, 3, &deep(&[0, 1, 2])), rgb);
    assert_eq!(row(PixelFormat::Bgr16, 3, &deep(&[2, 1, 0])), rgb);
    assert_eq!(row(PixelFormat::Rgba16, 3, &deep(&[0, 1, 2, 3])), rgb);
    assert_eq!(row(PixelFormat::Bgra16, 3, &deep(&[2, 1, 0, 3])), rgb);
    let flat = |order: &[usize]| -> Vec<u8> {
        rgb.iter().flat_map(|p| order.iter().map(|at| *p.get(*at).unwrap_or(&99))).collect()
    };
    assert_eq!(row(PixelFormat::Rgb8, 3, &flat(&[0, 1, 2])), rgb);
    assert_eq!(row(PixelFormat::Bgr8, 3, &flat(&[2, 1, 0])), rgb);
    assert_eq!(row(PixelFormat::Rgba8, 3, &flat(&[0, 1, 2, 3])), rgb);
    assert_eq!(row(PixelFormat::Bgra8, 3, &flat(&[2, 1, 0, 3])), rgb);
}

/// The formula of tools/golden_bayer.py.
fn mosaic(width: u32, height: u32) -> Vec<u8> {
    let value = |x: u32, y: u32| (x * x * 31 + y * y * 57 + x * y * 23 + 5 * x) % 256;
    (0..height).flat_map(|y| (0..width).map(move |x| value(x, y) as u8)).collect()
}

fn demosaiced(format: PixelFormat, width: u32, height: u32) -> Vec<u8> {
    let pixels = mosaic(width, height);
    let image = Image::new(&pixels, width, height, width as usize, format).unwrap();
    Frame::copy_of(&image).as_image().to_rgb8().pixels
}

const MOSAICS: [PixelFormat; 4] =
    [PixelFormat::BayerRg8, PixelFormat::BayerGr8, PixelFormat::BayerGb8, PixelFormat::BayerBg8];

#[test]
fn mosaics_are_opencvs_inside() {
    let golden: Value = serde_json::from_str(include_str!("../golden/bayer.json")).unwrap();
    let cases = golden["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 8);
    for case in cases {
        let format = MOSAICS.into_iter().find(|f| case["format"] == format!("{f:?}")).unwrap();
        let [width, height] = ["width", "height"].map(|side| case[side].as_u64().unwrap() as u32);
        let all = demosaiced(format, width, height);
        let inside: Vec<u8> = (1..height - 1)
            .flat_map(|y| &all[(y * width + 1) as usize * 3..(y * width + width - 1) as usize * 3])
            .copied()
            .collect();
        let expected: Vec<u8> =
            case["inside"].as_array().unwrap().iter().map(|v| v.as_u64().unwrap() as u8).collect();
        assert_eq!(inside, expected, "{format:?} {width}x{height}");
    }
}

/// Up to the border: of each colour the mean over the nearest pixels that have it, of the mirrored mosaic.
#[test]
fn mosaics_are_mirrored_at_their_border() {
    for (width, height) in [(2, 2), (2, 5), (5, 2), (3, 3), (6, 4), (7, 5)] {
        let pixels = mosaic(width, height);
        for (format, red) in MOSAICS.into_iter().zip([[0, 0], [1, 0], [0, 1], [1, 1]]) {
            let colour = |x: i64, y: i64| match ((x - red[0]).rem_euclid(2), (y - red[1]).rem_euclid(2)) {
                (0, 0) => 0,
                (1, 1) => 2,
                _ => 1,
            };
            let mirrored = |at: i64, side: u32| (side as i64 - 1 - (side as i64 - 1 - at.abs()).abs()) as u32;
            let value = |x, y| u32::from(pixels[(mirrored(y, height) * width + mirrored(x, width)) as usize]);
            let all = demosaiced(format, width, height);
            for (at, got) in all.iter().enumerate() {
                let (x, y, c) = (at as i64 / 3 % width as i64, at as i64 / 3 / width as i64, at % 3);
                let near: Vec<(i64, u32)> = (-1..=1)
                    .flat_map(|dy| (-1..=1).map(move |dx| (dx, dy)))
                    .filter(|(dx, dy)| colour(x + dx, y + dy) == c)
                    .map(|(dx, dy)| (dx * dx + dy * dy, value(x + dx, y + dy)))
                    .collect();
                let nearest = near.iter().map(|n| n.0).min().unwrap();
                let of: Vec<u32> = near.iter().filter(|n| n.0 == nearest).map(|n| n.1).collect();
                let mean = (of.iter().sum::<u32>() + of.len() as u32 / 2) / of.len() as u32;
                assert_eq!(u32::from(*got), mean, "{format:?} {width}x{height} at {x}, {y}, channel {c}");
            }
        }
    }
    for (width, height) in [(1, 4), (4, 1)] {
        let said = Image::new(&[0; 4], width, height, width as usize, PixelFormat::BayerGb8).unwrap_err();
        assert!(said.to_string().contains("two rows and two columns"), "{said}");
    }
}

/// Rows may lie apart, and a buffer that is one byte short is refused, in every format.
#[test]
fn every_format_is_bounded_by_its_rows() {
    for &format in PixelFormat::ALL {
        for (width, height) in [(2, 2), (5, 3), (8, 2)] {
            let bytes = format.row_bytes(width);
            let stride = bytes + 3;
            // Low enough for 10 bit in either byte order of any pixel.
            let buffer: Vec<u8> = (0..stride * height as usize).map(|i| (i % 4) as u8).collect();
            let need = stride * (height as usize - 1) + bytes;
            let image = Image::new(&buffer[..need], width, height, stride, format).unwrap();
            let packed: Vec<u8> = (0..height).flat_map(|y| image.row(y)).copied().collect();
            let tight = Image::new(&packed, width, height, bytes, format).unwrap();
            assert_eq!(image.to_rgb8(), tight.to_rgb8(), "{format:?}");
            assert_eq!(Frame::copy_of(&image), Frame::copy_of(&tight), "{format:?}");
            assert!(Image::new(&buffer[..need - 1], width, height, stride, format).is_err(), "{format:?}");
            assert!(Image::new(&buffer, width, height, bytes - 1, format).is_err(), "{format:?}");
        }
    }
}
