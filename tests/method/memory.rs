//! Images in memory: of the `image` crate, of a camera, borrowed and owned.

use crate::common::{direct, turn};
use image::{DynamicImage, GrayImage, ImageBuffer, Luma, LumaA, Rgb, RgbImage, Rgba};
use softpatch::Error;
use softpatch::data::synth::{Material, render};
use softpatch::data::{
    DecodeOptions, Frame, Image, ImageSource, MemorySource, Named, OwnedImage, PixelFormat, decode_file,
};
use softpatch::detector::{Backbone, Detector, FitJob, FitOptions, Quiet};
use std::sync::Arc;

#[test]
fn images_of_the_image_crate_are_as_if_decoded() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("image.png");
    // All kinds of which there are PNG files, and whether their pixels can be borrowed.
    let at = |x: u32, y: u32| (x * 5003 + y * 977) as u16;
    let low = |x: u32, y: u32| (x * 50 + y * 9) as u8;
    let kinds = [
        (DynamicImage::from(ImageBuffer::from_fn(5, 3, |x, y| Luma([low(x, y)]))), true),
        (DynamicImage::from(ImageBuffer::from_fn(5, 3, |x, y| LumaA([low(x, y), 9]))), false),
        (DynamicImage::from(ImageBuffer::from_fn(5, 3, |x, y| Rgb([low(x, y), 7, low(y, x)]))), true),
        (DynamicImage::from(ImageBuffer::from_fn(5, 3, |x, y| Rgba([low(x, y), 7, low(y, x), 9]))), true),
        (DynamicImage::from(ImageBuffer::from_fn(5, 3, |x, y| Luma([at(x, y)]))), true),
        (DynamicImage::from(ImageBuffer::from_fn(5, 3, |x, y| LumaA([at(x, y), 9]))), false),
        (DynamicImage::from(ImageBuffer::from_fn(5, 3, |x, y| Rgb([at(x, y), 700, at(y, x)]))), true),
        (DynamicImage::from(ImageBuffer::from_fn(5, 3, |x, y| Rgba([at(x, y), 700, 0, 9]))), true),
    ];
    for (image, borrows) in kinds {
        image.save(&path).unwrap();
        let decoded = decode_file(&path, &DecodeOptions::default()).unwrap();
        assert_eq!(OwnedImage::try_from(&image).unwrap(), decoded, "{:?}", image.color());
        match Image::try_from(&image) {
            Ok(view) => assert!(borrows && view.to_rgb8() == decoded, "{:?}", image.color()),
            Err(e) => assert!(!borrows && e.to_string().contains("make an OwnedImage"), "{e}"),
        }
        assert_eq!(OwnedImage::try_from(image).unwrap(), decoded);
    }
    let grey = GrayImage::from_pixel(2, 2, Luma([8]));
    assert_eq!(OwnedImage::from(&grey).pixels, [8; 12]);
    assert_eq!(OwnedImage::from(grey).pixels, [8; 12]);

    let float = DynamicImage::new_rgb32f(2, 2);
    assert!(matches!(OwnedImage::try_from(&float), Err(Error::InvalidImage(m)) if m.contains("8 or 16 bit")));
    assert!(Image::try_from(&float).is_err());
    assert!(matches!(Image::try_from(&RgbImage::new(0, 4)), Err(Error::InvalidImage(_))));
    // A buffer that is longer than its image.
    let long = RgbImage::from_raw(1, 2, vec![3; 100]).unwrap();
    assert_eq!(Image::try_from(&long).unwrap().to_rgb8().pixels, [3; 6]);
    assert_eq!(OwnedImage::from(&long).pixels, [3; 6]);
}

#[test]
fn each_image_needs_a_name() {
    let images = [1, 2].map(|v| OwnedImage { width: 1, height: 1, pixels: vec![v; 3] });
    let named = Named::new(MemorySource(&images), ["left", "right"]).unwrap();
    assert_eq!((named.len(), named.name(1).as_str()), (2, "right"));
    assert_eq!(*named.load(1).unwrap(), images[1]);
    let error = Named::new(MemorySource(&images), ["left"]).unwrap_err();
    assert!(matches!(&error, Error::InvalidOption(m) if m.contains("1 names for 2 images")), "{error}");
}

/// Frames of a camera give the model that the same pixels in RGB give, and a job may own them.
#[test]
fn frames_of_any_format_can_be_fitted_on() {
    let _turn = turn();
    let (_, device) = direct();
    let backbone = Backbone::embedded().unwrap();
    let options = FitOptions { coreset_ratio: 0.2, ..FitOptions::paper(64, 64) };
    let rgb: Vec<OwnedImage> = (0..4).map(|i| render(Material::Metal, None, i, 64).unwrap().0).collect();
    let frame = |image: &OwnedImage, format: PixelFormat| {
        let pixels: Vec<u8> = (image.pixels.chunks_exact(3))
            .flat_map(|p| match format {
                PixelFormat::Gray8 => vec![p[1]],
                PixelFormat::Gray16 => (u16::from(p[1]) * 257).to_ne_bytes().to_vec(),
                PixelFormat::Rgb8 => p.to_vec(),
                PixelFormat::Bgr8 => vec![p[2], p[1], p[0]],
                PixelFormat::Rgba8 => vec![p[0], p[1], p[2], 5],
                _ => vec![p[2], p[1], p[0], 5],
            })
            .collect();
        Frame::copy_of(&Image::new(&pixels, 64, 64, format.row_bytes(64), format).unwrap())
    };
    let grey: Vec<OwnedImage> =
        rgb.iter().map(|i| frame(i, PixelFormat::Gray8).as_image().to_rgb8()).collect();
    let fit = |images: &[OwnedImage]| {
        Detector::fit(device, &backbone, &MemorySource(images), &options, &Quiet).unwrap().model().clone()
    };
    let (of_rgb, of_grey) = (fit(&rgb), fit(&grey));
    let colour = [PixelFormat::Rgb8, PixelFormat::Bgr8, PixelFormat::Rgba8, PixelFormat::Bgra8];
    let frames: Vec<Frame> = rgb.iter().zip(colour).map(|(image, format)| frame(image, format)).collect();
    // Borrowed.
    let views: Vec<Image<'_>> = frames.iter().map(Frame::as_image).collect();
    let made = Detector::fit(device, &backbone, &MemorySource(&views), &options, &Quiet).unwrap();
    assert_eq!(*made.model(), of_rgb);
    // Owned, alone or shared.
    let job = FitJob::start(device, &backbone, MemorySource(frames), &options).unwrap();
    assert_eq!(*job.wait().unwrap().model(), of_rgb);
    let deep = [PixelFormat::Gray8, PixelFormat::Gray16].into_iter().cycle();
    let frames: Arc<[Frame]> = rgb.iter().zip(deep).map(|(image, format)| frame(image, format)).collect();
    let source = Named::new(MemorySource(frames), ["a", "b", "c", "d"]).unwrap();
    let mut model =
        FitJob::start(device, &backbone, source, &options).unwrap().wait().unwrap().model().clone();
    assert_eq!(model.info.images, ["a", "b", "c", "d"]);
    model.info.images.clone_from(&of_grey.info.images);
    assert_eq!(model, of_grey);
}
