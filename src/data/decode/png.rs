//! PNG.

use super::picture::{Note, Picture};
use super::raster::{Colour, Data, Fault, Raster, Read, check_size, cut, damaged, grey_or_palette, unpack};
use png::{BitDepth, ColorType, Decoder, DecodingError, Info, Limits, Transformations};
use std::io::{Cursor, ErrorKind};

type Reader<'a> = png::Reader<Cursor<&'a [u8]>>;

/// What the header says.
pub(super) fn header(bytes: &[u8]) -> Read<Picture> {
    Ok(picture(open(bytes, usize::MAX)?.info()))
}

/// Decodes the picture, of an animation the first.
pub(super) fn decode(bytes: &[u8], max_pixels: u64) -> Read<Raster> {
    // 8 bytes a pixel are the most that there are; the rest is room for metadata.
    let memory = usize::try_from(max_pixels.saturating_mul(8).saturating_add(64 << 20)).unwrap_or(usize::MAX);
    let mut reader = open(bytes, memory)?;
    let mut picture = picture(reader.info());
    check_size(picture.width, picture.height, max_pixels)?;
    let size = reader.output_buffer_size().ok_or_else(|| damaged("its size is beyond all memory"))?;
    let mut packed = vec![0; size];
    let frame = reader.next_frame(&mut packed).map_err(fault)?;
    packed.truncate(frame.buffer_size());
    let (kind, alpha) = match reader.info().color_type {
        ColorType::Grayscale => (Colour::Grey, false),
        ColorType::GrayscaleAlpha => (Colour::Grey, true),
        ColorType::Rgb => (Colour::Rgb, false),
        ColorType::Rgba => (Colour::Rgb, true),
        ColorType::Indexed => {
            let palette =
                reader.info().palette.as_deref().ok_or_else(|| damaged("its palette is missing"))?;
            (grey_or_palette(palette.as_chunks().0.to_vec(), picture.bits), false)
        }
    };
    let data = if picture.bits == 16 {
        Data::U16(packed.as_chunks().0.iter().map(|&b| u16::from_be_bytes(b)).collect())
    } else if picture.bits == 8 {
        Data::U8(packed)
    } else {
        Data::U8(unpack(&packed, picture.width as usize, picture.bits, frame.line_size))
    };
    if let (Data::U16(v), Some(bits)) = (&data, picture.tagged_bits)
        && !lower_bits(v, bits)
    {
        picture.tagged_bits = None;
    }
    Ok(Raster { picture, colour: kind, alpha, data })
}

fn open(bytes: &[u8], memory: usize) -> Read<Reader<'_>> {
    let mut decoder = Decoder::new_with_limits(Cursor::new(bytes), Limits { bytes: memory });
    decoder.set_transformations(Transformations::IDENTITY);
    // Nobody reads profiles and texts, and a small file may hold a profile that unpacks to gigabytes.
    decoder.set_ignore_iccp_chunk(true);
    decoder.set_ignore_text_chunk(true);
    decoder.read_info().map_err(fault)
}

fn picture(info: &Info) -> Picture {
    let bits = match info.bit_depth {
        BitDepth::One => 1,
        BitDepth::Two => 2,
        BitDepth::Four => 4,
        BitDepth::Eight => 8,
        BitDepth::Sixteen => 16,
    };
    let significant = info.sbit.as_deref().and_then(|bits| bits.iter().copied().max()).map(u32::from);
    let exif = info.exif_metadata.as_deref().and_then(image::metadata::Orientation::from_exif_chunk);
    let moves = info.animation_control().is_some_and(|control| control.num_frames > 1);
    Picture {
        kind: "PNG",
        width: info.width,
        height: info.height,
        channels: info.color_type.samples() as u32,
        bits,
        tagged_bits: significant.filter(|&n| bits == 16 && (1..16).contains(&n)),
        notes: if moves { vec![Note::FirstFrame] } else { Vec::new() },
        orientation: exif.map_or(0, image::metadata::Orientation::to_exif),
        ..Picture::default()
    }
}

/// Whether the `bits` that the file calls significant are the lower ones. The standard has samples scaled up
/// to all 16 bit, by zeros, by repetition or in proportion; programs of cameras store them as they are.
fn lower_bits(values: &[u16], bits: u32) -> bool {
    let most = (1u32 << bits) - 1;
    let scaled = |v: u16| {
        let v = u32::from(v);
        let top = v >> (16 - bits);
        v == top << (16 - bits) || v.abs_diff((top * 65_535 + most / 2) / most) <= 1
    };
    values.iter().all(|&v| u32::from(v) <= most) && !values.iter().all(|&v| scaled(v))
}

fn fault(error: DecodingError) -> Fault {
    match error {
        DecodingError::IoError(e) if e.kind() == ErrorKind::UnexpectedEof => cut(),
        DecodingError::LimitsExceeded => Fault::TooLarge("its data".to_owned()),
        other => damaged(other.to_string().trim_end_matches('.')),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_is_not_unpacked() {
        let mut bytes = Vec::new();
        let mut info = Info::with_size(2, 1);
        info.icc_profile = Some(vec![0; 1 << 20].into());
        let encoder = png::Encoder::with_info(&mut bytes, info).unwrap();
        encoder.write_header().unwrap().write_image_data(&[3, 5]).unwrap();
        assert!(bytes.len() < 10_000 && bytes.windows(4).any(|w| w == b"iCCP"));
        assert_eq!(open(&bytes, usize::MAX).unwrap().info().icc_profile, None);
        assert!(matches!(decode(&bytes, 2).unwrap().data, Data::U8(v) if v == [3, 5]));
    }
}
