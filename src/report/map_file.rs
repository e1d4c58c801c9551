//! Anomaly maps as files that other programs read.

use crate::files::write_whole;
use crate::{Error, Result};
use std::path::Path;

/// File format of an anomaly map.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum MapFormat {
    /// NumPy's `.npy`, version 1.0: 32-bit floats, `(height, width)` in C order.
    Npy,
    /// TIFF of one grey channel of 32-bit floats, not compressed.
    Tiff,
    /// PNG of 16-bit grey: `sample * scale` is the map's value, rounded to the nearest. What is below 0 or no
    /// number becomes 0, what is above `65535 * scale` 65535. The text chunk `scale` of the file holds the
    /// scale.
    Png16 {
        /// Value of a step.
        scale: f32,
    },
}

impl MapFormat {
    /// What the names of such files end with, without the dot.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Npy => "npy",
            Self::Tiff => "tiff",
            Self::Png16 { .. } => "png",
        }
    }
}

/// Writes a map (`[height][width]` values, row by row) to a file, whole or not at all.
///
/// ```
/// use softpatch::report::{MapFormat, write_map};
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("map.npy");
///
/// write_map(&path, &[0.5, 1.0, 1.5, 2.0, 2.5, 3.0], [2, 3], MapFormat::Npy)?;
/// # assert!(std::fs::read(&path).unwrap().starts_with(b"\x93NUMPY\x01\x00"));
/// # Ok::<(), softpatch::Error>(())
/// ```
///
/// # Errors
/// [`Error::InvalidImage`] where the map has another number of values, no pixel, or is too large for the
/// format; [`Error::InvalidOption`] for a scale that is not above 0; [`Error::Io`] naming `path`.
pub fn write_map(path: &Path, map: &[f32], size: [u32; 2], format: MapFormat) -> Result<()> {
    write_whole(path, &map_bytes(map, size, format)?)
}

/// The bytes of such a file.
///
/// # Errors
/// As [`write_map`], but for [`Error::Io`].
pub fn map_bytes(map: &[f32], [height, width]: [u32; 2], format: MapFormat) -> Result<Vec<u8>> {
    super::heat::check(map, height, width)?;
    match format {
        MapFormat::Npy => Ok(npy(map, [height, width])),
        MapFormat::Tiff => tiff(map, [height, width]),
        MapFormat::Png16 { scale } => png16(map, [height, width], scale),
    }
}

fn npy(map: &[f32], [height, width]: [u32; 2]) -> Vec<u8> {
    /// Magic, version, length of the header.
    const BEFORE: usize = 10;
    let mut header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({height}, {width}), }}");
    // The values begin at a multiple of 64 bytes; a line end stands before them.
    let end = (BEFORE + header.len() + 1).next_multiple_of(64);
    header.extend(std::iter::repeat_n(' ', end - 1 - BEFORE - header.len()));
    header.push('\n');
    let mut bytes = Vec::with_capacity(end + 4 * map.len());
    bytes.extend(b"\x93NUMPY\x01\x00");
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(map.iter().flat_map(|v| v.to_le_bytes()));
    bytes
}

/// TIFF 6.0: the values as one strip, and after them the directory.
fn tiff(map: &[f32], [height, width]: [u32; 2]) -> Result<Vec<u8>> {
    const HEADER: u32 = 8;
    const SHORT: u16 = 3;
    const LONG: u16 = 4;
    let data = u32::try_from(map.len() as u64 * 4).ok().filter(|&bytes| bytes <= u32::MAX - 1024);
    let Some(data) = data else {
        return Err(Error::InvalidImage(format!(
            "a map of {height}x{width} is too large for a TIFF file, which ends at 4 GiB; write it as npy"
        )));
    };
    let entries: [(u16, u16, u32); 10] = [
        (256, LONG, width),
        (257, LONG, height),
        (258, SHORT, 32), // bits of a sample
        (259, SHORT, 1),  // no compression
        (262, SHORT, 1),  // 0 is black
        (273, LONG, HEADER),
        (277, SHORT, 1), // samples of a pixel
        (278, LONG, height),
        (279, LONG, data),
        (339, SHORT, 3), // samples are floating point
    ];
    let mut bytes = Vec::with_capacity(data as usize + 256);
    bytes.extend(b"II\x2a\x00");
    bytes.extend((HEADER + data).to_le_bytes());
    bytes.extend(map.iter().flat_map(|v| v.to_le_bytes()));
    bytes.extend((entries.len() as u16).to_le_bytes());
    for (tag, kind, value) in entries {
        bytes.extend(tag.to_le_bytes());
        bytes.extend(kind.to_le_bytes());
        bytes.extend(1_u32.to_le_bytes());
        // A short stands in the first half, which in this order of bytes is where a long has its lower half.
        bytes.extend(value.to_le_bytes());
    }
    bytes.extend(0_u32.to_le_bytes());
    Ok(bytes)
}

fn png16(map: &[f32], [height, width]: [u32; 2], scale: f32) -> Result<Vec<u8>> {
    if !(scale > 0.0 && scale.is_finite()) {
        return Err(Error::InvalidOption(format!("a step of {scale} in a 16-bit map; it must be above 0")));
    }
    // A cast makes 0 of what is no number, and stops at the ends.
    let level = |v: &f32| (f64::from(*v) / f64::from(scale)).round() as u16;
    let samples: Vec<u8> = map.iter().flat_map(|v| level(v).to_be_bytes()).collect();
    let fail = |e: png::EncodingError| {
        Error::InvalidImage(format!("a map of {height}x{width} cannot be written as PNG: {e}"))
    };
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::Sixteen);
    encoder.set_compression(png::Compression::Fast);
    encoder.add_text_chunk("scale".into(), scale.to_string()).map_err(fail)?;
    let mut writer = encoder.write_header().map_err(fail)?;
    writer.write_image_data(&samples).map_err(fail)?;
    writer.finish().map_err(fail)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAP: [f32; 6] = [0.0, 1.0, 2.5, f32::NAN, 1e9, -3.0];

    fn floats(bytes: &[u8]) -> Vec<u32> {
        bytes.chunks_exact(4).map(|b| u32::from_le_bytes(b.try_into().unwrap())).collect()
    }

    fn bits() -> Vec<u32> {
        MAP.iter().map(|v| v.to_bits()).collect()
    }

    #[test]
    fn npy_is_as_numpy_says() {
        let bytes = map_bytes(&MAP, [2, 3], MapFormat::Npy).unwrap();
        assert_eq!(&bytes[..8], b"\x93NUMPY\x01\x00");
        let length = usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
        let header = std::str::from_utf8(&bytes[10..10 + length]).unwrap();
        let want = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }";
        assert_eq!(header.trim_end_matches(' ').trim_end(), want);
        assert!(header.ends_with('\n') && (10 + length).is_multiple_of(64));
        assert_eq!(floats(&bytes[10 + length..]), bits());
        // The longest sizes fit the header.
        assert_eq!(npy(&[], [u32::MAX, u32::MAX]).len() % 64, 0);
    }

    #[test]
    fn tiff_has_its_tags_in_order_and_all_values() {
        let bytes = map_bytes(&MAP, [2, 3], MapFormat::Tiff).unwrap();
        let long = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
        let short = |at: usize| u16::from_le_bytes(bytes[at..at + 2].try_into().unwrap());
        assert_eq!(&bytes[..4], b"II\x2a\x00");
        let directory = long(4) as usize;
        let entries: Vec<_> = (0..usize::from(short(directory)))
            .map(|i| directory + 2 + 12 * i)
            .map(|at| (short(at), if short(at + 2) == 3 { short(at + 8).into() } else { long(at + 8) }))
            .collect();
        assert!(entries.is_sorted_by_key(|e| e.0));
        let tag = |tag| entries.iter().find(|e| e.0 == tag).unwrap().1;
        assert_eq!([256, 257, 258, 259, 277, 339].map(tag), [3, 2, 32, 1, 1, 3]);
        let strip = tag(273) as usize;
        assert_eq!(floats(&bytes[strip..strip + tag(279) as usize]), bits());
        assert_eq!(long(directory + 2 + 12 * entries.len()), 0, "no second directory");
    }

    #[test]
    fn png_has_the_levels_and_their_scale() {
        let bytes = map_bytes(&MAP, [2, 3], MapFormat::Png16 { scale: 0.001 }).unwrap();
        let mut reader = png::Decoder::new(std::io::Cursor::new(bytes)).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut pixels).unwrap();
        assert_eq!((info.width, info.height, info.bit_depth), (3, 2, png::BitDepth::Sixteen));
        let levels: Vec<u16> = pixels.chunks_exact(2).map(|b| u16::from_be_bytes([b[0], b[1]])).collect();
        assert_eq!(levels, [0, 1000, 2500, 0, 65_535, 0]);
        let text = &reader.info().uncompressed_latin1_text[0];
        assert_eq!((text.keyword.as_str(), text.text.parse()), ("scale", Ok(0.001_f32)));
        for scale in [0.0, -1.0, f32::NAN, f32::INFINITY] {
            assert!(map_bytes(&MAP, [2, 3], MapFormat::Png16 { scale }).is_err(), "{scale}");
        }
    }

    #[test]
    fn wrong_sizes_are_refused() {
        for format in [MapFormat::Npy, MapFormat::Tiff, MapFormat::Png16 { scale: 1.0 }] {
            assert!(map_bytes(&MAP, [3, 3], format).is_err() && map_bytes(&[], [0, 0], format).is_err());
        }
    }
}
