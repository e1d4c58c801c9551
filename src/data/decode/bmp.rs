//! BMP: palettes, fields of bits, run lengths, and headers that place the pixels wrong.
//!
//! The image crate's decoder gives no indices of fewer than 8 bit and panics on data that is cut off.

use super::picture::{Note, Picture};
use super::raster::{
    Colour, Data, Raster, Read, check_size, cut, damaged, grey_or_palette, unpack, unsupported,
};
use std::borrow::Cow;

struct Header {
    width: usize,
    height: usize,
    down: bool,
    bits: u32,
    compression: u64,
    /// Blue, green and red, a fourth byte where the header is not the oldest.
    palette: Vec<[u8; 3]>,
    masks: [u32; 3],
    offset: usize,
    notes: Vec<Note>,
}

/// What the header says.
pub(super) fn header(bytes: &[u8]) -> Read<Picture> {
    read(&whole(bytes)).map(|h| picture(&h))
}

/// The file with the 14 bytes before the header that a DIB lacks.
fn whole(bytes: &[u8]) -> Cow<'_, [u8]> {
    match bytes.starts_with(b"BM") {
        true => bytes.into(),
        // Without a place of the pixels, they lie behind the palette.
        false => [&[0; 14], bytes].concat().into(),
    }
}

fn read(bytes: &[u8]) -> Read<Header> {
    let mut header = parse(bytes)?;
    if !bytes.starts_with(b"BM") {
        header.notes.clear();
    }
    Ok(header)
}

/// Decodes the picture.
pub(super) fn decode(bytes: &[u8], max_pixels: u64) -> Read<Raster> {
    let bytes = &*whole(bytes);
    let h = read(bytes)?;
    let picture = picture(&h);
    check_size(picture.width, picture.height, max_pixels)?;
    let data = bytes.get(h.offset..).ok_or_else(cut)?;
    if h.compression == 1 || h.compression == 2 {
        let values = run_lengths(data, &h)?;
        return Ok(Raster {
            picture: Picture { bits: 8, ..picture },
            colour: Colour::Palette(h.palette),
            alpha: false,
            data: Data::U8(values),
        });
    }
    let stride = (h.width * h.bits as usize).div_ceil(32) * 4;
    // The padding of the last row may be missing.
    let needed = stride * (h.height - 1) + (h.width * h.bits as usize).div_ceil(8);
    if data.len() < needed {
        return Err(cut());
    }
    let mut values = Vec::new();
    for y in 0..h.height {
        let at = stride * if h.down { y } else { h.height - 1 - y };
        let row = &data[at..data.len().min(at + stride)];
        match h.bits {
            8 => values.extend(&row[..h.width]),
            1..=4 => values.extend(unpack(row, h.width, h.bits, row.len())),
            24 => {
                values.extend(row[..h.width * 3].as_chunks::<3>().0.iter().flat_map(|p| [p[2], p[1], p[0]]))
            }
            16 => values.extend(
                row[..h.width * 2]
                    .as_chunks()
                    .0
                    .iter()
                    .flat_map(|&p| fields(u16::from_le_bytes(p).into(), h.masks)),
            ),
            _ => values.extend(
                row[..h.width * 4].as_chunks().0.iter().flat_map(|&p| fields(u32::from_le_bytes(p), h.masks)),
            ),
        }
    }
    let colour = if h.bits <= 8 { grey_or_palette(h.palette, h.bits) } else { Colour::Rgb };
    Ok(Raster { picture, colour, alpha: false, data: Data::U8(values) })
}

fn picture(h: &Header) -> Picture {
    Picture {
        kind: "BMP",
        width: h.width as u32,
        height: h.height as u32,
        channels: if h.bits <= 8 { 1 } else { 3 },
        // Fields of 5 or 6 bit come as 8.
        bits: h.bits.min(8),
        notes: h.notes.clone(),
        ..Picture::default()
    }
}

/// Fields of a pixel, each from 0 to its most spread over 8 bit.
fn fields(pixel: u32, masks: [u32; 3]) -> [u8; 3] {
    masks.map(|mask| {
        let shift = mask.trailing_zeros().min(31);
        let most = u64::from(mask >> shift).max(1);
        ((u64::from((pixel & mask) >> shift) * 255 + most / 2) / most) as u8
    })
}

fn parse(bytes: &[u8]) -> Read<Header> {
    let number = |at: usize, size: usize| {
        let bytes = bytes.get(at..at + size).ok_or_else(cut)?;
        Ok::<u64, super::raster::Fault>(bytes.iter().rev().fold(0, |value, &b| value << 8 | u64::from(b)))
    };
    let size = number(14, 4)?;
    let core = size == 12;
    if !(core || size == 16 || (40..=124).contains(&size)) {
        return Err(unsupported(format!("a BMP file with a header of {size} bytes")));
    }
    let signed = |at| Ok::<_, super::raster::Fault>(number(at, 4)? as u32 as i32);
    let (width, height) =
        if core { (number(18, 2)? as i32, number(20, 2)? as i32) } else { (signed(18)?, signed(22)?) };
    let bits = number(if core { 24 } else { 28 }, 2)? as u32;
    let long = size >= 40;
    let (compression, used) = if long { (number(30, 4)?, number(46, 4)?) } else { (0, 0) };
    match (compression, bits) {
        (0, 1 | 2 | 4 | 8 | 16 | 24 | 32) | (1, 8) | (2, 4) | (3, 16 | 32) | (6, 16 | 32) => {}
        (0..=3 | 6, _) => return Err(damaged(format!("a BMP of {bits} bit with compression {compression}"))),
        (4, _) => return Err(unsupported("a BMP file that holds a JPEG")),
        (5, _) => return Err(unsupported("a BMP file that holds a PNG")),
        _ => return Err(unsupported(format!("a BMP file with compression {compression}"))),
    }
    if width < 0 || height == i32::MIN {
        return Err(damaged(format!("{width}x{height} is no size")));
    }
    let fields = matches!(compression, 3 | 6);
    let mask = |i: usize| Ok::<_, super::raster::Fault>(number(54 + 4 * i, 4)? as u32);
    let masks = match (fields, bits) {
        (true, _) => [mask(0)?, mask(1)?, mask(2)?],
        (_, 16) => [0x7c00, 0x3e0, 0x1f],
        _ => [0xff_0000, 0xff00, 0xff],
    };
    // Masks stand behind the old header, and in the longer ones.
    let behind = match (fields && size == 40, compression) {
        (true, 6) => 16,
        (true, _) => 12,
        _ => 0,
    };
    let start = 14 + size as usize + behind;
    let entry = if core { 3 } else { 4 };
    let mut offset = number(10, 4)? as usize;
    let mut colours = match (used, bits) {
        (_, 9..) => 0,
        (0, _) => 1usize << bits,
        (used, _) => used.min(1 << bits) as usize,
    };
    let mut notes = Vec::new();
    let end = start + colours * entry;
    if offset < end {
        let row = (width.unsigned_abs() as usize * bits as usize).div_ceil(32) * 4;
        let pixels =
            if compression == 1 || compression == 2 { 0 } else { row * height.unsigned_abs() as usize };
        let whole = bytes.len() + 3 >= end + pixels;
        if offset > start && !whole && bytes.len() >= offset + pixels {
            // The pixels fit where the header places them and not behind the palette, which then is shorter.
            colours = (offset - start) / entry;
        } else {
            // As other viewers do.
            offset = end;
            notes.push(Note::PixelOffset);
        }
    }
    let table = bytes.get(start..start + colours * entry).ok_or_else(cut)?;
    let palette = table.chunks_exact(entry).map(|c| [c[2], c[1], c[0]]).collect();
    let (width, rows) = (width as usize, height.unsigned_abs() as usize);
    Ok(Header { width, height: rows, down: height < 0, bits, compression, palette, masks, offset, notes })
}

/// Run lengths of 8 or 4 bit. What a run jumps over has the first colour.
fn run_lengths(data: &[u8], h: &Header) -> Read<Vec<u8>> {
    let mut values = vec![0; h.width * h.height];
    let (mut x, mut y) = (0, 0);
    let mut at = 0;
    let mut next = || {
        at += 1;
        data.get(at - 1).copied().ok_or_else(cut)
    };
    let mut put = |x: &mut usize, y: usize, value: u8| {
        if *x < h.width && y < h.height {
            let row = if h.down { y } else { h.height - 1 - y };
            values[row * h.width + *x] = value;
        }
        *x += 1;
    };
    let nibble = |byte: u8, i: usize| if h.bits == 8 { byte } else { byte >> (4 * (1 - i % 2)) & 15 };
    loop {
        match (next()?, next()?) {
            (0, 0) => (x, y) = (0, y + 1),
            (0, 1) => break,
            (0, 2) => (x, y) = (x + usize::from(next()?), y + usize::from(next()?)),
            (0, count) => {
                let count = usize::from(count);
                let size = (count * h.bits as usize).div_ceil(8);
                let run: Vec<u8> = (0..size).map(|_| next()).collect::<Read<_>>()?;
                (0..count).for_each(|i| put(&mut x, y, nibble(run[i * h.bits as usize / 8], i)));
                if size % 2 == 1 {
                    next()?;
                }
            }
            (count, value) => (0..usize::from(count)).for_each(|i| put(&mut x, y, nibble(value, i))),
        }
        if y > h.height {
            return Err(damaged("run lengths lead out of the picture"));
        }
    }
    Ok(values)
}
