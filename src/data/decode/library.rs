//! BMP, WebP and QOI by the image crate.

use super::picture::{Note, Picture};
use super::raster::{
    Colour, Data, Fault, Raster, Read, check_size, cut, damaged, grey_or_palette, unsupported,
};
use image::codecs::bmp::BmpDecoder;
use image::codecs::qoi::QoiDecoder;
use image::codecs::webp::WebPDecoder;
use image::metadata::Orientation;
use image::{ColorType, ImageDecoder, ImageError};
use std::borrow::Cow;
use std::io::{Cursor, ErrorKind};

/// What the header of a BMP says.
pub(super) fn bmp_header(bytes: &[u8]) -> Read<Picture> {
    let (bytes, notes) = mended(bytes);
    let mut decoder = BmpDecoder::new(Cursor::new(&*bytes)).map_err(fault)?;
    decoder.set_indexed_color(decoder.get_palette().is_some());
    Ok(Picture { notes, ..picture("BMP", &decoder, depth(&bytes)) })
}

/// Decodes a BMP.
pub(super) fn bmp(bytes: &[u8], max_pixels: u64) -> Read<Raster> {
    let (bytes, notes) = mended(bytes);
    let mut decoder = BmpDecoder::new(Cursor::new(&*bytes)).map_err(fault)?;
    decoder.set_indexed_color(decoder.get_palette().is_some());
    let bits = depth(&bytes);
    let picture = Picture { notes, ..picture("BMP", &decoder, bits) };
    let colour = decoder.get_palette().map(|p| grey_or_palette(p.to_vec(), bits));
    let mut raster = pixels(decoder, picture, max_pixels)?;
    match colour {
        Some(colour) => raster.colour = colour,
        // Fields of 5 or 6 bit come as 8.
        None => raster.picture.bits = 8,
    }
    Ok(raster)
}

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

fn number(bytes: &[u8], at: usize, size: usize) -> Option<u64> {
    Some(bytes.get(at..at + size)?.iter().rev().fold(0, |value, &b| value << 8 | u64::from(b)))
}

/// Bits that a BMP stores for a palette's index; 8 for colours.
fn depth(bytes: &[u8]) -> u32 {
    let at = if number(bytes, 14, 4) == Some(12) { 24 } else { 28 };
    number(bytes, at, 2).map_or(8, |bits| bits.clamp(1, 8) as u32)
}

/// A BMP whose header places the pixels inside its palette, or nowhere, with the place behind the palette;
/// other viewers do so too. Where the pixels would not fit there, the palette is shorter than it says.
fn mended(bytes: &[u8]) -> (Cow<'_, [u8]>, Vec<Note>) {
    let same = || (Cow::Borrowed(bytes), Vec::new());
    let core = number(bytes, 14, 4) == Some(12);
    let field = |at, in_core, size| number(bytes, if core { in_core } else { at }, size);
    let (Some(offset), Some(header), Some(bits), Some(width), Some(height)) = (
        number(bytes, 10, 4),
        number(bytes, 14, 4),
        field(28, 24, 2),
        if core { number(bytes, 18, 2) } else { number(bytes, 18, 4) },
        if core { number(bytes, 20, 2) } else { number(bytes, 22, 4) },
    ) else {
        return same();
    };
    let compression = if core { 0 } else { number(bytes, 30, 4).unwrap_or(0) };
    let used = if core { 0 } else { number(bytes, 46, 4).unwrap_or(0) };
    let colours = match (used, bits) {
        (0, 1..=8) => 1 << bits,
        (0, _) => 0,
        (used, _) => used,
    };
    let masks = if compression == 3 && header == 40 { 12 } else { 0 };
    let behind = 14 + header + masks + colours * if core { 3 } else { 4 };
    let rows = u64::from((height as u32 as i32).unsigned_abs());
    let size = if compression == 0 || compression == 3 { (width * bits).div_ceil(32) * 4 * rows } else { 0 };
    if offset >= behind || behind + size > bytes.len() as u64 {
        return same();
    }
    let mut whole = bytes.to_vec();
    whole[10..14].copy_from_slice(&(behind as u32).to_le_bytes());
    (Cow::Owned(whole), vec![Note::PixelOffset])
}

fn fault(error: ImageError) -> Fault {
    match error {
        ImageError::Unsupported(e) => unsupported(e.to_string()),
        ImageError::Limits(e) => Fault::TooLarge(e.to_string()),
        ImageError::IoError(e) if e.kind() == ErrorKind::UnexpectedEof => cut(),
        other => damaged(other.to_string().trim_end_matches('.')),
    }
}
