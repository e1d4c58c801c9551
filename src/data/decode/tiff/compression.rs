//! Compressions of TIFF.

use crate::data::decode::raster::{Read, cut, damaged, unsupported};
use std::io::Read as _;

/// How strips and tiles are compressed.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Compression {
    None,
    Group3,
    Group4,
    Lzw,
    Jpeg,
    Deflate,
    PackBits,
    Zstd,
}

impl Compression {
    /// Of tag 259; `options` is tag 292.
    pub fn new(number: u64, options: u64) -> Read<Self> {
        Ok(match number {
            1 => Self::None,
            3 if options & 1 == 0 => Self::Group3,
            4 => Self::Group4,
            5 => Self::Lzw,
            7 => Self::Jpeg,
            8 | 32_946 => Self::Deflate,
            32_773 => Self::PackBits,
            50_000 => Self::Zstd,
            other => {
                let name = match other {
                    2 => "CCITT run lengths".to_owned(),
                    3 => "two-dimensional CCITT group 3".to_owned(),
                    6 => "the old kind of JPEG".to_owned(),
                    33_003 | 33_004 | 33_005 | 34_712 => "JPEG 2000".to_owned(),
                    34_887 => "LERC".to_owned(),
                    34_925 => "LZMA".to_owned(),
                    50_001 => "WebP".to_owned(),
                    50_002 | 52_546 => "JPEG XL".to_owned(),
                    34_676 | 34_677 => "SGI's LogLuv".to_owned(),
                    _ => format!("number {other}"),
                };
                return Err(unsupported(format!("a TIFF whose compression is {name}")));
            }
        })
    }

    /// Unpacks to `size` bytes: rows of `width` samples, for compressions of one bit.
    pub fn unpack(self, data: &[u8], size: usize, width: usize) -> Read<Vec<u8>> {
        let out = match self {
            Self::None => data.get(..size).ok_or_else(cut)?.to_vec(),
            Self::Lzw => {
                if data.starts_with(&[0]) && data.get(1).is_some_and(|b| b & 1 == 1) {
                    return Err(unsupported("a TIFF whose compression is the old kind of LZW"));
                }
                let mut out = Vec::new();
                let mut decoder = weezl::decode::Decoder::with_tiff_size_switch(weezl::BitOrder::Msb, 8);
                let (mut from, mut to) = (0, 0);
                while to < size {
                    // As much again as there is: what a tag says takes no memory.
                    out.resize(size.min((2 * to).max(1 << 16)), 0);
                    let result = decoder.decode_bytes(&data[from..], &mut out[to..]);
                    from += result.consumed_in;
                    to += result.consumed_out;
                    match result.status {
                        Ok(weezl::LzwStatus::Ok) if result.consumed_in + result.consumed_out > 0 => {}
                        Ok(_) => break,
                        Err(e) => return Err(damaged(format!("LZW: {e}"))),
                    }
                }
                out.truncate(to);
                out
            }
            Self::Deflate => read(flate2::read::ZlibDecoder::new(data), size, data.len())?,
            Self::Zstd => {
                let decoder = ruzstd::decoding::StreamingDecoder::new(data)
                    .map_err(|e| damaged(format!("Zstandard: {e}")))?;
                read(decoder, size, data.len())?
            }
            Self::PackBits => pack_bits(data, size),
            Self::Group3 | Self::Group4 => return self.fax(data, size, width),
            Self::Jpeg => return Err(damaged("JPEG is no stream of bytes")),
        };
        if out.len() < size { Err(cut()) } else { Ok(out) }
    }

    fn fax(self, data: &[u8], size: usize, width: usize) -> Read<Vec<u8>> {
        let stride = width.div_ceil(8);
        let narrow =
            u16::try_from(width).map_err(|_| unsupported("a CCITT TIFF of more than 65535 columns"))?;
        let rows = size / stride;
        let mut out = Vec::new();
        let mut line = |transitions: &[u16]| {
            if out.len() < size {
                let start = out.len();
                out.resize(start + stride, 0u8);
                // 0 is white in the codes.
                for (x, colour) in fax::decoder::pels(transitions, narrow).enumerate() {
                    if colour == fax::Color::Black {
                        out[start + x / 8] |= 0x80 >> (x % 8);
                    }
                }
            }
        };
        let bytes = data.iter().copied();
        if self == Self::Group4 {
            let mut decoder =
                fax::decoder::Group4Decoder::new(bytes.map(Ok::<u8, std::convert::Infallible>), narrow)
                    .map_err(|_| cut())?;
            for _ in 0..rows {
                match decoder.advance() {
                    Ok(fax::decoder::DecodeStatus::Incomplete) => line(decoder.transition()),
                    _ => break,
                }
            }
        } else {
            // What goes wrong leaves rows out, which is seen below.
            let _ = fax::decoder::decode_g3(bytes.chain(RETURN_TO_CONTROL), line);
        }
        if out.len() < size { Err(cut()) } else { Ok(out) }
    }
}

/// Six ends of line, which end a fax. TIFF leaves them out, and the library drops a last line without them.
const RETURN_TO_CONTROL: [u8; 9] = [0, 0x10, 1, 0, 0x10, 1, 0, 0x10, 1];

/// The first `size` bytes, or as many as there are, of what `packed` bytes unpack to: no more memory is taken than
/// that.
fn read(from: impl std::io::Read, size: usize, packed: usize) -> Read<Vec<u8>> {
    let mut out = Vec::with_capacity(size.min(packed.saturating_mul(8)));
    match from.take(size as u64).read_to_end(&mut out) {
        Err(e) if e.kind() != std::io::ErrorKind::UnexpectedEof => Err(damaged(e.to_string())),
        _ => Ok(out),
    }
}

fn pack_bits(mut data: &[u8], size: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(size.min(data.len().saturating_mul(8)));
    while out.len() < size {
        match data {
            [head @ 0..=127, rest @ ..] => {
                let (run, rest) = rest.split_at(rest.len().min(usize::from(*head) + 1));
                out.extend(run);
                data = rest;
            }
            [128, rest @ ..] => data = rest,
            [head, byte, rest @ ..] => {
                out.extend(std::iter::repeat_n(*byte, 257 - usize::from(*head)));
                data = rest;
            }
            _ => break,
        }
    }
    out
}
