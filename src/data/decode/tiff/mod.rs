//! TIFF and BigTIFF: strips and tiles of every depth, with the compressions that libraries unpack.

mod compression;
mod directory;
mod layout;

use super::jpeg::{self, Model};
use super::picture::{Note, Picture};
use super::raster::{
    Colour, Data, Fault, Raster, Read, check_size, cmyk_to_rgb, cut, damaged, grey_or_palette, unsupported,
};
use compression::Compression;
use directory::{Directory, File};
use layout::{Layout, Photometric, Sort};

/// What the tags say.
pub(super) fn header(bytes: &[u8]) -> Read<Picture> {
    let (tags, pages) = File::new(bytes)?.first_page()?;
    Ok(picture(&Layout::new(&tags, bytes.len() as u64)?, pages))
}

/// Decodes the first page.
pub(super) fn decode(bytes: &[u8], max_pixels: u64) -> Read<Raster> {
    let file = File::new(bytes)?;
    let (tags, pages) = file.first_page()?;
    let layout = Layout::new(&tags, bytes.len() as u64)?;
    let picture = picture(&layout, pages);
    check_size(picture.width, picture.height, max_pixels)?;
    let cells = layout.width as u64 * layout.height as u64 * layout.samples as u64;
    if cells > max_pixels.saturating_mul(4) {
        return Err(Fault::TooLarge(format!("{cells} samples")));
    }
    let page = Page { file, tags: &tags, layout: &layout, max_pixels };
    let data = match (layout.sort, layout.bits) {
        (Sort::Unsigned, 1..=8) => Data::U8(page.samples(0, |bits| bits as u8)?),
        (Sort::Unsigned, 9..=16) => Data::U16(page.samples(0, |bits| bits as u16)?),
        (Sort::Unsigned, _) => Data::Wide(page.samples(0.0, |bits| bits as f64)?),
        (Sort::Signed, bits) => {
            Data::Wide(page.samples(0.0, |v| ((v << (64 - bits)) as i64 >> (64 - bits)) as f64)?)
        }
        (Sort::Float, 16) => Data::Wide(page.samples(0.0, |v| half::f16::from_bits(v as u16).to_f64())?),
        (Sort::Float, 32) => Data::Wide(page.samples(0.0, |v| f32::from_bits(v as u32).into())?),
        (Sort::Float, _) => Data::Wide(page.samples(0.0, f64::from_bits)?),
    };
    interpret(picture, data, &layout, &tags)
}

fn picture(layout: &Layout, pages: u32) -> Picture {
    let mut notes = Vec::new();
    if pages > 1 {
        notes.push(Note::FirstPage(pages));
    }
    if layout.photometric == Photometric::Cmyk {
        notes.push(Note::Cmyk);
    }
    if layout.samples > layout.photometric.colours() + usize::from(layout.alpha) {
        notes.push(Note::ExtraChannels);
    }
    Picture {
        kind: "TIFF",
        width: layout.width as u32,
        height: layout.height as u32,
        channels: layout.samples as u32,
        bits: layout.bits,
        float: layout.sort == Sort::Float,
        signed: layout.sort == Sort::Signed,
        tagged_bits: layout.tagged_bits,
        notes,
        orientation: layout.orientation,
    }
}

/// Bytes that a strip or tile may have whatever the picture: tiles are larger than small pictures.
const TILE: u64 = 64 << 20;

struct Page<'a> {
    file: File<'a>,
    tags: &'a Directory<'a>,
    layout: &'a Layout,
    max_pixels: u64,
}

impl Page<'_> {
    /// All samples, `[height][width][samples]`, each made of its bits by `make`.
    fn samples<T: Copy>(&self, zero: T, make: impl Fn(u64) -> T) -> Read<Vec<T>> {
        let layout = self.layout;
        let (width, height) = (layout.width, layout.height);
        let (chunk_width, chunk_height) = layout.chunk;
        let (across, down) = (width.div_ceil(chunk_width), height.div_ceil(chunk_height));
        let planes = if layout.planar { layout.samples } else { 1 };
        let per_pixel = layout.samples / planes;
        if layout.offsets.len() < across * down * planes {
            return Err(damaged("the TIFF has too few strips or tiles"));
        }
        // Tiles that are long one way, and many of them the other way, are far more than the picture.
        let all = ((chunk_width * per_pixel) as u64)
            .saturating_mul(chunk_height as u64)
            .saturating_mul((across * down * planes) as u64);
        if all > self.max_pixels.saturating_mul(32).saturating_add(TILE) {
            return Err(Fault::TooLarge(format!("strips or tiles of {all} samples")));
        }
        let mut out = vec![zero; width * height * layout.samples];
        for index in 0..across * down * planes {
            let (plane, place) = (index / (across * down), index % (across * down));
            let (left, top) = (place % across * chunk_width, place / across * chunk_height);
            let tiled = self.tags.has(324);
            let rows = if tiled { chunk_height } else { chunk_height.min(height - top) };
            let bytes = self.chunk(index, rows, per_pixel)?;
            let stride = (chunk_width * per_pixel * layout.bits as usize).div_ceil(8);
            let shown = chunk_width.min(width - left);
            for (y, row) in bytes.chunks_exact(stride).take(rows.min(height - top)).enumerate() {
                let start = ((top + y) * width + left) * layout.samples;
                let count = shown * per_pixel;
                if planes == 1 && layout.bits == 8 {
                    let bytes = row[..count].iter();
                    out[start..][..count].iter_mut().zip(bytes).for_each(|(to, &b)| *to = make(b.into()));
                } else if planes == 1 {
                    for (i, to) in out[start..][..count].iter_mut().enumerate() {
                        *to = make(self.bits(row, i));
                    }
                } else {
                    for x in 0..shown {
                        out[start + x * layout.samples + plane] = make(self.bits(row, x));
                    }
                }
            }
        }
        Ok(out)
    }

    /// The bits of sample `index` of a row.
    #[inline]
    fn bits(&self, row: &[u8], index: usize) -> u64 {
        let bits = self.layout.bits as usize;
        if bits.is_multiple_of(8) {
            let bytes = &row[index * bits / 8..][..bits / 8];
            if let &[a, b] = bytes {
                let joined = if self.file.big_endian { u16::from_be_bytes } else { u16::from_le_bytes };
                return joined([a, b]).into();
            }
            let join = |value: u64, &byte: &u8| value << 8 | u64::from(byte);
            return if self.file.big_endian {
                bytes.iter().fold(0, join)
            } else {
                bytes.iter().rev().fold(0, join)
            };
        }
        // Packed samples have the most significant bit first, in either byte order.
        let (first, last) = (index * bits / 8, (index * bits + bits - 1) / 8);
        let joined = row[first..=last].iter().fold(0u64, |value, &byte| value << 8 | u64::from(byte));
        joined >> (last * 8 + 7 - (index * bits + bits - 1)) & ((1 << bits) - 1)
    }

    /// A strip or tile of `rows` rows, unpacked.
    fn chunk(&self, index: usize, rows: usize, per_pixel: usize) -> Read<Vec<u8>> {
        let layout = self.layout;
        let width = layout.chunk.0;
        let stride = width
            .checked_mul(per_pixel * layout.bits as usize)
            .ok_or_else(|| damaged("a strip or tile is too large"))?
            .div_ceil(8);
        let size = stride.checked_mul(rows).ok_or_else(|| damaged("a strip or tile is too large"))?;
        let picture =
            (layout.width * layout.height * layout.samples) as u64 * u64::from(layout.bits.div_ceil(8));
        if size as u64 > TILE.max(4 * picture) {
            return Err(Fault::TooLarge(format!("a strip or tile of {size} bytes")));
        }
        let (at, packed) = (layout.offsets[index], layout.sizes[index]);
        let data = match layout.compression {
            // What a strip needs must be there, whatever the tags call its length.
            Compression::None => self.file.part(at, size as u64)?,
            _ => self.file.part(at, packed)?,
        };
        if layout.compression == Compression::Jpeg {
            return self.jpeg(data, width, rows, per_pixel);
        }
        let reversed: Vec<u8>;
        let data = if layout.reversed {
            reversed = data.iter().map(|b| b.reverse_bits()).collect();
            &reversed
        } else {
            data
        };
        let mut out = layout.compression.unpack(data, size, width)?;
        match layout.predictor {
            1 => {}
            2 => self.add_up(&mut out, stride, per_pixel)?,
            3 => self.add_up_floats(&mut out, stride, per_pixel)?,
            other => return Err(unsupported(format!("a TIFF with the predictor {other}"))),
        }
        Ok(out)
    }

    /// Rows that are differences to the sample on the left (predictor 2).
    fn add_up(&self, bytes: &mut [u8], stride: usize, per_pixel: usize) -> Read<()> {
        let size = self.layout.bits as usize / 8;
        if !matches!(self.layout.bits, 8 | 16 | 32 | 64) {
            return Err(unsupported(format!("a TIFF with a predictor for {} bit", self.layout.bits)));
        }
        let back = size * per_pixel;
        for row in bytes.chunks_exact_mut(stride) {
            for at in (back..row.len()).step_by(size) {
                let mut carry = 0u16;
                for k in 0..size {
                    // From the least significant byte on.
                    let k = if self.file.big_endian { size - 1 - k } else { k };
                    let sum = u16::from(row[at + k]) + u16::from(row[at + k - back]) + carry;
                    row[at + k] = sum as u8;
                    carry = sum >> 8;
                }
            }
        }
        Ok(())
    }

    /// Rows of floating point, byte by byte, as differences (predictor 3).
    fn add_up_floats(&self, bytes: &mut [u8], stride: usize, per_pixel: usize) -> Read<()> {
        let size = self.layout.bits as usize / 8;
        if self.layout.sort != Sort::Float {
            return Err(damaged("the predictor for floating point, and integers"));
        }
        for row in bytes.chunks_exact_mut(stride) {
            for at in per_pixel..row.len() {
                row[at] = row[at].wrapping_add(row[at - per_pixel]);
            }
            // All most significant bytes come first.
            let count = row.len() / size;
            let ordered: Vec<u8> = (0..count * size)
                .map(|i| {
                    let (sample, k) = (i / size, i % size);
                    let k = if self.file.big_endian { k } else { size - 1 - k };
                    row[k * count + sample]
                })
                .collect();
            row[..count * size].copy_from_slice(&ordered);
        }
        Ok(())
    }

    fn jpeg(&self, data: &[u8], width: usize, rows: usize, per_pixel: usize) -> Read<Vec<u8>> {
        let model = match (per_pixel, self.layout.photometric) {
            (1, _) => Model::Grey,
            (3, Photometric::YCbCr) => Model::YCbCr,
            (3, Photometric::Rgb) => Model::Rgb,
            (count, of) => {
                return Err(unsupported(format!("a TIFF with a JPEG of {count} channels ({of:?})")));
            }
        };
        // Tables that all strips share, without the marker at their end, before the strip without that at its
        // beginning.
        let mut whole = match self.tags.bytes(347) {
            Some([tables @ .., 0xff, 0xd9]) => tables.to_vec(),
            _ => vec![0xff, 0xd8],
        };
        whole.extend(data.get(2..).ok_or_else(cut)?);
        // It may be higher than what is left of the picture.
        let most = (4 * width as u64 * rows as u64).min(self.max_pixels).saturating_add(1 << 20);
        let raster = jpeg::decode_as(&whole, most, Some(model))?;
        let (w, h) = (raster.picture.width as usize, raster.picture.height as usize);
        match raster.data {
            Data::U8(values) if w == width && h >= rows => {
                Ok(values[..w * rows * values.len().checked_div(w * h).unwrap_or(0)].to_vec())
            }
            _ => Err(damaged("a JPEG in the TIFF has another size than its strip or tile")),
        }
    }
}

/// What the samples stand for, with levels and alpha as everywhere.
fn interpret(picture: Picture, data: Data, layout: &Layout, tags: &Directory) -> Read<Raster> {
    let (samples, colours) = (layout.samples, layout.photometric.colours());
    let most = if layout.bits <= 16 { (1u32 << layout.bits) - 1 } else { u32::MAX };
    let mut data = data;
    if layout.photometric == Photometric::WhiteIsZero {
        let alpha_too = |i: usize| i.is_multiple_of(samples);
        match &mut data {
            Data::U8(v) => v
                .iter_mut()
                .enumerate()
                .filter(|(i, _)| alpha_too(*i))
                .for_each(|(_, v)| *v = most as u8 - *v),
            Data::U16(v) => v
                .iter_mut()
                .enumerate()
                .filter(|(i, _)| alpha_too(*i))
                .for_each(|(_, v)| *v = most as u16 - *v),
            Data::Wide(_) => return Err(unsupported("a TIFF of 32 bit whose white is zero")),
        }
    }
    let keep = colours + usize::from(layout.alpha);
    fn kept<T: Copy>(values: Vec<T>, samples: usize, keep: usize) -> Vec<T> {
        if samples == keep {
            return values;
        }
        values.chunks_exact(samples).flat_map(|p| &p[..keep]).copied().collect()
    }
    let mut data = match data {
        Data::U8(v) => Data::U8(kept(v, samples, keep)),
        Data::U16(v) => Data::U16(kept(v, samples, keep)),
        Data::Wide(v) => Data::Wide(kept(v, samples, keep)),
    };
    let colour = match layout.photometric {
        Photometric::WhiteIsZero | Photometric::BlackIsZero => Colour::Grey,
        Photometric::Rgb => Colour::Rgb,
        Photometric::YCbCr => {
            if let (Data::U8(v), false) = (&mut data, layout.compression == Compression::Jpeg) {
                v.chunks_exact_mut(keep).for_each(|p| jpeg::to_rgb(&mut p[..3]));
            }
            Colour::Rgb
        }
        Photometric::Palette => {
            let map = tags.numbers(320)?.ok_or_else(|| damaged("the TIFF's palette is missing"))?;
            let count = 1usize << layout.bits;
            if map.len() < 3 * count {
                return Err(damaged("the TIFF's palette is too short"));
            }
            // Some programs write 8 bit into the 16 of a palette.
            let shift = if map.iter().any(|&v| v > 255) { 8 } else { 0 };
            let at = |i: usize| [0, 1, 2].map(|c| (map[c * count + i] >> shift) as u8);
            grey_or_palette((0..count).map(at).collect(), layout.bits)
        }
        Photometric::Cmyk => {
            fn rgb<T: Copy + Into<u32>>(v: &[T], keep: usize, most: u32, to: impl Fn(u32) -> T) -> Vec<T> {
                let pixel = |p: &[T]| {
                    let rgb = cmyk_to_rgb([p[0], p[1], p[2], p[3]].map(Into::into), most);
                    let mut out: Vec<T> = rgb.map(&to).to_vec();
                    out.extend(&p[4..]);
                    out
                };
                v.chunks_exact(keep).flat_map(pixel).collect()
            }
            match &mut data {
                Data::U8(v) => *v = rgb(v, keep, most, |v| v as u8),
                Data::U16(v) => *v = rgb(v, keep, most, |v| v as u16),
                Data::Wide(_) => return Err(unsupported("a TIFF of CMYK with 32 bit")),
            }
            Colour::Rgb
        }
    };
    Ok(Raster { picture, colour, alpha: layout.alpha, data })
}
