//! WebP and QOI by the image crate.

use super::picture::{Note, Picture};
use super::raster::{Colour, Data, Fault, Raster, Read, check_size, cut, damaged, unsupported};
use image::codecs::qoi::QoiDecoder;
use image::codecs::webp::WebPDecoder;
use image::metadata::Orientation;
use image::{ColorType, ImageDecoder, ImageError};
use std::io::{Cursor, ErrorKind};

/// What the header of a QOI file says.
pub(super) fn qoi_header(bytes: &[u8]) -> Read<Picture> {
    Ok(picture("QOI", &QoiDecoder::new(bytes).map_err(fault)?, 8))
}

/// Decodes a QOI file.
pub(super) fn qoi(bytes: &[u8], max_pixels: u64) -> Read<Raster> {
    let decoder = QoiDecoder::new(bytes).map_err(fault)?;
    let picture = picture("QOI", &decoder, 8);
    pixels(decoder, picture, max_pixels)
}

/// What the header of a WebP file says.
pub(super) fn webp_header(bytes: &[u8]) -> Read<Picture> {
    let mut decoder = WebPDecoder::new(Cursor::new(bytes)).map_err(fault)?;
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms).to_exif();
    let notes = if decoder.has_animation() { vec![Note::FirstFrame] } else { Vec::new() };
    Ok(Picture { notes, orientation, ..picture("WebP", &decoder, 8) })
}

/// Decodes a WebP file.
pub(super) fn webp(bytes: &[u8], max_pixels: u64) -> Read<Raster> {
    let picture = webp_header(bytes)?;
    pixels(WebPDecoder::new(Cursor::new(bytes)).map_err(fault)?, picture, max_pixels)
}

fn picture(kind: &'static str, decoder: &impl ImageDecoder, bits: u32) -> Picture {
    let (width, height) = decoder.dimensions();
    let channels = decoder.color_type().channel_count().into();
    Picture { kind, width, height, channels, bits, ..Picture::default() }
}

fn pixels(decoder: impl ImageDecoder, picture: Picture, max_pixels: u64) -> Read<Raster> {
    check_size(picture.width, picture.height, max_pixels)?;
    let (colour, alpha) = match decoder.color_type() {
        ColorType::L8 => (Colour::Grey, false),
        ColorType::La8 => (Colour::Grey, true),
        ColorType::Rgb8 => (Colour::Rgb, false),
        ColorType::Rgba8 => (Colour::Rgb, true),
        other => return Err(unsupported(format!("a {} file with {other:?} pixels", picture.kind))),
    };
    let size =
        usize::try_from(decoder.total_bytes()).map_err(|_| damaged("its size is beyond all memory"))?;
    let mut values = vec![0; size];
    decoder.read_image(&mut values).map_err(fault)?;
    Ok(Raster { picture, colour, alpha, data: Data::U8(values) })
}

fn fault(error: ImageError) -> Fault {
    match error {
        ImageError::Unsupported(e) => unsupported(e.to_string()),
        ImageError::Limits(e) => Fault::TooLarge(e.to_string()),
        ImageError::IoError(e) if e.kind() == ErrorKind::UnexpectedEof => cut(),
        other => damaged(other.to_string().trim_end_matches('.')),
    }
}
