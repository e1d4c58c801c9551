//! What the tags of a page say.

use super::compression::Compression;
use super::directory::Directory;
use crate::data::decode::raster::{Fault, Read, damaged, unsupported};

/// How samples are stored.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Sort {
    Unsigned,
    Signed,
    Float,
}

/// What the samples stand for.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Photometric {
    WhiteIsZero,
    BlackIsZero,
    Rgb,
    Palette,
    Cmyk,
    YCbCr,
}

impl Photometric {
    /// Samples without alpha and other extra ones.
    pub fn colours(self) -> usize {
        match self {
            Self::Rgb | Self::YCbCr => 3,
            Self::Cmyk => 4,
            _ => 1,
        }
    }
}

/// The tags of a page that say how its pixels lie.
pub(super) struct Layout {
    pub width: usize,
    pub height: usize,
    pub samples: usize,
    pub bits: u32,
    pub sort: Sort,
    pub photometric: Photometric,
    /// Whether the first extra sample is alpha.
    pub alpha: bool,
    pub compression: Compression,
    pub predictor: u64,
    /// Whether every sample has strips or tiles of its own.
    pub planar: bool,
    /// Bits of a byte in reverse.
    pub reversed: bool,
    /// Size of a strip or tile.
    pub chunk: (usize, usize),
    pub offsets: Vec<u64>,
    pub sizes: Vec<u64>,
    pub tagged_bits: Option<u32>,
    pub orientation: u8,
}

impl Layout {
    pub fn new(tags: &Directory, whole: u64) -> Read<Self> {
        let need = |tag: u16, what: &str| {
            tags.number(tag)?.ok_or_else(|| damaged(format!("the TIFF does not say {what} (tag {tag})")))
        };
        let or = |tag: u16, otherwise: u64| Ok::<_, Fault>(tags.number(tag)?.unwrap_or(otherwise));
        let size = |v: u64| u32::try_from(v).map(|v| v as usize).map_err(|_| damaged("a size is too large"));

        if tags.has(50_706) || matches!(tags.number(262)?, Some(32_803 | 34_892)) {
            return Err(unsupported("a camera's RAW file (DNG or a like TIFF)"));
        }
        if or(254, 0)? & 1 == 1 && tags.has(330) {
            return Err(unsupported("a camera's RAW file (a TIFF that shows a thumbnail alone)"));
        }
        let (width, height) = (size(need(256, "its width")?)?, size(need(257, "its height")?)?);
        let samples = or(277, 1)?;
        let depths = tags.numbers(258)?.unwrap_or_else(|| vec![1]);
        let bits = depths.first().copied().unwrap_or(1);
        if depths.iter().any(|&b| b != bits) {
            let first = &depths[..depths.len().min(8)];
            return Err(unsupported(format!("a TIFF whose samples have different depths ({first:?})")));
        }
        let sort = match or(339, 1)? {
            1 | 4 => Sort::Unsigned,
            2 => Sort::Signed,
            3 => Sort::Float,
            _ => return Err(unsupported("a TIFF of complex numbers")),
        };
        let known = match sort {
            Sort::Unsigned => (1..=32).contains(&bits),
            Sort::Signed => [8, 16, 32].contains(&bits),
            Sort::Float => [16, 32, 64].contains(&bits),
        };
        if !known {
            return Err(unsupported(format!("a TIFF with {sort:?} samples of {bits} bit")));
        }
        let photometric = match need(262, "what its colours are")? {
            0 if sort == Sort::Unsigned => Photometric::WhiteIsZero,
            1 => Photometric::BlackIsZero,
            2 => Photometric::Rgb,
            3 if sort == Sort::Unsigned && bits <= 16 => Photometric::Palette,
            5 if sort == Sort::Unsigned && (bits == 8 || bits == 16) => Photometric::Cmyk,
            6 if sort == Sort::Unsigned && bits == 8 => Photometric::YCbCr,
            other => {
                let name = match other {
                    4 => "a mask of transparency".to_owned(),
                    8..=10 => "CIE L*a*b*".to_owned(),
                    32_844 | 32_845 => "LogLuv".to_owned(),
                    _ => format!("of kind {other}, with {sort:?} samples of {bits} bit"),
                };
                return Err(unsupported(format!("a TIFF whose colours are {name}")));
            }
        };
        let colours = photometric.colours() as u64;
        // Grey with one more sample may be grey with alpha that is not called so; with several it is a stack.
        if samples < colours || samples > colours + 4 || colours == 1 && samples > 2 {
            return Err(unsupported(format!("a TIFF of {samples} channels ({photometric:?})")));
        }
        let extra = tags.number(338)?;
        let alpha = samples > colours && (matches!(extra, Some(1 | 2)) || colours == 1);

        let compression = Compression::new(or(259, 1)?, or(292, 0)?)?;
        if matches!(compression, Compression::Group3 | Compression::Group4) && (bits, samples) != (1, 1) {
            return Err(damaged("CCITT compression of more than one bit"));
        }
        let jpeg = compression == Compression::Jpeg;
        let halved = tags.numbers(530)?.is_none_or(|factors| factors != [1, 1]);
        if photometric == Photometric::YCbCr && !jpeg && halved {
            return Err(unsupported("a TIFF with halved colours (YCbCr) without JPEG"));
        }
        if jpeg && (bits != 8 && bits != 12 || sort != Sort::Unsigned) {
            return Err(unsupported(format!("a TIFF with a JPEG of {bits} bit")));
        }
        let tiled = tags.has(324);
        let chunk = if tiled {
            (size(need(322, "the width of its tiles")?)?, size(need(323, "the height of its tiles")?)?)
        } else {
            (width, size(or(278, height as u64)?.min(height as u64))?)
        };
        if chunk.0 == 0 || chunk.1 == 0 {
            return Err(damaged("its strips or tiles have no pixels"));
        }
        let places = if tiled { (324, 325) } else { (273, 279) };
        let offsets = tags
            .numbers(places.0)?
            .ok_or_else(|| damaged("the TIFF does not say where its pixels are, or is cut off there"))?;
        let sizes = match tags.numbers(places.1)? {
            Some(sizes) if sizes.len() >= offsets.len() => sizes,
            // Old writers leave the sizes out: to the end of the file at most.
            _ => offsets.iter().map(|&at| whole.saturating_sub(at)).collect(),
        };
        Ok(Self {
            width,
            height,
            samples: samples as usize,
            bits: bits as u32,
            sort,
            photometric,
            alpha,
            compression,
            predictor: or(317, 1)?,
            planar: or(284, 1)? == 2 && samples > 1,
            reversed: or(266, 1)? == 2 && !jpeg,
            chunk,
            offsets,
            sizes,
            tagged_bits: significant(tags, sort, bits)?.filter(|_| photometric != Photometric::Palette),
            orientation: or(274, 0)?.min(255) as u8,
        })
    }
}

/// Significant bits of samples of 9 to 16 bit, where they are fewer than 16: of packed samples their bits, of
/// others those that the largest value needs, as depths go.
fn significant(tags: &Directory, sort: Sort, bits: u64) -> Read<Option<u32>> {
    if sort != Sort::Unsigned || !(9..=16).contains(&bits) {
        return Ok(None);
    }
    if bits < 16 {
        return Ok(Some(bits as u32));
    }
    // SMaxSampleValue, MaxSampleValue.
    let largest = match tags.numbers(341)? {
        Some(values) => values.into_iter().max(),
        None => tags.numbers(281)?.and_then(|values| values.into_iter().max()),
    };
    let needed = largest.filter(|&v| v > 0).map(|v| 64 - v.leading_zeros());
    Ok(needed.and_then(crate::data::levels::depth_of).filter(|&depth| depth < 16))
}
