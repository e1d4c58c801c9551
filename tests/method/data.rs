//! Decoding and listing: what is read exactly, what is refused, and what the message says.

use image::{DynamicImage, ImageBuffer, ImageFormat, Luma, LumaA, Rgb, Rgba};
use proptest::prelude::*;
use softpatch::data::{
    DecodeOptions, FileSource, ImageSource, Levels, MemorySource, OwnedImage, decode_bytes, decode_file,
    list_images,
};
use softpatch::{Error, FitOptions};
use std::io::Cursor;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

fn encode(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut out = Cursor::new(Vec::new());
    image.write_to(&mut out, format).unwrap();
    out.into_inner()
}

fn pattern(width: u32, height: u32) -> DynamicImage {
    DynamicImage::ImageRgb8(ImageBuffer::from_fn(width, height, |x, y| {
        Rgb([(x * 7 + y) as u8, (y * 5) as u8, (x ^ y) as u8])
    }))
}

fn decode(bytes: &[u8]) -> softpatch::Result<OwnedImage> {
    decode_bytes("some.png", bytes, &DecodeOptions::default())
}

/// The message of the `Error::Image` that decoding must end in.
fn refused(result: softpatch::Result<OwnedImage>) -> String {
    match result {
        Err(e @ Error::Image { .. }) => e.to_string(),
        Err(e) => panic!("another error: {e}"),
        Ok(i) => panic!("decoded to {}x{}", i.width, i.height),
    }
}

#[test]
fn lossless_formats_keep_every_pixel() {
    let image = pattern(31, 17);
    for format in [ImageFormat::Png, ImageFormat::Bmp, ImageFormat::Tiff, ImageFormat::WebP] {
        let got = decode(&encode(&image, format)).unwrap();
        assert_eq!((got.width, got.height), (31, 17), "{format:?}");
        assert_eq!(got.pixels, image.as_bytes(), "{format:?}");
    }
    let got = decode(&encode(&image, ImageFormat::Jpeg)).unwrap();
    assert_eq!((got.width, got.height, got.pixels.len()), (31, 17, 31 * 17 * 3));
}

#[test]
fn every_pixel_type_becomes_rgb8() {
    let g16 = |v: u16| ((u32::from(v) + 128) / 257) as u8;
    let cases: Vec<(DynamicImage, [u8; 3])> = vec![
        (DynamicImage::ImageLuma8(ImageBuffer::from_pixel(3, 2, Luma([9]))), [9, 9, 9]),
        (DynamicImage::ImageLumaA8(ImageBuffer::from_pixel(3, 2, LumaA([9, 0]))), [9, 9, 9]),
        (DynamicImage::ImageRgba8(ImageBuffer::from_pixel(3, 2, Rgba([1, 2, 3, 0]))), [1, 2, 3]),
        (DynamicImage::ImageLuma16(ImageBuffer::from_pixel(3, 2, Luma([30_000]))), [g16(30_000); 3]),
        (DynamicImage::ImageLumaA16(ImageBuffer::from_pixel(3, 2, LumaA([65_535, 7]))), [255; 3]),
        (DynamicImage::ImageRgb16(ImageBuffer::from_pixel(3, 2, Rgb([0, 129, 65_535]))), [0, 1, 255]),
        (DynamicImage::ImageRgba16(ImageBuffer::from_pixel(3, 2, Rgba([128, 257, 514, 0]))), [0, 1, 2]),
    ];
    for (image, want) in cases {
        for format in [ImageFormat::Png, ImageFormat::Tiff] {
            let gray_alpha = matches!(image, DynamicImage::ImageLumaA8(_) | DynamicImage::ImageLumaA16(_));
            if format == ImageFormat::Tiff && gray_alpha {
                continue; // the encoder has no such TIFF
            }
            let got = decode(&encode(&image, format)).unwrap();
            assert_eq!(got.pixels, want.repeat(6), "{:?} {format:?}", image.color());
        }
    }
}

/// A 2x2 PNG with one bit a pixel and a palette: stored (uncompressed) deflate, made by hand.
#[test]
fn palettes_are_resolved() {
    fn crc(data: &[u8]) -> u32 {
        !data.iter().fold(!0, |c, &b| {
            (0..8).fold(c ^ u32::from(b), |c, _| if c & 1 == 1 { c >> 1 ^ 0xedb8_8320 } else { c >> 1 })
        })
    }
    let mut png = b"\x89PNG\r\n\x1a\n".to_vec();
    let mut chunk = |kind: &[u8], data: &[u8]| {
        let body = [kind, data].concat();
        png.extend((data.len() as u32).to_be_bytes());
        png.extend(&body);
        png.extend(crc(&body).to_be_bytes());
    };
    chunk(b"IHDR", &[0, 0, 0, 2, 0, 0, 0, 2, 1, 3, 0, 0, 0]);
    chunk(b"PLTE", &[10, 20, 30, 200, 100, 50]);
    let raw = [0u8, 0b0100_0000, 0, 0b1000_0000]; // filter byte and two pixels a row
    let (a, b) = raw.iter().fold((1u32, 0u32), |(a, b), &v| (a + u32::from(v), b + a + u32::from(v)));
    let mut zlib = vec![0x78, 0x01, 1, 4, 0, 0xfb, 0xff];
    zlib.extend(raw);
    zlib.extend((b << 16 | a).to_be_bytes());
    chunk(b"IDAT", &zlib);
    chunk(b"IEND", &[]);
    let got = decode(&png).unwrap();
    assert_eq!(got.pixels, [10, 20, 30, 200, 100, 50, 200, 100, 50, 10, 20, 30]);
}

#[test]
fn exif_orientation_is_applied_only_on_request() {
    // JPEG + APP1 with a little-endian TIFF header and one entry: orientation (0x0112) = 6, rotate 90
    // degrees.
    let jpeg = encode(&pattern(24, 16), ImageFormat::Jpeg);
    let mut app1 = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0".to_vec();
    let mut with_exif = vec![0xff, 0xd8, 0xff, 0xe1];
    with_exif.extend((app1.len() as u16 + 2).to_be_bytes());
    with_exif.append(&mut app1);
    with_exif.extend(&jpeg[2..]);

    let plain = decode(&with_exif).unwrap();
    assert_eq!((plain.width, plain.height), (24, 16));
    let options = DecodeOptions { exif_orientation: true, ..DecodeOptions::default() };
    let turned = decode_bytes("x.jpg", &with_exif, &options).unwrap();
    assert_eq!((turned.width, turned.height), (16, 24));
    // The stored bottom-left corner comes to the top left.
    assert_eq!(turned.pixels[..3], plain.pixels[15 * 24 * 3..][..3]);
}

#[test]
fn every_cut_of_a_file_is_refused() {
    let image = pattern(40, 40);
    for format in
        [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::Bmp, ImageFormat::Tiff, ImageFormat::WebP]
    {
        let bytes = encode(&image, format);
        for keep in [bytes.len() / 4, bytes.len() / 2, bytes.len() * 3 / 4, bytes.len() - 20] {
            let message = refused(decode(&bytes[..keep]));
            assert!(message.contains("some.png"), "{format:?} {keep}: {message}");
            assert!(message.contains("copy or export it again"), "{format:?} {keep}: {message}");
        }
    }
}

#[test]
fn a_jpeg_thumbnail_does_not_hide_a_cut() {
    // A comment segment that holds an end-of-image marker, in front of data that is cut off.
    let jpeg = encode(&pattern(40, 40), ImageFormat::Jpeg);
    let mut bytes = vec![0xff, 0xd8, 0xff, 0xfe, 0, 6, 0xff, 0xd9, 0xff, 0xd9];
    bytes.extend(&jpeg[2..]);
    assert!(decode(&bytes).is_ok());
    bytes.truncate(bytes.len() - 30);
    assert!(refused(decode(&bytes)).contains("ends too early"));
}

#[test]
fn bad_files_say_what_is_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &[u8]| {
        let path = dir.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    };
    let read = |path: &Path| refused(decode_file(path, &DecodeOptions::default()));

    assert!(read(&dir.path().join("absent.png")).contains("no such file"));
    assert!(read(dir.path()).contains("it is a folder"));
    assert!(read(&file("zero.png", b"")).contains("0 bytes"));
    let message = read(&file("text.png", b"This is not an image at all, only text."));
    assert!(message.contains("text.png") && message.contains("no known image format"), "{message}");
    let message = read(&file("phone.png", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"));
    assert!(
        message.contains("a HEIC file, which is not supported") && message.contains("Convert"),
        "{message}"
    );

    let float = DynamicImage::ImageRgb32F(ImageBuffer::from_pixel(2, 2, Rgb([0.5, 0.5, 0.5])));
    let message = read(&file("float.tif", &encode(&float, ImageFormat::Tiff)));
    assert!(message.contains("floating-point"), "{message}");

    // The extension does not count: a JPEG named .png is read.
    let path = file("really_a.png", &encode(&pattern(8, 8), ImageFormat::Jpeg));
    assert_eq!(decode_file(path, &DecodeOptions::default()).unwrap().width, 8);
}

#[test]
fn a_dimension_bomb_is_refused_from_its_header() {
    // A BMP header that claims 60000 x 60000 pixels, and a PNG whose size is above a lowered limit.
    let mut bmp = encode(&pattern(2, 2), ImageFormat::Bmp);
    bmp[18..22].copy_from_slice(&60_000u32.to_le_bytes());
    bmp[22..26].copy_from_slice(&60_000u32.to_le_bytes());
    let message = refused(decode(&bmp));
    assert!(message.contains("60000x60000") && message.contains("max_pixels"), "{message}");

    let png = encode(&pattern(20, 20), ImageFormat::Png);
    let at = |max_pixels| decode_bytes("x", &png, &DecodeOptions { max_pixels, ..DecodeOptions::default() });
    assert!(refused(at(399)).contains("20x20, the limit is 399 pixels"));
    assert!(at(400).is_ok());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    /// Damaged bytes decode or are refused; they neither panic nor take memory without end.
    #[test]
    fn damage_never_panics(which in 0usize..5, cuts in prop::collection::vec((0usize..4000, any::<u8>()), 1..6), keep in 1usize..4000) {
        let format = [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::Bmp, ImageFormat::Tiff, ImageFormat::WebP][which];
        let mut bytes = encode(&pattern(33, 21), format);
        for (at, value) in cuts {
            let len = bytes.len();
            bytes[at % len] = value;
        }
        bytes.truncate(keep.max(4));
        let options = DecodeOptions { max_pixels: 1_000_000, exif_orientation: true, ..DecodeOptions::default() };
        if let Ok(image) = decode_bytes("x", &bytes, &options) {
            prop_assert!(image.as_image().is_ok());
        }
    }
}

#[test]
fn listing_is_sorted_recursive_and_safe() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    std::fs::create_dir_all(root.join("b sub/größe")).unwrap();
    std::fs::create_dir_all(root.join(".cache")).unwrap();
    for name in [
        "z.PNG",
        "a b.jpg",
        "b sub/größe/画像 1.tif",
        "b sub/x.webp",
        ".hidden.png",
        ".cache/y.png",
        "notes.txt",
    ] {
        std::fs::write(root.join(name), b"x").unwrap();
    }
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(root, root.join("b sub/loop")).unwrap();
        std::os::unix::fs::symlink(root.join("gone.png"), root.join("dangling.png")).unwrap();
    }
    let got: Vec<_> = list_images(root)
        .unwrap()
        .images
        .iter()
        .map(|p| p.strip_prefix(root).unwrap().to_string_lossy().replace('\\', "/"))
        .filter(|p| p != "dangling.png")
        .collect();
    assert_eq!(got, ["a b.jpg", "b sub/größe/画像 1.tif", "b sub/x.webp", "z.PNG"]);
    #[cfg(unix)]
    assert!(list_images(root).unwrap().images.contains(&root.join("dangling.png")));

    let absent = list_images(root.join("absent")).unwrap_err().to_string();
    assert!(absent.contains("no such folder"), "{absent}");
    assert!(list_images(root.join("z.PNG")).unwrap_err().to_string().contains("this is a file"));
}

#[test]
fn sources_load_in_any_order() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ä ö.png");
    pattern(5, 4).save(&path).unwrap();
    let files = FileSource::new(vec![dir.path().join("absent.png"), path], DecodeOptions::default());
    assert_eq!(files.len(), 2);
    assert!(files.name(1).ends_with("ä ö.png"));
    assert!(files.load(0).is_err());
    let image = files.load(1).unwrap().into_owned();
    assert_eq!(image.width, 5);

    let images = [image.clone(), OwnedImage { width: 9, height: 9, pixels: vec![0; 3] }];
    let memory = MemorySource(&images);
    assert_eq!(*memory.load(0).unwrap(), image);
    assert!(matches!(memory.load(1), Err(Error::InvalidImage(_))));
    assert_eq!(memory.name(1), "<memory>[1]");
}

#[test]
fn a_source_says_once_what_its_files_leave_out() {
    let dir = tempfile::tempdir().unwrap();
    let deep = |name: &str, largest: u16| {
        let path = dir.path().join(name);
        let picture = image::ImageBuffer::from_fn(4, 3, |x, _| image::Luma([largest / (x as u16 + 1)]));
        DynamicImage::from(picture).save(&path).unwrap();
        path
    };
    let notes = |paths: &[PathBuf], levels: Levels| {
        let source = FileSource::new(paths.to_vec(), DecodeOptions { levels, ..DecodeOptions::default() });
        (0..source.len()).for_each(|i| drop(source.load(i).unwrap()));
        source.notes()
    };
    let mut paths = vec![deep("a.png", 900), deep("b.png", 4095), deep("c.png", 1000)];
    let said = notes(&paths, Levels::Found);
    assert!(said.len() == 1 && said[0].contains("lower 12 of 16 bits"), "{said:?}");
    assert!(said[0].contains("a.png") && said[0].contains("2 other files"), "{said:?}");
    assert_eq!(notes(&paths, Levels::Bits(12)), [""; 0]);
    let mut options = FitOptions::default();
    let settled = options.settle_bits(&paths, |_| ControlFlow::Continue(())).unwrap().unwrap();
    assert!(options.bits == 12 && settled.contains("no value is above 4095"), "{settled}");
    // One bright picture, and the others are dark ones.
    paths.push(deep("d.png", 60_000));
    assert_eq!(notes(&paths, Levels::Found), [""; 0]);

    let alpha = image::RgbaImage::from_fn(4, 3, |x, _| image::Rgba([9, 9, 9, x as u8]));
    let path = dir.path().join("alpha.png");
    alpha.save(&path).unwrap();
    let said = notes(&[path], Levels::Found);
    assert!(said.len() == 1 && said[0].contains("alpha is not constant"), "{said:?}");
}

/// A DIB is a BMP without its first 14 bytes.
#[test]
fn a_bmp_without_its_file_header_is_the_same_picture() {
    for picture in [pattern(7, 5), pattern(7, 5).to_luma8().into()] {
        let bytes = encode(&picture, ImageFormat::Bmp);
        assert_eq!(decode(&bytes[14..]).unwrap(), decode(&bytes).unwrap());
        assert!(refused(decode(&bytes[14..60])).contains("ends too early"));
    }
}
