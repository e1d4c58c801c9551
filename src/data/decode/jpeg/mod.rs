//! JPEG: the segments are read and the scans counted here, pixels are made by one of two libraries, of which
//! each gets the sorts that it decodes right (docs/decisions.md has the table).

mod frame;
mod huffman;
mod markers;
mod scan;
mod tables;

use super::picture::{Note, Picture};
use super::raster::{Colour, Data, Raster, Read, check_size, cmyk_to_rgb, damaged, unsupported};
use markers::Markers;
use std::borrow::Cow;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

/// What the components are.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Model {
    Grey,
    Rgb,
    YCbCr,
    Cmyk,
    Ycck,
}

/// What the header says.
pub(super) fn header(bytes: &[u8]) -> Read<Picture> {
    picture(&markers::read(bytes, false)?)
}

/// Decodes the main picture of the file.
pub(super) fn decode(bytes: &[u8], max_pixels: u64) -> Read<Raster> {
    decode_as(bytes, max_pixels, None)
}

/// As [`decode`], with components that are `model` whatever the file's segments say, as TIFF needs it.
pub(super) fn decode_as(bytes: &[u8], max_pixels: u64, model: Option<Model>) -> Read<Raster> {
    // From the header alone first: scans take time and memory.
    let first = markers::read(bytes, false)?;
    let frame = &first.frame;
    check_size(frame.width as u32, frame.height as u32, max_pixels)?;
    let marks = markers::read(bytes, true)?;
    let mut picture = picture(&marks)?;
    let model = match model {
        Some(model) => model,
        None => by_markers(&marks)?,
    };
    if !marks.has_end {
        picture.notes.push(Note::NoEndMarker);
    }
    let whole = repaired(bytes, &marks);
    let data = if ordinary(&marks) { zune(&whole, model)? } else { other(&whole, model, max_pixels)? };
    let colour = if model == Model::Grey { Colour::Grey } else { Colour::Rgb };
    let raster = Raster { picture, colour, alpha: false, data };
    let want = marks.frame.width * marks.frame.height * raster.channels();
    let got = match &raster.data {
        Data::U8(v) => v.len(),
        Data::U16(v) => v.len(),
        Data::Wide(v) => v.len(),
    };
    if got == want { Ok(raster) } else { Err(damaged("the decoder gave another number of pixels")) }
}

fn picture(marks: &Markers) -> Read<Picture> {
    let frame = &marks.frame;
    let mut notes = Vec::new();
    if marks.pictures > 1 {
        notes.push(Note::FirstPage(marks.pictures));
    }
    if frame.components.len() == 4 {
        notes.push(Note::Cmyk);
    }
    let exif = marks.exif.as_deref().and_then(image::metadata::Orientation::from_exif_chunk);
    Ok(Picture {
        kind: "JPEG",
        width: frame.width as u32,
        height: frame.height as u32,
        channels: frame.components.len() as u32,
        bits: frame.precision.into(),
        tagged_bits: (frame.precision > 8 && frame.precision < 16).then_some(frame.precision.into()),
        notes,
        orientation: exif.map_or(0, image::metadata::Orientation::to_exif),
        ..Picture::default()
    })
}

/// As libjpeg does it: JFIF means YCbCr, else Adobe's segment says, else the components' names.
fn by_markers(marks: &Markers) -> Read<Model> {
    let ids: Vec<_> = marks.frame.components.iter().map(|c| c.id).collect();
    Ok(match (ids.len(), marks.adobe) {
        (1, _) => Model::Grey,
        (3, _) if marks.frame.lossless() => Model::Rgb,
        (3, _) if marks.jfif => Model::YCbCr,
        (3, Some(0)) => Model::Rgb,
        (3, Some(_)) => Model::YCbCr,
        (3, None) if ids == *b"RGB" => Model::Rgb,
        (3, None) => Model::YCbCr,
        (4, Some(2)) => Model::Ycck,
        (4, _) => Model::Cmyk,
        (count, _) => return Err(unsupported(format!("a JPEG of {count} components"))),
    })
}

/// The file up to its end marker, with the tables and the marker that it lacks.
fn repaired<'a>(bytes: &'a [u8], marks: &Markers) -> Cow<'a, [u8]> {
    if marks.has_end && marks.lacks_tables.is_none() {
        return Cow::Borrowed(&bytes[..marks.end + 2]);
    }
    let at = marks.lacks_tables.unwrap_or(0);
    let mut whole = bytes[..at].to_vec();
    if marks.lacks_tables.is_some() {
        whole.extend(tables::standard_tables());
    }
    whole.extend(&bytes[at..marks.end]);
    whole.extend([0xff, 0xd9]);
    Cow::Owned(whole)
}

/// Whether zune-jpeg decodes it right: one scan for all or progressive, chroma not finer than luma, halves at
/// most.
fn ordinary(marks: &Markers) -> bool {
    let frame = &marks.frame;
    let count = frame.components.len();
    let factors: Vec<_> = frame.components.iter().map(|c| (c.h, c.v)).collect();
    let usual = match count {
        1 => factors[0] == (1, 1),
        3 => factors[0].0 <= 2 && factors[0].1 <= 2 && factors[1..] == [(1, 1), (1, 1)],
        _ => false,
    };
    usual && !frame.lossless() && (frame.progressive() || marks.scans == [count])
}

fn zune(bytes: &[u8], model: Model) -> Read<Data> {
    let fault = |e: zune_jpeg::errors::DecodeErrors| damaged(format!("JPEG: {e}"));
    let options = DecoderOptions::default()
        .set_max_width(usize::from(u16::MAX))
        .set_max_height(usize::from(u16::MAX))
        .set_strict_mode(true);
    let mut decoder = zune_jpeg::JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    decoder.decode_headers().map_err(fault)?;
    let stored = decoder.input_colorspace().unwrap_or(ColorSpace::Unknown);
    let out = match (model, stored) {
        (Model::YCbCr, ColorSpace::YCbCr) => ColorSpace::RGB,
        _ => stored,
    };
    decoder.set_options(options.jpeg_set_out_colorspace(out));
    let mut data = decoder.decode().map_err(fault)?;
    if model == Model::YCbCr && stored != ColorSpace::YCbCr {
        to_rgb(&mut data);
    }
    Ok(Data::U8(data))
}

fn other(bytes: &[u8], model: Model, max_pixels: u64) -> Read<Data> {
    use jpeg_decoder::{ColorTransform, Decoder, Error, PixelFormat};
    let fault = |e: Error| match e {
        Error::Unsupported(jpeg_decoder::UnsupportedFeature::NonIntegerSubsamplingRatio) => {
            unsupported("a JPEG whose colours have no whole number of pixels")
        }
        Error::Unsupported(what) => unsupported(format!("a JPEG with {what:?}")),
        Error::Io(_) => super::raster::cut(),
        other => damaged(format!("JPEG: {other}")),
    };
    let mut decoder = Decoder::new(bytes);
    decoder.set_max_decoding_buffer_size(usize::try_from(max_pixels.saturating_mul(8)).unwrap_or(usize::MAX));
    decoder.set_color_transform(match model {
        Model::Grey => ColorTransform::Grayscale,
        Model::Rgb => ColorTransform::RGB,
        Model::YCbCr => ColorTransform::YCbCr,
        Model::Cmyk => ColorTransform::CMYK,
        Model::Ycck => ColorTransform::YCCK,
    });
    let mut data = decoder.decode().map_err(fault)?;
    match decoder.info().map(|info| info.pixel_format) {
        Some(PixelFormat::L8 | PixelFormat::RGB24) => Ok(Data::U8(data)),
        Some(PixelFormat::L16) => {
            Ok(Data::U16(data.as_chunks().0.iter().map(|&b| u16::from_ne_bytes(b)).collect()))
        }
        Some(PixelFormat::CMYK32) => {
            // Files hold the complements of inks, as Adobe began it, with its segment or without; the decoder
            // turns them to inks.
            let rgb = |ink: &[u8; 4]| cmyk_to_rgb(ink.map(u32::from), 255).map(|v| v as u8);
            data = data.as_chunks::<4>().0.iter().flat_map(rgb).collect();
            Ok(Data::U8(data))
        }
        None => Err(damaged("the decoder gave no format")),
    }
}

/// YCbCr to RGB in place, by JFIF's formula.
pub(super) fn to_rgb(data: &mut [u8]) {
    for pixel in data.as_chunks_mut::<3>().0 {
        let [y, b, r] = pixel.map(f32::from);
        let (b, r) = (b - 128.0, r - 128.0);
        let rgb = [y + 1.402 * r, y - 0.344_136 * b - 0.714_136 * r, y + 1.772 * b];
        *pixel = rgb.map(|v| v.round().clamp(0.0, 255.0) as u8);
    }
}
