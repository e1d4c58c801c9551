//! Samples as a reader hands them over, and what becomes of them.

use super::picture::{Note, Picture};
use crate::data::{Levels, OwnedImage};

/// Why a file is not decoded.
#[derive(Debug)]
pub(super) enum Fault {
    /// Whole, and of a sort that is not read; the text is a noun phrase.
    Unsupported(String),
    /// Not whole.
    Damaged(String),
    /// More pixels or memory than allowed.
    TooLarge(String),
    /// Values that the levels do not fit: reason and remedy.
    Levels(String, &'static str),
}

pub(super) const ENDS_EARLY: &str = "the data ends too early";

/// The data ends too early.
pub(super) fn cut() -> Fault {
    Fault::Damaged(ENDS_EARLY.to_owned())
}

pub(super) fn damaged(reason: impl Into<String>) -> Fault {
    Fault::Damaged(reason.into())
}

pub(super) fn unsupported(what: impl Into<String>) -> Fault {
    Fault::Unsupported(what.into())
}

pub(super) type Read<T> = Result<T, Fault>;

/// What the channels before alpha are.
pub(super) enum Colour {
    Grey,
    Rgb,
    /// Indices into these colours.
    Palette(Vec<[u8; 3]>),
}

/// `[height][width][channels]`.
pub(super) enum Data {
    /// Integers of up to 8 bit.
    U8(Vec<u8>),
    /// Integers of up to 16 bit.
    U16(Vec<u16>),
    /// Floating point, integers of up to 32 bit, and signed ones.
    Wide(Vec<f64>),
}

/// Decoded samples.
pub(super) struct Raster {
    pub picture: Picture,
    pub colour: Colour,
    pub alpha: bool,
    pub data: Data,
}

/// Refuses what has no pixels or more than `max_pixels`, before memory is taken.
pub(super) fn check_size(width: u32, height: u32, max_pixels: u64) -> Read<()> {
    if width == 0 || height == 0 {
        return Err(damaged(format!("{width}x{height} has no pixels")));
    }
    if u64::from(width) * u64::from(height) > max_pixels {
        return Err(Fault::TooLarge(format!("{width}x{height}")));
    }
    Ok(())
}

impl Raster {
    /// Channels of [`Raster::data`].
    pub fn channels(&self) -> usize {
        let colours = if matches!(self.colour, Colour::Rgb) { 3 } else { 1 };
        colours + usize::from(self.alpha)
    }

    /// Notes that alpha says something, where it does.
    pub fn note_alpha(&mut self) {
        fn varies<T: PartialEq>(v: &[T], channels: usize) -> bool {
            let mut alpha = v.iter().skip(channels - 1).step_by(channels);
            let first = alpha.next();
            alpha.any(|a| Some(a) != first)
        }
        let channels = self.channels();
        let says = self.alpha
            && match &self.data {
                Data::U8(v) => varies(v, channels),
                Data::U16(v) => varies(v, channels),
                Data::Wide(v) => varies(v, channels),
            };
        if says {
            self.picture.notes.push(Note::AlphaIgnored);
        }
    }

    /// Turns and mirrors the pixels as an EXIF orientation of 1 to 8 says.
    pub fn turn(&mut self, orientation: u8) {
        let (width, height) = (self.picture.width as usize, self.picture.height as usize);
        let channels = self.channels();
        match &mut self.data {
            Data::U8(v) => *v = turned(v, width, height, channels, orientation),
            Data::U16(v) => *v = turned(v, width, height, channels, orientation),
            Data::Wide(v) => *v = turned(v, width, height, channels, orientation),
        }
        if orientation >= 5 {
            let picture = &mut self.picture;
            (picture.width, picture.height) = (picture.height, picture.width);
        }
    }

    /// The largest integer; none for floating point and integers of 32 bit.
    pub fn largest(&self) -> Option<u32> {
        let channels = self.channels();
        let colours = channels - usize::from(self.alpha);
        match &self.data {
            Data::U8(v) => v.iter().max().map(|&v| u32::from(v)),
            Data::U16(v) => v.chunks_exact(channels).flat_map(|p| &p[..colours]).max().map(|&v| u32::from(v)),
            Data::Wide(_) => None,
        }
    }

    /// What is to be said of how samples of more than 8 bit lie in `levels`.
    pub fn level_note(&self, levels: Levels) -> Option<Note> {
        if matches!((&self.data, &self.colour), (Data::U8(_), _) | (_, Colour::Palette(_))) {
            return None;
        }
        if let Levels::Range { black, white } = levels {
            let outside = |v: f64| usize::from(v < black || v > white);
            let (cut, all) = match &self.data {
                Data::U8(_) => return None,
                Data::U16(v) => (v.iter().map(|&v| outside(v.into())).sum::<usize>(), v.len()),
                Data::Wide(v) => (v.iter().map(|&v| outside(v)).sum(), v.len()),
            };
            return (2 * cut >= all).then_some(Note::OutOfRange);
        }
        let Levels::Bits(bits @ 1..=16) = levels else { return None };
        Some(Note::Largest { sample: self.largest()?, white: (1 << bits) - 1 })
    }

    /// 8-bit RGB.
    pub fn into_rgb8(self, levels: Levels) -> Read<OwnedImage> {
        let (width, height) = (self.picture.width, self.picture.height);
        let (channels, pixels) = (self.channels(), width as usize * height as usize);
        let picture = &self.picture;
        let out = match (self.data, &self.colour) {
            (Data::U8(v), Colour::Palette(colours)) => {
                resolved(v.chunks_exact(channels).map(|p| usize::from(p[0])), colours)?
            }
            (Data::U16(v), Colour::Palette(colours)) => {
                resolved(v.chunks_exact(channels).map(|p| usize::from(p[0])), colours)?
            }
            (Data::U8(v), Colour::Rgb) if channels == 3 => v,
            (Data::U8(v), colour) => {
                // Depths below 8 bit fill the range: 1 of 1 bit is white.
                let most = (1u32 << picture.bits.min(8)) - 1;
                let table: Vec<u8> =
                    (0..256).map(|v: u32| ((v.min(most) * 255 + most / 2) / most) as u8).collect();
                spread(&v, channels, colour, pixels, |v| Ok(table[usize::from(v)]))?
            }
            (Data::U16(v), colour) => {
                let scale = levels.of_integers(picture.tagged_bits).map_err(|(r, m)| Fault::Levels(r, m))?;
                spread(&v, channels, colour, pixels, |v| {
                    scale.at(v).map_err(|(reason, remedy)| Fault::Levels(reason, remedy))
                })?
            }
            (Data::Wide(v), colour) => {
                let scale = levels.of_any(picture.what()).map_err(|(r, m)| Fault::Levels(r, m))?;
                spread(&v, channels, colour, pixels, |v| {
                    scale.at(v).map_err(|(reason, remedy)| Fault::Levels(reason, remedy))
                })?
            }
        };
        Ok(OwnedImage { width, height, pixels: out })
    }
}

fn resolved(indices: impl Iterator<Item = usize>, colours: &[[u8; 3]]) -> Read<Vec<u8>> {
    let mut out = Vec::new();
    for index in indices {
        let colour = colours.get(index).ok_or_else(|| {
            damaged(format!("a pixel has colour {index} of a palette of {}", colours.len()))
        })?;
        out.extend(colour);
    }
    Ok(out)
}

/// Every pixel's colours through `level`, grey three times; alpha is left out.
fn spread<T: Copy>(
    values: &[T],
    channels: usize,
    colour: &Colour,
    pixels: usize,
    level: impl Fn(T) -> Read<u8>,
) -> Read<Vec<u8>> {
    let mut out = Vec::with_capacity(pixels * 3);
    for pixel in values.chunks_exact(channels) {
        if matches!(colour, Colour::Rgb) {
            out.extend([level(pixel[0])?, level(pixel[1])?, level(pixel[2])?]);
        } else {
            out.extend([level(pixel[0])?; 3]);
        }
    }
    Ok(out)
}

fn turned<T: Copy>(from: &[T], width: usize, height: usize, channels: usize, orientation: u8) -> Vec<T> {
    let (w, h) = if orientation >= 5 { (height, width) } else { (width, height) };
    let mut out = Vec::with_capacity(from.len());
    for y in 0..h {
        for x in 0..w {
            let (sx, sy) = match orientation {
                2 => (width - 1 - x, y),
                3 => (width - 1 - x, height - 1 - y),
                4 => (x, height - 1 - y),
                5 => (y, x),
                6 => (y, height - 1 - x),
                7 => (width - 1 - y, height - 1 - x),
                8 => (width - 1 - y, x),
                _ => (x, y),
            };
            out.extend_from_slice(&from[(sy * width + sx) * channels..][..channels]);
        }
    }
    out
}

/// CMYK, where 0 is no ink, to RGB as Pillow does it: `(white - ink) * (white - black) / white`.
pub(super) fn cmyk_to_rgb(pixel: [u32; 4], white: u32) -> [u32; 3] {
    let light = white - pixel[3];
    [0, 1, 2].map(|c| light.saturating_sub((pixel[c] * light + white / 2) / white))
}

/// The palette, or grey where index and brightness are the same in all of it.
pub(super) fn grey_or_palette(colours: Vec<[u8; 3]>, bits: u32) -> Colour {
    let most = (1usize << bits.min(8)) - 1;
    let ramp = |i: usize| [((i * 255 + most / 2) / most) as u8; 3];
    let grey = colours.len() == most + 1 && colours.iter().enumerate().all(|(i, c)| *c == ramp(i));
    if grey { Colour::Grey } else { Colour::Palette(colours) }
}

/// Samples of 1, 2 or 4 bit, the upper ones first, of rows of `width` samples that begin every `stride`
/// bytes.
pub(super) fn unpack(packed: &[u8], width: usize, bits: u32, stride: usize) -> Vec<u8> {
    let per_byte = 8 / bits as usize;
    let mut out = Vec::with_capacity(packed.len() * per_byte);
    for row in packed.chunks_exact(stride) {
        out.extend((0..width).map(|x| {
            let shift = (per_byte - 1 - x % per_byte) as u32 * bits;
            row[x / per_byte] >> shift & ((1 << bits) - 1) as u8
        }));
    }
    out
}
