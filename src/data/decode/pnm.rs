//! Portable anymaps: PBM, PGM, PPM, as text and in bytes, and PAM.

use super::picture::Picture;
use super::raster::{Colour, Data, Raster, Read, check_size, cut, damaged, unpack, unsupported};

struct Header {
    /// Digit of the magic number.
    sort: u8,
    width: u32,
    height: u32,
    channels: u32,
    /// The value that is white.
    most: u32,
    /// Where the pixels begin.
    data: usize,
}

/// What the header says.
pub(super) fn header(bytes: &[u8]) -> Read<Picture> {
    parse(bytes).map(|h| picture(&h))
}

/// Decodes the picture, of several the first.
pub(super) fn decode(bytes: &[u8], max_pixels: u64) -> Read<Raster> {
    let header = parse(bytes)?;
    check_size(header.width, header.height, max_pixels)?;
    let picture = picture(&header);
    let (width, most) = (header.width as usize, header.most);
    let count = width * header.height as usize * header.channels as usize;
    let data = &bytes[header.data.min(bytes.len())..];
    let values: Vec<u32> = match header.sort {
        b'1' => {
            let bits = data.iter().filter(|b| !b.is_ascii_whitespace()).take(count);
            // 1 is black.
            bits.map(|b| match b {
                b'0' => Ok(1),
                b'1' => Ok(0),
                _ => Err(damaged("a pixel is neither 0 nor 1")),
            })
            .collect::<Read<_>>()?
        }
        b'2' | b'3' => {
            let mut words = Words { bytes, at: header.data };
            (0..count).map(|_| words.number()).collect::<Read<_>>()?
        }
        b'4' => {
            let row = width.div_ceil(8);
            let data = data.get(..row * header.height as usize).ok_or_else(cut)?;
            unpack(data, width, 1, row).iter().map(|&v| u32::from(1 - v)).collect()
        }
        _ if most > 255 => {
            data.as_chunks().0.iter().take(count).map(|&b| u16::from_be_bytes(b).into()).collect()
        }
        _ => data.iter().take(count).map(|&b| b.into()).collect(),
    };
    if values.len() < count {
        return Err(cut());
    }
    if let Some(v) = values.iter().find(|&&v| v > most) {
        return Err(damaged(format!("a sample is {v}, and the header says that {most} is the most")));
    }
    // White is the most of the container, unless it is the most of a number of bits already.
    let of_bits = (most + 1).is_power_of_two();
    let full = if most > 255 { 65_535 } else { 255 };
    let scale = |v: u32| if of_bits { v } else { (v * full + most / 2) / most };
    let values = values.into_iter().map(scale);
    let data = if most > 255 {
        Data::U16(values.map(|v| v as u16).collect())
    } else {
        Data::U8(values.map(|v| v as u8).collect())
    };
    let colour = if header.channels >= 3 { Colour::Rgb } else { Colour::Grey };
    Ok(Raster { picture, colour, alpha: header.channels % 2 == 0, data })
}

fn picture(header: &Header) -> Picture {
    let container = if header.most > 255 { 16 } else { 8 };
    let significant = if (header.most + 1).is_power_of_two() { header.most.count_ones() } else { container };
    Picture {
        kind: ["PBM", "PGM", "PPM", "PBM", "PGM", "PPM", "PAM"][usize::from(header.sort - b'1')],
        width: header.width,
        height: header.height,
        channels: header.channels,
        bits: if container == 8 { significant } else { 16 },
        tagged_bits: (container == 16 && significant < 16).then_some(significant),
        ..Picture::default()
    }
}

fn parse(bytes: &[u8]) -> Read<Header> {
    let mut words = Words { bytes, at: 2 };
    let sort = *bytes.get(1).ok_or_else(cut)?;
    let (mut width, mut height, mut channels, mut most) = (0, 0, 1, 1);
    if sort == b'7' {
        loop {
            match words.word()? {
                b"WIDTH" => width = words.number()?,
                b"HEIGHT" => height = words.number()?,
                b"DEPTH" => channels = words.number()?,
                b"MAXVAL" => most = words.number()?,
                b"ENDHDR" => break,
                _ => words.line(),
            }
        }
        words.line();
    } else {
        width = words.number()?;
        height = words.number()?;
        channels = if matches!(sort, b'3' | b'6') { 3 } else { 1 };
        if !matches!(sort, b'1' | b'4') {
            most = words.number()?;
        }
        words.at += 1; // one blank before the pixels
    }
    if !(1..=4).contains(&channels) {
        return Err(unsupported(format!("a PAM file of {channels} channels")));
    }
    if !(1..=65_535).contains(&most) {
        return Err(damaged(format!("the largest value is {most}, not 1 to 65535")));
    }
    Ok(Header { sort, width, height, channels, most, data: words.at })
}

struct Words<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Words<'a> {
    fn line(&mut self) {
        while self.at < self.bytes.len() {
            self.at += 1;
            if self.bytes[self.at - 1] == b'\n' {
                break;
            }
        }
    }

    /// The next word; comments are blanks.
    fn word(&mut self) -> Read<&'a [u8]> {
        while let Some(&b) = self.bytes.get(self.at) {
            match b {
                b'#' => self.line(),
                b if b.is_ascii_whitespace() => self.at += 1,
                _ => break,
            }
        }
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let length = rest.iter().position(|b| b.is_ascii_whitespace() || *b == b'#').unwrap_or(rest.len());
        self.at += length;
        if length == 0 { Err(cut()) } else { Ok(&rest[..length]) }
    }

    fn number(&mut self) -> Read<u32> {
        let word = self.word()?;
        std::str::from_utf8(word)
            .ok()
            .and_then(|w| w.parse().ok())
            .ok_or_else(|| damaged(format!("{:?} is no number", String::from_utf8_lossy(word))))
    }
}
