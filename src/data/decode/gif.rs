//! GIF: the first frame.

use super::picture::{Note, Picture};
use super::raster::{Data, Fault, Raster, Read, check_size, cut, damaged, grey_or_palette};
use gif::{ColorOutput, DecodeOptions, Decoder, DecodingError, MemoryLimit};
use std::io::ErrorKind;

/// What the header says.
pub(super) fn header(bytes: &[u8]) -> Read<Picture> {
    Ok(picture(&open(bytes, u64::MAX)?))
}

/// Decodes the first frame.
pub(super) fn decode(bytes: &[u8], max_pixels: u64) -> Read<Raster> {
    let mut decoder = open(bytes, max_pixels)?;
    let mut picture = picture(&decoder);
    check_size(picture.width, picture.height, max_pixels)?;
    let (width, height) = (picture.width as usize, picture.height as usize);
    let global = decoder.global_palette().map(<[u8]>::to_vec);
    let frame = decoder.read_next_frame().map_err(fault)?.ok_or_else(cut)?;
    let palette = frame.palette.clone().or(global).ok_or_else(|| damaged("its palette is missing"))?;
    // What the frame does not cover is transparent; Pillow shows the first colour where none is.
    let mut values = vec![frame.transparent.unwrap_or(0); width * height];
    let (left, top) = (usize::from(frame.left), usize::from(frame.top));
    let (w, h) = (usize::from(frame.width), usize::from(frame.height));
    if left + w > width || top + h > height || frame.buffer.len() != w * h {
        return Err(damaged("a frame lies outside the picture"));
    }
    for (y, row) in frame.buffer.chunks_exact(w.max(1)).enumerate() {
        values[(top + y) * width + left..][..w].copy_from_slice(row);
    }
    // What comes behind the first frame does not matter, but that it comes does.
    if matches!(decoder.next_frame_info(), Ok(Some(_))) {
        picture.notes.push(Note::FirstFrame);
    }
    Ok(Raster {
        picture,
        colour: grey_or_palette(palette.as_chunks().0.to_vec(), 8),
        alpha: false,
        data: Data::U8(values),
    })
}

fn open(bytes: &[u8], max_pixels: u64) -> Read<Decoder<&[u8]>> {
    let mut options = DecodeOptions::new();
    options.set_color_output(ColorOutput::Indexed);
    options.check_frame_consistency(true);
    if let Some(limit) = std::num::NonZeroU64::new(max_pixels.saturating_add(64 << 20)) {
        options.set_memory_limit(MemoryLimit::Bytes(limit));
    }
    options.read_info(bytes).map_err(fault)
}

fn picture(decoder: &Decoder<&[u8]>) -> Picture {
    let (width, height) = (decoder.width().into(), decoder.height().into());
    Picture { kind: "GIF", width, height, channels: 1, bits: 8, ..Picture::default() }
}

fn fault(error: DecodingError) -> Fault {
    match error {
        DecodingError::Io(e) if e.kind() == ErrorKind::UnexpectedEof => cut(),
        other => damaged(other.to_string().trim_end_matches('.')),
    }
}
